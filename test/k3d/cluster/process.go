// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// process is one child of the cluster.
type process struct {
	name    string
	logPath string
	pid     int
	done    chan struct{} // closed once it is gone and reaped
}

// startProcess runs one subcommand of the controlplane program, its output
// appended to DIR/NAME.log. The child dies with this process, however that ends.
func startProcess(binary, dir, name string, args []string) (*process, error) {
	p := &process{name: name, logPath: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	output, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	cmd := exec.Command(binary, append([]string{name}, args...)...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}
	// A group of its own: Ctrl-C is for the test, which then ends its cluster.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

	started := make(chan error)
	go func() {
		// The death signal follows the thread that forked, not the process:
		// the goroutine keeps its thread until the child is gone.
		runtime.LockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log; that it ended is in done
		}
		output.Close()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s from %s: %w", name, binary, err)
	}
	return p, nil
}

// kill ends the process at once and returns when it is gone.
func (p *process) kill() {
	if p == nil {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	// The child is not reaped before done closes, so the id is still its own.
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.done
}

// exited is nil while the process runs, and afterwards says what it wrote last.
func (p *process) exited() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself; its last lines in %s:\n%s", p.name, p.logPath, p.tail())
	default:
		return nil
	}
}

func (p *process) tail() []byte {
	const most = 2000
	data, err := os.ReadFile(p.logPath)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(data[max(0, len(data)-most):])
}

// background is a goroutine that can be ended and waited for.
type background struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func startBackground(run func(context.Context)) *background {
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		run(ctx)
	}()
	return b
}

func (b *background) stop() {
	if b == nil {
		return
	}
	b.cancel()
	<-b.done
}
