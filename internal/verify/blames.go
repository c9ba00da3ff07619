// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// blames names the step that made of an object what may not run, for a head that
// still does: the one that has to be approved, or taken back.
func (w *way) blames(ctx context.Context, ref gitops.ObjectRef, a asks, states []state) error {
	var passed []int // from the head on
	for i := len(w.steps) - 1; ; {
		line, at, err := w.turn(ctx, ref, i, states)
		if err != nil {
			return err
		}
		i = line[at]
		passed = append(passed, line[:at+1]...)
		below, err := w.below(ctx, ref, i, a, states)
		if err != nil {
			return err
		}
		if below != i {
			i = below
			continue
		}
		undoes, err := w.undoes(ctx, ref, line[:at+1], states)
		if err != nil {
			return err
		}
		if _, closed := a.closed[i]; undoes == i && (closed || len(w.steps[i].from) < 2) {
			// What is approved on a line of its own, on something else than what may
			// run, comes in by a merge: that is to be approved.
			for _, i := range slices.Backward(passed) {
				if g, closed := a.closed[i]; closed {
					return w.refuses(i, g, ref)
				}
			}
		}
		id := w.steps[undoes].id
		return blame(refusal(gitops.NotApproved, "take it back by a commit",
			"commit %s undoes what was approved of %s on a line that it merges: it is compared with its first parent only", id.Short(), ref), id)
	}
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
// line made, and what was approved may rest on what was not.
func (w *way) below(ctx context.Context, ref gitops.ObjectRef, i int, a asks, states []state) (int, error) {
	_, closed := a.closed[i]
	for _, from := range w.steps[i].from {
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
		if !allowed && (taken || !closed) {
			return from, nil
		}
	}
	return i, nil
}

// undoes is the merge that brought what may run into a line and did not take it
// over, where the last of the line made nothing new; else the last of the line.
func (w *way) undoes(ctx context.Context, ref gitops.ObjectRef, line []int, states []state) (int, error) {
	last := line[len(line)-1]
	from := w.steps[last].from
	if len(from) == 0 || !w.steps[from[0]].old {
		return last, nil
	}
	if same, err := w.same(ctx, ref, from[0], last); err != nil || !same {
		return last, err
	}
	for n := len(line) - 1; n >= 0; n-- {
		for _, other := range w.steps[line[n]].from {
			if w.steps[other].old || n+1 < len(line) && other == line[n+1] {
				continue
			}
			if allowed, err := w.same(ctx, ref, states[other].runs, other); err != nil || allowed {
				return line[n], err
			}
		}
	}
	return last, nil
}

func (w *way) refuses(i int, g guard, ref gitops.ObjectRef) error {
	if made, known := w.contents[w.steps[i].raw.tree]; known && made == nil {
		return g.refuses(w.steps[i].id, "does not render, so that nobody can tell what it does to "+ref.String())
	}
	return g.refuses(w.steps[i].id, "changes "+ref.String())
}
