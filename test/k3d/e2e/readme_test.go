// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/node"
)

const readme = "../../../README.md"

// readmeCommands is the indented lines of README.md that begin with a program,
// without their comments.
func readmeCommands(t testing.TB, program string) (commands [][]string) {
	t.Helper()
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		command, indented := strings.CutPrefix(line, "    ")
		command, _, _ = strings.Cut(command, "#")
		if words := strings.Fields(command); indented && len(words) > 1 && words[0] == program {
			commands = append(commands, words[1:])
		}
	}
	return commands
}

// readmeCommandsWork runs what README.md tells operators to run.
func readmeCommandsWork(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("one"))
	s.app("web:2")
	two := s.push("two")
	s.ready(two)
	commands := readmeCommands(s.t, "edgeagent")
	if len(commands) < 8 {
		s.t.Fatalf("README.md names %d commands, want at least 8", len(commands))
	}
	d := newDesk(s)
	for _, args := range commands {
		for i, arg := range args {
			arg = strings.ReplaceAll(arg, "/media/stick", d.stick)
			if args[0] != "publish" {
				arg = strings.ReplaceAll(arg, "fleet", s.name)
			}
			args[i] = arg
		}
		var r node.Result
		switch args[0] {
		case "config", "check":
			r = node.Run(nil, edgeagentBinary, append(args, "--config", s.node.ConfigPath())...)
		case "export":
			// What the rollback before left is older than what was accepted, and
			// a stick with it would be refused.
			if held := s.node.CLI("resume", s.name); held.Code != 0 {
				s.t.Fatalf("resume: %s", held.Stderr)
			}
			s.ready(two)
			r = s.node.CLI(args...)
		case "publish", "trust", "approve":
			r = d.run(edgeagentBinary, args...)
		case "verify":
			if args[1] == "--repo" {
				r = d.run(edgeagentBinary, args...)
				break
			}
			fallthrough
		default:
			r = s.node.CLI(args...)
		}
		// A rollback leaves the source held, which is degraded and not an error.
		if r.Code != 0 && (args[0] != "rollback" || r.Code != 3) {
			s.t.Errorf("edgeagent %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
		}
		if args[0] == "trust" {
			d.commitTrustFile()
		}
	}
}

// desk is a person's: a clone of a repository, and keys. It is not the node.
type desk struct {
	s           *scene
	work, stick string
}

func newDesk(s *scene) *desk {
	dir := s.t.TempDir()
	d := &desk{s: s, work: filepath.Join(dir, "work"), stick: filepath.Join(dir, "stick")}
	for _, path := range []string{d.work, d.stick} {
		if err := os.Mkdir(path, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	d.must("git", "init", "-q", "-b", "main")
	for key, value := range map[string]string{
		"user.name": "Ann", "user.email": "ann@example.com", "gpg.format": "ssh", "user.signingkey": "ann",
	} {
		d.must("git", "config", key, value)
	}
	for _, name := range []string{"ann", "ben"} {
		d.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
	}
	d.must("git", "commit", "-q", "--allow-empty", "-m", "the first")
	d.must("git", "clone", "-q", "--bare", ".", "fleet.git")
	return d
}

// commitTrustFile does what trust init says, and writes the node's file.
func (d *desk) commitTrustFile() {
	d.must("cp", "../node-files/commit-msg", ".git/hooks/commit-msg")
	d.must("git", "add", ".edgeagent")
	start := strings.TrimSpace(d.must("git", "rev-parse", "HEAD"))
	d.must("git", "commit", "-q", "-S", "-m", "trust: version 1")
	files := filepath.Join(filepath.Dir(d.work), "node-files")
	text := "apiVersion: edgeagent.dev/v1alpha1\nkind: Config\nsources:\n- name: fleet\n  url: https://git.example.com/fleet.git\n" +
		"  trust:\n    introduction: " + start + "\n    allowedSigners: " + files + "/allowed_signers\n" +
		"    threshold: {roots: " + files + "/roots, count: 2}\n"
	if err := os.WriteFile(filepath.Join(d.work, "node.yaml"), []byte(text), 0o600); err != nil {
		d.s.t.Fatal(err)
	}
}

func (d *desk) run(program string, args ...string) node.Result {
	cmd := exec.Command(program, args...)
	cmd.Dir = d.work
	cmd.Env = append(os.Environ(), "HOME="+d.work, "GIT_CONFIG_NOSYSTEM=1", "SSH_AUTH_SOCK=")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return node.Result{Stderr: err.Error(), Code: -1}
	}
	return node.Result{Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

func (d *desk) must(program string, args ...string) string {
	d.s.t.Helper()
	r := d.run(program, args...)
	if r.Code != 0 {
		d.s.t.Fatalf("%s %s: %s", program, strings.Join(args, " "), r.Stderr)
	}
	return r.Stdout
}

func TestReadmeNamesTargetsOfTheMakefile(t *testing.T) {
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	commands := readmeCommands(t, "make")
	if len(commands) < 3 {
		t.Fatalf("README.md names %d make commands, want at least 3", len(commands))
	}
	for _, args := range commands {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(args[0]) + `:`).Match(makefile) {
			t.Errorf("README.md names make %s, which the Makefile does not have", args[0])
		}
	}
}
