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

// asked is a protection that a policy has for a step.
type asked struct {
	step   int
	policy *policy
	index  int // of the protection; force comes behind them
}

// way finds out what a node would run that saw each step, and took of it what
// was released: what a step changes of something protected, compared with the
// step before, if enough stand for the step and the node runs what it was
// compared with. Nothing else may be in the revision.
type way struct {
	x        *examination
	plan     Plan
	steps    []step
	contents map[int]Content
	guards   map[asked]guard
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

func (w *way) released(ctx context.Context) error {
	for _, c := range w.classes() {
		from, closed, err := w.asks(ctx, c)
		if err != nil {
			return err
		}
		for _, ref := range c.objects {
			if err := w.follow(ctx, ref, from, closed); err != nil {
				return err
			}
		}
	}
	return nil
}

// asks finds the last step of which nothing is asked about a class: what it
// makes of it may run. Closed are the steps after it for which too few stand.
func (w *way) asks(ctx context.Context, c class) (from int, closed map[int]guard, err error) {
	closed = map[int]guard{}
	for i := len(w.steps) - 1; i > 0; i-- {
		all, stepErr := w.guarded(ctx, i, c.change)
		if gitops.ReasonOf(stepErr) == gitops.Incomplete {
			err = stepErr // what is missing of the others is asked for at once
			continue
		}
		if stepErr != nil {
			return 0, nil, stepErr
		}
		if len(all) == 0 && err == nil {
			return i, closed, nil
		}
		if shut := slices.IndexFunc(all, func(g guard) bool { return !g.open() || w.steps[i].turned }); shut >= 0 {
			closed[i] = all[shut]
		}
	}
	return 0, closed, err
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

// follow walks from a step whose content may run to the head. At is the step
// whose content the node would run.
func (w *way) follow(ctx context.Context, ref gitops.ObjectRef, from int, closed map[int]guard) error {
	at, head := from, len(w.steps)-1
	for i := from + 1; i <= head; i++ {
		if _, shut := closed[i]; shut {
			continue
		}
		same, err := w.same(ctx, ref, at, i-1)
		if err != nil {
			return err
		}
		if same {
			at = i
		}
	}
	same, err := w.same(ctx, ref, at, head)
	if err != nil || same {
		return err
	}
	// Somewhere behind it is the step that first made something else of it.
	low, high := at, head
	for high-low > 1 {
		middle := (low + high) / 2
		if same, err = w.same(ctx, ref, at, middle); err != nil {
			return err
		}
		if same {
			low = middle
		} else {
			high = middle
		}
	}
	return w.refuses(w.steps[high], closed[high], ref)
}

// refuses names the commit that changed something for which too few stand.
func (w *way) refuses(s step, g guard, ref gitops.ObjectRef) error {
	if s.turned {
		return blame(refusal(gitops.NotApproved, "take it back by a commit, and merge the other way round: the branch that nodes run comes first",
			"commit %s changes %s, which %s protects, and has what nodes run as another parent than its first, with which approvals compare it",
			s.id.Short(), ref, g.policy), s.id)
	}
	return g.refuses(s.id, "changes "+ref.String())
}

// same reports whether two steps make the same of an object.
func (w *way) same(ctx context.Context, ref gitops.ObjectRef, a, b int) (bool, error) {
	if a == b {
		return true, nil
	}
	before, err := w.content(ctx, a)
	if err != nil {
		return false, err
	}
	after, err := w.content(ctx, b)
	return before != nil && after != nil && before[ref.Key()] == after[ref.Key()], err
}

// sameGround reports whether the ground makes of what rests on it what it made of
// it when it was applied.
func (w *way) sameGround(ctx context.Context) (bool, error) {
	for _, c := range w.classes() {
		from, _, err := w.asks(ctx, c)
		if err != nil {
			return false, err
		}
		if from > 0 {
			continue
		}
		now, err := w.content(ctx, 0)
		if err != nil || now == nil {
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
	s := w.steps[i]
	if len(w.contents) >= mostRendered {
		return nil, blame(refusal(gitops.NotApproved, "have the roots seal a newer commit with edgeagent trust seal, or set trust.introduction to one",
			"too much lies between %s and what approvals are counted from: more than %d commits would have to be rendered", w.x.head().Short(), mostRendered), w.x.head())
	}
	c, err := w.plan.Content(ctx, Commit{revision: gitops.NewRevision(w.plan.Revision.Ref(), s.id), tree: s.raw.tree, valid: true})
	if err == nil {
		w.contents[i] = c
	}
	return c, err
}
