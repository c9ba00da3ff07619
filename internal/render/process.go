// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// process is how a worker is started and what it may use.
type process struct {
	command []string
	memory  int64
	cpu     uint64 // seconds of processor time
	timeout time.Duration
}

// run renders a tree in a worker. A nil result without an error means that the
// closure was read and nothing was rendered. An error that is the revision's
// fault is a *gitops.Error.
func (p process) run(ctx context.Context, j job, t *tree) (*result, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, p.command[0], p.command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		// The collector works harder before the limit is hit. UTC, because a
		// template must not see the node's time zone.
		fmt.Sprintf("GOMEMLIMIT=%d", p.memory/10*8), "GOTRACEBACK=none", "TZ=UTC",
	}
	crash := &lastWords{}
	cmd.Stderr = crash
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, failure(gitops.WorkerFailed, "", "start the render worker: %s", brief(err))
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, failure(gitops.WorkerFailed, "", "start the render worker: %s", brief(err))
	}
	if err := cmd.Start(); err != nil {
		return nil, failure(gitops.WorkerFailed, "check that the agent's program can be executed", "start the render worker: %s", brief(err))
	}
	var out *result
	err = p.limit(cmd.Process.Pid)
	if err == nil {
		out, err = serve(stdin, stdout, j, t)
	}
	_ = stdin.Close()
	if !died(err) {
		_ = cmd.Process.Kill() // it has nothing left to say
	}
	_ = cmd.Wait() // its state says more than this error
	switch _, answered := typed(err); {
	case err == nil:
		return out, nil
	case t.broken != nil:
		return nil, t.broken
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answered:
		return nil, err
	}
	return nil, p.obituary(limited, j, cmd.ProcessState, crash, err)
}

// died reports whether the pipe broke from the other end.
func died(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE)
}

// limit is set from outside and before the worker has read anything.
func (p process) limit(pid int) error {
	for _, l := range []struct {
		resource  int
		soft, end uint64
	}{
		{unix.RLIMIT_DATA, uint64(p.memory), uint64(p.memory)},
		{unix.RLIMIT_CPU, p.cpu, p.cpu + 1},
		{unix.RLIMIT_NOFILE, 16, 16},
		{unix.RLIMIT_FSIZE, 0, 0},
		{unix.RLIMIT_CORE, 0, 0},
	} {
		var have unix.Rlimit
		err := unix.Prlimit(pid, l.resource, nil, &have)
		if err == nil { // a unit may have set a lower one, which cannot be raised
			err = unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: min(l.soft, have.Max), Max: min(l.end, have.Max)}, nil)
		}
		if err != nil {
			return failure(gitops.WorkerFailed, "", "limit the render worker: %s", brief(err))
		}
	}
	// When the node runs out of memory, the worker is to go first. Where /proc
	// cannot be written, the limits above still hold.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)
	return nil
}

// serve answers the worker's questions until it answers ours.
func serve(stdin io.Writer, stdout io.Reader, j job, t *tree) (*result, error) {
	in, out := bufio.NewReader(stdout), bufio.NewWriter(stdin)
	if err := writeMessage(out, j); err != nil {
		return nil, err
	}
	for {
		if err := out.Flush(); err != nil {
			return nil, err
		}
		var q question
		if err := readMessage(in, maxQuestion, &q); err != nil {
			return nil, err
		}
		if q.Answer != nil {
			return q.Answer.result(in)
		}
		if err := respond(out, q, t); err != nil {
			return nil, err
		}
	}
}

func respond(out io.Writer, q question, t *tree) error {
	var r reply
	var content [][]byte
	var err error
	switch {
	case len(q.Paths) > maxFiles:
		return fmt.Errorf("the worker asks for %d paths at once", len(q.Paths))
	case q.Op == "stat":
		r.Entries, err = t.stat(q.Paths)
	case q.Op == "list" && len(q.Paths) == 1:
		r.Entries, err = t.list(q.Paths[0])
	case q.Op == "read":
		content, err = t.read(q.Paths)
	default:
		return fmt.Errorf("the worker asks for %q", q.Op)
	}
	if err != nil {
		t.broken = err
		return err
	}
	for _, data := range content {
		r.Present = append(r.Present, data != nil)
	}
	if err := writeMessage(out, r); err != nil {
		return err
	}
	for _, data := range content {
		if data == nil {
			continue
		}
		if err := writeFrame(out, data); err != nil {
			return err
		}
	}
	return nil
}

// result reads what follows an answer. Digests are taken here of what has
// arrived.
func (a *answer) result(in io.Reader) (*result, error) {
	switch {
	case a.Error != nil:
		return nil, a.Error
	case a.Partial:
		return nil, nil
	case a.Objects < 1 || a.Objects > maxObjects || a.Bundles < 1 || a.Bundles > maxBundles:
		return nil, fmt.Errorf("the worker announces %d bundles with %d objects", a.Bundles, a.Objects)
	}
	out := &result{bundles: make([]gitops.Bundle, a.Bundles), objects: make([]gitops.Manifest, a.Objects)}
	for i := range out.bundles {
		if err := readMessage(in, maxItem, &out.bundles[i]); err != nil {
			return nil, err
		}
	}
	room := maxOutput
	for i := range out.objects {
		o := &out.objects[i]
		err := readMessage(in, maxItem, o)
		if err == nil {
			o.YAML, err = readFrame(in, room)
		}
		if err != nil {
			return nil, err
		}
		room -= len(o.YAML)
		o.Digest = gitops.Digest(o.YAML)
	}
	return out, nil
}

// obituary says what the worker died of.
func (p process) obituary(ctx context.Context, j job, state *os.ProcessState, crash *lastWords, err error) error {
	what, remedy := "it died: "+crash.String(), "report it together with the manifests"
	status, _ := state.Sys().(syscall.WaitStatus)
	cpu := state.UserTime() + state.SystemTime()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		what, remedy = fmt.Sprintf("it took longer than %s", p.timeout), "look for a template that loops"
	case !died(err):
		what = "it said what no worker says: " + brief(err)
	case crash.contains("SIGXCPU"), cpu >= time.Duration(p.cpu)*time.Second:
		what, remedy = fmt.Sprintf("it used more than %d s of processor time", p.cpu), "look for a template that loops"
	case crash.contains("out of memory"), crash.contains("cannot allocate memory"), crash.contains("failed to create new OS thread"), crash.contains("pthread_create failed"):
		what, remedy = fmt.Sprintf("it used more than %d MiB of memory", p.memory>>20), "look for a template that makes too much of its values"
	case crash.contains("stack exceeds"), crash.contains("stack overflow"):
		what, remedy = "it ran out of stack", "look for a template or schema that includes itself"
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		what, remedy = "it was killed, as the kernel does when the node has no memory left", "free memory on the node"
	case crash.String() == "":
		what = "it broke off: " + brief(err)
	}
	return failure(gitops.WorkerFailed, remedy, "render source %s in the worker: %s", j.Source, what)
}
