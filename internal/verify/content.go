// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// mostRendered bounds how many commits are rendered to find out which of them
// brought something protected. Beyond it the roots can seal a commit.
const mostRendered = 256

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

// moved are the changed objects of which the ground, where something rests on it,
// makes something else by now than it made when it was applied.
func (w *way) moved(ctx context.Context) (moved, kept []Change, err error) {
	for _, c := range w.classes() {
		a, err := w.asks(ctx, c)
		if err != nil {
			return nil, nil, err
		}
		for _, ref := range c.objects {
			change, same := Change{Ref: ref, Forced: c.change.Forced}, true
			if a.needed[0] {
				now, err := w.content(ctx, 0)
				if err != nil {
					return nil, nil, err
				}
				same = now != nil && now[ref.Key()] == w.plan.Runs[ref.Key()]
			}
			if same {
				kept = append(kept, change)
			} else {
				moved = append(moved, change)
			}
		}
	}
	return moved, kept, nil
}

// content is what a step makes of objects, nil where it does not render.
func (w *way) content(ctx context.Context, i int) (Content, error) {
	id := w.steps[i].id
	raw, err := parseIn(ctx, w.x.objects, id)
	if err != nil {
		return nil, err
	}
	if c, ok := w.contents[raw.tree]; ok {
		return c, nil
	}
	if len(w.contents) >= mostRendered {
		return nil, blame(refusal(gitops.NotApproved, "have the roots seal a newer commit with edgeagent trust seal, or set trust.introduction to one",
			"too much lies between %s and what approvals are counted from: more than %d commits would have to be rendered", w.x.head().Short(), mostRendered), w.x.head())
	}
	c, err := w.plan.Content(ctx, Commit{revision: gitops.NewRevision(w.plan.Revision.Ref(), id), tree: raw.tree, valid: true})
	if err == nil {
		w.contents[raw.tree] = c
	}
	return c, err
}
