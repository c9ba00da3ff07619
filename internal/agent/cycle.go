// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// historyForChoice is how many attempts choose looks back at.
const historyForChoice = 100

// cycle looks at Git, the journal and the cluster, and makes one step towards
// what they should be. It reports whether another one should follow at once.
//
// A pull error, or a head that is refused, only means that there is no newer
// revision: the cluster is converged on the target all the same.
func (s *source) cycle(ctx context.Context) (again bool) {
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return s.outOfReach(ctx, err)
	}
	s.reread()
	s.judgeRunning(ctx, state)
	s.checkFreshness(ctx, state)
	s.view.suspended = state.Suspended != nil
	if s.view.suspended {
		s.stage(ctx, gitops.StageSuspended)
		return false
	}
	if s.pollDue() {
		s.poll(ctx, state)
		if state, err = s.journal().State(ctx, s.cfg.Name); err != nil {
			return s.outOfReach(ctx, err)
		}
		s.judgeRunning(ctx, state)
		s.checkFreshness(ctx, state)
	}
	s.stage(ctx, gitops.StageWaiting)
	if e := s.agent.identity.Load(); e != nil {
		s.view.stall(e)
		return false
	}
	caps, err := s.cluster().Capabilities(ctx)
	if err != nil {
		s.view.clusterAway(err, s.now())
		return s.outOfReach(ctx, err)
	}
	s.view.clusterAnswered(caps, s.now())
	if s.unasked && s.away > 0 {
		s.unasked, s.away, s.pollNow = false, 0, true
		return true // the decision waited for the cluster
	}
	before := s.away
	again = s.converge(ctx, state, caps)
	if s.away == before {
		s.away = 0 // the cycle went through: the next one is due at its time
	}
	return again
}

// outOfReach backs off without blame: k3s may not be up yet, or be away for
// hours.
func (s *source) outOfReach(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		s.away++
		s.view.stall(err)
		if s.away == 1 {
			s.log.Warn("waiting for the cluster", "err", err)
		}
	}
	return false
}

// converge makes the step that choose names.
func (s *source) converge(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities) (again bool) {
	attempts, healthy, err := s.history(ctx, state)
	if err != nil {
		return s.outOfReach(ctx, err)
	}
	now := s.now()
	if s.retryNow {
		now = now.Add(retryMost) // a person said so: whatever waits for its time is due
		s.retryNow = state.Open != nil
	}
	t := choose(state, attempts, healthy, s.cfg.Rollback, now)
	s.retryAt = t.retryAt
	s.view.failed = t.failed
	s.view.setTarget(t, state)

	switch t.course {
	case update:
		done, again := s.update(ctx, state, caps, t)
		if done {
			return again
		}
		// The newest revision cannot be planned. What runs is kept in repair.
		return s.fallBack(ctx, state, caps, attempts, healthy)
	case resume:
		return s.resume(ctx, state, caps, t)
	case rollback:
		return s.rollBackTo(ctx, state, caps, t)
	case keep:
		return s.keep(ctx, state, caps, t)
	default:
		return false
	}
}

// history reads what choose needs. A source at rest on its accepted revision
// needs none of it.
func (s *source) history(ctx context.Context, state gitops.SourceState) ([]gitops.Attempt, []gitops.At, error) {
	if s.atRest(state) {
		return nil, nil, nil
	}
	attempts, err := s.journal().Attempts(ctx, s.cfg.Name, historyForChoice)
	if err != nil {
		return nil, nil, err
	}
	healthy, err := s.journal().Healthy(ctx, s.cfg.Name)
	return attempts, healthy, err
}

func (s *source) atRest(state gitops.SourceState) bool {
	return state.Accepted != nil && state.Applied != nil && state.Healthy != nil &&
		state.Open == nil && state.Hold == nil && state.Failed == nil && s.view.settled &&
		state.Applied.Revision == state.Accepted.Revision && state.Healthy.Revision == state.Accepted.Revision
}

// fallBack goes on with what was under way, takes back what failed, or keeps
// what is applied, while the accepted revision cannot be rendered or planned.
func (s *source) fallBack(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, attempts []gitops.Attempt, healthy []gitops.At) bool {
	dirty := undonePending(attempts)
	t := backward(state, attempts, healthy, dirty, newest(dirty), s.cfg.Rollback, s.now())
	s.retryAt = t.retryAt
	t.since = answersSince(t, state, dirty)
	switch t.course {
	case resume:
		return s.resume(ctx, state, caps, t)
	case rollback:
		return s.rollBackTo(ctx, state, caps, t)
	case keep:
		return s.keep(ctx, state, caps, t)
	}
	return false
}

// manifests reads a target back from the journal: no Git, no network. What is
// kept in repair is read once, not at every look.
func (s *source) manifests(ctx context.Context, t target) (gitops.Manifests, error) {
	if s.kept.Digest != t.digest || t.digest == "" {
		want, err := s.journal().Manifests(ctx, s.cfg.Name, t.digest)
		if err != nil {
			return want, err
		}
		s.kept = want
	}
	want := s.kept
	want.Revision = t.revision
	return want, nil
}

// isShutdown reports whether err only says that the agent is going down.
func isShutdown(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
