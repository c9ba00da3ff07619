// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"strings"

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
	if x.head() == x.v.start || x.v.cfg.Mode == ModeNone {
		return out, nil
	}
	out.binding, err = x.binds(ctx, head.raw, head.signer, head.under)
	return out, blame(err, x.head())
}

// commitOf is the verified commit, with what the renderer's result will be held
// to.
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
	for _, p := range j.under {
		if p.inBand() {
			g, err := x.guard(ctx, x.head(), j.raw, p, Protection{Approvals: p.threshold()})
			if err != nil {
				return Commit{}, err
			}
			out.force = append(out.force, g)
		}
		for _, protection := range p.file.Protected {
			if len(protection.Kinds)+len(protection.Namespaces) == 0 {
				continue
			}
			g, err := x.guard(ctx, x.head(), j.raw, p, protection)
			if err != nil {
				return Commit{}, err
			}
			out.guards = append(out.guards, g)
		}
	}
	return out, nil
}

// guard is a protection, who stands for the commit, and who else could.
type guard struct {
	Protection
	policy  string
	names   []string
	missing []string
	// unproven are in whose name gitsign signed, which the node cannot judge.
	unproven []string
}

// guard counts who stands for what a commit does to something protected.
func (x *examination) guard(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy, protection Protection) (guard, error) {
	names, err := x.standFor(ctx, id, raw, p, protection.roles()...)
	if err != nil {
		return guard{}, err
	}
	g := guard{Protection: protection, policy: p.name, names: names, missing: p.members(protection.roles(), names)}
	if !g.open() {
		g.unproven, err = x.unproven(ctx, p, id, raw, protection.roles()...)
	}
	return g, err
}

// open reports whether enough stand for it.
func (g guard) open() bool { return len(g.names) >= g.Approvals }

// Release judges what a commit would change in the cluster, before it is done:
// RBAC in a file with an innocent name is RBAC. Changed are the objects that
// the commit creates, changes or deletes.
func (c Commit) Release(changed []gitops.ObjectRef) error {
	for _, g := range c.guards {
		if g.open() {
			continue
		}
		for _, ref := range changed {
			if !g.protects(ref) {
				continue
			}
			return g.refuses(c.Hash(), "changes "+ref.String())
		}
	}
	return nil
}

// ReleaseForce judges a bundle that deletes and creates what cannot be changed
// in place: with a trust file that is for the roots to allow.
func (c Commit) ReleaseForce(bundle string) error {
	for _, g := range c.force {
		if !g.open() {
			return g.refuses(c.Hash(), "changes bundle "+quoted(bundle)+" with force")
		}
	}
	return nil
}

// refuses says who is missing.
func (g guard) refuses(commit gitops.Hash, what string) error {
	return blame(withUnproven(refusal(gitops.NotApproved,
		fmt.Sprintf("have it approved with edgeagent approve %s by %d more of: %s", commit.Short(), g.Approvals-len(g.names), strings.Join(g.missing, ", ")),
		"commit %s %s, which %s protects: %d of %d signed or approved it%s",
		commit.Short(), what, g.policy, len(g.names), g.Approvals, listed(g.names)), g.unproven), commit)
}

// protects reports whether an object is of a protected kind and namespace.
func (p Protection) protects(ref gitops.ObjectRef) bool {
	return (len(p.Kinds) == 0 || matchesAny(p.Kinds, kindName(ref))) &&
		(len(p.Namespaces) == 0 || matchesAny(p.Namespaces, ref.Namespace) || ref.Kind == "Namespace" && ref.Group == "" && matchesAny(p.Namespaces, ref.Name))
}

// kindName is "Kind.group", as kubectl writes it, and "Kind" for the core group.
func kindName(ref gitops.ObjectRef) string {
	if ref.Group == "" {
		return ref.Kind
	}
	return ref.Kind + "." + ref.Group
}

func matchesAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if matchPattern(p, s) {
			return true
		}
	}
	return false
}
