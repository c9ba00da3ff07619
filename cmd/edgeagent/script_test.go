// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/edgeagent/edgeagent/internal/localapi"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"edgeagent": main,
		// The same as somebody who may only read.
		"nobody": func() {
			if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
				fmt.Fprintln(os.Stderr, "run the tests as root:", err)
				os.Exit(99)
			}
			os.Args[0] = "edgeagent"
			main()
		},
	})
}

// Every transcript talks to a daemon of its own over a real socket; what that
// daemon knows is in the transcript's file.
func TestTranscripts(t *testing.T) {
	root, err := os.MkdirTemp("", "edgeagent-cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	// The user who may only read has to reach the socket.
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EDGEAGENT_SOCKET", filepath.Join(env.WorkDir, "s"))
			env.Setenv("NO_COLOR", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon":  startDaemon,
			"exits":   exits,
			"keyless": keyless(sigstore.New(t)),
		},
	})
}

// startDaemon FILE answers on the transcript's socket with what FILE says.
func startDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon FILE")
	}
	fake, err := newFakeDaemon(ts.ReadFile(args[0]), ts.MkAbs("calls"))
	ts.Check(err)
	socket := ts.Getenv("EDGEAGENT_SOCKET")
	ctx, cancel := context.WithCancel(context.Background())
	l, err := localapi.Listen(ctx, socket)
	ts.Check(err)
	// Not the mode, but what the server knows of its peer keeps others from
	// writing here.
	ts.Check(os.Chmod(socket, 0o666))
	done := make(chan error, 1)
	go func() {
		done <- localapi.NewServer(localapi.Config{Controller: fake, Spool: ts.MkAbs("spool")}).Serve(ctx, l)
	}()
	ts.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			ts.Logf("serve: %v", err)
		}
	})
}

// keyless SUBJECT REF has what a ref names signed by somebody with gitsign, as
// git commit -S and git tag -s do; keyless root FILE writes the trusted root.
func keyless(i *sigstore.Instance) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: keyless SUBJECT REF, or keyless root FILE")
		}
		if args[0] == "root" {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), i.TrustedRoot(), 0o600))
			return
		}
		who := sigstore.Signing{Issuer: "https://accounts.example.com", Subject: args[0]}
		ts.Check(i.Amend(who, args[1], func(git ...string) (string, error) {
			err := ts.Exec("git", git...)
			return ts.ReadFile("stdout"), err
		}))
	}
}

// exits CODE COMMAND… runs a command that has to end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGUMENT…")
	}
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
