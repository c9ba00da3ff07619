// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// commitTime is the time that every package of these tests carries.
var commitTime = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// standIn compiles a small static program in place of the agent: what is tested
// is the package around it.
func standIn(t *testing.T, goarch string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	text := "package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"# completion\\n\") }\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "edgeagent")
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOARM=7", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build a stand-in for %s: %v\n%s", goarch, err, out)
	}
	return binary
}

// packageFor writes one package from a stand-in and returns its path.
func packageFor(t *testing.T, arch, binary, host string) string {
	t.Helper()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	file, err := build(packageSpec{
		root: repository, out: t.TempDir(), arch: arch, binary: binary, host: host,
		version: "1.2.3", when: commitTime,
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: run test/prerequisites.sh --packaging", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPackagesAreWholeAndTheSameTwice(t *testing.T) {
	host := standIn(t, "amd64")
	for arch, goarch := range map[string]string{"amd64": "amd64", "arm64": "arm64", "armhf": "arm"} {
		t.Run(arch, func(t *testing.T) {
			binary := standIn(t, goarch)
			file := packageFor(t, arch, binary, host)
			if want := "edgeagent_1.2.3_" + arch + ".deb"; filepath.Base(file) != want {
				t.Errorf("package %s, want %s", filepath.Base(file), want)
			}

			control := output(t, "dpkg-deb", "--info", file)
			for _, want := range []string{"Package: edgeagent", "Version: 1.2.3\n", "Architecture: " + arch, "postinst", "prerm", "postrm"} {
				if !strings.Contains(control, want) {
					t.Errorf("dpkg-deb --info lacks %q:\n%s", want, control)
				}
			}
			// A conffile would stop an unattended upgrade with a question.
			if strings.Contains(control, "conffiles") {
				t.Errorf("the package has conffiles:\n%s", control)
			}
			checkContents(t, output(t, "dpkg-deb", "--contents", file))
			if out := output(t, "lintian", "--allow-root", "--fail-on", "error,warning", file); out != "" {
				t.Log(out)
			}

			again := packageFor(t, arch, binary, host)
			first, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			second, err := os.ReadFile(again)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Errorf("built twice, %s differs", filepath.Base(file))
			}
		})
	}
}

func checkContents(t *testing.T, listing string) {
	t.Helper()
	for path, mode := range map[string]string{
		"./usr/bin/edgeagent":                               "-rwxr-xr-x",
		"./etc/edgeagent/":                                  "drwxr-xr-x",
		"./etc/edgeagent/config.d/":                         "drwxr-xr-x",
		"./usr/lib/systemd/system/edgeagent.service":        "-rw-r--r--",
		"./usr/lib/systemd/system/edgeagent.socket":         "-rw-r--r--",
		"./usr/lib/sysusers.d/edgeagent.conf":               "-rw-r--r--",
		"./usr/share/man/man1/edgeagent.1.gz":               "-rw-r--r--",
		"./usr/share/bash-completion/completions/edgeagent": "-rw-r--r--",
		"./usr/share/zsh/vendor-completions/_edgeagent":     "-rw-r--r--",
		"./usr/share/doc/edgeagent/copyright":               "-rw-r--r--",
		"./usr/share/doc/edgeagent/changelog.gz":            "-rw-r--r--",
		"./usr/share/doc/edgeagent/third-party-licenses.gz": "-rw-r--r--",
		"./usr/share/doc/edgeagent/examples/config.yaml":    "-rw-r--r--",
		"./usr/share/lintian/overrides/edgeagent":           "-rw-r--r--",
	} {
		found := false
		for _, line := range strings.Split(listing, "\n") {
			fields := strings.Fields(line)
			if len(fields) < 6 || fields[5] != path {
				continue
			}
			found = true
			if fields[0] != mode || fields[1] != "root/root" || fields[3] != "2026-11-01" {
				t.Errorf("%s is %s, want %s root/root of 2026-11-01", path, strings.Join(fields[:4], " "), mode)
			}
		}
		if !found {
			t.Errorf("%s is not in the package:\n%s", path, listing)
		}
	}
	if strings.Contains(listing, "./etc/edgeagent/config.yaml") {
		t.Error("the package brings a configuration of its own, and would overwrite the operator's")
	}
}
