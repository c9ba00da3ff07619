// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// requirement is a line of a go.mod, as `go mod edit -json` prints it.
type requirement struct {
	Path, Version string
	Indirect      bool
}

func requirements(t *testing.T, file string) []requirement {
	t.Helper()
	command := exec.Command("go", "mod", "edit", "-json", file)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	var parsed struct{ Require []requirement }
	if err := json.Unmarshal(out, &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed.Require
}

// versionOf is the version that a build takes, which replace and a dependency's
// own wish can both move away from what go.mod says.
func versionOf(t *testing.T, dependency string) string {
	t.Helper()
	command := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}} {{with .Replace}}replaced{{end}}", dependency)
	command.Dir, command.Stderr = root, os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("version of %s: %v", dependency, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), dependency+" "))
}

// SQLite is C translated to Go for exactly one version of this C library: with
// another it builds, and may corrupt. Move both together.
func TestLibcIsTheOneSQLiteWasTranslatedFor(t *testing.T) {
	const libc, pinned = "modernc.org/libc", "v1.79.0"
	if got := versionOf(t, libc); got != pinned {
		t.Errorf("%s is %s, want %s: set it back, or move it together with modernc.org/sqlite", libc, got, pinned)
	}
	command := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite")
	command.Dir, command.Stderr = root, os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("find go.mod of SQLite: %v", err)
	}
	for _, required := range requirements(t, strings.TrimSpace(string(out))) {
		if required.Path == libc && required.Version != pinned {
			t.Errorf("SQLite was translated for %s %s, not %s", libc, required.Version, pinned)
		}
	}
}

// From v1.11 on sigstore needs Go 1.27.
func TestSigstoreBuildsWithOurGo(t *testing.T) {
	const want = "v1.10.11"
	if got := versionOf(t, "github.com/sigstore/sigstore"); got != want {
		t.Errorf("sigstore is %s, want %s until go.mod says go 1.27", got, want)
	}
}

// Charts decide by the version that the API server says, which only the linker
// sets.
func TestControlPlaneSaysTheVersionItIs(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^KUBERNETES_VERSION := (\S+)$`).FindSubmatch(makefile)
	if match == nil {
		t.Fatal("no KUBERNETES_VERSION in the Makefile")
	}
	for _, required := range requirements(t, filepath.Join(root, "test/k3d/controlplane/go.mod")) {
		if required.Path == "k8s.io/kubernetes" && required.Version != string(match[1]) {
			t.Errorf("the Makefile says %s, and k8s.io/kubernetes is %s", match[1], required.Version)
		}
	}
	minor := strings.Split(string(match[1]), ".")[1]
	if !strings.Contains(string(makefile), "version.gitMinor="+minor+"\n") {
		t.Errorf("gitMinor in the Makefile is not %s", minor)
	}
}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S.*) \\|$")

// undocumented compares direct dependencies with the rows of the page: each has
// one, and nothing else has.
func undocumented(direct []string, page string) []string {
	var findings, rows []string
	for _, match := range dependencyRow.FindAllStringSubmatch(page, -1) {
		rows = append(rows, match[1])
	}
	for _, name := range direct {
		if !slices.Contains(rows, name) {
			findings = append(findings, fmt.Sprintf("%s has no row that says why it is needed", name))
		}
	}
	for _, name := range rows {
		if !slices.Contains(direct, name) {
			findings = append(findings, fmt.Sprintf("%s has a row and is no direct dependency", name))
		}
	}
	return findings
}

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, required := range requirements(t, filepath.Join(root, "go.mod")) {
		if !required.Indirect {
			direct = append(direct, required.Path)
		}
	}
	for _, finding := range undocumented(direct, string(page)) {
		t.Errorf("docs/dependencies.md: %s", finding)
	}

	got := undocumented([]string{"a.org/known", "a.org/new"}, "| `a.org/known` | reads a |\n| `a.org/gone` | read b |\n")
	if len(got) != 2 {
		t.Errorf("a missing and a stale row give %q", got)
	}
}
