// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// patience bounds every wait: for a machine with two busy cores.
const patience = 90 * time.Second

// start starts the agent with the scene's configuration as it is now, and
// waits until its socket answers.
func (s *scene) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	s.node.Binary = edgeagentBinary
	s.placeSources()
	s.must(s.node.Start(ctx))
}

// crash starts the agent so that it kills itself at a point, and waits for
// nothing.
func (s *scene) crash(at string) {
	s.t.Helper()
	s.node.Binary = crashpointBinary
	s.placeSources()
	s.must(s.node.Launch("EDGEAGENT_CRASH_AT=" + at))
	s.node.Binary = edgeagentBinary
}

func (s *scene) placeSources() { s.node.Config["sources"] = s.sources }

func (s *scene) writeConfig() {
	s.t.Helper()
	s.placeSources()
	s.must(s.node.WriteConfig())
}

func (s *scene) kill() { s.t.Helper(); s.must(s.node.Kill()) }

// stop ends the agent as systemd would.
func (s *scene) stop() {
	s.t.Helper()
	s.must(s.node.Signal(syscall.SIGTERM))
	if code := s.node.ExitCode(); code != 0 {
		s.t.Errorf("the agent ended with exit code %d after SIGTERM", code)
	}
}

// mustCLI fails the test when the command does.
func (s *scene) mustCLI(args ...string) string {
	s.t.Helper()
	r := s.node.CLI(args...)
	if r.Code != 0 {
		s.t.Fatalf("edgeagent %s: exit code %d\n%s%s\nagent:\n%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr, s.node.Logs())
	}
	return r.Stdout
}

// status is the scene's source as `status -o json` prints it.
func (s *scene) status() gitops.SourceStatus { s.t.Helper(); return s.statusOf(s.name) }

func (s *scene) statusOf(source string) gitops.SourceStatus {
	s.t.Helper()
	st, err := s.node.Status(source)
	if err != nil {
		s.t.Fatalf("%v\nagent:\n%s", err, s.node.Logs())
	}
	return st
}

// sync polls and converges now, and waits until that ended.
func (s *scene) sync(args ...string) gitops.SourceStatus {
	s.t.Helper()
	return s.syncSource(s.name, args...)
}

func (s *scene) syncSource(source string, args ...string) gitops.SourceStatus {
	s.t.Helper()
	r := s.node.CLI(append([]string{"sync", source, "--wait"}, args...)...)
	if r.Code != 0 && r.Code != 3 {
		s.t.Fatalf("sync: exit code %d\n%s%s\nagent:\n%s", r.Code, r.Stdout, r.Stderr, s.node.Logs())
	}
	return s.statusOf(source)
}

// ready syncs and fails the test unless the pushed head is verified, applied
// and healthy.
func (s *scene) ready(head gitops.Hash) {
	s.t.Helper()
	st := s.sync()
	if !st.Ready() || st.Healthy == nil || st.Healthy.Revision.Hash() != head {
		s.fatalf("source is not ready at %s", head.Short())
	}
}

func (s *scene) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf(format+"\nstatus: %s\nagent:\n%s", append(args, s.node.CLI("status", "-o", "json").Stdout, s.node.Logs())...)
}

// eventually polls a condition: nothing here is a matter of time.
func (s *scene) eventually(what string, done func() bool) {
	s.t.Helper()
	waitFor(s.t, func() string { return what + "\nagent:\n" + s.node.Logs() }, done)
}

func waitFor(t testing.TB, what func() string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
