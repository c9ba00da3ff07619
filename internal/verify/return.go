// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// MayReturn refuses to go back further than the trust file of what was accepted
// lets nodes go: to what has a hole that the roots know of.
func (v *Verifier) MayReturn(ctx context.Context, to, accepted gitops.Hash) error {
	if v.cfg.Mode == ModeNone || accepted == "" {
		return nil
	}
	x, err := v.begin(ctx, gitops.Commit{Revision: gitops.NewRevision("", accepted)}, accepted)
	if err != nil {
		return err
	}
	p, err := x.policyOf(ctx, accepted)
	if err != nil || p.file.RollbackFloor == "" {
		return err
	}
	floor := p.file.RollbackFloor
	if ok, err := v.isAncestor(ctx, floor, to); ok || err != nil {
		return err
	}
	return blame(refusal(gitops.RollbackFloor, "go forward by a commit that mends it; the roots may lower rollbackFloor",
		"commit %s does not descend from %s, and %s lets no node go back further", to.Short(), floor.Short(), p.name), to)
}

// Includes reports whether a commit is the head or an ancestor of it. One that is
// not here is neither: whoever shows the head has sent all that it is made of.
func (v *Verifier) Includes(ctx context.Context, head, commit gitops.Hash) (bool, error) {
	if head == commit {
		return true, nil
	}
	_, err := object(ctx, v.objects, commit, gitops.CommitObject)
	if lost(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok, err := v.isAncestor(ctx, commit, head)
	if lost(err) {
		return false, nil // the walk left what is here without having met it
	}
	return ok, err
}

// Clock says what a node's clock is worth beside a time that has certainly
// passed, the way keys are judged by it.
func Clock(now, floor time.Time) (behind, ahead bool) {
	m := newMoment(now, floor)
	return m.slow, m.fast
}
