// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
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
	s.ready(s.push("two"))
	commands := readmeCommands(s.t, "edgeagent")
	if len(commands) < 8 {
		s.t.Fatalf("README.md names %d commands, want at least 8", len(commands))
	}
	for _, args := range commands {
		local := args[0] == "config" || args[0] == "check"
		for i, arg := range args {
			args[i] = strings.ReplaceAll(arg, "fleet", s.name)
		}
		var r node.Result
		if local {
			r = node.Run(nil, edgeagentBinary, append(args, "--config", s.node.ConfigPath())...)
		} else {
			r = s.node.CLI(args...)
		}
		// A rollback leaves the source held, which is degraded and not an error.
		if r.Code != 0 && (args[0] != "rollback" || r.Code != 3) {
			s.t.Errorf("edgeagent %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
		}
	}
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
