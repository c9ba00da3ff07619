// SPDX-License-Identifier: Apache-2.0

// Package tools_test shows that the linter refuses what it is meant to refuse,
// with the configuration of this repository. It never lints the repository:
// `make lint` does.
package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fixture is a module of the same name as ours, with one breach in each file
// that has findings.
var fixture = map[string]string{
	"go.mod":                            "module github.com/edgeagent/edgeagent\n\ngo 1.26\n",
	"internal/gitops/words.go":          "// Package gitops is here.\npackage gitops\n",
	"internal/journal/journal.go":       "// Package journal is here.\npackage journal\n\nimport _ \"github.com/edgeagent/edgeagent/internal/gitops\" // allowed\n",
	"internal/verify/verify.go":         "// Package verify is here.\npackage verify\n\nimport _ \"github.com/edgeagent/edgeagent/internal/journal\" // refused\n",
	"internal/verify/verify_test.go":    "package verify\n\nimport (\n\t\"testing\"\n\n\t_ \"github.com/edgeagent/edgeagent/internal/journal\" // tests are free\n)\n\nfunc TestNothing(*testing.T) {}\n",
	"internal/render/render.go":         "// Package render is here.\npackage render\n\nimport _ \"github.com/edgeagent/edgeagent/internal/verify\" // allowed\n",
	"internal/render/chart/chart.go":    "// Package chart is here.\npackage chart\n\nimport _ \"github.com/edgeagent/edgeagent/internal/reconcile\" // refused\n",
	"internal/reconcile/reconcile.go":   "// Package reconcile is here.\npackage reconcile\n\nimport _ \"testing\" // refused\n",
	"internal/localapi/localapi.go":     "// Package localapi is here.\npackage localapi\n\nimport \"os\"\n\n// Drop loses an error.\nfunc Drop() { os.Remove(\"x\") } // refused\n",
	"packaging/systemd/units.go":        "// Package systemd is here.\npackage systemd\n\nimport _ \"github.com/edgeagent/edgeagent/internal/gitops\" // refused\n",
	"cmd/edgeagent/main.go":             "// Command edgeagent is here.\npackage main\n\nimport (\n\t_ \"github.com/edgeagent/edgeagent/internal/journal\"\n\t_ \"github.com/edgeagent/edgeagent/internal/verify\"\n)\n\nfunc main() {}\n",
	"internal/agent/undocumented.go":    "package agent\n",
	"internal/agent/compare/compare.go": "// Package compare is here.\npackage compare\n\nimport \"io\"\n\n// End compares an error by identity.\nfunc End(err error) bool { return err == io.ErrClosedPipe } // refused\n",
}

func TestLinterRefusesWhatItShould(t *testing.T) {
	dir := t.TempDir()
	for name, text := range fixture {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Beside the fixture, for its patterns and its output are relative to it.
	config, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".golangci.yml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	linter := filepath.Join(t.TempDir(), "golangci-lint")
	if out, err := exec.Command("go", "build", "-o", linter, "github.com/golangci/golangci-lint/v2/cmd/golangci-lint").CombinedOutput(); err != nil {
		t.Fatalf("build the linter: %v\n%s", err, out)
	}
	command := exec.Command(linter, "run", "--allow-parallel-runners", "--output.text.print-issued-lines=false", "--show-stats=false", "./...")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOLANGCI_LINT_CACHE="+t.TempDir())
	out, err := command.CombinedOutput()
	if err == nil {
		t.Fatalf("the linter finds nothing:\n%s", out)
	}
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		file, _, _ := strings.Cut(line, ":")
		found[file] += line + "\n"
	}
	for file, want := range map[string]string{
		"internal/verify/verify.go":         "the trust decision depends on nothing that it judges",
		"internal/render/chart/chart.go":    "only a verified commit is rendered",
		"internal/reconcile/reconcile.go":   "the daemon carries no test code",
		"internal/localapi/localapi.go":     "(errcheck)",
		"packaging/systemd/units.go":        "(depguard)",
		"internal/agent/undocumented.go":    "(revive)",
		"internal/agent/compare/compare.go": "(errorlint)",
	} {
		if !strings.Contains(found[file], want) {
			t.Errorf("%s: %q is missing in %q", file, want, found[file])
		}
		delete(found, file)
	}
	for _, lines := range found {
		t.Errorf("not wanted: %s", lines)
	}
}
