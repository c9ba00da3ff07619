// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// rotates judges what a commit does to the trust file: nothing, or a change that
// the roots of the version before signed.
func (x *examination) rotates(ctx context.Context, id gitops.Hash, j *judgement) error {
	after, err := x.policyIn(ctx, j.raw.tree, id)
	if err != nil {
		return err
	}
	newest := newestOf(x.node, j.before)
	switch {
	case newest.blob == after.blob:
		return nil
	case !after.inBand():
		return refusal(gitops.TrustFileMissing, "put it back; a trust file is changed, never removed",
			"commit %s has no %s, and what it builds on has version %d", id.Short(), trustPath, newest.file.Version)
	case after.file.Version <= newest.file.Version:
		return refusal(gitops.TrustRollback, "raise its version with every change",
			"the trust file of commit %s has version %d, after version %d", id.Short(), after.file.Version, newest.file.Version)
	}
	before := []*policy{newest}
	for _, p := range j.under {
		if !slices.Contains(before, p) {
			before = append(before, p)
		}
	}
	for _, p := range before {
		if err := x.signedByRoots(ctx, id, j.raw, p, "the version before"); err != nil {
			return err
		}
	}
	if !newest.file.sameRoots(after.file) {
		return x.signedByRoots(ctx, id, j.raw, after, "its own new roots")
	}
	return nil
}

// newestOf is the policy with the highest version among those that a commit builds
// on, and the node's own.
func newestOf(node *policy, before []compared) *policy {
	newest := node
	for _, c := range before {
		if c.policy.file.Version > newest.file.Version {
			newest = c.policy
		}
	}
	return newest
}

// signedByRoots counts the roots of a policy that stand for a commit: who signed
// it, and who approved it. A principal counts once, whatever keys it used.
func (x *examination) signedByRoots(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy, of string) error {
	need := p.threshold()
	if need == 0 {
		return refusal(gitops.TrustFileRefused,
			"name the roots in trust.threshold, or set trust.introduction to a commit that holds the file",
			"commit %s changes %s, and %s name nobody who may", id.Short(), trustPath, p.name)
	}
	names, err := x.standFor(ctx, id, raw, p, roleRoot)
	if err != nil {
		return err
	}
	if len(names) < need {
		if ok, err := x.settled(ctx, p, id, raw, roleRoot); ok || err != nil {
			return err
		}
		return x.lacking(ctx, refusal(gitops.NotApproved, fmt.Sprintf("have %d more of the roots approve it with edgeagent approve %s", need-len(names), id.Short()),
			"commit %s changes %s: %d of %d roots of %s (%s) signed or approved it%s", id.Short(), trustPath, len(names), need, of, p.name, listed(names)), p, id, raw, roleRoot)
	}
	return nil
}

// standFor are the principals in the roles that signed a commit or approved it.
func (x *examination) standFor(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy, roles ...string) ([]string, error) {
	names, err := x.approvals(ctx, p, id, first(raw.parents), roles...)
	if err != nil {
		return nil, err
	}
	author, err := p.check(own(id, raw), x.moment(id), x.revoked, roles...)
	if err == nil && !slices.Contains(names, author.name) {
		names = append(names, author.name)
	}
	slices.Sort(names)
	return names, nil
}

func first(ids []gitops.Hash) gitops.Hash {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}
