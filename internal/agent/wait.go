// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// leastHealthTime is what a resumed attempt gets at least: a crash loop cannot
// prolong the wait, and a slow boot does not use it up.
const leastHealthTime = 30 * time.Second

// saveHealthLeftEvery is how often the remaining health time is journalled: a
// crash gives at most this much back, and a long wait wears the flash little.
const saveHealthLeftEvery = time.Minute

// waitHealthy waits until the plan's objects are healthy, and meanwhile keeps
// polling Git and taking orders: a newer commit, or a person, ends the wait.
func (s *source) waitHealthy(ctx context.Context, w *work) (gitops.Health, error) {
	waitCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		health gitops.Health
		err    error
	}
	done := make(chan result, 1)
	looks := make(chan gitops.Health, 1)
	began, timeout := s.now(), s.underway.left
	saved := began
	go func() {
		health, err := s.cluster().Wait(waitCtx, gitops.HealthRequest{
			Source: s.cfg.Name, Plan: w.plan, Changes: w.changes,
			Timeout: timeout, Stable: s.cfg.Health.Stable,
			Progress: func(h gitops.Health) {
				select {
				case looks <- h:
				default: // the loop is polling; the next look will do
				}
			},
		})
		done <- result{health, err}
	}()
	for {
		poll := time.NewTimer(s.cfg.Git.NextPoll().Sub(s.now()))
		select {
		case r := <-done:
			poll.Stop()
			if decide(ctx, r.err) != wait { // a cluster that is away uses up no time
				s.underway.left = max(timeout-s.now().Sub(began), leastHealthTime)
			}
			if ctx.Err() == nil && errors.Is(context.Cause(waitCtx), errSuperseded) {
				return r.health, errSuperseded
			}
			return r.health, r.err
		case h := <-looks:
			s.touch()
			if len(h.Objects) > 0 { // nothing has answered yet otherwise
				s.view.sawHealth(w.plan.Manifests, h)
			}
			s.publishNow(ctx)
			if now := s.now(); now.Sub(saved) >= saveHealthLeftEvery {
				saved = now
				left := max(timeout-now.Sub(began), leastHealthTime)
				if err := s.journal().SetHealthLeft(ctx, w.attempt.ID, left); err != nil {
					s.log.Warn("save the remaining health time", "err", err)
				}
			}
		case <-poll.C:
			s.touch()
			if s.newerAccepted(ctx, w) {
				cancel(errSuperseded)
			}
		case o := <-s.orders:
			s.obey(ctx, o)
			if s.overruled(ctx, w) {
				cancel(errSuperseded)
			}
		}
		poll.Stop()
	}
}

// newerAccepted polls Git in the middle of a health wait.
func (s *source) newerAccepted(ctx context.Context, w *work) bool {
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return false
	}
	s.poll(ctx, state)
	s.stage(ctx, gitops.StageChecking)
	return s.overruled(ctx, w)
}

// overruled reports whether the journal now asks for something else than the
// attempt under way: a newer revision, a hold or the end of one, a suspension.
func (s *source) overruled(ctx context.Context, w *work) bool {
	if s.pollNow {
		state, err := s.journal().State(ctx, s.cfg.Name)
		if err != nil {
			return false
		}
		s.poll(ctx, state)
		s.stage(ctx, gitops.StageChecking)
	}
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return false
	}
	if state.Suspended != nil {
		return true
	}
	if state.Hold != nil {
		return state.Hold.Digest != w.attempt.Digest
	}
	// What was accepted when the attempt was taken up is no news, although the
	// attempt may be at another revision: it was chosen all the same.
	return w.state.Hold != nil || acceptedHash(state) != acceptedHash(w.state)
}

func healthLeft(a gitops.Attempt, timeout time.Duration) time.Duration {
	if a.HealthLeft <= 0 || a.HealthLeft > timeout {
		return timeout
	}
	return max(a.HealthLeft, leastHealthTime)
}

func resumedTooOften(a gitops.Attempt) error {
	return &gitops.Error{
		Reason:  gitops.ResumedTooOften,
		Message: fmt.Sprintf("attempt %d at %s was interrupted by %d restarts: it may be what stops this node", a.ID, a.Revision.Short(), a.Resumes+1),
		Remedy:  "look at the node's journal (journalctl -b -1), then run: edgeagent retry " + a.Source,
	}
}

func failedBefore(rev gitops.Revision, failed *gitops.Attempt) error {
	return &gitops.Error{
		Reason:  gitops.FailedBefore,
		Message: fmt.Sprintf("%s renders to what failed as %s (%s: %s): it is not tried again", rev.Short(), failed.Revision.Short(), failed.Reason, failed.Message),
		Remedy:  "commit a fix, or run: edgeagent retry " + failed.Source,
	}
}

func asError(err error) *gitops.Error {
	e, _ := errors.AsType[*gitops.Error](err)
	return e
}
