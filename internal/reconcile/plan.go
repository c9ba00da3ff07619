// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Why an object is written, besides gitops' words.
const (
	// becauseAdopted: it was there before, or kubectl holds fields of it. Those
	// fields become ours, so that what leaves Git leaves the cluster.
	becauseAdopted gitops.Reason = "Adopted"
	// becauseForeign: others hold fields of it, and drift is strict.
	becauseForeign gitops.Reason = "ForeignFields"
)

// Why an object is left alone.
const (
	skippedLocal      gitops.Reason = "LocalConfig"
	skippedIgnored    gitops.Reason = "Ignored"
	skippedCreateOnly gitops.Reason = "CreateOnly"
	skippedHook       gitops.Reason = "HookNotDue"
	skippedPrune      gitops.Reason = "PruneDisabled"
	skippedRollback   gitops.Reason = "KeptOnRollback"
)

// planner compares what is wanted with what is owned and what is there. It is
// pure: the same request and observation give the same plan.
type planner struct {
	req     gitops.PlanRequest
	id      string // ApplySet id
	seen    observation
	owned   map[gitops.ObjectKey]gitops.Item
	bundles map[string]gitops.Bundle
	// installed holds the bundles of which something was applied before: their
	// hooks are upgrade hooks.
	installed map[string]bool
	plan      gitops.Plan
	members   []member
	entering  gitops.Inventory
	// prior holds the UIDs of announced objects that somebody else made before
	// they were written.
	prior map[gitops.ObjectKey]string
}

// makePlan is the difference between Git and the cluster.
func makePlan(req gitops.PlanRequest, seen observation) (gitops.Plan, error) {
	p := &planner{
		req: req, id: SetID(req.Source), seen: seen, owned: req.Owned.Index(),
		bundles: map[string]gitops.Bundle{}, installed: map[string]bool{}, prior: map[gitops.ObjectKey]string{},
		plan: gitops.Plan{Source: req.Source, Manifests: req.Want, HealthTimeout: req.HealthTimeout},
	}
	for _, b := range req.Want.Bundles {
		p.bundles[b.Name] = b
	}
	for _, item := range req.Owned {
		if !item.Hook && item.Digest != "" {
			p.installed[item.Bundle] = true
		}
	}
	var foreign []*gitops.Error
	for _, m := range req.Want.Objects {
		err := p.object(m)
		if e, ok := asError(err); ok && e.Reason == gitops.OwnedByOther {
			foreign = append(foreign, e)
		} else if err != nil {
			return gitops.Plan{}, err
		}
	}
	if len(foreign) > 0 {
		return gitops.Plan{}, ownedByOther(foreign)
	}
	if err := p.order(); err != nil {
		return gitops.Plan{}, err
	}
	p.prune()
	p.plan.Inventory = req.Owned.Union(p.entering)
	for i, item := range p.plan.Inventory {
		if uid, ok := p.prior[item.Ref.Key()]; ok {
			p.plan.Inventory[i].PriorUID = uid
		}
	}
	return p.plan, nil
}

// object plans one wanted object.
func (p *planner) object(m gitops.Manifest) error {
	key := m.Ref.Key()
	item, owned := p.owned[key]
	l, exists := p.seen[key]
	annotations, err := annotationsOf(m)
	if err != nil {
		return err
	}
	if exists && mayRecreate(m, p.bundles[m.Bundle], marksOf(annotations)) {
		p.plan.Forced = append(p.plan.Forced, key)
	}
	asked := marksOf(annotations).with(l.marks)
	if why, left := p.leftAlone(m, item, exists, asked); left {
		if why != "" {
			p.skip(m, p.written(m, item, l, why), why)
		}
		return nil
	}
	ours := l.partOf == p.id
	if exists && !ours && !p.req.Adopt {
		if owner := l.otherOwner(p.id); owner != "" {
			return &gitops.Error{Reason: gitops.OwnedByOther, Object: &m.Ref, Message: fmt.Sprintf("%s belongs to %s", m.Ref, owner)}
		}
	}
	reason := p.reason(m, item, l, exists)
	mode, drift := p.driftMode(m), isDrift(reason) && item.Digest == m.Digest
	switch {
	case reason == "":
		return nil
	case p.req.Rollback || p.req.ClusterRebuilt:
		// Whatever differs is written, whoever made it differ: what the undone
		// attempt wrote and did not live to record looks like drift.
	case drift && (asked.noDrift || mode == gitops.DriftOff):
		return nil
	case drift && mode == gitops.DriftNotify:
		p.plan.Drifted = append(p.plan.Drifted, gitops.Change{Ref: m.Ref, Action: gitops.Skipped, Reason: reason, Item: item})
		return nil
	}
	if asked.merge && (reason == becauseAdopted || reason == becauseForeign) {
		// Apply, and fold nobody's fields.
		if reason = gitops.BecauseChanged; drift {
			return nil
		}
	}
	return p.write(m, item, owned, l, exists, reason, annotations)
}

