// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"runtime/debug"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// work is an attempt under way.
type work struct {
	attempt gitops.Attempt
	plan    gitops.Plan
	target  target
	state   gitops.SourceState
	caps    gitops.Capabilities
	changes []gitops.Change // everything this cycle wrote for it
	left    error           // why a rollback could not delete everything
}

// attempt carries a plan out, phase by phase. Before the first write the
// journal holds the union of the old and the new inventory, the target and
// its manifests: a crash at any line below orphans nothing, and the next start
// goes on here.
func (s *source) attempt(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, t target, plan gitops.Plan) (again bool) {
	a, err := s.begin(ctx, state, t, plan)
	if err != nil {
		return s.outOfReach(ctx, err)
	}
	s.view.planned(plan)
	s.view.settled = false
	w := &work{attempt: a, plan: plan, target: t, state: state, caps: caps}
	for _, step := range s.steps(t) {
		if err := step(ctx, w); err != nil {
			return s.fail(ctx, w, err)
		}
	}
	s.underway = underway{}
	s.log.Info("converged", "revision", a.Revision, "attempt", a.ID, "cause", a.Cause)
	s.look(ctx, plan.Manifests)
	s.view.settled = s.view.stalled == nil
	if err := s.retain(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("retention", "err", err)
	}
	// The node is small and an update is rare: what it took is given back now,
	// not when the next one needs it.
	debug.FreeOSMemory()
	return false
}

