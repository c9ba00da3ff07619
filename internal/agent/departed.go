// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// departed lets go of sources that are in the journal and no longer in the
// node's file: their objects are orphaned, or deleted where the file said so
// while the source was in it. It keeps trying, because k3s may not be up yet.
func (a *Agent) departed(ctx context.Context) {
	wait := awayFirst
	for ctx.Err() == nil {
		if a.identity.Load() == nil && a.letGo(ctx) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(wait*2, awayMost)
	}
}

func (a *Agent) letGo(ctx context.Context) (done bool) {
	names, err := a.cfg.Journal.Sources(ctx)
	if err != nil {
		return false
	}
	done = true
	for _, name := range names {
		if slices.ContainsFunc(a.sources, func(s *source) bool { return s.cfg.Name == name }) {
			continue
		}
		if err := a.release(ctx, name); err != nil {
			a.cfg.Log.Warn("a source left the configuration and its objects could not be let go yet", "source", name, "err", err)
			done = false
		}
	}
	return done
}

// release orphans or deletes a departed source's objects, as its part of the
// configuration said while it was there.
func (a *Agent) release(ctx context.Context, name string) error {
	state, err := a.cfg.Journal.State(ctx, name)
	if err != nil {
		return err
	}
	changes, err := a.forget(ctx, name, state.OnRemove == "prune")
	if err == nil {
		a.cfg.Log.Info("source removed", "source", name, "objects", len(changes), "onRemove", state.OnRemove)
	}
	return err
}

// forget lets go of a source's objects, or deletes them, and then drops it from
// the journal: a crash in between does it again.
func (a *Agent) forget(ctx context.Context, name string, prune bool) ([]gitops.Change, error) {
	inv, err := a.cfg.Journal.Owned(ctx, name)
	if err != nil {
		return nil, err
	}
	var changes []gitops.Change
	if prune {
		changes, err = a.cfg.Cluster.Delete(ctx, name, inv)
	} else {
		for _, item := range inv {
			changes = append(changes, gitops.Change{Ref: item.Ref, Action: gitops.Skipped, Reason: gitops.BecauseReleased})
		}
		err = a.cfg.Cluster.Orphan(ctx, name, inv)
	}
	if err != nil {
		return changes, err
	}
	if err := a.cfg.Journal.Remove(ctx, name); err != nil {
		return changes, err
	}
	if err := a.cfg.Release(ctx, name); err != nil {
		a.cfg.Log.Warn("the Git objects of a removed source stay for now", "source", name, "err", err)
	}
	return changes, nil
}
