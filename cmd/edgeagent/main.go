// SPDX-License-Identifier: Apache-2.0

// Command edgeagent keeps the k3s cluster of its node equal to what a signed
// Git commit says. `edgeagent run` is the daemon; every other command asks it
// over its unix socket, except for those whose help says that they are local.
//
// This package owns the command line: flags, exit codes, what is printed, and
// the wiring of the daemon. It never decides about a revision or an object.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Set when a release is built: its version, and the time of its commit in
// seconds since 1970.
var (
	version = "dev"
	built   = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	root := newRootCommand(a)
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if quiet, ok := errors.AsType[quietExit](err); ok {
		return int(quiet)
	}
	fmt.Fprintln(stderr, "error: "+escape(err.Error()))
	code := exitCode(err, a.started)
	if code == exitUsage {
		if !command.HasSubCommands() {
			fmt.Fprintln(stderr, "usage: "+command.UseLine())
		}
		fmt.Fprintf(stderr, "see %s --help\n", command.CommandPath())
	}
	return code
}

// The exit codes, the same for every command.
const (
	exitDone     = 0
	exitError    = 1
	exitUsage    = 2
	exitDegraded = 3 // or different
	exitNoDaemon = 4
)

// quietExit ends a command with that code when everything has been said.
type quietExit int

func (e quietExit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that says something impossible.
type usageError string

func (e usageError) Error() string { return string(e) }

// exitCode is the one place where errors become exit codes. What fails before a
// command was started is wrong usage: cobra has no type for that.
func exitCode(err error, started bool) int {
	_, usage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitDone
	case usage || !started:
		return exitUsage
	case gitops.ReasonOf(err) == gitops.NoAnswer:
		return exitNoDaemon
	}
	return exitError
}
