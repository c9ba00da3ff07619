// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// proofFactor bounds the way between the introduction and the accepted commit,
// which is walked once in the life of the process, as a multiple of MaxCommits.
const proofFactor = 20

// history finds what is new in head. It is nil when trust begins with head.
// Bounds are the commits that are trusted before anything is judged: what was
// accepted, where trust begins, and what the roots sealed.
func (v *Verifier) history(ctx context.Context, head, accepted gitops.Hash, sealed []gitops.Hash) (*history, error) {
	bounds := slices.Clone(sealed)
	for _, id := range []gitops.Hash{accepted, v.start} {
		if id != "" {
			bounds = append(bounds, id)
		}
	}
	if len(bounds) == 0 {
		return nil, nil
	}
	h, err := walk(ctx, v.objects, head, bounds, v.cfg.MaxCommits)
	if gitops.ReasonOf(err) == gitops.TooManyCommits {
		// Dates that lie can make the walk run past the accepted commit.
		if back, backErr := v.behind(ctx, head, accepted); backErr != nil {
			return nil, backErr
		} else if back {
			return nil, rolledBack(head, accepted)
		}
	}
	return h, err
}

// descends refuses a head that does not come after what was accepted, or not
// from where trust begins.
func (x *examination) descends(ctx context.Context) error {
	start := x.v.start // "", and nothing accepted, where trust begins with the head
	if x.accepted != "" && !x.history.reached(x.accepted) {
		err := x.leftBehind(ctx)
		waived, waiveErr := x.waived(ctx, err)
		if waiveErr != nil || err != nil && !waived {
			return errors.Join(waiveErr, err)
		}
		if waived { // nothing is known of where it comes from
			return x.fromStart(ctx)
		}
	}
	if start == "" || x.history.reached(start) {
		return nil
	}
	if x.accepted != "" {
		if ok, err := x.v.anchored(ctx, x.accepted); ok || err != nil {
			return err
		}
	}
	if ok, err := x.below(ctx, start, x.sealed); ok || err != nil {
		return err
	}
	return x.notDescendant(ctx)
}

func (x *examination) notDescendant(ctx context.Context) error {
	start := x.v.start
	if err := x.grammar(ctx); err != nil {
		return err
	}
	return blame(refusal(gitops.NotDescendant, "check that URL, ref and trust.introduction are of the same repository",
		"commit %s does not descend from the introduction %s", x.head().Short(), start.Short()), x.head())
}

// below reports whether a commit is an ancestor of one of the bounds that the
// head was found to descend from.
func (x *examination) below(ctx context.Context, id gitops.Hash, bounds []gitops.Hash) (bool, error) {
	for _, bound := range bounds {
		if !x.history.reached(bound) {
			continue
		}
		if ok, err := x.v.isAncestor(ctx, id, bound); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// leftBehind decides about a head that does not reach the accepted commit by
// new commits only.
func (x *examination) leftBehind(ctx context.Context) error {
	// The introduction was moved forward, or the roots sealed a commit, past
	// the accepted one.
	if ok, err := x.below(ctx, x.accepted, append([]gitops.Hash{x.v.start}, x.sealed...)); err != nil || ok {
		return err
	}
	if err := x.grammar(ctx); err != nil {
		return err
	}
	if back, err := x.v.behind(ctx, x.head(), x.accepted); err != nil {
		return err
	} else if back {
		return rolledBack(x.head(), x.accepted)
	}
	return blame(refusal(gitops.Fork, "revert by a new commit on top of it; history must not be rewritten",
		"commit %s does not descend from %s, which was accepted before", x.head().Short(), x.accepted.Short()), x.head())
}

// stands moves the accepted commit back to its newest ancestor whose signature
// still counts, when a key that signed it was revoked: what a stolen key made
// must not be the ground on which new commits are judged. What the roots sealed
// stands, whatever became of its key.
func (x *examination) stands(ctx context.Context) error {
	if x.accepted == "" || x.v.cfg.Mode == ModeNone {
		return nil
	}
	for _, s := range x.sealed {
		if ok, err := x.v.behind(ctx, x.accepted, s); ok || err != nil {
			return err
		}
	}
	for range x.v.cfg.MaxCommits {
		if x.accepted == x.v.start {
			return nil
		}
		raw, err := parseIn(ctx, x.objects, x.accepted)
		if refused(err) {
			return nil // it was let through before; ancestry will tell
		}
		if err != nil {
			return err
		}
		under, _, err := x.authorities(ctx, x.accepted, raw)
		if err != nil {
			return err
		}
		_, err = x.signerUnder(ctx, x.accepted, raw, under[0])
		switch {
		case gitops.ReasonOf(err) == gitops.KeyRevoked && len(raw.parents) > 0:
			x.accepted = raw.parents[0]
		case refused(err), lost(err):
			return nil
		default:
			return err
		}
	}
	return nil
}

func (x *examination) clockUntrusted() error {
	if !x.at.fast {
		return &gitops.Error{
			Reason: gitops.ClockUntrusted, Commit: x.head(),
			Message: "the node's clock is not synchronised, and this source has trust.clock: synchronised: nothing new is let through by it",
			Remedy:  "see what keeps it from that with timedatectl timesync-status, then edgeagent sync; or set trust.clock: any",
		}
	}
	return &gitops.Error{
		Reason: gitops.ClockUntrusted, Commit: x.head(),
		Message: "the node's clock says " + show(x.at.now) + ", more than ten years after this program was made: nothing new is let through by it",
		Remedy:  "set the clock, then edgeagent sync",
	}
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

// behind is isAncestor as far as what is here can tell: behind a hole nothing is
// known to lie.
func (v *Verifier) behind(ctx context.Context, a, b gitops.Hash) (bool, error) {
	ok, err := v.isAncestor(ctx, a, b)
	if lost(err) || refused(err) {
		return false, nil
	}
	return ok, err
}

// grammar checks the form of what is new before its ancestry is blamed: a
// commit whose parents cannot be read has none, and looks like a fork.
func (x *examination) grammar(ctx context.Context) error {
	for _, id := range x.history.commits() {
		if _, err := parseIn(ctx, x.objects, id); err != nil {
			return err
		}
	}
	return nil
}

// parseIn reads a commit by the strict grammar.
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
