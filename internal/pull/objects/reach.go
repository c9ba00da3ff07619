// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Reach lists what an export holds, each object once: the tags and commits of
// tips, not past until (those are in it, their parents are not), with their root
// trees and what is below .edgeagent; then all that whole names, with its trees
// and files. Where something of that is not here, the error names it.
func (s *Store) Reach(ctx context.Context, tips, until, whole []gitops.Hash) (list []gitops.Hash, err error) {
	defer s.quarantine(ctx, &err)
	end, err := parseEnd(until)
	if err != nil {
		return nil, err
	}
	w := newReachWalk(s)
	w.history.until = end
	for _, h := range slices.Concat(tips, whole) {
		if err := w.tip(ctx, h, slices.Contains(tips, h)); err != nil {
			return nil, err
		}
	}
	for _, h := range whole {
		i, err := parseID(h)
		if err != nil {
			return nil, err
		}
		if err := w.below.walk(ctx, i); err != nil {
			return nil, err
		}
	}
	return w.list, nil
}

type reachWalk struct {
	s       *Store
	list    []gitops.Hash
	rows    marks
	history ancestry
	below   descent
}

func newReachWalk(s *Store) *reachWalk {
	w := &reachWalk{s: s}
	w.history = ancestry{s: s, commit: w.commit, lost: func(i id) error {
		return notHere(link{i, plumbing.CommitObject}, "")
	}}
	w.below = descent{s: s, lost: notHere, found: func(l link, seq int64) { w.add(l.id, seq) }}
	return w
}

func (w *reachWalk) add(i id, seq int64) {
	if w.rows.add(seq) {
		w.list = append(w.list, i.hash())
	}
}

// tip adds the tags and the commit that an object means, and the commits before
// it where its history is wanted.
func (w *reachWalk) tip(ctx context.Context, h gitops.Hash, history bool) error {
	i, err := parseID(h)
	if err != nil {
		return err
	}
	p, err := w.s.peel(ctx, i)
	if err != nil {
		return err
	}
	for _, tag := range p.tags {
		w.add(tag.id, tag.seq)
	}
	switch {
	case !p.at.here():
		return notHere(p.target, "")
	case p.at.kind != plumbing.CommitObject:
		return nil
	case history:
		return w.history.walk(ctx, p.target.id)
	}
	w.add(p.target.id, p.at.seq)
	return nil
}

func (w *reachWalk) commit(ctx context.Context, i id, seq int64, h history) error {
	w.add(i, seq)
	tree := link{h.tree, plumbing.TreeObject}
	a, err := w.s.locate(ctx, h.tree)
	if err != nil {
		return err
	}
	if !a.here() {
		return notHere(tree, "")
	}
	if err := checkKind(i, plumbing.CommitObject, tree, a); err != nil {
		return err
	}
	if w.rows.has(a.seq) {
		return nil
	}
	w.add(h.tree, a.seq)
	return w.below.trust(ctx, h.tree)
}

func notHere(l link, path string) error {
	what := "object"
	if kind := kindOf(l.kind); kind != "" {
		what = string(kind)
	}
	if path != "" {
		what += " " + path + ","
	}
	return &gitops.Error{
		Reason:  gitops.Incomplete,
		Message: fmt.Sprintf("list what is needed: %s %s is not in the object store", what, l.id.hash()),
		Remedy:  "the next poll brings it",
	}
}
