// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// way finds out what a node would run that saw each step, and took of it what
// was released. For every step it keeps the step whose content may run:
//
//	ground   1  approved      may run: 1
//	         2  not approved  may run: 1, whatever 2 made
//	         3  approved      may run: 3, if 2 made what 1 did; else 1
//
// The revision is released when it makes what may run.
//
// Lines meet in merges. What may run there is what the newest approved changes of
// all lines made, if they made the same.
type way struct {
	x        *examination
	plan     Plan
	steps    []step
	merges   bool                    // there are some
	contents map[gitops.Hash]Content // by tree
	guards   map[asked]guard
}

// asked is a protection that a policy has for a step.
type asked struct {
	step   int
	policy *policy
	index  int // of the protection; force comes behind them
}

// conflict is what may run where lines meet on which different things were
// approved: none of them, until somebody approves the merge.
const conflict = -1

// state is what may run once a step was taken.
type state struct {
	newest []int // changes, of which none comes after another
	runs   int   // one of them, or conflict
}

// class holds changed objects of which every step asks the same.
type class struct {
	change  Change // one of them
	objects []gitops.ObjectRef
}

func (w *way) classes() []class {
	type like struct {
		kind, namespace, name string
		forced                bool
	}
	var out []class
	index := map[like]int{}
	for _, c := range w.plan.Changed {
		key := like{kindName(c.Ref), c.Ref.Namespace, "", c.Forced}
		if c.Ref.Kind == "Namespace" {
			key.name = c.Ref.Name // it is what is protected
		}
		at, ok := index[key]
		if !ok {
			at = len(out)
			index[key] = at
			out = append(out, class{change: c})
		}
		out[at].objects = append(out[at].objects, c.Ref)
	}
	return out
}

// asks is what the steps ask of a class.
type asks struct {
	needed []bool        // of the steps: what it makes counts for the head
	free   []bool        // nothing is asked: what it makes may run
	closed map[int]guard // too few stand for it
}

// released judges every class.
func (w *way) released(ctx context.Context) error {
	for _, c := range w.classes() {
		a, err := w.asks(ctx, c)
		if err != nil {
			return err
		}
		for _, ref := range c.objects {
			if err := w.follow(ctx, ref, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// asks goes down from the head, and not below steps of which nothing is asked.
func (w *way) asks(ctx context.Context, c class) (asks, error) {
	n := len(w.steps)
	a := asks{needed: make([]bool, n), free: make([]bool, n), closed: map[int]guard{}}
	a.needed[n-1], a.free[0] = true, true
	var missing error
	for i := n - 1; i >= 1; i-- {
		if !a.needed[i] {
			continue
		}
		all, err := w.guarded(ctx, i, c.change)
		switch {
		case gitops.ReasonOf(err) == gitops.Incomplete:
			missing = err // what is missing of the others is asked for at once
		case err != nil:
			return a, err
		case len(all) == 0:
			a.free[i] = true
			continue
		}
		shut := slices.IndexFunc(all, func(g guard) bool { return !g.open() })
		if shut >= 0 && !slices.Contains(w.x.sealed, w.steps[i].id) {
			a.closed[i] = all[shut]
		}
		for _, from := range w.steps[i].from {
			a.needed[from] = !w.steps[from].old
		}
	}
	return a, missing
}

// guarded are the protections that a step meets when it changes something.
func (w *way) guarded(ctx context.Context, i int, c Change) ([]guard, error) {
	s := &w.steps[i]
	if s.under == nil {
		var err error
		if s.under, _, err = w.x.authorities(ctx, s.id, s.raw); err != nil {
			return nil, err
		}
	}
	var out []guard
	for _, p := range s.under {
		protections := p.file.Protected
		if c.Forced && p.inBand() {
			protections = append(slices.Clone(protections), Protection{Approvals: p.threshold()})
		}
		for at, protection := range protections {
			if at < len(p.file.Protected) && !protection.protects(c.Ref) {
				continue
			}
			key := asked{step: i, policy: p, index: at}
			g, known := w.guards[key]
			if !known {
				var err error
				if g, err = w.x.guard(ctx, s.id, s.raw, p, protection); err != nil {
					return nil, err
				}
				w.guards[key] = g
			}
			out = append(out, g)
		}
	}
	return out, nil
}

// follow keeps for every step that counts what may run.
func (w *way) follow(ctx context.Context, ref gitops.ObjectRef, a asks) error {
	states := make([]state, len(w.steps))
	for i := range w.steps {
		states[i] = state{newest: []int{0}} // where it is old: what runs is compared with it
		if !a.needed[i] {
			continue
		}
		if states[i] = (state{newest: []int{i}, runs: i}); a.free[i] {
			continue
		}
		var err error
		if states[i], err = w.after(ctx, ref, i, a, states); err != nil {
			return err
		}
	}
	head := len(w.steps) - 1
	same, err := w.same(ctx, ref, states[head].runs, head)
	if err != nil || same {
		return err
	}
	return w.blames(ctx, ref, a, states)
}

// after is what may run once a step was taken.
func (w *way) after(ctx context.Context, ref gitops.ObjectRef, i int, a asks, states []state) (state, error) {
	joined, err := w.joined(ctx, ref, w.steps[i].from, states)
	if _, shut := a.closed[i]; shut || err != nil {
		return joined, err
	}
	return w.approved(ctx, ref, i, joined, states)
}

// approved is what may run after a step for which enough stand: what the step made,
// if its first parent, with which they compared it, made what may run there. In a
// merge that keeps what its first parent made they saw no difference: it does not
// undo what was approved on another line since.
func (w *way) approved(ctx context.Context, ref gitops.ObjectRef, i int, joined state, states []state) (state, error) {
	from := w.steps[i].from
	if len(from) == 0 {
		return joined, nil
	}
	if same, err := w.same(ctx, ref, states[from[0]].runs, from[0]); !same {
		return joined, err
	}
	if w.merges { // what changes nothing has no say where lines meet
		if kept, err := w.same(ctx, ref, joined.runs, i); err != nil || kept {
			return joined, err
		}
	}
	if len(from) > 1 {
		unseen, err := w.same(ctx, ref, from[0], i)
		if err != nil || unseen && !w.chosen(states[from[0]], joined) {
			return joined, err
		}
	}
	return state{newest: []int{i}, runs: i}, nil
}

// chosen reports whether what may run on a line is one side of a conflict, and
// not older than the other.
func (w *way) chosen(line, joined state) bool {
	return !slices.ContainsFunc(line.newest, func(i int) bool { return !slices.Contains(joined.newest, i) })
}

// joined is what may run where lines meet.
func (w *way) joined(ctx context.Context, ref gitops.ObjectRef, from []int, states []state) (state, error) {
	var all []int
	for _, i := range from {
		all = append(all, states[i].newest...)
	}
	if len(from) == 0 {
		all = []int{0} // a line that begins anew
	}
	slices.Sort(all)
	all = slices.Compact(all)
	var out state
	for _, i := range all {
		if !slices.ContainsFunc(all, func(other int) bool { return other != i && w.descends(other, i) }) {
			out.newest = append(out.newest, i)
		}
	}
	out.runs = out.newest[0]
	for _, i := range out.newest[1:] {
		same, err := w.same(ctx, ref, out.runs, i)
		if err != nil {
			return out, err
		}
		if !same {
			out.runs = conflict
		}
	}
	return out, nil
}

// descends reports whether a step comes after another. All come after the ground.
func (w *way) descends(a, b int) bool {
	return b == 0 || w.x.arrivals.contains(w.steps[a].id, w.x.arrivals.index[w.steps[b].id])
}
