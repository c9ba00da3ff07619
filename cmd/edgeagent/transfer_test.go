// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func TestTransferSaysHowFarItIs(t *testing.T) {
	fetching := &gitops.SourceStatus{Name: "fleet", Phase: gitops.StageFetching, Progress: "1.2 MB so far"}
	for _, test := range []struct {
		total, count int64
		state        *gitops.SourceStatus
		moves        bool
		want         string
	}{
		{0, 1500, nil, true, "1.5 kB received"},
		{3000, 1500, nil, true, "1.5 kB of 3.0 kB received"},
		{-1, 1500, nil, false, "1.5 kB received"},
		{0, 0, fetching, false, "0 B received; fleet: Fetching, 1.2 MB so far"},
		{0, 1500, fetching, true, "1.5 kB received"},
		{0, 0, &gitops.SourceStatus{Name: "fleet", Phase: gitops.StageWaiting}, false, "0 B received; fleet: Waiting"},
	} {
		of := &transfer{doing: "received", total: test.total}
		of.count.Store(test.count)
		of.state.Store(test.state)
		if got := of.line(test.moves); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A terminal sees what the daemon does before the first byte comes.
func TestExportShowsWhatTheDaemonDoes(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	fake, err := newFakeDaemon("status: {sources: [{name: fleet, phase: Fetching, progress: 1.2 MB so far}]}", t.TempDir()+"/calls")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stderr: terminal, output: "text", now: time.Now, socket: answer(t, fake)}
	shown := startTransfer(t.Context(), a, "fleet", "received", 0)
	await(t, func() bool { s := shown.state.Load(); return s != nil && s.Progress == "1.2 MB so far" })
	shown.end()
}

// A person who gives up leaves no half file.
func TestAnInterruptedExportLeavesNothing(t *testing.T) {
	fake, err := newFakeDaemon("status: {sources: [{name: fleet}]}\nbundle: half", t.TempDir()+"/calls")
	if err != nil {
		t.Fatal(err)
	}
	waiting := slow{fake, make(chan struct{})}
	dir := t.TempDir()
	ctx, giveUp := context.WithCancel(t.Context())
	var out, trouble lines
	code := make(chan int, 1)
	socket := answer(t, waiting)
	go func() {
		code <- execute(ctx, []string{"--socket", socket, "export", "fleet", filepath.Join(dir, "a.bundle")}, nil, &out, &trouble)
	}()
	<-waiting.begun
	await(t, func() bool { names, err := os.ReadDir(dir); return err == nil && len(names) == 1 })
	giveUp()
	if got := <-code; got != exitError || !strings.Contains(trouble.String(), "context canceled") {
		t.Errorf("exit code %d: %s", got, trouble.String())
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// slow exports until its peer goes.
type slow struct {
	*fakeDaemon
	begun chan struct{}
}

func (s slow) Export(ctx context.Context, _ string, w io.Writer) error {
	if _, err := fmt.Fprint(w, s.Bundle); err != nil {
		return err
	}
	close(s.begun)
	<-ctx.Done()
	return ctx.Err()
}

// answer serves a controller until the test ends.
func answer(t *testing.T, c localapi.Controller) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l, err := localapi.Listen(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- localapi.NewServer(localapi.Config{Controller: c}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}
