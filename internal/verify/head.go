// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// release is the last question about a head whose commits are all let through:
// who says that it is for this ref, and is its trust file not older than what
// this node has seen.
func (x *examination) release(ctx context.Context, head judgement) (Commit, error) {
	out, err := x.commitOf(ctx, head)
	if err != nil {
		return Commit{}, err
	}
	if out.trustVersion < x.remembered.TrustVersion {
		return Commit{}, blame(refusal(gitops.TrustRollback, "bring the newer trust file back",
			"commit %s has version %d of the trust file, this node has accepted version %d", x.head().Short(), out.trustVersion, x.remembered.TrustVersion), x.head())
	}
	out.binding, err = x.binds(ctx, head.raw, head.signer, head.under)
	return out, blame(err, x.head())
}

// commitOf is the verified commit.
func (x *examination) commitOf(ctx context.Context, j judgement) (Commit, error) {
	out := Commit{revision: x.commit.Revision, tree: j.raw.tree, signer: j.signer, binding: BoundNone, valid: true}
	if x.v.cfg.Mode == ModeNone {
		return out, nil
	}
	after, err := x.policyIn(ctx, j.raw.tree, x.head())
	if err != nil {
		return Commit{}, err
	}
	if x.unread != nil {
		return Commit{}, x.unread
	}
	out.trustVersion = after.file.Version
	return out, nil
}
