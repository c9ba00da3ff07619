// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"golang.org/x/sys/unix"
	"helm.sh/helm/v4/pkg/chart/loader/archive"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Worker is the body of the worker process: it renders one tree, which it
// reads over the pipes, and exits. It gives up the right to open files and
// sockets for the whole process, so it must not be called in any other.
func Worker(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	out := bufio.NewWriter(stdout)
	pipe := &pipe{in: bufio.NewReader(stdin), out: out}
	var j job
	if err := readMessage(pipe.in, maxJob, &j); err != nil {
		return fmt.Errorf("read the render job: %w", err)
	}
	// Not before the job has come: the agent sets its limits first, and could
	// not any more when they are lower already.
	if err := confine(); err != nil {
		return fmt.Errorf("confine the render worker: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	rendered, err := buildSafely(j, pipe)
	if pipe.broken != nil {
		return fmt.Errorf("ask the agent for files: %w", pipe.broken)
	}
	if err := send(out, rendered, err); err != nil {
		return fmt.Errorf("send what was rendered: %w", err)
	}
	return nil
}

// confine leaves the process its pipes. The runtime opens its poller when the
// first timer is made, which has to be before.
func confine() error {
	time.NewTimer(time.Hour).Stop()
	log.SetOutput(io.Discard) // libraries warn about charts; stderr is for crashes
	archive.MaxDecompressedChartSize = maxArchive
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{})
}

// buildSafely turns a library's panic into the revision's fault.
func buildSafely(j job, f files) (rendered *result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = failure(gitops.WorkerFailed, "report it together with the manifests", "render source %s: %s", j.Source, brief(fmt.Errorf("%v", r)))
		}
	}()
	return build(j, f)
}

func send(out *bufio.Writer, rendered *result, err error) error {
	a := &answer{}
	switch {
	case err != nil:
		e, ok := typed(err)
		if !ok {
			e = failure(gitops.WorkerFailed, "", "%s", brief(err))
		}
		a.Error = e
	case rendered == nil:
		a.Partial = true
	default:
		a.Bundles, a.Objects = len(rendered.bundles), len(rendered.objects)
	}
	if err := writeMessage(out, question{Answer: a}); err != nil {
		return err
	}
	if a.Objects > 0 {
		if err := sendResult(out, rendered); err != nil {
			return err
		}
	}
	return out.Flush()
}

func sendResult(out io.Writer, rendered *result) error {
	for _, b := range rendered.bundles {
		if err := writeMessage(out, b); err != nil {
			return err
		}
	}
	for _, o := range rendered.objects {
		if err := writeMessage(out, o); err != nil {
			return err
		}
		if err := writeFrame(out, o.YAML); err != nil {
			return err
		}
	}
	return nil
}

// pipe is the tree at the other end of the worker's pipes.
type pipe struct {
	in     *bufio.Reader
	out    *bufio.Writer
	broken error
}

func (p *pipe) ask(op string, paths []string) (reply, error) {
	var r reply
	err := writeMessage(p.out, question{Op: op, Paths: paths})
	if err == nil {
		err = p.out.Flush()
	}
	if err == nil {
		err = readMessage(p.in, maxJob, &r)
	}
	if err != nil {
		p.broken = err
	}
	return r, err
}

func (p *pipe) stat(paths []string) ([]entry, error) {
	r, err := p.ask("stat", paths)
	return r.Entries, err
}

func (p *pipe) list(dir string) ([]entry, error) {
	r, err := p.ask("list", []string{dir})
	return r.Entries, err
}

func (p *pipe) read(paths []string) ([][]byte, error) {
	r, err := p.ask("read", paths)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(paths))
	for i, present := range r.Present {
		if !present {
			continue
		}
		if out[i], err = readFrame(p.in, maxInput); err != nil {
			p.broken = err
			return nil, err
		}
	}
	return out, nil
}
