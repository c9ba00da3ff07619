// SPDX-License-Identifier: Apache-2.0

// Package internal_test holds the source tree to the rules that no compiler
// checks: which package may import which, that every package says what it owns,
// and that the versions which must not move have not moved. It never looks at
// what the code does.
package internal_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const root = ".."

func TestSourceTreeFollowsItsRules(t *testing.T) {
	tree := readLayout(t, root)
	rows := readTable(t, filepath.Join(root, "docs/architecture.md"))
	want := []string{"agent", "config", "gitops", "journal", "localapi", "notify", "pull", "reconcile", "render", "verify"}
	if diff := cmp.Diff(want, sortedRows(rows)); diff != "" {
		t.Fatalf("packages of the table in docs/architecture.md (-want +got):\n%s", diff)
	}
	for name, findings := range map[string][]string{
		"import direction": tree.importFindings(rows),
		"package comments": tree.docFindings(),
		"files":            tree.fileFindings(),
		"test code":        tree.testImportFindings(rows),
	} {
		t.Run(name, func(t *testing.T) {
			for _, finding := range findings {
				t.Error(finding)
			}
		})
	}
}

// Each rule has a tree that breaks it: a rule that finds nothing there is dead.
func TestEveryRuleFindsItsBreach(t *testing.T) {
	rows := table{"gitops": {}, "verify": {"gitops"}, "render": {"gitops", "verify"}, "journal": {"gitops"}}
	long := strings.Repeat("// line\n", maxLines)
	tests := map[string]struct {
		files map[string]string
		check func(layout) []string
		want  []string
	}{
		"allowed import": {
			files: map[string]string{
				"internal/render/a.go":        source("render", module+"/internal/verify"),
				"internal/render/inner/b.go":  source("inner", module+"/internal/gitops"),
				"internal/verify/c_test.go":   source("verify_test", module+"/internal/journal"),
				"internal/gitops/d.go":        source("gitops", "strings"),
				"test/k3d/cases/case_test.go": source("cases", module+"/internal/journal"),
			},
			check: func(l layout) []string { return l.importFindings(rows) },
		},
		"import against the direction": {
			files: map[string]string{"internal/verify/a.go": source("verify", module+"/internal/journal")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"internal/verify/a.go: may not import " + module + "/internal/journal"},
		},
		"import against the direction from a subpackage": {
			files: map[string]string{"internal/verify/inner/a.go": source("inner", module+"/internal/render/chart")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"internal/verify/inner/a.go: may not import " + module + "/internal/render/chart"},
		},
		"import of what is not internal": {
			files: map[string]string{"internal/journal/a.go": source("journal", module+"/test/k3d/cluster")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"internal/journal/a.go: may not import " + module + "/test/k3d/cluster"},
		},
		"package outside the table": {
			files: map[string]string{"internal/util/a.go": source("util", "strings")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"internal/util/a.go: internal/util has no row in the package table"},
		},
		"library in gitops": {
			files: map[string]string{"internal/gitops/a.go": source("gitops", "sigs.k8s.io/yaml")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"internal/gitops/a.go: gitops needs the standard library only, not sigs.k8s.io/yaml"},
		},
		"packaging is a leaf": {
			files: map[string]string{"packaging/systemd/a.go": source("systemd", module+"/internal/gitops")},
			check: func(l layout) []string { return l.importFindings(rows) },
			want:  []string{"packaging/systemd/a.go: may not import " + module + "/internal/gitops"},
		},
		"no package comment": {
			files: map[string]string{
				"internal/verify/a.go":  license + "package verify\n",
				"internal/journal/a.go": source("journal"),
				"internal/journal/b.go": license + "package journal\n",
			},
			check: layout.docFindings,
			want:  []string{"internal/verify: no package comment that says what it owns and what it never does"},
		},
		"comment of another package": {
			files: map[string]string{"cmd/edgeagent/main.go": license + "\n// Package edgeagent runs.\npackage main\n"},
			check: layout.docFindings,
			want:  []string{"cmd/edgeagent: no package comment that says what it owns and what it never does"},
		},
		"no licence line": {
			files: map[string]string{"internal/verify/a.go": "package verify\n"},
			check: layout.fileFindings,
			want:  []string{"internal/verify/a.go: the first line is not " + strings.TrimSpace(license)},
		},
		"long file": {
			files: map[string]string{
				"internal/verify/a.go":      source("verify") + long,
				"internal/verify/a_test.go": source("verify") + long,
			},
			check: layout.fileFindings,
			want:  []string{"internal/verify/a.go: 404 lines, more than 400: split it"},
		},
		"test code in the daemon": {
			files: map[string]string{
				"cmd/edgeagent/main.go":    source("main", module+"/internal/x"),
				"internal/x/x.go":          source("x", "testing"),
				"internal/verify/a.go":     source("verify", "pgregory.net/rapid"),
				"internal/xtest/server.go": source("xtest", "testing"),
			},
			check: func(l layout) []string { return l.testImportFindings(rows) },
			want: []string{
				"internal/verify: the daemon may not import pgregory.net/rapid",
				"internal/x: the daemon may not import testing",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, text := range test.files {
				full := filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, test.check(readLayout(t, dir))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// The linter tells the editor what this test tells CI: they must not differ.
func TestLinterHasTheRulesOfTheTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Enable   []string
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						ListMode string `json:"list-mode"`
						Files    []string
						Allow    []string
						Deny     []struct{ Pkg, Desc string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(config.Linters.Enable, "depguard") {
		t.Fatal("depguard is not enabled in .golangci.yml")
	}
	for row, allowed := range readTable(t, filepath.Join(root, "docs/architecture.md")) {
		t.Run(row, func(t *testing.T) {
			rule := config.Linters.Settings.Depguard.Rules[row]
			if want := []string{"**/internal/" + row + "/**", "!$test"}; !slices.Equal(rule.Files, want) {
				t.Errorf("files %v, want %v", rule.Files, want)
			}
			want := []string{module + "/internal/" + row}
			for _, name := range allowed {
				want = append(want, module+"/internal/"+name)
			}
			slices.Sort(want)
			if len(allowed) == 0 { // nothing of ours: the standard library only
				want = append([]string{"$gostd"}, want...)
				if rule.ListMode != "strict" {
					t.Errorf("list-mode %q, want strict", rule.ListMode)
				}
			} else if rule.ListMode != "lax" || len(rule.Deny) != 1 || rule.Deny[0].Pkg != module || rule.Deny[0].Desc == "" {
				t.Errorf("list-mode %q, deny %v: want lax, and our module denied with a reason", rule.ListMode, rule.Deny)
			}
			if diff := cmp.Diff(want, rule.Allow); diff != "" {
				t.Errorf("allow (-want +got):\n%s", diff)
			}
		})
	}
}

// The phase table of the page is the one map of legal moves.
func TestPageHasTheMovesOfTheCode(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := "| phase | moves to |\n|---|---|\n"
	for _, phase := range gitops.Phases() {
		next := []string{}
		for _, to := range phase.Next() {
			next = append(next, "`"+string(to)+"`")
		}
		if phase.Closed() {
			next = []string{"closed"}
		}
		want += "| `" + string(phase) + "` | " + strings.Join(next, ", ") + " |\n"
	}
	if !strings.Contains(string(page), want) {
		t.Errorf("docs/architecture.md lacks this table:\n%s", want)
	}
}

func sortedRows(rows table) []string {
	var names []string
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// source is the smallest file that breaks no rule by itself.
func source(name string, imports ...string) string {
	comment := "// Package " + name + " is here.\n"
	if name == "main" {
		comment = "// Command main is here.\n"
	}
	text := license + "\n" + comment + "package " + name + "\n"
	for _, imported := range imports {
		text += "\nimport _ \"" + imported + "\"\n"
	}
	return text
}
