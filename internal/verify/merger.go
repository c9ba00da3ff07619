// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// merges holds a merge by a forge's key to what such a key is for: it joins two
// lines that people wrote and approved, and adds nothing of its own. Its tree
// must be what everybody gets who merges by whole files; where two people
// changed the same file, one of them has to merge and sign.
func (x *examination) merges(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy) error {
	const remedy = "have a developer make and sign the merge; a squash or rebase by the forge needs trust mode head"
	if len(raw.parents) != 2 {
		return refusal(gitops.MergerAuthored, remedy, "commit %s has %d parents, and %s lets its key merge two", id.Short(), len(raw.parents), p.name)
	}
	if err := x.continues(ctx, id, raw, p); err != nil {
		return err
	}
	side, err := parseIn(ctx, x.objects, raw.parents[1])
	if err != nil {
		return err
	}
	names, err := x.approvals(ctx, p, raw.parents[1], first(side.parents), roleDeveloper, roleRoot)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return x.lacking(ctx, refusal(gitops.NotApproved, fmt.Sprintf("have a developer approve what was merged with edgeagent approve %s", raw.parents[1].Short()),
			"commit %s merges %s, which nobody approved", id.Short(), raw.parents[1].Short()), p, raw.parents[1], side, roleDeveloper, roleRoot)
	}
	bases, err := x.mergeBases(ctx, raw.parents[0], raw.parents[1])
	if err != nil {
		return err
	}
	if len(bases) != 1 {
		return refusal(gitops.MergerAuthored, remedy, "commit %s merges lines with %d common ancestors, not one", id.Short(), len(bases))
	}
	trees := make([]gitops.Hash, 0, 3)
	for _, c := range []gitops.Hash{bases[0], raw.parents[0], raw.parents[1]} {
		tree, err := x.treeOf(ctx, c)
		if err != nil {
			return err
		}
		trees = append(trees, tree)
	}
	m := threeWay{x: x, ctx: ctx}
	at, err := m.directory("", trees[0], trees[1], trees[2], raw.tree)
	if err != nil {
		return err
	}
	if at != "" {
		return refusal(gitops.MergerAuthored, remedy, "commit %s holds %s as no merge of whole files makes it", id.Short(), quoted(at))
	}
	return nil
}

// continues holds a forge's merge on the way to the head to the line that was
// released: its first parent needs no approval, and so must not be any signed
// commit that somebody has not released. What is new there is a merge by the
// forge, which was held to the same, or people say that it is for this ref.
func (x *examination) continues(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy) error {
	line := raw.parents[0]
	if !x.arrivals.onMainline(id) || !x.arrivals.isNew(line) {
		return nil
	}
	before, err := parseIn(ctx, x.objects, line)
	if err != nil {
		return err
	}
	// Who has another role, too, merged as a person and was held to nothing.
	who, err := p.check(own(line, before), x.moment(line), x.revoked, roleDeveloper, roleRoot, roleMerger)
	if err == nil && who.role == roleMerger {
		return nil // it is a merge: a forge's key signs nothing else
	}
	people := slices.DeleteFunc(append([]string{roleDeveloper, roleRoot}, p.file.releasers(x.commit.FullRef)...),
		func(role string) bool { return role == roleMerger })
	if x.trailed(line, before, p, people...) {
		return nil
	}
	names, err := x.approvals(ctx, p, line, first(before.parents), people...)
	if err != nil || len(names) > 0 {
		return err
	}
	return x.lacking(ctx, refusal(gitops.NotApproved, fmt.Sprintf("have a developer approve it with edgeagent approve %s", line.Short()),
		"commit %s merges into %s, which nobody released to %s", id.Short(), line.Short(), quoted(x.commit.FullRef)), p, line, before, people...)
}

// threeWay compares a merge's tree with the only one that a merge by whole
// files can have.
type threeWay struct {
	x       *examination
	ctx     context.Context
	visited int
}

// directory returns the first path that is not as it must be. Ids are "" where
// there is no directory.
func (m *threeWay) directory(dir string, base, ours, theirs, result gitops.Hash) (string, error) {
	var sides [4][]gitops.TreeEntry
	names := map[string]bool{}
	for i, id := range []gitops.Hash{base, ours, theirs, result} {
		if id == "" {
			continue
		}
		entries, err := directory(m.ctx, m.x.objects, id)
		if err != nil {
			return "", err
		}
		sides[i] = entries
		for _, e := range entries {
			names[e.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at, err := m.entry(path.Join(dir, name), named(sides[0], name), named(sides[1], name), named(sides[2], name), named(sides[3], name))
		if err != nil || at != "" {
			return at, err
		}
	}
	return "", nil
}

func (m *threeWay) entry(at string, base, ours, theirs, result gitops.TreeEntry) (string, error) {
	if m.visited++; m.visited > maxChangedPaths {
		return at, nil // too much to compare is too much for a forge
	}
	want, sure := mustBe(base, ours, theirs)
	switch {
	case sure && result == want:
		return "", nil
	case sure:
		return at, nil
	}
	// Both sides changed it: that is a merge of whole files only where it is a
	// directory on both sides.
	if !ours.Directory() || !theirs.Directory() || !result.Directory() || base.ID != "" && !base.Directory() {
		return at, nil
	}
	return m.directory(at, base.ID, ours.ID, theirs.ID, result.ID)
}

// mustBe is what a merge holds where at most one side changed an entry, or both
// to the same.
func mustBe[T comparable](base, ours, theirs T) (want T, sure bool) {
	switch {
	case ours == theirs, theirs == base:
		return ours, true
	case ours == base:
		return theirs, true
	}
	return want, false
}
