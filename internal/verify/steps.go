// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// step is a commit on the way to a revision.
type step struct {
	id    gitops.Hash
	raw   rawCommit
	under []*policy // nil until it is asked for
	// turned is set for a merge that what the node runs came into from the side:
	// approvals of it compare it with something else.
	turned bool
}

// wayFrom finds the commits by which the head came about since a commit that the
// node runs, or since trust began, oldest first. The first one is the ground, of
// which nothing is asked; what the roots sealed, with all below, is one, too. It is
// nil when nothing leads there.
func (x *examination) wayFrom(ctx context.Context, p Plan, since gitops.Hash) (*way, error) {
	w := &way{x: x, plan: p, contents: map[int]Content{}, guards: map[asked]guard{}}
	if x.v.cfg.Mode != ModeHistory {
		return w, w.heads(ctx, since)
	}
	bounds := append(slices.Clone(x.sealed), x.introduction())
	top := x.v.start
	if since != "" {
		top = since
	}
	var err error
	if x.history, err = x.v.history(ctx, x.head(), since, bounds); err != nil {
		return nil, err
	}
	if since != "" && !x.history.reached(since) {
		return nil, nil
	}
	if err := x.enter(ctx, top); err != nil {
		return nil, err
	}
	turned := false
	for id := x.head(); id != ""; {
		raw, err := parseIn(ctx, x.objects, id)
		if err != nil {
			return nil, err
		}
		w.steps = append(w.steps, step{id: id, raw: raw})
		if !x.arrivals.isNew(id) {
			slices.Reverse(w.steps)
			return w, nil
		}
		if id, turned, err = x.toward(ctx, raw.parents, bounds); err != nil {
			return nil, err
		}
		w.steps[len(w.steps)-1].turned = turned
	}
	return nil, nil
}

// heads are the two steps of a way on which only heads are signed: the approval
// of one stands for all that came since the one before.
func (w *way) heads(ctx context.Context, since gitops.Hash) error {
	if since == "" {
		since = w.x.introduction()
	}
	ids := []gitops.Hash{since, w.x.head()}
	if since == w.x.head() {
		ids = ids[1:]
	}
	for _, id := range ids {
		raw, err := parseIn(ctx, w.x.objects, id)
		if err != nil {
			return err
		}
		w.steps = append(w.steps, step{id: id, raw: raw})
	}
	return nil
}

// toward is the parent through which the way goes on: the first one, unless
// what it begins with came in by another. Whoever merges chooses the order of the
// parents, and must not choose by it what the merge is compared with.
func (x *examination) toward(ctx context.Context, parents, bounds []gitops.Hash) (next gitops.Hash, turned bool, err error) {
	a := x.arrivals
	for i, parent := range parents {
		leads := !a.beside[parent]
		if !a.isNew(parent) {
			if leads = slices.Contains(bounds, parent); x.history.reached(a.top) {
				if leads, err = x.above(ctx, a.top, parent); err != nil {
					return "", false, err
				}
			}
		}
		if leads {
			return parent, i > 0, nil
		}
	}
	return "", false, nil
}
