// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// mostRendered bounds how many commits are rendered to find out which of them
// brought something protected. Beyond it the roots can seal a commit.
const mostRendered = 256

// way finds out what a node would run that saw each step, and took of it what
// was released. For every step it keeps the step whose content may run:
//
//	ground   1  approved      may run: 1
//	         2  not approved  may run: 1, whatever 2 made
//	         3  approved      may run: 3, if 2 made what 1 did; else 1
//
// The revision is released when it makes what may run.
type way struct {
	x        *examination
	plan     Plan
	steps    []step
	contents map[int]Content
	guards   map[asked]guard
}

// asked is a protection that a policy has for a step.
type asked struct {
	step   int
	policy *policy
	index  int // of the protection; force comes behind them
}

// conflict is the state of a merge of lines on which different things were
// approved: none of them may run until somebody approves the merge.
const conflict = -1

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
		if shut := slices.IndexFunc(all, func(g guard) bool { return !g.open() }); shut >= 0 {
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
		if s.under, err = w.x.authorities(ctx, s.id, s.raw); err != nil {
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

// follow keeps for every step that counts the step whose content may run.
func (w *way) follow(ctx context.Context, ref gitops.ObjectRef, a asks) error {
	runs := make([]int, len(w.steps))
	for i := range w.steps {
		if !a.needed[i] {
			continue // where it is old: what runs is compared with it
		}
		if runs[i] = i; a.free[i] {
			continue
		}
		var err error
		if runs[i], err = w.after(ctx, ref, i, a, runs); err != nil {
			return err
		}
	}
	head := len(w.steps) - 1
	same, err := w.same(ctx, ref, runs[head], head)
	if err != nil || same {
		return err
	}
	return w.blames(ctx, ref, a, runs)
}

// after is the step whose content may run once a step was taken: the step itself
// if enough stand for it, and its first parent, with which they compared it, makes
// what may run there. In a merge that keeps what its first parent made they saw no
// difference: it does not undo what was approved on another line.
func (w *way) after(ctx context.Context, ref gitops.ObjectRef, i int, a asks, runs []int) (int, error) {
	from := w.steps[i].from
	joined, err := w.joined(ctx, ref, from, runs)
	if _, shut := a.closed[i]; shut || err != nil || len(from) == 0 {
		return joined, err
	}
	same, err := w.same(ctx, ref, runs[from[0]], from[0])
	if !same {
		return joined, err
	}
	if joined != conflict && joined != runs[from[0]] {
		if unseen, err := w.same(ctx, ref, from[0], i); err != nil || unseen {
			return joined, err
		}
	}
	return i, nil
}

// joined is what may run where lines meet: the newest of what may run on each.
func (w *way) joined(ctx context.Context, ref gitops.ObjectRef, from, runs []int) (int, error) {
	if len(from) == 0 {
		return 0, nil // a line that begins anew
	}
	out := runs[from[0]]
	for _, i := range from[1:] {
		switch other := runs[i]; {
		case out == conflict || other == conflict:
			return conflict, nil
		case w.descends(out, other):
		case w.descends(other, out):
			out = other
		default:
			same, err := w.same(ctx, ref, out, other)
			if err != nil {
				return 0, err
			}
			if !same {
				return conflict, nil
			}
		}
	}
	return out, nil
}

// descends reports whether a step is another or comes after it. All come after
// the ground.
func (w *way) descends(a, b int) bool {
	return b == 0 || w.x.arrivals.contains(w.steps[a].id, w.x.arrivals.index[w.steps[b].id])
}

// same reports whether two steps make the same of an object. What does not render
// is like nothing else.
func (w *way) same(ctx context.Context, ref gitops.ObjectRef, a, b int) (bool, error) {
	if a == b || a == conflict {
		return a == b, nil
	}
	before, err := w.content(ctx, a)
	if before == nil {
		return false, err
	}
	after, err := w.content(ctx, b)
	return after != nil && before[ref.Key()] == after[ref.Key()], err
}

// sameGround reports whether the ground makes of what rests on it what it made of
// it when it was applied.
func (w *way) sameGround(ctx context.Context) (bool, error) {
	for _, c := range w.classes() {
		a, err := w.asks(ctx, c)
		if err != nil {
			return false, err
		}
		if !a.needed[0] {
			continue
		}
		now, err := w.content(ctx, 0)
		if now == nil {
			return false, err
		}
		for _, ref := range c.objects {
			if now[ref.Key()] != w.plan.Runs[ref.Key()] {
				return false, nil
			}
		}
	}
	return true, nil
}

// content is what a step makes of objects, nil where it does not render.
func (w *way) content(ctx context.Context, i int) (Content, error) {
	if c, ok := w.contents[i]; ok {
		return c, nil
	}
	id := w.steps[i].id
	if len(w.contents) >= mostRendered {
		return nil, blame(refusal(gitops.NotApproved, "have the roots seal a newer commit with edgeagent trust seal, or set trust.introduction to one",
			"too much lies between %s and what approvals are counted from: more than %d commits would have to be rendered", w.x.head().Short(), mostRendered), w.x.head())
	}
	raw, err := parseIn(ctx, w.x.objects, id)
	if err != nil {
		return nil, err
	}
	c, err := w.plan.Content(ctx, Commit{revision: gitops.NewRevision(w.plan.Revision.Ref(), id), tree: raw.tree, valid: true})
	if err == nil {
		w.contents[i] = c
	}
	return c, err
}
