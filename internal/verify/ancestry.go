// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// proofFactor bounds the way between the introduction and the accepted commit,
// which is walked once in the life of the process, as a multiple of MaxCommits.
const proofFactor = 20

// bounds are the commits that are trusted before anything is judged.
func (v *Verifier) bounds(accepted gitops.Hash) []gitops.Hash {
	var out []gitops.Hash
	for _, id := range []gitops.Hash{accepted, v.start} {
		if id != "" {
			out = append(out, id)
		}
	}
	return out
}

// history finds what is new in head. It is nil when trust begins with head.
func (v *Verifier) history(ctx context.Context, head, accepted gitops.Hash) (*history, error) {
	bounds := v.bounds(accepted)
	if len(bounds) == 0 {
		return nil, nil
	}
	h, err := walk(ctx, v.objects, head, bounds, v.cfg.MaxCommits)
	if gitops.ReasonOf(err) == gitops.TooManyCommits && accepted != "" {
		// Dates that lie can make the walk run past the accepted commit.
		if back, backErr := v.isAncestor(ctx, head, accepted); backErr == nil && back {
			return nil, rolledBack(head, accepted)
		}
	}
	return h, err
}

// descends refuses a head that does not come after what was accepted, or not
// from where trust begins.
func (v *Verifier) descends(ctx context.Context, h *history, head, accepted gitops.Hash) error {
	if h == nil {
		return nil
	}
	if accepted != "" && !h.reached(accepted) {
		if err := v.leftBehind(ctx, h, head, accepted); err != nil {
			return err
		}
	}
	if v.start == "" || h.reached(v.start) {
		return nil
	}
	if accepted != "" {
		if ok, err := v.anchored(ctx, accepted); ok || err != nil {
			return err
		}
	}
	if err := v.grammar(ctx, h); err != nil {
		return err
	}
	return blame(refusal(gitops.NotDescendant, "check that URL, ref and trust.introduction are of the same repository",
		"commit %s does not descend from the introduction %s", head.Short(), v.start.Short()), head)
}

// leftBehind decides about a head that does not reach the accepted commit by
// new commits only.
func (v *Verifier) leftBehind(ctx context.Context, h *history, head, accepted gitops.Hash) error {
	if v.start != "" && h.reached(v.start) {
		// The introduction was moved forward, past the accepted commit.
		if ok, err := v.isAncestor(ctx, accepted, v.start); err != nil || ok {
			return err
		}
	}
	if err := v.grammar(ctx, h); err != nil {
		return err
	}
	back, err := v.isAncestor(ctx, head, accepted)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && back {
		return rolledBack(head, accepted)
	}
	return blame(refusal(gitops.Fork, "revert by a new commit on top of it; history must not be rewritten",
		"commit %s does not descend from %s, which was accepted before", head.Short(), accepted.Short()), head)
}

func rolledBack(head, accepted gitops.Hash) error {
	return blame(refusal(gitops.RolledBack, "go back by a new commit that reverts, or on the node with edgeagent rollback",
		"the ref went back to %s, which is older than %s, which was accepted before", head.Short(), accepted.Short()), head)
}

// anchored reports whether the accepted commit descends from the introduction.
// It did when it was accepted; the introduction may have been changed since.
func (v *Verifier) anchored(ctx context.Context, accepted gitops.Hash) (bool, error) {
	if known := v.anchor.Load(); known != nil && *known == accepted {
		return true, nil
	}
	ok, err := v.isAncestor(ctx, v.start, accepted)
	if ok {
		v.anchor.Store(&accepted)
	}
	return ok, err
}

// isAncestor reports whether a is b or an ancestor of it.
func (v *Verifier) isAncestor(ctx context.Context, a, b gitops.Hash) (bool, error) {
	h, err := walk(ctx, v.objects, b, []gitops.Hash{a}, proofFactor*v.cfg.MaxCommits)
	if err != nil {
		return false, err
	}
	return h.reached(a), nil
}

// grammar checks the form of what is new before its ancestry is blamed: a
// commit whose parents cannot be read has none, and looks like a fork.
func (v *Verifier) grammar(ctx context.Context, h *history) error {
	for _, id := range h.commits() {
		if _, err := v.parse(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// parse reads a commit by the strict grammar.
func (v *Verifier) parse(ctx context.Context, id gitops.Hash) (rawCommit, error) {
	return parseIn(ctx, v.objects, id)
}

func parseIn(ctx context.Context, objects Objects, id gitops.Hash) (rawCommit, error) {
	raw, err := object(ctx, objects, id, gitops.CommitObject)
	if err != nil {
		return rawCommit{}, blame(err, id)
	}
	c, err := parseCommit(raw)
	if err != nil {
		return rawCommit{}, blame(refusal(gitops.MalformedCommit, "have it made anew with git; nothing is taken from it",
			"commit %s is malformed: %v", id.Short(), err), id)
	}
	return c, nil
}
