// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

// waiting is how a command waits for what it ordered.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (o *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.wait, "wait", false, "return when it has ended")
	cmd.Flags().DurationVar(&o.timeout, "timeout", defaultWait, "how long --wait waits")
}

// errEnded ends a watch that has seen enough.
var errEnded = errors.New("ended")

// until watches until every source of the ticket has ended its cycle and rests
// again. A rollback takes several cycles without a pause: resting is what tells
// the last of them. Then it says how each source is, and returns with the code
// for degraded unless all are good.
func (o waiting) until(ctx context.Context, a *app, ticket localapi.Ticket, good func(gitops.SourceStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	progress := newProgress(a)
	var last []gitops.SourceStatus
	err := a.client().Watch(ctx, "", func(s gitops.Status) error {
		last = last[:0]
		ended := 0
		for _, source := range s.Sources {
			cycle, ordered := ticket.Cycles[source.Name]
			if !ordered {
				continue
			}
			last = append(last, source)
			if source.Cycle >= cycle && resting(source) {
				ended++
			} else {
				progress.show(source)
			}
		}
		if ended == len(last) {
			return errEnded
		}
		return nil
	})
	progress.clear()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Errorf("still under way after %s; follow it with: edgeagent status -w", o.timeout)
	}
	if !errors.Is(err, errEnded) {
		return err
	}
	if err := present(a, last, page.outcomes); err != nil {
		return err
	}
	for _, source := range last {
		if !good(source) {
			return quietExit(exitDegraded)
		}
	}
	return nil
}

// resting reports whether a source has nothing more to do for now.
func resting(s gitops.SourceStatus) bool {
	return s.Phase == gitops.StageWaiting || s.Phase == gitops.StageSuspended
}

// outcomes says in one line for each source what it came to.
func (p page) outcomes(w io.Writer, sources []gitops.SourceStatus) error {
	for _, s := range sources {
		running := "runs nothing"
		if s.Applied != nil {
			running = "runs " + s.Applied.Revision.Short()
		}
		verdict := p.paint(green, "ready")
		if ready := s.Condition(gitops.ConditionReady); ready.Status != "True" {
			why := string(ready.Reason)
			if ready.Message != "" {
				why += ": " + oneLine(ready.Message)
			}
			verdict = p.paint(yellow, "not ready") + ", " + why
		}
		if _, err := fmt.Fprintf(w, "%s %s, %s\n", s.Name, running, verdict); err != nil {
			return err
		}
	}
	return nil
}

// progress shows on a terminal, in one line that is overwritten, what a source
// is doing. Elsewhere it shows nothing.
type progress struct {
	w     io.Writer
	shown string
}

func newProgress(a *app) *progress {
	if !isTerminal(a.stderr) || a.output != "text" {
		return &progress{}
	}
	return &progress{w: a.stderr}
}

func (p *progress) show(s gitops.SourceStatus) {
	line := s.Name + ": " + string(s.Phase)
	if s.Progress != "" {
		line += ", " + s.Progress
	}
	p.say(line)
}

func (p *progress) say(line string) {
	line = oneLine(escape(line))
	if p.w == nil || line == p.shown {
		return
	}
	p.shown = line
	fmt.Fprint(p.w, "\r\x1b[K"+line)
}

func (p *progress) clear() {
	if p.w != nil && p.shown != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
