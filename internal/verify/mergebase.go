// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"container/heap"
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// mergeBases finds what two commits have in common, once: every protected path
// of a merge asks for the same.
func (x *examination) mergeBases(ctx context.Context, a, b gitops.Hash) ([]gitops.Hash, error) {
	pair := [2]gitops.Hash{a, b}
	if bases, ok := x.bases[pair]; ok {
		return bases, nil
	}
	bases, err := mergeBases(ctx, x.objects, a, b, x.v.cfg.MaxCommits)
	if err == nil {
		x.bases[pair] = bases
	}
	return bases, err
}

// mergeBases are the newest commits that two commits have in common. Dates that
// lie can make it name one too many, never one too few: it is asked whether
// there is exactly one.
func mergeBases(ctx context.Context, objects Objects, a, b gitops.Hash, limit int) ([]gitops.Hash, error) {
	w := &painter{objects: objects, limit: limit, nodes: map[gitops.Hash]*painted{}}
	if err := w.paint(ctx, a, fromA); err != nil {
		return nil, err
	}
	if err := w.paint(ctx, b, fromB); err != nil {
		return nil, err
	}
	for w.open > 0 {
		if err := w.step(ctx); err != nil {
			return nil, err
		}
	}
	var out []gitops.Hash
	for id, n := range w.nodes {
		if n.base && n.colour&below == 0 {
			out = append(out, id)
		}
	}
	return out, nil
}

type colour uint8

const (
	fromA colour = 1 << iota
	fromB
	below // an ancestor of a commit that both reach
)

type painted struct {
	node
	colour colour
	base   bool
	queued bool
}

// painter walks two histories together, newest first, until all that is left
// lies below what they have in common.
type painter struct {
	objects Objects
	limit   int
	nodes   map[gitops.Hash]*painted
	queue   paintQueue
	open    int // commits in the queue that are not below yet
}

func (w *painter) paint(ctx context.Context, id gitops.Hash, c colour) error {
	n := w.nodes[id]
	if n == nil {
		if len(w.nodes) >= proofFactor*w.limit {
			return refusal(gitops.TooManyCommits, "merge lines that are closer to each other", "the common ancestor of two merged lines is more than %d commits away", proofFactor*w.limit)
		}
		n = &painted{node: node{id: id}}
		raw, err := object(ctx, w.objects, id, gitops.CommitObject)
		switch {
		case err == nil:
			n.parents, n.when = links(raw)
		case c&below == 0 || !lost(err):
			return blame(err, id)
		}
		w.nodes[id] = n
	}
	if n.colour&c == c {
		return nil
	}
	if n.queued && c&below != 0 { // for the first time: what is below has all colours
		w.open--
	}
	n.colour |= c
	if !n.queued {
		n.queued = true
		if n.colour&below == 0 {
			w.open++
		}
		heap.Push(&w.queue, n)
	}
	return nil
}

func (w *painter) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := heap.Pop(&w.queue).(*painted)
	n.queued = false
	pass := n.colour
	if n.colour&below == 0 {
		w.open--
		if n.colour == fromA|fromB {
			n.base = true
			pass |= below
		}
	}
	for _, parent := range n.parents {
		if !parent.Valid() {
			continue
		}
		if err := w.paint(ctx, parent, pass); err != nil {
			return err
		}
	}
	return nil
}

// paintQueue is a heap, newest first.
type paintQueue []*painted

func (q paintQueue) Len() int           { return len(q) }
func (q paintQueue) Less(i, j int) bool { return q[i].when > q[j].when }
func (q paintQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *paintQueue) Push(x any)        { *q = append(*q, x.(*painted)) }
func (q *paintQueue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	*q = (*q)[:last]
	return n
}
