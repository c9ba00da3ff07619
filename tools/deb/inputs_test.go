// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDebianVersion(t *testing.T) {
	tests := map[string]struct{ described, want string }{
		"release":            {"v1.2.3", "1.2.3"},
		"without v":          {"1.2.3", "1.2.3"},
		"candidate":          {"v1.2.3-rc.1", "1.2.3~rc.1"},
		"after a tag":        {"v1.2.3-14-gabcdef0", "1.2.3+14.gabcdef0"},
		"after a candidate":  {"v1.2.3-rc.1-2-gabcdef0", "1.2.3~rc.1+2.gabcdef0"},
		"changed since":      {"v1.2.3-dirty", "1.2.3+dirty"},
		"no tag yet":         {"abcdef0", "0.0.0~20261101120000.gabcdef0"},
		"no tag and changed": {"abcdef0-dirty", "0.0.0~20261101120000.gabcdef0+dirty"},
		"no git":             {"unknown", ""},
		"another tag":        {"nightly", ""},
		"empty":              {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := debianVersion(test.described, commitTime)
			if got != test.want || (err != nil) != (test.want == "") {
				t.Errorf("debianVersion(%q) = %q, %v, want %q", test.described, got, err, test.want)
			}
		})
	}
}

// dpkg itself says which of two versions is newer.
func TestDebianVersionsAreOrderedAsTheyWereMade(t *testing.T) {
	var last string
	for _, described := range []string{"abcdef0", "v1.2.3-rc.1", "v1.2.3-rc.1-2-gabcdef0", "v1.2.3-rc.2", "v1.2.3", "v1.2.3-4-gabcdef0", "v1.2.3-14-gabcdef0", "v1.2.4"} {
		version, err := debianVersion(described, commitTime)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			output(t, "dpkg", "--compare-versions", last, "lt", version)
		}
		last = version
	}
}

func TestChangelogTakesTheNewestSection(t *testing.T) {
	news := "# Changelog\n\n- not this\n\n## Unreleased\n\n- One thing,\n  on two lines.\n- Another.\n\n## 1.0.0\n\n- Old.\n"
	want := "edgeagent (1.2.3) stable; urgency=medium\n\n  * One thing,\n    on two lines.\n  * Another.\n\n -- A <a@b>  Sun, 01 Nov 2026 12:00:00 +0000\n"
	if got := string(changelog("1.2.3", "A <a@b>", commitTime, news)); got != want {
		t.Errorf("changelog:\n%s\nwant:\n%s", got, want)
	}
	for _, empty := range []string{"", "# Changelog\n", "## Unreleased\n"} {
		if got := string(changelog("1.2.3", "A <a@b>", commitTime, empty)); !strings.Contains(got, "  * ") {
			t.Errorf("changelog of %q has no entry, which dpkg's tools refuse:\n%s", empty, got)
		}
	}
}

func TestAVariableThatNothingSetsIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfpm.yaml")
	text := "name: x\narch: amd64\nversion: ${VERSION}\ncontents:\n  - {src: \"${BINAR}/x\", dst: /x, expand: true}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(path, map[string]string{"VERSION": "1"}); err == nil || !strings.Contains(err.Error(), "nothing sets BINAR") {
		t.Errorf("readConfig: %v, want that nothing sets BINAR", err)
	}
	if _, err := readConfig(path, map[string]string{"VERSION": "1", "BINAR": "/tmp"}); err != nil {
		t.Errorf("readConfig: %v", err)
	}
}

// The licences come from what is linked: this test program links nfpm, so its
// licence must be there.
func TestLicencesOfWhatIsLinkedArePassedOn(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	built, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if len(built.Deps) == 0 {
		t.Fatal("this test program says nothing of its modules")
	}
	text, err := licenses(filepath.Join(root, "tools"), self)
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range built.Deps {
		if !bytes.Contains(text, []byte("\n"+module.Path+" "+module.Version+": ")) {
			t.Errorf("no licence of %s %s", module.Path, module.Version)
		}
	}
}

func TestAModuleWithoutALicenceIsNotShipped(t *testing.T) {
	folder := t.TempDir()
	var buf bytes.Buffer
	if err := appendLicenses(&buf, "example.org/x v1", folder, false); err == nil || !strings.Contains(err.Error(), "no licence file") {
		t.Errorf("without a licence: %v", err)
	}
	for _, name := range []string{"LICENSE.txt", "NOTICE", "license_test.go", "main.go"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("text of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := appendLicenses(&buf, "example.org/x v1", folder, false); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(buf.String(), "text of "); got != 2 {
		t.Errorf("%d files were taken, want LICENSE.txt and NOTICE:\n%s", got, buf.String())
	}
}