// leftAlone reports whether nothing is to be done for the object whatever the
// cluster looks like, and why that is worth telling.
func (p *planner) leftAlone(m gitops.Manifest, item gitops.Item, exists bool, asked marks) (gitops.Reason, bool) {
	switch {
	case asked.local:
		return skippedLocal, true
	case asked.ignore:
		return skippedIgnored, true
	case asked.createOnly && exists:
		return skippedCreateOnly, true
	case p.req.ClusterRebuilt || !runsToEnd(m):
		return "", false
	case item.Completed == m.Digest:
		return "", true // done, whether it is still there or not
	case p.req.Rollback:
		// It ran to its end when its revision became healthy.
		return gitops.BecauseCompleted, true
	case m.Hook != nil && !p.due(m, item):
		return skippedHook, true
	}
	return "", false
}

// written is the item of an object that is left alone. One that is created only
// where it is missing, was announced, and is there with our label, was written
// by an attempt that did not live to record it: now that is done, or nobody
// would ever delete it.
func (p *planner) written(m gitops.Manifest, item gitops.Item, l live, why gitops.Reason) gitops.Item {
	if why == skippedCreateOnly && isAnnounced(item) && l.partOf == p.id {
		item.Digest, item.UID, item.Fields = cmp.Or(l.digest, m.Digest), l.uid, l.fields
	}
	return item
}

// isAnnounced reports an object that an attempt was going to take in, and that
// was not recorded since.
func isAnnounced(item gitops.Item) bool {
	return item.Ref.Name != "" && item.Digest == "" && item.UID == ""
}

// due reports whether a hook's event is happening. A hook that was announced
// before and did not complete is due: its attempt was cut short.
func (p *planner) due(m gitops.Manifest, item gitops.Item) bool {
	if item.Ref.Name != "" && item.Completed == "" {
		return true
	}
	events := []string{"pre-install", "post-install"}
	if p.installed[m.Bundle] {
		events = []string{"pre-upgrade", "post-upgrade"}
	}
	return slices.ContainsFunc(m.Hook.Events, func(e string) bool { return slices.Contains(events, e) })
}

// reason says why an object has to be written, "" when it does not.
func (p *planner) reason(m gitops.Manifest, item gitops.Item, l live, exists bool) gitops.Reason {
	switch {
	case p.req.ClusterRebuilt && (!exists || l.uid != item.UID):
		return gitops.BecauseNew
	case !exists && item.Digest != m.Digest:
		return gitops.BecauseNew
	case item.Digest == "" && item.UID == "" && l.partOf != p.id:
		return becauseAdopted
	case item.Digest != m.Digest && l.terminating:
		return gitops.BecauseReplaced
	case item.Digest != m.Digest:
		return gitops.BecauseChanged
	case m.Hook != nil:
		return gitops.BecauseChanged // applied, and not seen to complete
	case p.req.Full, !exists:
		return gitops.BecauseDrift
	case l.terminating:
		return "" // it comes back when it is gone
	case l.partOf != p.id, l.uid != item.UID && item.UID != "", l.digest != m.Digest, l.fields != item.Fields && item.Fields != "":
		return gitops.BecauseDrift
	case l.kubectl:
		return becauseAdopted
	case l.foreign && p.driftMode(m) == gitops.DriftStrict:
		return becauseForeign
	}
	return ""
}

