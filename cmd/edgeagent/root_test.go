// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

// Every command's help shows how it is used, in commands that exist.
func TestEveryCommandHasAnExample(t *testing.T) {
	root := newRootCommand(&app{stdout: io.Discard, stderr: io.Discard, now: time.Now})
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Parent() != nil && cmd.Parent().Name() == "completion" || cmd.Name() == "completion" || cmd.Name() == "help" {
			return // the library's own, or not for people
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(line)
			if len(words) == 0 || words[0] != "edgeagent" {
				t.Errorf("%s: example %q is not a command", cmd.CommandPath(), line)
				continue
			}
			found, _, err := root.Find(words[1:])
			if err != nil || found == root {
				t.Errorf("%s: example %q does not exist: %v", cmd.CommandPath(), line, err)
			} else if err := typed(t, strings.TrimSpace(line)); err != nil {
				t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err     error
		started bool
		want    int
	}{
		{nil, true, 0},
		{errors.New("x"), true, 1},
		{errors.New("unknown command"), false, 2},
		{usageError("x"), true, 2},
		{&gitops.Error{Reason: gitops.NoAnswer}, true, 4},
		{&gitops.Error{Reason: gitops.Forbidden}, true, 1},
	} {
		if got := exitCode(test.err, test.started); got != test.want {
			t.Errorf("exitCode(%v, %t) = %d, want %d", test.err, test.started, got, test.want)
		}
	}
}

// lines is a stdout whose content can be looked at while it grows.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatchPrintsChangesUntilItIsEnded(t *testing.T) {
	fake, err := newFakeDaemon("status: {version: v0.1.0, sources: [{name: fleet, phase: Applying}]}", t.TempDir()+"/calls")
	if err != nil {
		t.Fatal(err)
	}
	socket := t.TempDir() + "/s"
	l, err := localapi.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- localapi.NewServer(localapi.Config{Controller: fake, WatchEvery: time.Millisecond}).Serve(serving, l)
	}()

	for _, form := range []string{"text", "json", "yaml"} {
		fake.become(gitops.StageApplying)
		ctx, end := context.WithCancel(t.Context())
		var out, trouble lines
		code := make(chan int, 1)
		go func() {
			code <- execute(ctx, []string{"--socket", socket, "status", "-w", "-o", form}, nil, &out, &trouble)
		}()
		await(t, func() bool { return strings.Contains(out.String(), "Applying") })
		fake.become(gitops.StageChecking)
		await(t, func() bool { return strings.Contains(out.String(), "Checking") })
		end()
		if got := <-code; got != 0 || trouble.String() != "" {
			t.Errorf("%s: exit code %d: %s", form, got, trouble.String())
		}
	}

	// A daemon that stops is told apart from a person who has seen enough.
	var out, trouble lines
	code := make(chan int, 1)
	go func() {
		code <- execute(t.Context(), []string{"--socket", socket, "status", "-w"}, nil, &out, &trouble)
	}()
	await(t, func() bool { return out.String() != "" })
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got := <-code; got != exitNoDaemon {
		t.Errorf("exit code %d after the daemon stopped: %s", got, trouble.String())
	}
}

func (f *fakeDaemon) become(stage gitops.Stage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Status_.Sources = []gitops.SourceStatus{{Name: "fleet", Phase: stage}}
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}
