// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Plan implements agent.Planner.
func (c *cluster) Plan(ctx context.Context, r gitops.PlanRequest) (gitops.Plan, error) {
	if err := c.enter(ctx, "plan"); err != nil {
		return gitops.Plan{}, err
	}
	defer c.mu.Unlock()
	c.asked = append(c.asked, r)
	p := gitops.Plan{Source: r.Source, Manifests: r.Want, Inventory: r.Owned}
	owned := r.Owned.Index()
	for _, m := range r.Want.Objects {
		change, drifted := c.compare(m, owned[m.Ref.Key()], r.ClusterRebuilt)
		if _, exists := c.live[m.Ref.Key()]; exists && forces(r.Want, m.Bundle) {
			p.Forced = append(p.Forced, m.Ref.Key())
		}
		switch {
		case change.Action == "":
			if o := c.healthOf(m); o.Status != gitops.Current && r.Healthy != "" {
				p.UnhealthyBefore = append(p.UnhealthyBefore, m.Ref)
			}
		case drifted && r.Drift == gitops.DriftNotify:
			p.Drifted = append(p.Drifted, change)
		default:
			p.Apply = append(p.Apply, change)
		}
		p.Inventory = p.Inventory.Union(gitops.Inventory{{Ref: m.Ref, Bundle: m.Bundle, PriorUID: c.live[m.Ref.Key()].uid}})
	}
	for _, item := range r.Owned {
		if _, wanted := r.Want.Find(item.Ref.Key()); wanted || r.ClusterRebuilt {
			continue
		}
		change := gitops.Change{Ref: item.Ref, Action: gitops.Deleted, Reason: gitops.BecausePruned, Item: item}
		if r.Rollback && (!r.Undone[item.Entered] || item.PriorUID != "") {
			change.Action, change.Reason = gitops.Skipped, gitops.BecauseReleased
		}
		p.Prune = append(p.Prune, change)
	}
	if n := len(p.Prune); n > r.Guard.MaxDeletes && n > r.AllowPrune && !r.Rollback {
		p.Pending, p.Prune = p.Prune, nil
	}
	if p.Empty() {
		p.UnhealthyBefore = nil // nobody asked: there is nothing to write
	}
	return p, nil
}

// compare says what has to be done about an object, and whether it drifted.
func (c *cluster) compare(m gitops.Manifest, item gitops.Item, rebuilt bool) (change gitops.Change, drifted bool) {
	o, ok := c.live[m.Ref.Key()]
	change = gitops.Change{Ref: m.Ref, Action: gitops.Configured, Item: gitops.Item{Ref: m.Ref, Bundle: m.Bundle, Digest: m.Digest}}
	switch {
	case item.Completed == m.Digest:
		return gitops.Change{}, false
	case !ok:
		change.Action, change.Reason = gitops.Created, gitops.BecauseNew
		return change, item.Digest == m.Digest
	case item.Digest != m.Digest || rebuilt:
		change.Reason = gitops.BecauseChanged
		return change, false
	case o.value != valueOf(m):
		change.Reason = gitops.BecauseDrift
		return change, true
	}
	return gitops.Change{}, false
}

// DryRun implements agent.Planner: it refuses values that begin with "reject".
func (c *cluster) DryRun(ctx context.Context, p gitops.Plan) error {
	if err := c.enter(ctx, "dry run"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, change := range p.Apply {
		if m, _ := p.Manifests.Find(change.Ref.Key()); strings.HasPrefix(valueOf(m), "reject") {
			return failure(gitops.Rejected)
		}
	}
	return nil
}

// Diff implements agent.Planner.
func (c *cluster) Diff(ctx context.Context, r gitops.PlanRequest) ([]gitops.ObjectDiff, error) {
	p, err := c.Plan(ctx, r)
	var out []gitops.ObjectDiff
	for _, change := range slices.Concat(p.Apply, p.Prune) {
		out = append(out, gitops.ObjectDiff{Ref: change.Ref, Action: change.Action})
	}
	return out, err
}

func forces(m gitops.Manifests, bundle string) bool {
	return slices.ContainsFunc(m.Bundles, func(b gitops.Bundle) bool { return b.Name == bundle && b.Force })
}
