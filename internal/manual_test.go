// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	commandName = regexp.MustCompile(`Use:\s+"([a-z-]+)`)
	flagName    = regexp.MustCompile(`Flags\(\)\.[A-Za-z]+\([^"]*"([a-z-]+)"`)
)

// unmentioned lists the commands and flags of the source that the man page
// does not have. The worker is the agent's own business.
func unmentioned(tree layout, page string) []string {
	var missing []string
	for _, file := range tree.files {
		if file.dir() != "cmd/edgeagent" || file.isTest() {
			continue
		}
		for _, match := range commandName.FindAllSubmatch(file.src, -1) {
			name := string(match[1])
			mention := regexp.MustCompile(`(?m)^\.It Cm (.* )?` + regexp.QuoteMeta(name) + `\b`)
			if name != "edgeagent" && name != "render-worker" && !mention.MatchString(page) {
				missing = append(missing, name)
			}
		}
		for _, match := range flagName.FindAllSubmatch(file.src, -1) {
			if name := "-" + string(match[1]); !strings.Contains(page, "Fl "+name) && !strings.Contains(page, ", "+name) {
				missing = append(missing, "-"+name)
			}
		}
	}
	return missing
}

func TestManPageHasEveryCommandAndFlag(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "packaging/deb/edgeagent.1"))
	if err != nil {
		t.Fatal(err)
	}
	tree := readLayout(t, root)
	if missing := unmentioned(tree, string(page)); len(missing) > 0 {
		t.Errorf("packaging/deb/edgeagent.1 says nothing of %s", strings.Join(missing, ", "))
	}
	// Without a word of it, everything is missing.
	if missing := unmentioned(tree, ""); len(missing) < 20 {
		t.Errorf("only %d commands and flags were found in cmd/edgeagent: %v", len(missing), missing)
	}
}
