// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The package's text says where to read on: it knows every file, each once.
func TestPackageTextNamesEveryFile(t *testing.T) {
	text := string(must(os.ReadFile("doc.go")))
	const column = len("decisions   ") // where the names of files begin
	var patterns []string
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(line, "//\t"); ok {
			patterns = append(patterns, regexp.MustCompile(`[a-z*]+`).FindAllString(list[column:], -1)...)
		}
	}
	var named []string
	for _, pattern := range patterns {
		found := must(filepath.Glob(pattern + ".go"))
		if len(found) == 0 {
			t.Errorf("%s.go is not there", pattern)
		}
		named = append(named, found...)
	}
	for _, file := range must(filepath.Glob("*.go")) {
		if strings.HasSuffix(file, "_test.go") || file == "doc.go" {
			continue
		}
		if n := len(slices.DeleteFunc(slices.Clone(named), func(s string) bool { return s != file })); n != 1 {
			t.Errorf("%s is named %d times", file, n)
		}
	}
}
