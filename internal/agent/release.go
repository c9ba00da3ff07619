// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
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

// release has the trust rules judge what a plan makes other than what was applied
// did, whether the plan writes it or leaves it alone: what is skipped today would
// be the ground of tomorrow. What the cluster lost or somebody edited is not the
// revision's doing, and its repair needs nobody's approval.
func (s *source) release(ctx context.Context, state gitops.SourceState, caps gitops.Capabilities, plan gitops.Plan, again bool) error {
	head := plan.Manifests.Revision
	p := verify.Plan{Revision: head, Again: again}
	var before gitops.Manifests
	if state.Applied != nil {
		ran, err := s.journal().Manifests(ctx, s.cfg.Name, state.Applied.Digest)
		if err != nil && gitops.ReasonOf(err) != gitops.NotFoundHere {
			return err
		}
		if err == nil {
			before, p.Since, p.Runs = ran, state.Applied.Revision.Hash(), contentIn(ran)
		}
	}
	made := contentIn(plan.Manifests)
	p.Changed = changed(before, plan)
	p.Content = func(ctx context.Context, c verify.Commit) (verify.Content, error) {
		if c.Hash() == head.Hash() {
			return made, nil
		}
		return s.contentOf(ctx, c, head, caps)
	}
	var asked []gitops.MissingObject
	for range mostRounds {
		missing, err := s.cfg.Verifier.Release(ctx, p)
		if gitops.ReasonOf(err) != gitops.Incomplete || len(missing) == 0 || slices.Equal(missing, asked) {
			return err
		}
		if err := s.bringTrust(ctx, gitops.Commit{Revision: p.Revision}, missing); err != nil {
			return err
		}
		asked = missing
	}
	return notBrought(p.Revision, asked)
}

// changed are the objects of which a plan makes something else than was made
// before, in order.
func changed(before gitops.Manifests, plan gitops.Plan) []verify.Change {
	was, is := contentIn(before), contentIn(plan.Manifests)
	var out []verify.Change
	for _, o := range plan.Manifests.Objects {
		if was[o.Ref.Key()] != is[o.Ref.Key()] {
			out = append(out, verify.Change{Ref: o.Ref, Forced: slices.Contains(plan.Forced, o.Ref.Key())})
		}
	}
	for _, o := range before.Objects {
		if _, still := is[o.Ref.Key()]; !still {
			out = append(out, verify.Change{Ref: o.Ref})
		}
	}
	return out
}

// onTheWay is what commits between what runs and a head make of this node's
// objects: while approvals are waited for, every cycle asks.
type onTheWay struct {
	key      string
	contents map[gitops.Hash]verify.Content
}

// contentOf renders a commit on the way to a head. One that does not render makes
// nothing: nobody could have released it.
func (s *source) contentOf(ctx context.Context, c verify.Commit, head gitops.Revision, caps gitops.Capabilities) (verify.Content, error) {
	if key := caps.ClusterUID + caps.KubeVersion + string(head); s.onTheWay.key != key {
		s.onTheWay = onTheWay{key: key, contents: map[gitops.Hash]verify.Content{}}
	}
	if known, ok := s.onTheWay.contents[c.Hash()]; ok {
		return known, nil
	}
	s.stage(ctx, gitops.StageRendering)
	m, err := s.renderOnTheWay(ctx, c, caps)
	if err != nil && (ctx.Err() != nil || comesLater(err)) {
		return nil, err
	}
	var content verify.Content
	switch {
	case err == nil:
		content = contentIn(m)
	case !final(err):
		return nil, undecided{&gitops.Error{
			Reason: reasonFor(err), Err: err,
			Message: fmt.Sprintf("find out whether commit %s, below %s, changes something protected: %v", c.Hash().Short(), head.Short(), err),
			Remedy:  "see to what it names; or have " + head.Short() + " and all below it approved, then nothing has to be compared",
		}}
	}
	s.onTheWay.contents[c.Hash()] = content
	return content, nil
}

func (s *source) renderOnTheWay(ctx context.Context, c verify.Commit, caps gitops.Capabilities) (gitops.Manifests, error) {
	if err := s.bringObjects(ctx, c); err != nil {
		return gitops.Manifests{}, err
	}
	return s.cfg.Renderer.Render(ctx, c, caps)
}

// contentIn tells apart what is done with an object, and not only what it is: a
// protected one that is not kept in repair any more is changed, too.
func contentIn(m gitops.Manifests) verify.Content {
	rules := map[string]string{}
	for _, b := range m.Bundles {
		rules[b.Name] = fmt.Sprintf(" force=%t prune=%t drift=%s", b.Force, b.Prune, b.Drift)
	}
	out := verify.Content{}
	for _, o := range m.Objects {
		out[o.Ref.Key()] = fmt.Sprintf("%s%s hook=%t", o.Digest, rules[o.Bundle], o.Hook != nil)
	}
	return out
}