// isDrift reports that, where Git did not move, the cluster did.
func isDrift(r gitops.Reason) bool {
	return r == gitops.BecauseDrift || r == becauseForeign || r == becauseAdopted
}

func (p *planner) driftMode(m gitops.Manifest) gitops.DriftMode {
	return cmp.Or(p.bundles[m.Bundle].Drift, p.req.Drift, gitops.DriftCorrect)
}

func (p *planner) skip(m gitops.Manifest, item gitops.Item, why gitops.Reason) {
	c := gitops.Change{Ref: m.Ref, Action: gitops.Skipped, Reason: why, Item: item}
	if why == gitops.BecauseCompleted {
		c.Item = gitops.Item{
			Ref: m.Ref, Bundle: m.Bundle, Digest: m.Digest, Completed: m.Digest, Hook: m.Hook != nil,
			UID: item.UID, Fields: item.Fields, PriorUID: item.PriorUID, Entered: item.Entered,
		}
	}
	p.plan.Skipped = append(p.plan.Skipped, c)
}

// write adds an object to the plan. Its item holds what is there now, so that
// apply can tell a change from a write that changed nothing.
func (p *planner) write(m gitops.Manifest, item gitops.Item, owned bool, l live, exists bool, reason gitops.Reason, annotations map[string]string) error {
	needs, err := parseDependsOn(m.Ref, annotations[dependsOn])
	if err != nil {
		return err
	}
	planned := gitops.Item{
		Ref: m.Ref, Bundle: m.Bundle, Digest: m.Digest, UID: l.uid, Fields: l.fields,
		PriorUID: item.PriorUID, Entered: item.Entered, Hook: m.Hook != nil,
	}
	if !owned {
		planned.PriorUID = l.uid
		p.entering = append(p.entering, gitops.Item{Ref: m.Ref, Bundle: m.Bundle, PriorUID: l.uid, Hook: m.Hook != nil})
	}
	if isAnnounced(item) && item.PriorUID == "" && exists && l.partOf != p.id {
		// It was not there when it was announced, and somebody else has made it
		// since: undoing the attempt must release it.
		planned.PriorUID = l.uid
		p.prior[m.Ref.Key()] = l.uid
	}
	action := gitops.Created
	if exists && reason != gitops.BecauseReplaced {
		action = gitops.Configured
	}
	p.plan.Apply = append(p.plan.Apply, gitops.Change{Ref: m.Ref, Action: action, Reason: reason, Item: planned, Seen: l.digest})
	p.members = append(p.members, member{manifest: m, needs: needs})
	return nil
}

// order puts the changes into the order in which they will be made, and finds
// circles before anything is written.
func (p *planner) order() error {
	steps, err := schedule(p.req.Want.Bundles, p.members)
	if err != nil {
		return err
	}
	rank := map[gitops.ObjectKey]int{}
	for i, s := range steps {
		for _, key := range s.members {
			rank[key] = i
		}
	}
	slices.SortStableFunc(p.plan.Apply, func(a, b gitops.Change) int {
		return cmp.Or(cmp.Compare(rank[a.Ref.Key()], rank[b.Ref.Key()]), a.Ref.Compare(b.Ref))
	})
	return nil
}

// otherOwner names who owns the object besides the ApplySet id, "" if nobody.
func (l live) otherOwner(id string) string {
	if l.partOf != "" && l.partOf != id {
		return "another source or ApplySet (" + l.partOf + ")"
	}
	return l.owner
}

// maxNamed is how many objects one message names.
const maxNamed = 5

// ownedByOther is one error for all objects that belong to others.
func ownedByOther(foreign []*gitops.Error) error {
	var parts []string
	for i, e := range foreign {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("and %d more", len(foreign)-maxNamed))
			break
		}
		parts = append(parts, e.Message)
	}
	return &gitops.Error{
		Reason: gitops.OwnedByOther, Object: foreign[0].Object, Message: strings.Join(parts, ", ") + ": nothing was written",
		Remedy: "remove the objects from one of the two, or set adopt: true on this source to take them over",
	}
}
