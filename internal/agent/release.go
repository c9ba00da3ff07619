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

// released asks whether the revision may change what it would change. Kinds and
// namespaces can be protected, and what a commit makes of them is known only now.
// A revision that may not is refused although it was accepted: what runs stays,
// and every cycle asks again, because approvals may come.
func (s *source) released(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, plan gitops.Plan) (bool, error) {
	rev := plan.Manifests.Revision
	err := s.release(ctx, state, caps, plan, false)
	switch {
	case err != nil && (isShutdown(ctx, err) || noDecision(err) || comesLater(err)):
		return false, err
	case err != nil:
		s.view.unreleased = rev
		s.refuse(ctx, state, gitops.Commit{Revision: rev}, err)
		return false, nil
	}
	s.view.unreleased, s.onTheWay = "", onTheWay{}
	if state.Refused != nil && state.Refused.Revision == rev && state.Accepted != nil && state.Accepted.Revision == rev {
		return true, s.journal().Accept(ctx, s.cfg.Name, *state.Accepted, false) // its refusal is history
	}
	return true, nil
}

// release has the trust rules judge a plan, and brings what they need to read.
func (s *source) release(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, plan gitops.Plan, again bool) error {
	owned, err := s.journal().Owned(ctx, s.cfg.Name)
	if err != nil {
		return err
	}
	p := verify.Plan{
		Revision: plan.Manifests.Revision, Changed: changedBy(plan, owned), Again: again,
		Content: func(ctx context.Context, c verify.Commit) (verify.Content, error) {
			if c.Hash() == plan.Manifests.Revision.Hash() {
				return contentIn(plan.Manifests), nil
			}
			return s.contentOf(ctx, c, caps)
		},
	}
	if len(p.Changed) > 0 && state.Applied != nil {
		ran, err := s.journal().Manifests(ctx, s.cfg.Name, state.Applied.Digest)
		if err != nil && gitops.ReasonOf(err) != gitops.NotFoundHere {
			return err
		}
		if err == nil {
			p.Since, p.Runs = state.Applied.Revision.Hash(), contentIn(ran)
		}
	}
	var before []gitops.MissingObject
	for range mostRounds {
		missing, err := s.cfg.Verifier.Release(ctx, p)
		if gitops.ReasonOf(err) != gitops.Incomplete || len(missing) == 0 || slices.Equal(missing, before) {
			return err
		}
		if err := s.bringTrust(ctx, gitops.Commit{Revision: p.Revision}, missing); err != nil {
			return err
		}
		before = missing
	}
	return notBrought(p.Revision, before)
}

// onTheWay is what commits between what runs and the accepted one make of this
// node's objects: while approvals are waited for, every cycle asks.
type onTheWay struct {
	caps     string
	contents map[gitops.Hash]verify.Content
}

// contentOf renders a commit on the way to the accepted one. One that does not
// render makes nothing: nobody could have released it.
func (s *source) contentOf(ctx context.Context, c verify.Commit, caps gitops.Capabilities) (verify.Content, error) {
	if key := caps.ClusterUID + caps.KubeVersion; s.onTheWay.caps != key {
		s.onTheWay = onTheWay{caps: key, contents: map[gitops.Hash]verify.Content{}}
	}
	if known, ok := s.onTheWay.contents[c.Hash()]; ok {
		return known, nil
	}
	if err := s.bringObjects(ctx, c); err != nil {
		return nil, err
	}
	var content verify.Content
	m, err := s.cfg.Renderer.Render(ctx, c, caps)
	switch {
	case err == nil:
		content = contentIn(m)
	case !final(err):
		return nil, err
	}
	s.onTheWay.contents[c.Hash()] = content
	return content, nil
}

func contentIn(m gitops.Manifests) verify.Content {
	out := verify.Content{}
	for _, o := range m.Objects {
		out[o.Ref.Key()] = o.Digest
	}
	return out
}

// changedBy are the objects that a plan makes other than they were, for the
// reason that the revision says so. What the cluster lost or somebody edited is
// not the revision's doing: its repair needs nobody's approval.
func changedBy(plan gitops.Plan, owned gitops.Inventory) []verify.Change {
	forced := map[string]bool{}
	for _, b := range plan.Manifests.Bundles {
		forced[b.Name] = b.Force
	}
	var out []verify.Change
	for _, c := range plan.Apply {
		item, has := owned.Find(c.Ref.Key())
		m, wanted := plan.Manifests.Find(c.Ref.Key())
		if has && wanted && item.Digest == m.Digest && item.Digest != "" {
			continue
		}
		out = append(out, verify.Change{Ref: c.Ref, Forced: forced[m.Bundle]})
	}
	for _, c := range slices.Concat(plan.DeleteFirst, plan.Prune, plan.Pending) {
		out = append(out, verify.Change{Ref: c.Ref})
	}
	return out
}
