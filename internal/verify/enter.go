// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// arrivals tell how new commits came into the lines that are trusted.
type arrivals struct {
	index  map[gitops.Hash]int
	below  [][]uint64 // of each new commit, those that are it or its ancestors
	merges []merge
	// top is what was accepted, or where trust begins, when the head descends
	// from it, and beside are the new commits that do not.
	top    gitops.Hash
	beside map[gitops.Hash]bool
	// mainline are the new commits to which first parents lead from the head.
	mainline map[gitops.Hash]bool
}

// isNew reports whether a commit is among the new ones.
func (a *arrivals) isNew(id gitops.Hash) bool {
	if a == nil { // where only heads are judged
		return false
	}
	_, ok := a.index[id]
	return ok
}

func (a *arrivals) onMainline(id gitops.Hash) bool { return a != nil && a.mainline[id] }

// merge is a new commit with several parents.
type merge struct {
	id      gitops.Hash
	parents []gitops.Hash
	// newer are the parents whose trust file is newer than the first's. Who
	// merges chooses the order of the parents, and must not choose by it whose
	// trust file counts.
	newer []gitops.Hash
	known bool
	err   error
}

// enter finds out which new commits came in by which merges, into the line that
// begins at top. Its cost is bounded by the number of new commits, whatever their
// shape: nothing is judged yet.
func (x *examination) enter(ctx context.Context, top gitops.Hash) error {
	if x.history == nil || x.v.cfg.Mode != ModeHistory {
		return nil
	}
	a := &arrivals{top: top, index: map[gitops.Hash]int{}, beside: map[gitops.Hash]bool{}, mainline: map[gitops.Hash]bool{}}
	order := x.history.commits()
	words := (len(order) + 63) / 64
	for i, id := range order {
		parents := x.history.nodes[id].parents
		if len(parents) > 1 {
			a.merges = append(a.merges, merge{id: id, parents: parents})
		}
		a.index[id] = i
		a.below = append(a.below, make([]uint64, words))
		a.below[i][i/64] |= 1 << (i % 64)
		for _, parent := range parents {
			if !a.isNew(parent) {
				continue
			}
			for w, bits := range a.below[a.index[parent]] {
				a.below[i][w] |= bits
			}
		}
	}
	for id := x.head(); a.isNew(id); id = first(x.history.nodes[id].parents) {
		a.mainline[id] = true
	}
	x.arrivals = a
	return x.besides(ctx, a, order)
}

// besides finds the new commits that do not descend from what was accepted, or
// from where trust begins. Where the head does not, none has to.
func (x *examination) besides(ctx context.Context, a *arrivals, order []gitops.Hash) error {
	if !x.history.reached(a.top) {
		return nil
	}
	for _, id := range order {
		descends := false
		for _, parent := range x.history.nodes[id].parents {
			above := !a.beside[parent]
			if !a.isNew(parent) {
				var err error
				if above, err = x.above(ctx, a.top, parent); err != nil {
					return err
				}
			}
			descends = descends || above
		}
		if !descends {
			a.beside[id] = true
		}
	}
	return nil
}

// above reports whether a commit that is not new is the top, or sealed above it.
func (x *examination) above(ctx context.Context, top, id gitops.Hash) (bool, error) {
	if id == top {
		return true, nil
	}
	if !slices.Contains(x.sealed, id) {
		return false, nil
	}
	return x.v.behind(ctx, top, id)
}

// contains reports whether a commit is another or a new ancestor of it.
func (a *arrivals) contains(in gitops.Hash, i int) bool {
	j, ok := a.index[in]
	return ok && a.below[j][i/64]&(1<<(i%64)) != 0
}

// brought names the commits into whose line a commit came by a merge: the
// merge's first parent, one with a newer trust file, and what was accepted,
// wherever the merge put it. All are named, so that what is missing of them is
// asked for at once.
func (x *examination) brought(ctx context.Context, id gitops.Hash, into func(gitops.Hash) error) error {
	a := x.arrivals
	if !a.isNew(id) {
		return nil
	}
	i := a.index[id]
	var errs []error
	for at := range a.merges {
		m := &a.merges[at]
		if !a.contains(m.id, i) {
			continue
		}
		if !a.contains(m.parents[0], i) {
			errs = append(errs, into(m.parents[0]))
		}
		if !m.known {
			m.known = true
			m.newer, m.err = x.newerThanFirst(ctx, m.parents)
		}
		if m.err != nil {
			errs = append(errs, m.err)
		}
		for _, parent := range m.newer {
			if !a.contains(parent, i) {
				errs = append(errs, into(parent))
			}
		}
	}
	if a.beside[id] {
		errs = append(errs, into(a.top))
	}
	return firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *examination) newerThanFirst(ctx context.Context, parents []gitops.Hash) ([]gitops.Hash, error) {
	first, err := x.policyOf(ctx, parents[0])
	if err != nil {
		return nil, err
	}
	var out []gitops.Hash
	var errs []error
	for _, parent := range parents[1:] {
		p, err := x.policyOf(ctx, parent)
		if errs = append(errs, err); err == nil && p.file.Version > first.file.Version {
			out = append(out, parent)
		}
	}
	return out, firstOf(errs)
}
