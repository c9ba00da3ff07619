// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// trustDir is the directory whose files decide whom to trust: its content is
// needed of every commit.
const trustDir = ".edgeagent"

// Lineage is what a walk over the commits of a tip found.
type Lineage struct {
	// Missing is what is named and not here: commits first, then root trees,
	// then what is below an .edgeagent entry.
	Missing []gitops.MissingObject
	// Around says that a path ended, in a root commit or a missing one, without
	// meeting the end that the caller gave.
	Around  bool
	Commits int // that are here
}

// Lineage walks the commits of tip (of a tag: what it names), not past until:
// those belong to it, their parents do not. At most most missing objects are
// named, the nearest first; fewer than that are all there are. Finding none is
// the proof that Advance asks for.
func (s *Store) Lineage(ctx context.Context, tip gitops.Hash, until []gitops.Hash, most int) (l Lineage, err error) {
	defer s.quarantine(ctx, &err)
	start, err := parseID(tip)
	if err != nil {
		return l, err
	}
	end, err := parseEnd(until)
	if err != nil {
		return l, err
	}
	since := s.walked.begin()
	p, err := s.peel(ctx, start)
	if err != nil {
		return l, err
	}
	if !p.at.here() {
		kind := kindOf(p.target.kind)
		return Lineage{Missing: []gitops.MissingObject{{ID: p.target.id.hash(), Kind: kind, Depth: 1}}, Around: true}, nil
	}
	if p.at.kind != plumbing.CommitObject {
		return l, notACommit(start, p)
	}
	w := newLineageWalk(s, max(most, 1))
	a := ancestry{s: s, until: end, commit: w.commit, lost: w.lostCommit, root: func() { w.out.Around = true }}
	err = a.walk(ctx, p.target.id)
	if err != nil && !errors.Is(err, errEnough) {
		return l, err
	}
	l = w.result()
	if len(l.Missing) == 0 {
		s.walked.end(start, since)
	}
	return l, nil
}

func notACommit(tip id, p peeled) error {
	return &gitops.Error{
		Reason:  gitops.MalformedTag,
		Message: fmt.Sprintf("walk the history of %s: it names a %s, not a commit", tip.hash(), p.at.kind),
		Remedy:  "let the ref name a commit",
	}
}

// lineageWalk collects what is missing, in three lists of at most most.
type lineageWalk struct {
	s       *Store
	out     Lineage
	most    int
	commits missing
	trees   missing
	trust   missing
	roots   marks // the root trees that were looked at
	below   descent
}

func newLineageWalk(s *Store, most int) *lineageWalk {
	w := &lineageWalk{
		s: s, most: most,
		commits: missing{most: most}, trees: missing{most: most}, trust: missing{most: most},
	}
	w.below = descent{s: s, lost: func(l link, path string) error {
		// A full list ends neither the walk nor this descent early: commits and
		// root trees come before it.
		w.trust.add(l, path, 0)
		if w.trust.full() {
			return errEnough
		}
		return nil
	}}
	return w
}

func (w *lineageWalk) lostCommit(i id) error {
	w.out.Around = true
	w.commits.add(link{i, plumbing.CommitObject}, "", 1)
	if w.commits.full() {
		return errEnough
	}
	return nil
}

func (w *lineageWalk) commit(ctx context.Context, i id, _ int64, h history) error {
	w.out.Commits++
	a, err := w.s.locate(ctx, h.tree)
	if err != nil {
		return err
	}
	tree := link{h.tree, plumbing.TreeObject}
	if !a.here() {
		w.trees.add(tree, "", 1)
		return nil
	}
	if err := checkKind(i, plumbing.CommitObject, tree, a); err != nil {
		return err
	}
	if w.trust.full() || !w.roots.add(a.seq) {
		return nil
	}
	if err := w.below.trust(ctx, h.tree); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

func (w *lineageWalk) result() Lineage {
	w.out.Missing = slices.Concat(w.commits.objects, w.trees.objects, w.trust.objects)
	w.out.Missing = w.out.Missing[:min(len(w.out.Missing), w.most)]
	return w.out
}

// Ancestor reports whether old is young or an ancestor of it, by the commits
// that are here.
func (s *Store) Ancestor(ctx context.Context, old, young gitops.Hash) (yes bool, err error) {
	defer s.quarantine(ctx, &err)
	ids, err := parseIDs([]gitops.Hash{old, young})
	if err != nil {
		return false, err
	}
	if old == young {
		return true, nil
	}
	p, err := s.peel(ctx, ids[1])
	if err != nil || !p.at.here() || p.at.kind != plumbing.CommitObject {
		return false, err
	}
	a := ancestry{s: s, commit: func(_ context.Context, i id, _ int64, _ history) error {
		if i == ids[0] {
			return errEnough
		}
		return nil
	}}
	err = a.walk(ctx, p.target.id)
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}

// parseEnd reads the commits that end a walk. An empty one names nothing.
func parseEnd(until []gitops.Hash) (map[id]struct{}, error) {
	out := make(map[id]struct{}, len(until))
	for _, h := range until {
		if h == "" {
			continue
		}
		i, err := parseID(h)
		if err != nil {
			return nil, err
		}
		out[i] = struct{}{}
	}
	return out, nil
}
