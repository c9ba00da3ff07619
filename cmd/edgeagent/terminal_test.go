// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Colour and progress are for terminals: never for pipes, files and logs.
func TestColourAndProgressOnlyOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	_, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		name    string
		w       io.Writer
		noColor bool
		output  string
		color   bool
		live    bool
	}{
		{"terminal", terminal, false, "text", true, true},
		{"terminal without colour", terminal, true, "text", false, true},
		{"terminal for a program", terminal, false, "json", true, false},
		{"pipe", pipe, false, "text", false, false},
		{"null", null, false, "text", false, false},
		{"buffer", io.Discard, false, "text", false, false},
	} {
		a := &app{stdout: test.w, stderr: test.w, noColor: test.noColor, output: test.output, now: time.Now}
		if got := a.page().color; got != test.color {
			t.Errorf("%s: colour = %t", test.name, got)
		}
		if got := newProgress(a).w != nil; got != test.live {
			t.Errorf("%s: progress = %t", test.name, got)
		}
	}
	t.Setenv("TERM", "dumb")
	if (&app{stdout: terminal, now: time.Now}).page().color {
		t.Error("colour on a terminal that has none")
	}
}

func TestProgressIsOneLine(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b}
	s := gitops.SourceStatus{Name: "fleet", Phase: gitops.StageApplying, Progress: "applied 1\nof 2\x1b"}
	p.show(s)
	p.show(s) // nothing new: nothing printed
	s.Phase = gitops.StageChecking
	p.show(s)
	p.clear()
	want := "\r\x1b[Kfleet: Applying, applied 1 of 2\\x1b\r\x1b[Kfleet: Checking, applied 1 of 2\\x1b\r\x1b[K"
	if b.String() != want || strings.Contains(b.String(), "\n") {
		t.Errorf("progress = %q", b.String())
	}
}
