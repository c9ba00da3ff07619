// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// blames names the step that made of an object what may not run, for a head that
// still does: the one whose approval lets that run. Where there is none, an old
// line has it, and whoever approves the merge compares it with that line only: it
// has to be taken back.
func (w *way) blames(ctx context.Context, ref gitops.ObjectRef, a asks, states []state) error {
	passed, err := w.passed(ctx, ref, states)
	if err != nil {
		return err
	}
	merge := passed[len(passed)-1]
	for _, i := range slices.Backward(passed) {
		if len(w.steps[i].from) > 1 && len(w.steps[merge].from) < 2 {
			merge = i
		}
		g, closed := a.closed[i]
		if !closed {
			continue
		}
		helps, err := w.helps(ctx, ref, i, states)
		if err != nil {
			return err
		}
		if helps {
			return w.refuses(ctx, i, g, ref)
		}
	}
	id := w.steps[merge].id
	return blame(refusal(gitops.NotApproved, "take it back by a commit, or have the roots vouch for what is there with edgeagent trust seal "+w.x.head().Short(),
		"commit %s undoes what was approved of %s on a line that it merges: it is compared with its first parent only", id.Short(), ref), id)
}

// passed are the steps by which the head has it, from the head down.
func (w *way) passed(ctx context.Context, ref gitops.ObjectRef, states []state) (passed []int, err error) {
	for i := len(w.steps) - 1; ; {
		line, at, err := w.turn(ctx, ref, i, states)
		if err != nil {
			return nil, err
		}
		passed = append(passed, line[:at+1]...)
		if i, err = w.below(ctx, ref, line[at], states); err != nil || i == line[at] {
			return passed, err
		}
	}
}

// helps reports whether what a step makes may not run, and may once the step is
// approved.
func (w *way) helps(ctx context.Context, ref gitops.ObjectRef, i int, states []state) (bool, error) {
	if allowed, err := w.same(ctx, ref, states[i].runs, i); err != nil || allowed {
		return false, err
	}
	joined, err := w.joined(ctx, ref, w.steps[i].from, states)
	if err != nil {
		return false, err
	}
	approved, err := w.approved(ctx, ref, i, joined, states)
	if err != nil {
		return false, err
	}
	return w.same(ctx, ref, approved.runs, i)
}

// turn follows first parents down from a step, as long as the same may run: to
// the step that first made something else of it.
func (w *way) turn(ctx context.Context, ref gitops.ObjectRef, head int, states []state) (line []int, at int, err error) {
	line = []int{head}
	for i := head; ; {
		from := w.steps[i].from
		if len(from) == 0 || w.steps[from[0]].old || states[from[0]].runs != states[head].runs {
			break
		}
		i = from[0]
		line = append(line, i)
	}
	// The first of the line makes what may not run.
	low, high := 0, len(line)
	for high-low > 1 {
		middle := (low + high) / 2
		same, err := w.same(ctx, ref, states[head].runs, line[middle])
		if err != nil {
			return nil, 0, err
		}
		if same {
			high = middle
		} else {
			low = middle
		}
	}
	return line, low, nil
}

// below is the parent from which a step has it: a merge takes over what another
// line made; what is approved is compared with the first parent, which comes
// before it; and whatever a conflict hides is no newer than it.
func (w *way) below(ctx context.Context, ref gitops.ObjectRef, i int, states []state) (int, error) {
	for n, from := range w.steps[i].from {
		if w.steps[from].old {
			continue
		}
		allowed, err := w.same(ctx, ref, states[from].runs, from)
		if err != nil {
			return 0, err
		}
		taken, err := w.same(ctx, ref, from, i)
		if err != nil {
			return 0, err
		}
		if !allowed && (taken || n == 0 || states[from].runs == conflict) {
			return from, nil
		}
	}
	return i, nil
}

func (w *way) refuses(ctx context.Context, i int, g guard, ref gitops.ObjectRef) error {
	made, err := w.content(ctx, i)
	switch {
	case err != nil:
		return err
	case made == nil:
		return g.refuses(w.steps[i].id, "does not render, so that nobody can tell what it does to "+ref.String())
	}
	return g.refuses(w.steps[i].id, "changes "+ref.String())
}
