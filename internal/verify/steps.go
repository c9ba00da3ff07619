// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

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
	bounds := append([]gitops.Hash{since, x.introduction()}, x.sealed...)
	var err error
	if x.history, err = x.v.history(ctx, x.head(), "", bounds); err != nil {
		return nil, err
	}
	ground, err := x.ground(ctx, since, bounds)
	if ground == "" {
		return nil, err
	}
	if err := x.enter(ctx, ground); err != nil {
		return nil, err
	}
	out := []step{{id: ground}}
	at := map[gitops.Hash]int{ground: 0}
	for _, id := range x.history.commits() {
		s := step{id: id}
		if s.raw, err = parseIn(ctx, x.objects, id); err != nil {
			return nil, err
		}
		for _, parent := range s.raw.parents {
			i, ok := at[parent]
			if !ok {
				i = len(out)
				at[parent] = i
				out = append(out, step{id: parent, old: true})
			}
			s.from = append(s.from, i)
		}
		at[id] = len(out)
		out = append(out, s)
	}
	return out, nil
}

// ground is the newest of the bounds from which the head descends, and which
// descends from since.
func (x *examination) ground(ctx context.Context, since gitops.Hash, bounds []gitops.Hash) (gitops.Hash, error) {
	ground := gitops.Hash("")
	for _, bound := range bounds {
		if !x.history.reached(bound) {
			continue
		}
		above := since
		if ground != "" {
			above = ground
		}
		ok := bound == since
		if !ok {
			var err error
			if ok, err = x.v.behind(ctx, above, bound); err != nil {
				return "", err
			}
		}
		if ok {
			ground = bound
		}
	}
	return ground, nil
}
