// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// process is a running agent.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// start starts the agent of a scene with its configuration as it is now, and
// waits until its socket answers.
func (s *scene) start(env ...string) {
	s.t.Helper()
	s.launch(env...)
	s.eventually("the socket to answer", func() bool {
		select {
		case <-s.agent.exited:
			s.t.Fatalf("the agent exited:\n%s", s.logs())
		default:
		}
		_, _, code := s.cli("status")
		return code == 0
	})
}

// launch starts the agent and waits for nothing.
func (s *scene) launch(env ...string) {
	s.t.Helper()
	s.writeConfig()
	binary := edgeagentBinary
	if len(env) > 0 {
		binary = crashpointBinary
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(binary, "run", "--config", s.configPath())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &process{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is asked for elsewhere
		log.Close()
		close(p.exited)
	}()
	s.agent = p
}

// kill ends the agent as a power cut would, as far as a process can tell.
func (s *scene) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
}

// stop ends the agent as systemd would.
func (s *scene) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if code := s.agent.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the agent ended with exit code %d after SIGTERM", code)
	}
}

func (s *scene) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.agent == nil {
		return
	}
	if err := s.agent.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
	select {
	case <-s.agent.exited:
	case <-time.After(time.Minute):
		s.t.Fatalf("the agent did not end after %s:\n%s", sig, s.logs())
	}
}

func (s *scene) running() bool {
	select {
	case <-s.agent.exited:
		return false
	default:
		return true
	}
}

func (s *scene) logs() string {
	data, err := os.ReadFile(filepath.Join(s.dir, "agent.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// cli runs the real command line against the scene's socket.
func (s *scene) cli(args ...string) (stdout, stderr string, code int) {
	return runCLI(edgeagentBinary, append([]string{"--socket", s.socket()}, args...)...)
}

func runCLI(binary string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	code = cmd.ProcessState.ExitCode()
	if err != nil && code < 0 {
		return out.String(), err.Error(), code
	}
	return out.String(), errs.String(), code
}

// mustCLI fails the test when the command does.
func (s *scene) mustCLI(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.cli(args...)
	if code != 0 {
		s.t.Fatalf("edgeagent %s: exit code %d\n%s%s\nagent:\n%s", strings.Join(args, " "), code, stdout, stderr, s.logs())
	}
	return stdout
}

// status is the scene's source as `status -o json` prints it.
func (s *scene) status() gitops.SourceStatus {
	s.t.Helper()
	return s.statusOf(s.name)
}

func (s *scene) statusOf(source string) gitops.SourceStatus {
	s.t.Helper()
	stdout, stderr, code := s.cli("status", "-o", "json")
	if code != 0 {
		s.t.Fatalf("status: exit code %d: %s\nagent:\n%s", code, stderr, s.logs())
	}
	var st gitops.Status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		s.t.Fatalf("status is not JSON: %v\n%s", err, stdout)
	}
	for _, src := range st.Sources {
		if src.Name == source {
			return src
		}
	}
	s.t.Fatalf("status does not show source %s:\n%s", source, stdout)
	return gitops.SourceStatus{}
}

// sync polls and converges now, and waits until that ended.
func (s *scene) sync(args ...string) gitops.SourceStatus {
	s.t.Helper()
	stdout, stderr, code := s.cli(append([]string{"sync", s.name, "--wait"}, args...)...)
	if code != 0 && code != 3 {
		s.t.Fatalf("sync: exit code %d\n%s%s\nagent:\n%s", code, stdout, stderr, s.logs())
	}
	return s.status()
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
	stdout, _, _ := s.cli("status", "-o", "json")
	s.t.Fatalf(format+"\nstatus: %s\nagent:\n%s", append(args, stdout, s.logs())...)
}

// eventually polls a condition: nothing here is a matter of time.
func (s *scene) eventually(what string, done func() bool) {
	s.t.Helper()
	waitFor(s.t, 90*time.Second, func() string { return what + "\nagent:\n" + s.logs() }, done)
}

func waitFor(t testing.TB, limit time.Duration, what func() string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
