// SPDX-License-Identifier: Apache-2.0

// Package node runs the real edgeagent program with a state directory, a
// socket and a configuration of its own, as systemd does on a node, and talks
// to it through its command line. Never part of the product.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Node is an agent's place on a machine. Its methods are for one goroutine.
type Node struct {
	// Dir holds everything. A unix socket lies in it, so its path is short.
	Dir string
	// Binary is the program.
	Binary string
	// Config is the node's file. WriteConfig writes it as it is then.
	Config map[string]any

	cmd    *exec.Cmd
	exited chan struct{}
}

// New is a node without sources, on the cluster of a kubeconfig.
func New(dir, binary, name, kubeconfig string) *Node {
	n := &Node{Dir: dir, Binary: binary}
	n.Config = map[string]any{
		"apiVersion": gitops.APIVersion, "kind": "Config",
		"node":     map[string]any{"name": name},
		"cluster":  map[string]any{"kubeconfig": kubeconfig},
		"stateDir": n.StateDir(), "socket": n.Socket(),
	}
	return n
}

// StateDir is where the agent keeps its journal and object store.
func (n *Node) StateDir() string { return filepath.Join(n.Dir, "state") }

// Socket is the agent's unix socket.
func (n *Node) Socket() string { return filepath.Join(n.Dir, "run", "s.sock") }

// ConfigPath is the node's file.
func (n *Node) ConfigPath() string { return filepath.Join(n.Dir, "config.yaml") }

func (n *Node) logPath() string { return filepath.Join(n.Dir, "agent.log") }

// WriteConfig replaces the node's file, by a rename as packages do. A running
// agent sees it by itself.
func (n *Node) WriteConfig() error {
	data, err := yaml.Marshal(n.Config)
	if err != nil {
		return fmt.Errorf("encode the node's file: %w", err)
	}
	if err := os.WriteFile(n.ConfigPath()+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(n.ConfigPath()+".new", n.ConfigPath())
}

// Launch starts the agent with env added to this process's environment, and
// waits for nothing. The agent dies with this process.
func (n *Node) Launch(env ...string) error {
	if err := n.WriteConfig(); err != nil {
		return err
	}
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the agent has its own descriptor
	cmd := exec.Command(n.Binary, "run", "--config", n.ConfigPath())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The death signal follows the thread that forked, not the process:
		// the goroutine keeps its thread until the agent is gone.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() //nolint:errcheck // ExitCode tells
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	n.cmd, n.exited = cmd, exited
	return nil
}

// Start starts the agent and waits until its socket answers.
func (n *Node) Start(ctx context.Context, env ...string) error {
	if err := n.Launch(env...); err != nil {
		return err
	}
	for {
		if !n.Running() {
			return fmt.Errorf("the agent exited with code %d:\n%s", n.ExitCode(), n.Logs())
		}
		if n.CLI("status").Code == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent's socket does not answer: %w\n%s", ctx.Err(), n.Logs())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Running reports whether the agent was started and did not exit.
func (n *Node) Running() bool {
	if n.exited == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal and waits until the agent is gone.
func (n *Node) Signal(sig syscall.Signal) error {
	if n.cmd == nil {
		return nil
	}
	if err := n.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-n.exited:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("the agent did not end within a minute after %s:\n%s", sig, n.Logs())
	}
}

// Kill ends the agent as a power cut would, as far as a process can tell.
func (n *Node) Kill() error { return n.Signal(syscall.SIGKILL) }

// ExitCode is how the agent ended.
func (n *Node) ExitCode() int { return n.cmd.ProcessState.ExitCode() }

// PID is the running agent's.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Logs is everything that the agent wrote so far.
func (n *Node) Logs() string {
	data, err := os.ReadFile(n.logPath())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Status is what `status -o json` prints of a source.
func (n *Node) Status(source string) (gitops.SourceStatus, error) {
	r := n.CLI("status", "-o", "json")
	if r.Code != 0 {
		return gitops.SourceStatus{}, fmt.Errorf("status: exit code %d: %s", r.Code, r.Stderr)
	}
	var st gitops.Status
	if err := json.Unmarshal([]byte(r.Stdout), &st); err != nil {
		return gitops.SourceStatus{}, fmt.Errorf("status is not JSON: %w\n%s", err, r.Stdout)
	}
	for _, s := range st.Sources {
		if s.Name == source {
			return s, nil
		}
	}
	return gitops.SourceStatus{}, fmt.Errorf("status does not show source %s:\n%s", source, r.Stdout)
}
