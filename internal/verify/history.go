// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"container/heap"
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// side says from where a commit was reached.
type side uint8

const (
	fresh side = 1 << iota // from the tip
	old                    // from a bound, or a bound itself
)

type node struct {
	id      gitops.Hash
	parents []gitops.Hash
	when    int64
	side    side
}

// history is the part of the commit graph between a tip and some bounds: what
// is reachable from the tip and from no bound, found without reading all that
// lies below the bounds.
//
// Both sides are walked together, newest committer's date first, so that a side
// branch that left the main line below a bound meets it after a few steps. The
// dates stand in commits and may lie. A lie can only make the walk miss that a
// commit is old, and an old commit that is taken for fresh is judged once more:
// the error is on the safe side, and settle corrects it.
type history struct {
	objects Objects
	tip     gitops.Hash
	limit   int // of fresh commits
	nodes   map[gitops.Hash]*node
	queue   queue
	waiting int // commits in the queue that were fresh when they got there
	above   int // commits that were fresh when they were met
	below   int // commits that are old
}

// oldFactor bounds how many commits below the bounds are read, as a multiple
// of the limit. Beyond it fresh commits may stay that are really old.
const oldFactor = 5

// walk finds the history between tip and bounds. A commit that is missing is an
// error above the bounds and the end of a line below them.
func walk(ctx context.Context, objects Objects, tip gitops.Hash, bounds []gitops.Hash, limit int) (*history, error) {
	h := &history{objects: objects, tip: tip, limit: limit, nodes: map[gitops.Hash]*node{}}
	for _, bound := range bounds {
		if err := h.mark(ctx, bound, old); err != nil {
			return nil, err
		}
	}
	if err := h.mark(ctx, tip, fresh); err != nil {
		return nil, err
	}
	for h.waiting > 0 {
		if err := h.step(ctx); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// settle walks on below the bounds, until no commit is fresh that is really old.
func (h *history) settle(ctx context.Context) error {
	for len(h.queue) > 0 {
		if err := h.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step takes the newest commit off the queue and marks its parents.
func (h *history) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := heap.Pop(&h.queue).(entry)
	if !n.old {
		h.waiting--
	}
	mark := fresh
	if n.side&old != 0 { // also when it became old while it waited as fresh
		mark = old
	}
	for _, parent := range n.parents {
		if mark == fresh && !parent.Valid() {
			return blame(refusal(gitops.MalformedCommit, "", "commit %s is malformed: parent %s is not an object id",
				n.id.Short(), quoted(string(parent))), n.id)
		}
		if err := h.mark(ctx, parent, mark); err != nil {
			return err
		}
	}
	return nil
}

// mark notes that a commit was reached, and queues it when that is news to its
// parents: they follow an old commit whatever else it is.
func (h *history) mark(ctx context.Context, id gitops.Hash, from side) error {
	n := h.nodes[id]
	if n == nil {
		if from == old && h.below >= oldFactor*h.limit {
			return nil
		}
		var err error
		if n, err = h.load(ctx, id, from); err != nil {
			return err
		}
		h.nodes[id] = n
	}
	if n.side&from != 0 {
		return nil
	}
	n.side |= from
	switch {
	case from == old:
		h.below++
	case n.side&old != 0:
		return nil
	default:
		if h.above++; h.above > h.limit {
			return blame(refusal(gitops.TooManyCommits, "set trust.introduction to a newer commit, or let the source advance in smaller steps",
				"more than %d commits lie between %s and what is trusted", h.limit, h.tip.Short()), h.tip)
		}
		h.waiting++
	}
	heap.Push(&h.queue, entry{node: n, old: from == old})
	return nil
}

// load reads a commit. Below the bounds, where nothing is judged, one that is
// not there ends its line.
func (h *history) load(ctx context.Context, id gitops.Hash, from side) (*node, error) {
	n := &node{id: id}
	raw, err := object(ctx, h.objects, id, gitops.CommitObject)
	switch {
	case err == nil:
		n.parents, n.when = links(raw)
	case from == fresh || ctx.Err() != nil || !lost(err):
		return nil, blame(err, id)
	}
	return n, nil
}

// lost reports whether an object is not there or not readable.
func lost(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.MalformedCommit, gitops.Corrupt:
		return true
	}
	return false
}

// reached reports whether a bound is the tip or an ancestor of it.
func (h *history) reached(bound gitops.Hash) bool {
	n := h.nodes[bound]
	return n != nil && n.side&fresh != 0
}

// isFresh reports whether a commit is reachable from the tip and no bound.
func (h *history) isFresh(id gitops.Hash) bool { return h.nodes[id].side == fresh }

// commits lists what is fresh, parents before children, first parents first.
func (h *history) commits() []gitops.Hash {
	type frame struct {
		n    *node
		next int
	}
	var out []gitops.Hash
	if !h.isFresh(h.tip) {
		return nil
	}
	seen := map[gitops.Hash]bool{h.tip: true}
	stack := []frame{{n: h.nodes[h.tip]}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.n.parents) {
			out = append(out, top.n.id)
			stack = stack[:len(stack)-1]
			continue
		}
		id := top.n.parents[top.next]
		top.next++
		if h.isFresh(id) && !seen[id] {
			seen[id] = true
			stack = append(stack, frame{n: h.nodes[id]})
		}
	}
	return out
}

// entry is a commit in the queue, as it was when it was put there.
type entry struct {
	*node
	old bool
}

// queue is a heap: newest first; at the same second what is old goes first, so
// that a bound made in the same second as its descendants is met in time.
type queue []entry

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].when > q[j].when || q[i].when == q[j].when && q[i].old
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(entry)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
