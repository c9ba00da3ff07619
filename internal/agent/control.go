// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// This file is what people can ask of the agent. Orders are carried out by the
// source's own loop and answered after they are journalled; questions are
// answered at once.

// Sync polls and converges now, also when the day's bytes are spent. With
// allowPrune the next plan may delete up to that many objects although a guard
// would stop it.
func (a *Agent) Sync(ctx context.Context, name string, allowPrune int) (cycle int64, err error) {
	return a.order(ctx, name, func(ctx context.Context, s *source) error {
		s.pollNow, s.forced = true, true
		s.rendered, s.onTheWay = renderedOnce{}, onTheWay{}
		if allowPrune == 0 {
			return nil
		}
		return s.journal().AllowPrune(ctx, name, allowPrune)
	})
}

// Rollback holds a source at an older healthy revision: the one before what
// runs, or the one that to names.
func (a *Agent) Rollback(ctx context.Context, name, to string, pin bool, by string) (hold gitops.Hold, cycle int64, err error) {
	cycle, err = a.order(ctx, name, func(ctx context.Context, s *source) error {
		state, err := s.journal().State(ctx, name)
		if err != nil {
			return err
		}
		if state.Applied == nil || state.Accepted == nil {
			return &gitops.Error{Reason: gitops.NoTarget, Message: "source " + name + " has applied nothing yet: there is nothing to roll back to"}
		}
		at, err := s.rollbackTarget(ctx, state, to)
		if err != nil {
			return err
		}
		if err := s.stillTrusted(ctx, state, at.Revision); err != nil {
			return err
		}
		hold = gitops.Hold{Revision: at.Revision, Digest: at.Digest, HeldBack: state.Accepted.Revision, Pin: pin, By: by, At: s.now()}
		if err := s.journal().SetHold(ctx, name, &hold); err != nil {
			return err
		}
		s.log.Warn("held", "revision", hold.Revision, "by", by, "pin", pin)
		return nil
	})
	return hold, cycle, err
}

// rollbackTarget finds a healthy revision in the journal by a prefix of its
// hash, or the one before what is applied: the newest of all where that was
// never healthy.
func (s *source) rollbackTarget(ctx context.Context, state gitops.SourceState, to string) (gitops.At, error) {
	healthy, err := s.journal().Healthy(ctx, s.cfg.Name)
	if err != nil {
		return gitops.At{}, err
	}
	runs := func(at gitops.At) bool { return at.Digest == state.Applied.Digest }
	older := !slices.ContainsFunc(healthy, runs)
	var known []string
	for _, at := range healthy {
		known = append(known, at.Revision.Short())
		switch {
		case to == "" && older && !runs(at):
			return at, nil
		case to != "" && (string(at.Revision) == to || len(to) >= 4 && strings.HasPrefix(string(at.Revision.Hash()), to)):
			return at, nil
		}
		older = older || runs(at)
	}
	what := "an older healthy revision"
	if to != "" {
		what = "the healthy revision " + to
	}
	return gitops.At{}, &gitops.Error{
		Reason:  gitops.NotFoundHere,
		Message: fmt.Sprintf("roll back %s: the journal does not hold %s", s.cfg.Name, what),
		Remedy:  "it holds: " + strings.Join(known, ", "),
	}
}

// Retry forgets that revisions failed, and tries the accepted one at once.
func (a *Agent) Retry(ctx context.Context, name string) (cycle int64, err error) {
	return a.order(ctx, name, func(ctx context.Context, s *source) error {
		if err := s.journal().Forget(ctx, name); err != nil {
			return err
		}
		s.rendered, s.onTheWay = renderedOnce{}, onTheWay{}
		s.pollNow, s.retryNow = true, true
		return nil
	})
}

// Resume lifts a hold and a suspension.
func (a *Agent) Resume(ctx context.Context, name string) (cycle int64, err error) {
	return a.order(ctx, name, func(ctx context.Context, s *source) error {
		s.pollNow = true
		return errors.Join(s.journal().SetHold(ctx, name, nil), s.journal().Suspend(ctx, name, nil))
	})
}

// Suspend stops a source until Resume: no poll, no repair.
func (a *Agent) Suspend(ctx context.Context, name, reason, by string) error {
	_, err := a.order(ctx, name, func(ctx context.Context, s *source) error {
		return s.journal().Suspend(ctx, name, &gitops.Suspension{Reason: reason, By: by, At: s.now()})
	})
	return err
}

// Remove lets go of a source's objects, or deletes them, and forgets it. While
// the source is still in the configuration it stays suspended, so that it does
// not come back.
func (a *Agent) Remove(ctx context.Context, name string, prune bool) (changes []gitops.Change, err error) {
	s, err := a.source(name)
	if err != nil {
		return a.removeDeparted(ctx, name, prune, err)
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		if changes, err = a.forget(ctx, name, prune); err != nil {
			return err
		}
		s.view = view{cycles: s.view.cycles}
		why := &gitops.Suspension{Reason: "removed; take it out of the configuration", By: "edgeagent remove", At: s.now()}
		return errors.Join(s.journal().Configure(ctx, name, s.cfg.OnRemove), s.journal().Suspend(ctx, name, why))
	})
	return changes, err
}

// removeDeparted removes a source that only the journal still knows.
func (a *Agent) removeDeparted(ctx context.Context, name string, prune bool, unknown error) ([]gitops.Change, error) {
	names, err := a.cfg.Journal.Sources(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		return nil, unknown
	}
	return a.forget(ctx, name, prune)
}

// ReloadKeys has every source read its key files again, for when the rest of a
// changed configuration cannot be used: a revocation is never put off.
func (a *Agent) ReloadKeys() error {
	var errs []error
	for _, s := range a.sources {
		errs = append(errs, s.cfg.Verifier.Reload())
		s.reloads.Add(1)
		s.nudge()
	}
	return errors.Join(errs...)
}

// AcceptIdentity goes on under the node's new name. The parents of the sources
// are rewritten first: they name the writer, and once the journal has the new
// name nobody would know that the old one was ours.
func (a *Agent) AcceptIdentity(ctx context.Context) error {
	if a.identity.Load() == nil {
		return nil
	}
	if a.cfg.AcceptWriter != nil {
		a.cfg.AcceptWriter(a.former)
	}
	for _, s := range a.sources {
		if err := s.ask(ctx, s.rename); err != nil {
			return err
		}
	}
	if err := a.cfg.Journal.SetNodeName(ctx, a.cfg.Node.Name); err != nil {
		return err
	}
	a.identity.Store(nil)
	for _, s := range a.sources {
		if err := s.ask(ctx, func(context.Context) error { s.pollNow = true; return nil }); err != nil {
			return err
		}
	}
	return nil
}

// rename writes the node's new name to the cluster.
func (s *source) rename(ctx context.Context) error {
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil || state.Accepted == nil || state.Healthy == nil {
		return err // nothing was written under the old name
	}
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	return s.cluster().Finish(ctx, s.cfg.Name, owned, state.Accepted.Revision, state.Healthy.Revision)
}

// order has a source's loop carry something out. It returns the cycle that
// will have acted on it.
func (a *Agent) order(ctx context.Context, name string, do func(ctx context.Context, s *source) error) (cycle int64, err error) {
	s, err := a.source(name)
	if err != nil {
		return 0, err
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		cycle = s.view.cycles + 1
		return do(ctx, s)
	})
	return cycle, err
}
