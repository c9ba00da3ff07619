// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/config"
)

// Whatever stands in the file, it is either taken or refused with problems that
// name it; and what is taken prints to something that is taken too.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{good, with("interval: 5m"), head + "node: &a {labels: *a}\n", head + "sources: [{trust: {threshold: {a: [1, {b: c}]}}}]\n",
		"? [a]\n: b\n", "<<: {kind: Config}\n", "- - -\n", "!!binary x: y\n", "kind: !foo Config\n", "\x00", "{a: b", "cluster: {concurrency: 0x7fffffffffffffff}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Check(path)
		var problems config.Problems
		if err != nil {
			if !errors.As(err, &problems) || len(problems) == 0 || problems[0].File != path && problems[0].File != "" {
				t.Fatalf("refused without a problem that names it: %v", err)
			}
			return
		}
		printed, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, printed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Check(path); err != nil {
			t.Fatalf("printed and not taken again: %v\n%s", err, printed)
		}
	})
}
