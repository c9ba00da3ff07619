// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// prune plans what becomes of owned objects that are no longer wanted. Nothing
// is deleted that the inventory does not hold, and what the cluster does not
// show under our label is only forgotten.
func (p *planner) prune() {
	if p.req.ClusterRebuilt {
		return
	}
	wanted := map[gitops.ObjectKey]bool{}
	wantedUID := map[string]bool{}
	for _, m := range p.req.Want.Objects {
		key := m.Ref.Key()
		wanted[key] = true
		if l, ok := p.seen[key]; ok {
			wantedUID[l.uid] = true
		}
	}
	var deletions, confirm, undone []gitops.Change
	for _, item := range p.req.Owned {
		key := item.Ref.Key()
		if wanted[key] {
			continue
		}
		l, exists := p.seen[key]
		c := gitops.Change{Ref: item.Ref, Action: gitops.Deleted, Reason: gitops.BecausePruned, Item: item}
		switch {
		case !exists || l.partOf != p.id || l.terminating:
			p.plan.Prune = append(p.plan.Prune, forgotten(c, "it is gone, or no longer ours"))
		case wantedUID[l.uid]:
			// The same object by another API group or with its namespace
			// spelled out: deleting it would delete what is wanted.
			p.plan.Prune = append(p.plan.Prune, forgotten(c, "it is wanted under another name"))
		case p.undoes(item) && item.PriorUID != "":
			p.plan.Prune = append(p.plan.Prune, released(c))
		case p.undoes(item) && isPrecious(item.Ref):
			c.Action, c.Reason = gitops.Skipped, skippedRollback
			p.plan.Skipped = append(p.plan.Skipped, c)
		case p.undoes(item) && !l.marks.keep:
			undone = append(undone, c)
		case l.marks.keep:
			p.plan.Prune = append(p.plan.Prune, released(c))
		case !p.mayPrune(item):
			c.Action, c.Reason = gitops.Skipped, skippedPrune
			p.plan.Skipped = append(p.plan.Skipped, c)
		case l.marks.confirm || isPrecious(item.Ref):
			confirm = append(confirm, c)
		default:
			deletions = append(deletions, c)
		}
	}
	p.guard(deletions, confirm)
	p.plan.Prune = append(p.plan.Prune, undone...)
	slices.SortStableFunc(p.plan.Prune, lastFirst)
}

// undoes reports whether a rollback takes back the attempt that took the
// object in.
func (p *planner) undoes(item gitops.Item) bool {
	return p.req.Rollback && p.req.Undone[item.Entered]
}

func (p *planner) mayPrune(item gitops.Item) bool {
	b, ok := p.bundles[item.Bundle]
	return p.req.Prune && (!ok || b.Prune)
}

// isPrecious reports objects whose deletion takes data or other objects along.
func isPrecious(ref gitops.ObjectRef) bool {
	return isNamespace(ref) || isCRD(ref) || ref.Group == "" && ref.Kind == "PersistentVolumeClaim"
}

// guard lets deletions into the plan, or holds them back until a person says
// how many are right. A person who confirms fewer than there are confirms none.
func (p *planner) guard(deletions, confirm []gitops.Change) {
	n, g := len(deletions)+len(confirm), p.req.Guard
	if p.req.AllowPrune >= n {
		p.plan.Prune = append(p.plan.Prune, append(deletions, confirm...)...)
		return
	}
	tooMany := n > g.MaxDeletes || n >= g.Minimum && n*100 > g.MaxPercent*len(p.req.Owned)
	if tooMany {
		confirm, deletions = append(deletions, confirm...), nil
	}
	p.plan.Prune = append(p.plan.Prune, deletions...)
	for _, c := range confirm {
		c.Action, c.Reason = gitops.Skipped, gitops.PrunePending
		p.plan.Pending = append(p.plan.Pending, c)
	}
	slices.SortStableFunc(p.plan.Pending, lastFirst)
}

// forgotten is a change that only takes the object out of the inventory.
func forgotten(c gitops.Change, why string) gitops.Change {
	c.Action, c.Reason, c.Message = gitops.Skipped, gitops.BecauseReleased, why
	return c
}

// released is a change that takes our marks off the object and leaves it.
func released(c gitops.Change) gitops.Change {
	c.Action, c.Reason, c.Message = gitops.Configured, gitops.BecauseReleased, "kept, and no longer ours"
	return c
}

// lastFirst orders deletions: what was applied last goes first.
func lastFirst(a, b gitops.Change) int {
	return cmp.Or(cmp.Compare(stageOf(b.Ref), stageOf(a.Ref)), b.Ref.Compare(a.Ref))
}