// retain drops what is too old from the journal, and then lets Git's objects
// of it go: a journal never names what is not there.
func (s *source) retain(ctx context.Context) error {
	if err := s.journal().Retain(ctx); err != nil {
		return err
	}
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	healthy, err := s.journal().Healthy(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	keep := known(state)
	for _, at := range healthy {
		keep = append(keep, at.Revision.Hash())
	}
	if state.Hold != nil {
		keep = append(keep, state.Hold.Revision.Hash())
	}
	return s.cfg.Git.Retain(ctx, keep)
}

// begin opens an attempt, or takes the open one up again.
func (s *source) begin(ctx context.Context, state gitops.SourceState, t target, plan gitops.Plan) (gitops.Attempt, error) {
	if t.course == resume {
		if s.working(state.Open.ID) {
			return *state.Open, nil
		}
		a, err := s.journal().Resume(ctx, state.Open.ID)
		if err == nil {
			s.underway = underway{attempt: a.ID, left: healthLeft(a, s.cfg.Health.Timeout), touched: true}
			s.log.Info("attempt resumed", "revision", a.Revision, "attempt", a.ID, "phase", a.Phase, "resumes", a.Resumes)
		}
		return a, err
	}
	signer := ""
	if state.Accepted != nil && state.Accepted.Revision == t.revision {
		signer = state.Accepted.Signer
	}
	a, err := s.journal().Begin(ctx, gitops.BeginRequest{
		Source: s.cfg.Name, Revision: t.revision, Cause: t.cause, Plan: plan,
		Undoes: t.undoes, Signer: signer, HealthTimeout: s.cfg.Health.Timeout, Supersedes: t.supersedes,
	})
	if err == nil {
		s.underway = underway{attempt: a.ID, left: s.cfg.Health.Timeout}
		s.log.Info("attempt begun", "revision", a.Revision, "attempt", a.ID, "cause", a.Cause, "objects", len(plan.Apply), "deletions", len(plan.Prune)+len(plan.DeleteFirst))
	}
	return a, err
}

// working reports whether this process began or resumed the attempt, so that
// waiting for the cluster does not count as a restart.
func (s *source) working(attempt int64) bool {
	return s.underway.attempt == attempt
}

type step func(ctx context.Context, w *work) error

// steps are the phases in order. A rollback prunes before health: the objects
// of the failed revision may be what keeps the old one from being healthy. What
// only deletes is not judged by health: the revision is healthy already, and
// after that health alone undoes nothing.
func (s *source) steps(t target) []step {
	switch t.cause {
	case gitops.CausePrune:
		return []step{s.settledStep, s.pruneStep, s.finishStep}
	case gitops.CauseRollback:
		return []step{s.applyStep, s.pruneStep, s.healthStep, s.finishStep}
	}
	return []step{s.dryRunStep, s.applyStep, s.healthStep, s.pruneStep, s.finishStep}
}

// dryRunStep has the API server judge every changed object before one is
// written. Without a healthy revision to protect it would only cost time.
func (s *source) dryRunStep(ctx context.Context, w *work) error {
	if w.state.Healthy == nil || w.attempt.Phase != gitops.PhaseIntent {
		return nil
	}
	s.stage(ctx, gitops.StageApplying)
	return s.cluster().DryRun(ctx, w.plan)
}

func (s *source) applyStep(ctx context.Context, w *work) error {
	if w.attempt.Phase == gitops.PhaseHealthy {
		// Only the prune is left. It may be denied for long, and drift is
		// repaired meanwhile.
		if len(w.plan.Apply) > 0 {
			s.repair(ctx, w.plan)
		}
		return nil
	}
	s.stage(ctx, gitops.StageApplying)
	s.underway.touched = true
	changes, err := s.cluster().Apply(ctx, w.plan, s.progress(ctx))
	w.changes = append(w.changes, changes...)
	if err != nil {
		return err
	}
	if w.caps.ClusterUID != w.state.ClusterUID {
		if err := s.journal().SetClusterUID(ctx, s.cfg.Name, w.caps.ClusterUID); err != nil {
			return err
		}
	}
	if w.attempt.Phase != gitops.PhaseIntent {
		return s.journal().Record(ctx, s.cfg.Name, itemsOf(changes))
	}
	return s.advance(ctx, w, gitops.PhaseApplied, gitops.Outcome{Changes: changes, Inventory: itemsOf(changes), HealthLeft: s.underway.left})
}

func (s *source) healthStep(ctx context.Context, w *work) error {
	if w.attempt.Phase == gitops.PhaseHealthy {
		return nil
	}
	s.stage(ctx, gitops.StageChecking)
	health, err := s.waitHealthy(ctx, w)
	if err != nil {
		return err
	}
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	done := completed(owned, w.plan.Manifests, health)
	if err := s.advance(ctx, w, gitops.PhaseHealthy, gitops.Outcome{Inventory: done}); err != nil {
		return err
	}
	s.log.Info("healthy", "revision", w.attempt.Revision, "attempt", w.attempt.ID)
	return nil
}

// settledStep moves an attempt that writes nothing up to its deletions.
func (s *source) settledStep(ctx context.Context, w *work) error {
	for _, next := range []gitops.Phase{gitops.PhaseApplied, gitops.PhaseHealthy} {
		if !w.attempt.Phase.MayMove(next) {
			continue
		}
		if err := s.advance(ctx, w, next, gitops.Outcome{}); err != nil {
			return err
		}
	}
	return nil
}

// pruneStep deletes what left the set. In a rollback, an object that cannot be
// deleted must not keep the node from its last healthy revision: the deletion
// is tried again once that is healthy.
func (s *source) pruneStep(ctx context.Context, w *work) error {
	s.stage(ctx, gitops.StagePruning)
	changes, err := s.cluster().Prune(ctx, w.plan)
	w.changes = append(w.changes, changes...)
	if gitops.ReasonOf(err) == gitops.PruneFailed && w.attempt.Phase != gitops.PhaseHealthy {
		w.left = err
		return nil
	}
	return err
}

// finishStep shrinks the inventory to what is really there and closes the
// attempt.
func (s *source) finishStep(ctx context.Context, w *work) error {
	if w.left != nil {
		return w.left
	}
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	exact := exactInventory(owned, w.plan, w.changes)
	accepted, healthy := w.attempt.Revision, w.attempt.Revision
	if w.state.Accepted != nil {
		accepted = w.state.Accepted.Revision
	}
	if err := s.cluster().Finish(ctx, s.cfg.Name, exact, accepted, healthy); err != nil {
		return err
	}
	pruned := slices.DeleteFunc(slices.Clone(w.changes), func(c gitops.Change) bool { return c.Action != gitops.Deleted })
	return s.advance(ctx, w, gitops.PhasePruned, gitops.Outcome{Changes: pruned, Inventory: exact, Exact: true})
}

func (s *source) advance(ctx context.Context, w *work, to gitops.Phase, o gitops.Outcome) error {
	if err := s.journal().Advance(ctx, w.attempt.ID, to, o); err != nil {
		return err
	}
	w.attempt.Phase = to
	return nil
}

// fail ends an attempt that met an error, or leaves it open, as decide says.
func (s *source) fail(ctx context.Context, w *work, err error) (again bool) {
	a, v := w.attempt, decide(ctx, err)
	if v == stop || v == wait {
		// The attempt goes on later. What was written is recorded now: it is
		// ours, and hooks that completed do not run again.
		if items := itemsOf(w.changes); len(items) > 0 {
			if err := s.journal().Record(context.WithoutCancel(ctx), s.cfg.Name, items); err != nil {
				s.log.Warn("record what was written", "err", err)
			}
		}
	}
	if v == stop {
		return ctx.Err() == nil // superseded: the next cycle takes the newer order
	}
	if v == wait || a.Phase == gitops.PhaseHealthy {
		// A healthy revision never fails any more: its prune is tried again.
		return s.outOfReach(ctx, err)
	}
	s.log.Error("attempt failed", "revision", a.Revision, "attempt", a.ID, "phase", a.Phase, "reason", gitops.ReasonOf(err), "err", err)
	s.view.stall(err)
	reason := gitops.ReasonOf(err)
	if reason == "" {
		reason = gitops.ApplyFailed
	}
	if jErr := s.journal().Advance(ctx, a.ID, gitops.PhaseFailed, gitops.Outcome{
		Changes: w.changes, Inventory: itemsOf(w.changes), Reason: reason, Message: err.Error(),
		Remember:  v == rollBack && a.Cause != gitops.CauseRollback,
		Untouched: !s.underway.touched,
	}); jErr != nil {
		return s.outOfReach(ctx, jErr) // it goes on as this process's own, and fails again
	}
	s.underway = underway{}
	return true
}

// itemsOf is what the inventory records of changes that were made.
func itemsOf(changes []gitops.Change) gitops.Inventory {
	var inv gitops.Inventory
	for _, c := range changes {
		switch c.Action {
		case gitops.Created, gitops.Configured, gitops.Unchanged:
			inv = append(inv, c.Item)
		}
	}
	return inv.Sorted()
}

// completed is the items of Jobs that ran to their end: at the digest that is
// recorded they are not run again, also when Kubernetes removes them.
func completed(owned gitops.Inventory, want gitops.Manifests, h gitops.Health) gitops.Inventory {
	var out gitops.Inventory
	for _, o := range h.Objects {
		item, known := owned.Find(o.Ref.Key())
		m, wanted := want.Find(o.Ref.Key())
		if o.Completed && known && wanted && item.Completed != m.Digest {
			item.Completed = m.Digest
			out = append(out, item)
		}
	}
	return out
}

// exactInventory is the union less what was deleted, released, or announced
// and left alone.
func exactInventory(owned gitops.Inventory, plan gitops.Plan, changes []gitops.Change) gitops.Inventory {
	gone := map[gitops.ObjectKey]bool{}
	for _, c := range changes {
		if c.Action == gitops.Deleted || c.Reason == gitops.BecauseReleased {
			gone[c.Ref.Key()] = true
		}
	}
	for _, c := range plan.Skipped {
		if item, ok := owned.Find(c.Ref.Key()); ok && item.UID == "" && item.Digest == "" {
			gone[c.Ref.Key()] = true
		}
	}
	var out gitops.Inventory
	for _, item := range owned {
		if !gone[item.Ref.Key()] {
			out = append(out, item)
		}
	}
	return out.Sorted()
}
