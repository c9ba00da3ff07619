// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// authorities are the policies that must all let a commit through: those of its
// parents, because a signer must be authorised where the commit was made; and,
// for a commit that came in by a merge, that of the merge's first parent. The
// second keeps a branch that left before a key was withdrawn from bringing that
// key's commits back.
func (x *examination) authorities(ctx context.Context, id gitops.Hash, raw rawCommit) ([]*policy, error) {
	var out []*policy
	add := func(commit gitops.Hash) error {
		p, err := x.policyOf(ctx, commit)
		if err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
		return err
	}
	for _, from := range x.authorisedAt(id, raw) {
		if err := add(from); err != nil {
			return nil, err
		}
	}
	for _, first := range x.entered[id] {
		if err := add(first); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		out = append(out, x.node) // a root commit
	}
	return out, nil
}

// authorisedAt are the commits whose trust file is asked: the parents in
// history mode. Where only the head is signed, what lies between was never
// judged, and may have put anything into the trust file: there it is the
// trust file of what was accepted.
func (x *examination) authorisedAt(id gitops.Hash, raw rawCommit) []gitops.Hash {
	if x.v.cfg.Mode == ModeHistory {
		return raw.parents
	}
	if base := x.base(id); base != "" {
		return []gitops.Hash{base}
	}
	if id == x.v.start {
		return []gitops.Hash{id} // its trust file is trusted by its id, too
	}
	return nil
}

// base is what was trusted before the head: the accepted commit, or where trust
// begins.
func (x *examination) base(id gitops.Hash) gitops.Hash {
	switch {
	case x.accepted != "" && x.accepted != id:
		return x.accepted
	case x.v.start != id:
		return x.v.start
	}
	return ""
}

// enter finds, for each new commit that came in by a merge, the first parents
// of the merges that brought it.
func (x *examination) enter() {
	x.entered = map[gitops.Hash][]gitops.Hash{}
	if x.history == nil || x.v.cfg.Mode != ModeHistory {
		return
	}
	for _, id := range x.history.commits() {
		parents := x.history.nodes[id].parents
		if len(parents) < 2 {
			continue
		}
		mainline := x.history.newFrom(parents[:1])
		for side := range x.history.newFrom(parents[1:]) {
			if !mainline[side] {
				x.entered[side] = append(x.entered[side], parents[0])
			}
		}
	}
}

// newFrom are the new commits that are one of these or an ancestor of one.
func (h *history) newFrom(ids []gitops.Hash) map[gitops.Hash]bool {
	seen := map[gitops.Hash]bool{}
	stack := slices.Clone(ids)
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := h.nodes[id]
		if n == nil || n.side != fresh || seen[id] {
			continue
		}
		seen[id] = true
		stack = append(stack, n.parents...)
	}
	return seen
}
