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
	from  []int     // its parents among the steps
	old   bool      // it came before the ground, or beside it: it is only compared with
	raw   rawCommit // of those that are judged
	under []*policy // nil until it is asked for
}

// steps are the commits by which the head came about, parents before children. The
// first is the ground, of which nothing is asked: what the node runs, since, or, when
// that is "", where trust begins; or what the roots sealed above it, with all below.
// There are none when the head does not descend from it.
//
// All lines are followed, and not first parents alone: whoever merges chooses the
// order of the parents.
func (x *examination) steps(ctx context.Context, since gitops.Hash) ([]step, error) {
	if since == "" {
		since = x.introduction()
	}
	if x.v.cfg.Mode != ModeHistory { // a head stands for all that came since the one before
		raw, err := parseIn(ctx, x.objects, x.head())
		return []step{{id: since}, {id: x.head(), raw: raw, from: []int{0}}}, err
	}
	ground, fewest := since, x.v.cfg.MaxCommits+1
	for _, bound := range append(slices.Clone(x.sealed), x.introduction()) {
		above, err := x.v.behind(ctx, since, bound)
		if err != nil {
			return nil, err
		}
		if !above {
			continue
		}
		// One that a line goes around is no ground for that line.
		steps, around, err := x.stepsFrom(ctx, bound)
		if err != nil {
			return nil, err
		}
		if n := len(steps); n > 0 && n < fewest && !around {
			ground, fewest = bound, n
		}
	}
	steps, _, err := x.stepsFrom(ctx, ground)
	return steps, err
}

// stepsFrom are the steps above a ground. Around says that not all lines that
// lead to the head come from there.
func (x *examination) stepsFrom(ctx context.Context, ground gitops.Hash) (steps []step, around bool, err error) {
	if x.history, err = x.v.history(ctx, x.head(), "", []gitops.Hash{ground}); err != nil || !x.history.reached(ground) {
		return nil, false, err
	}
	if steps, around, err = x.list(ctx, ground); !around {
		return steps, around, err
	}
	// Dates may lie, and have what is old look new: it would have a say again.
	if err := x.history.settle(ctx); err != nil {
		return nil, false, err
	}
	return x.list(ctx, ground)
}

func (x *examination) list(ctx context.Context, ground gitops.Hash) (steps []step, around bool, err error) {
	if err := x.enter(ctx, ground); err != nil {
		return nil, false, err
	}
	steps = []step{{id: ground}}
	at := map[gitops.Hash]int{ground: 0}
	for _, id := range x.history.commits() {
		s := step{id: id}
		if s.raw, err = parseIn(ctx, x.objects, id); err != nil {
			return nil, false, err
		}
		around = around || len(s.raw.parents) == 0
		for _, parent := range s.raw.parents {
			i, ok := at[parent]
			if !ok {
				around = true
				i = len(steps)
				at[parent] = i
				steps = append(steps, step{id: parent, old: true})
			}
			s.from = append(s.from, i)
		}
		at[id] = len(steps)
		steps = append(steps, s)
	}
	return steps, around, nil
}
