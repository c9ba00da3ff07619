// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestScriptsAreValidForDash(t *testing.T) {
	for _, name := range []string{"packaging/deb/postinst", "packaging/deb/prerm", "packaging/deb/postrm", "test/prerequisites.sh"} {
		output(t, "dash", "-n", filepath.Join(root, name))
	}
}

// runScript runs a maintainer script with stand-ins for every command that
// would touch the machine, and returns what it called.
func runScript(t *testing.T, name string, systemd bool, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for _, command := range []string{"systemctl", "deb-systemd-helper", "deb-systemd-invoke", "systemd-sysusers", "rm"} {
		stub := "#!/bin/sh\necho " + command + " \"$@\" >>" + log + "\n"
		if err := os.WriteFile(filepath.Join(dir, command), []byte(stub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "packaging/deb", name))
	if err != nil {
		t.Fatal(err)
	}
	running := filepath.Join(dir, "no-systemd")
	if systemd {
		running = dir
	}
	script := filepath.Join(dir, name)
	if err := os.WriteFile(script, []byte(strings.ReplaceAll(string(text), "/run/systemd/system", running)), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("dash", append([]string{"-e", script}, args...)...)
	command.Env = []string{"PATH=" + dir}
	dash, err := exec.LookPath("dash")
	if err != nil {
		t.Fatal(err)
	}
	command.Path = dash
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(calls)), "\n")
}

func TestScriptsDoWhatDpkgAsksFor(t *testing.T) {
	const (
		restart = "deb-systemd-invoke try-restart edgeagent.service"
		start   = "deb-systemd-invoke start edgeagent.service"
		stop    = "deb-systemd-invoke stop edgeagent.socket edgeagent.service"
		forget  = "rm -rf /var/lib/edgeagent /run/edgeagent"
	)
	tests := map[string]struct {
		script  string
		args    []string
		offline bool // no systemd is running, as in an image build
		calls   []string
		never   []string
	}{
		"install": {
			script: "postinst", args: []string{"configure", ""},
			calls: []string{
				"systemd-sysusers edgeagent.conf", "deb-systemd-helper enable edgeagent.socket",
				"deb-systemd-helper enable edgeagent.service", "systemctl --system daemon-reload", start,
			},
			never: []string{restart},
		},
		"install into an image": {
			script: "postinst", args: []string{"configure", ""}, offline: true,
			calls: []string{"systemd-sysusers edgeagent.conf", "deb-systemd-helper enable edgeagent.service"},
			never: []string{start, restart, "systemctl --system daemon-reload"},
		},
		"upgrade restarts the new program": {
			script: "postinst", args: []string{"configure", "0.9.0"},
			calls: []string{"systemctl --system daemon-reload", restart, start},
		},
		"upgrade leaves the old one running until then": {
			script: "prerm", args: []string{"upgrade", "1.0.0"}, never: []string{stop},
		},
		"remove stops the agent": {
			script: "prerm", args: []string{"remove"}, calls: []string{stop},
		},
		"remove keeps the journal": {
			script: "postrm", args: []string{"remove"},
			calls: []string{"systemctl --system daemon-reload"}, never: []string{forget},
		},
		"a failed upgrade keeps the journal": {
			script: "postrm", args: []string{"abort-upgrade", "0.9.0"}, never: []string{forget},
		},
		"purge forgets it": {
			script: "postrm", args: []string{"purge"},
			calls: []string{forget, "deb-systemd-helper purge edgeagent.socket edgeagent.service"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			calls := runScript(t, test.script, !test.offline, test.args...)
			at := -1
			for _, want := range test.calls {
				next := slices.Index(calls, want)
				if next <= at {
					t.Errorf("%q is missing or out of order in\n%s", want, strings.Join(calls, "\n"))
				}
				at = next
			}
			for _, forbidden := range test.never {
				if slices.Contains(calls, forbidden) {
					t.Errorf("%q must not be called:\n%s", forbidden, strings.Join(calls, "\n"))
				}
			}
		})
	}
}

// prerequisites.sh as root installs what is missing, and as anyone else says
// what to install. Neither may pass over a missing command.
func TestPrerequisitesNameWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"id":      "echo 1000",
		"git":     "",
		"gpg":     "",
		"nginx":   "",
		"ip":      "",
		"sshd":    "",
		"unshare": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile(filepath.Join(root, "test/prerequisites.sh"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "prerequisites.sh")
	text := strings.Replace(string(script), `PATH="$PATH:/usr/sbin:/sbin"`, "", 1)
	if err := os.WriteFile(copied, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/bin/sh", copied)
	command.Env = []string{"PATH=" + dir}
	out, err := command.CombinedOutput()
	if err == nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "apt-get install --no-install-recommends openssh-client") {
		t.Errorf("with ssh-keygen missing: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "ssh-keygen"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command = exec.Command("/bin/sh", copied)
	command.Env = []string{"PATH=" + dir}
	if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("with nothing missing: %v\n%s", err, out)
	}
}
