// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Change is an object that a revision makes other than it is.
type Change struct {
	Ref gitops.ObjectRef
	// Forced says that its bundle deletes and creates what cannot be changed in
	// place: with a trust file that is for the roots to allow.
	Forced bool
}

// Content is what a commit makes of objects on this node: digests by object. An
// object that the commit does not have is not in it.
type Content map[gitops.ObjectKey]string

// Plan is what a node is about to do in its cluster, before it does it.
type Plan struct {
	Revision gitops.Revision
	// Since is the revision that the node runs, "" for none, and Runs what that
	// made of the changed objects when it was applied.
	Since   gitops.Hash
	Runs    Content
	Changed []Change
	// Again is set for a plan that was released before and is gone on with. That
	// an approval is not shown any more takes nothing back; a revoked key does.
	Again bool
	// Content renders a commit on the way, as the node would now. It is nil where
	// the commit does not render.
	Content func(ctx context.Context, c Commit) (Content, error)
}

// Release judges what a revision would change in the cluster: RBAC in a file with
// an innocent name is RBAC. Approvals are for one commit, compared with its first
// parent: what an earlier commit brought needs approvals of that commit, and a
// node that comes late, or is new, asks what one would have asked that saw each.
//
// When what it needs to read is not in the store, missing names it, and the
// reason is Incomplete.
func (v *Verifier) Release(ctx context.Context, p Plan) (missing []gitops.MissingObject, err error) {
	if v.cfg.Mode == ModeNone || len(p.Changed) == 0 {
		return nil, nil
	}
	seen := &noting{objects: v.objects, known: map[gitops.Hash]bool{}}
	x, err := v.reading(seen).begin(ctx, gitops.Commit{Revision: p.Revision}, p.Revision.Hash())
	if err == nil {
		x.again, x.strict = p.Again, true
		err = x.mayDo(ctx, p)
	}
	return seen.missing, err
}

func (x *examination) mayDo(ctx context.Context, p Plan) error {
	if p.Since != "" {
		w, err := x.wayFrom(ctx, p, p.Since)
		if err != nil {
			return err
		}
		if len(w.steps) > 0 {
			// What the node runs was released, unless it would make something else of
			// the same commit by now: by another label or variable, or another version
			// of this program. That is judged as a new node's.
			moved := []Change(nil)
			if w.steps[0].id == p.Since {
				if moved, w.plan.Changed, err = w.moved(ctx); err != nil {
					return err
				}
			}
			if err := w.released(ctx); err != nil || len(moved) == 0 {
				return err
			}
			p.Changed = moved
		}
	}
	w, err := x.wayFrom(ctx, p, "")
	if err != nil {
		return err
	}
	if len(w.steps) == 0 {
		return x.notDescendant(ctx)
	}
	return w.released(ctx)
}

func (x *examination) wayFrom(ctx context.Context, p Plan, since gitops.Hash) (*way, error) {
	steps, err := x.steps(ctx, since)
	w := &way{x: x, plan: p, steps: steps, contents: map[gitops.Hash]Content{}, guards: map[asked]guard{}}
	w.merges = slices.ContainsFunc(steps, func(s step) bool { return len(s.from) > 1 })
	return w, err
}

// guard is a protection, who stands for the commit, and who else could.
type guard struct {
	Protection
	policy  string
	names   []string
	missing []string
	waived  bool // it had what it needs when it was let through
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
	if len(names) < g.Approvals {
		g.waived, err = x.settled(ctx, p, id, raw, protection.roles()...)
	}
	if err == nil && !g.open() {
		g.unproven, err = x.unproven(ctx, p, id, raw, protection.roles()...)
	}
	return g, err
}

// open reports whether enough stand for it.
func (g guard) open() bool { return g.waived || len(g.names) >= g.Approvals }

// refuses says who is missing.
func (g guard) refuses(commit gitops.Hash, what string) error {
	return blame(withUnproven(refusal(gitops.NotApproved,
		fmt.Sprintf("have it approved with edgeagent approve %s by %d more of: %s", commit.Short(), g.Approvals-len(g.names), strings.Join(g.missing, ", ")),
		"commit %s %s, which %s protects: %d of %d signed or approved it%s",
		commit.Short(), what, g.policy, len(g.names), g.Approvals, listed(g.names)), g.unproven), commit)
}

// protects reports whether an object is of a protected kind and namespace.
func (p Protection) protects(ref gitops.ObjectRef) bool {
	return len(p.Kinds)+len(p.Namespaces) > 0 &&
		(len(p.Kinds) == 0 || matchesAny(p.Kinds, kindName(ref))) &&
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
