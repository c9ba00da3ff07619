// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// verifiedCommit is the accepted commit as the trust rules let it through. After
// a restart it is verified again, from the object store.
func (s *source) verifiedCommit(ctx context.Context, rev gitops.Revision) (verify.Commit, error) {
	if s.head.Valid() && s.head.Revision() == rev {
		return s.head, nil
	}
	return s.cfg.Verifier.Again(ctx, rev)
}

// released asks whether the accepted revision may change what it would change.
// Kinds and namespaces can be protected, and what a commit makes of them is known
// only now. A revision that may not is refused although it was accepted: what
// runs stays, and every cycle asks again, because approvals may come.
func (s *source) released(ctx context.Context, state gitops.SourceState, plan gitops.Plan) (bool, error) {
	rev := plan.Manifests.Revision
	commit, err := s.verifiedCommit(ctx, rev)
	if err != nil {
		return false, err
	}
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return false, err
	}
	changed := changedBy(plan, owned)
	err = commit.Release(changed)
	if bundle := forced(plan.Manifests, changed); err == nil && bundle != "" {
		err = commit.ReleaseForce(bundle)
	}
	if err != nil {
		s.view.unreleased = rev
		s.refuse(ctx, state, gitops.Commit{Revision: rev}, err)
		return false, nil
	}
	s.view.unreleased = ""
	if state.Refused != nil && state.Refused.Revision == rev && state.Accepted != nil && state.Accepted.Revision == rev {
		return true, s.journal().Accept(ctx, s.cfg.Name, *state.Accepted, false) // its refusal is history
	}
	return true, nil
}

// changedBy are the objects that a plan makes other than they were, for the
// reason that the revision says so. What the cluster lost or somebody edited is
// not the revision's doing: its repair needs nobody's approval.
func changedBy(plan gitops.Plan, owned gitops.Inventory) []gitops.ObjectRef {
	var out []gitops.ObjectRef
	for _, c := range plan.Apply {
		i := slices.IndexFunc(owned, func(item gitops.Item) bool { return item.Ref.Key() == c.Ref.Key() })
		m := slices.IndexFunc(plan.Manifests.Objects, func(m gitops.Manifest) bool { return m.Ref.Key() == c.Ref.Key() })
		if i >= 0 && m >= 0 && owned[i].Digest == plan.Manifests.Objects[m].Digest && owned[i].Digest != "" {
			continue
		}
		out = append(out, c.Ref)
	}
	for _, c := range slices.Concat(plan.DeleteFirst, plan.Prune, plan.Pending) {
		out = append(out, c.Ref)
	}
	return out
}

// forced names a bundle with force of which something changes, "" when there is
// none.
func forced(m gitops.Manifests, changed []gitops.ObjectRef) string {
	for _, b := range m.Bundles {
		if b.Force && slices.ContainsFunc(m.Objects, func(o gitops.Manifest) bool {
			return o.Bundle == b.Name && slices.ContainsFunc(changed, func(ref gitops.ObjectRef) bool { return ref.Key() == o.Ref.Key() })
		}) {
			return b.Name
		}
	}
	return ""
}
