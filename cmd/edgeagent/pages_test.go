// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// typed reports what the program says of a command line, up to what a shell does
// with its output, without running it.
func typed(t *testing.T, line string) error {
	t.Helper()
	split, err := exec.Command("sh", "-c", "printf '%s\\n' "+ended.ReplaceAllString(line, "")).Output()
	if err != nil {
		t.Fatalf("%q is not a line for a shell: %v", line, err)
	}
	words := strings.Split(strings.TrimSuffix(string(split), "\n"), "\n")
	root := newRootCommand(&app{stdout: io.Discard, stderr: io.Discard, now: time.Now})
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	if cmd.Args == nil || cmd.HasSubCommands() && len(cmd.Flags().Args()) == 0 {
		return nil
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	indented  = regexp.MustCompile(`(?m)^    (edgeagent [^\n]*)`)
	ended     = regexp.MustCompile(` (…|#|\||>).*$`)
)

// Whoever pastes a command from a page gets what the page says, not the usage.
func TestPagesShowCommandsThatExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range indented.FindAllStringSubmatch(continued.ReplaceAllString(string(text), ""), -1) {
			seen++
			if err := typed(t, match[1]); err != nil {
				t.Errorf("%s: %s: %v", page, match[1], err)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d commands were found", seen)
	}
	for _, line := range []string{"edgeagent trsut init", "edgeagent trust init", "edgeagent approve HEAD --nonsense", "edgeagent approve"} {
		if typed(t, line) == nil {
			t.Errorf("%q is taken for a command that works", line)
		}
	}
}
