// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// fullEvery is how often every object is sent, drifted or not: the backstop of
// what watches may miss. A server-side apply that changes nothing writes nothing.
const fullEvery = time.Hour

// update renders the accepted revision and converges on it. done is false when
// it could not even be planned: nothing was written, and what runs stays.
func (s *source) update(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (done, again bool) {
	want, err := s.render(ctx, t.revision, caps)
	if comesLater(err) {
		return false, false // what runs is kept in repair meanwhile
	}
	if err != nil {
		s.blame(ctx, "render", t.revision, err)
		return ctx.Err() != nil, false
	}
	failed, err := s.journal().FailedBefore(ctx, s.cfg.Name, t.revision, want.Digest)
	if err != nil {
		return true, s.outOfReach(ctx, err)
	}
	if failed != nil && t.cause != gitops.CauseRetry && state.Healthy != nil {
		// Another commit that renders to what failed: trying it again would
		// break the node again.
		s.view.failed = failed
		s.view.stall(failedBefore(t.revision, failed))
		return false, false
	}
	if s.sameAsApplied(state, t, want) {
		// Meant for other nodes: accepted, applied and healthy move together,
		// and the cluster is not asked.
		at := gitops.At{Revision: t.revision, Digest: want.Digest, Signer: state.Accepted.Signer, Tag: state.Accepted.Tag, At: s.now()}
		if err := s.journal().Accept(ctx, s.cfg.Name, at, true); err != nil {
			return true, s.outOfReach(ctx, err)
		}
		return true, true
	}
	plan, err := s.plan(ctx, state, caps, t, want)
	if err != nil {
		s.blame(ctx, "plan", t.revision, err)
		return ctx.Err() != nil, false
	}
	if ok, err := s.released(ctx, state, caps, plan); err != nil || !ok {
		if err != nil {
			s.blame(ctx, "release", t.revision, err)
		}
		return ctx.Err() != nil, false
	}
	return true, s.attempt(ctx, state, caps, t, plan)
}

// sameAsApplied reports whether the new revision changes nothing on this node.
// What a failed attempt wrote half way is not what is applied.
func (s *source) sameAsApplied(state gitops.SourceState, t target, want gitops.Manifests) bool {
	return state.Open == nil && t.since == 0 && t.cause == gitops.CauseUpdate &&
		state.Applied != nil && state.Healthy != nil &&
		state.Applied.Digest == want.Digest && state.Healthy.Digest == want.Digest
}

// resume goes on with the open attempt, after a restart or after the cluster
// was away. A restart counts; the fourth fails the attempt.
func (s *source) resume(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (again bool) {
	if state.Open.Resumes >= maxResumes && state.Open.Phase != gitops.PhaseHealthy && !s.working(state.Open.ID) {
		s.underway = underway{touched: true} // by an earlier life: this one does not work on it
		return s.fail(ctx, &work{attempt: *state.Open}, resumedTooOften(*state.Open))
	}
	if err := s.stillTrusted(ctx, state, t.revision); err != nil && state.Open.Phase != gitops.PhaseHealthy {
		s.blame(ctx, "go on", t.revision, err) // no more is written of it
		return false
	}
	plan, ok := s.planStored(ctx, state, caps, t)
	if !ok {
		return false
	}
	if t.cause != gitops.CauseRollback && state.Open.Phase != gitops.PhaseHealthy {
		// It was released when it began. Only that a key was revoked since can take
		// that back: what cannot be looked at now must not hold the node half way.
		if err := s.release(ctx, state, caps, plan, true); gitops.ReasonOf(err) == gitops.NotApproved {
			s.blame(ctx, "go on", t.revision, err)
			return false
		}
	}
	return s.attempt(ctx, state, caps, t, plan)
}

// rollBackTo converges on an older revision out of the journal. It needs
// neither Git nor a network.
func (s *source) rollBackTo(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (again bool) {
	s.stage(ctx, gitops.StageRollingBack)
	if err := s.stillTrusted(ctx, state, t.revision); err != nil {
		s.blame(ctx, "roll back", t.revision, err)
		return false
	}
	s.log.Warn("rolling back", "revision", t.revision, "undoes", t.undoes)
	return s.fromJournal(ctx, state, caps, t)
}

// fromJournal converges on what the journal holds.
func (s *source) fromJournal(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (again bool) {
	plan, ok := s.planStored(ctx, state, caps, t)
	return ok && s.attempt(ctx, state, caps, t, plan)
}

// planStored compares what the journal holds with the cluster. It is not ok
// when that cannot be done now; why is in the view.
func (s *source) planStored(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (plan gitops.Plan, ok bool) {
	want, err := s.manifests(ctx, t)
	if err != nil {
		s.outOfReach(ctx, err)
		return plan, false
	}
	if plan, err = s.plan(ctx, state, caps, t, want); err != nil {
		s.blame(ctx, "plan", t.revision, err)
		return plan, false
	}
	return plan, true
}

// keep repairs drift on what is applied, and deletes what a person confirmed.
func (s *source) keep(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target) (again bool) {
	plan, ok := s.planStored(ctx, state, caps, t)
	if !ok {
		return false
	}
	s.view.planned(plan)
	repaired := true
	plan.Apply, s.view.fighting = s.fights.due(plan.Apply, s.now())
	if len(plan.Apply) > 0 {
		repaired = s.repair(ctx, plan)
	}
	if doomed := slices.Concat(plan.Prune, plan.DeleteFirst); len(doomed) > 0 {
		plan.Apply, plan.DeleteFirst, plan.Prune = nil, nil, doomed
		t.cause = gitops.CausePrune
		return s.attempt(ctx, state, caps, t, plan)
	}
	// A cluster that was rebuilt is known as such until everything is back.
	if state.ClusterUID != caps.ClusterUID && repaired && ctx.Err() == nil {
		if err := s.journal().SetClusterUID(ctx, s.cfg.Name, caps.ClusterUID); err != nil {
			return s.outOfReach(ctx, err)
		}
	}
	if repaired && !s.now().Before(s.fullPass) {
		s.fullPass = s.now().Add(fullEvery)
	}
	s.look(ctx, plan.Manifests)
	s.view.settled = s.view.stalled == nil
	return false
}

// repair writes drifted objects back. No attempt is opened: every object is
// in the inventory already, and a crash half way is just more drift.
func (s *source) repair(ctx context.Context, plan gitops.Plan) (done bool) {
	s.stage(ctx, gitops.StageApplying)
	changes, err := s.cluster().Apply(ctx, plan, s.progress(ctx))
	if recErr := s.journal().Record(ctx, s.cfg.Name, itemsOf(changes)); recErr != nil && err == nil {
		err = recErr
	}
	s.view.driftRepaired(changes)
	s.fights.repaired(changes, s.now())
	for _, c := range changes {
		if c.Action == gitops.Created || c.Action == gitops.Configured {
			s.log.Info("drift corrected", "object", c.Ref.String(), "action", c.Action)
		}
	}
	if err != nil && ctx.Err() == nil && s.view.stall(err) {
		s.log.Warn("drift not corrected", "err", err)
	}
	return err == nil
}

// look refreshes the health that the status shows. After Healthy, health alone
// never rolls back.
func (s *source) look(ctx context.Context, want gitops.Manifests) {
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		s.view.stall(err)
		return
	}
	health, err := s.cluster().Health(ctx, want, owned)
	if err != nil {
		if ctx.Err() == nil {
			s.view.stall(err)
		}
		return
	}
	s.view.sawHealth(want, health)
}

// plan compares a target with the cluster.
func (s *source) plan(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target, want gitops.Manifests) (gitops.Plan, error) {
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return gitops.Plan{}, err
	}
	r := s.request(state, t, want, owned)
	r.AllowPrune = state.AllowPrune
	r.Look = t.course == keep
	r.Full = r.Look && !s.now().Before(s.fullPass) && (s.cfg.Drift == gitops.DriftCorrect || s.cfg.Drift == gitops.DriftStrict)
	r.ClusterRebuilt = state.ClusterUID != "" && caps.ClusterUID != "" && state.ClusterUID != caps.ClusterUID
	if r.ClusterRebuilt {
		s.log.Warn("the cluster was rebuilt: everything is applied again and nothing is pruned", "uid", caps.ClusterUID)
	}
	plan, err := s.cluster().Plan(ctx, r)
	if err == nil && r.AllowPrune > 0 && len(plan.Prune) == 0 {
		// The consent was for what a person looked at: it did not cover this
		// plan, and it must not cover a later one.
		err = s.journal().AllowPrune(ctx, s.cfg.Name, 0)
	}
	if err != nil {
		return plan, err
	}
	return plan, s.answer(ctx, &plan, t.since)
}

// answer makes an attempt answer for what was broken since the cluster was last
// healthy, by earlier attempts or by itself before it was cut short: only what
// was unhealthy before the first of them cannot blame it. Otherwise the second
// of two bad commits would pass for healthy.
func (s *source) answer(ctx context.Context, plan *gitops.Plan, since int64) error {
	if since == 0 || len(plan.UnhealthyBefore) == 0 {
		return nil
	}
	begun, err := s.journal().Plan(ctx, since)
	if err != nil && gitops.ReasonOf(err) != gitops.NotFoundHere {
		return err
	}
	plan.UnhealthyBefore = slices.DeleteFunc(plan.UnhealthyBefore, func(ref gitops.ObjectRef) bool {
		return !slices.ContainsFunc(begun.UnhealthyBefore, func(o gitops.ObjectRef) bool { return o.Key() == ref.Key() })
	})
	return nil
}

// request is what is asked of the cluster. It reads the configuration and its
// arguments only: questions from outside the loop use it too.
func (s *source) request(state gitops.SourceState, t target, want gitops.Manifests, owned gitops.Inventory) gitops.PlanRequest {
	r := gitops.PlanRequest{
		Source: s.cfg.Name, Want: want, Owned: owned,
		Drift: s.cfg.Drift, Adopt: s.cfg.Adopt, Prune: s.cfg.Prune,
		Guard: s.cfg.Guard, HealthTimeout: s.cfg.Health.Timeout,
		Rollback: t.cause == gitops.CauseRollback, Undone: t.undone,
	}
	if state.Accepted != nil {
		r.Accepted = state.Accepted.Revision
	}
	if state.Healthy != nil {
		r.Healthy = state.Healthy.Revision
	}
	return r
}

// blame shows why the revision could not be rendered or planned. Nothing was
// written, so there is nothing to roll back.
func (s *source) blame(ctx context.Context, doing string, rev gitops.Revision, err error) {
	if isShutdown(ctx, err) {
		return
	}
	if s.view.stall(err) {
		s.log.Warn("cannot "+doing, "revision", rev, "reason", gitops.ReasonOf(err), "err", err)
	}
}
