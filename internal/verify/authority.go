// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// compared is what a commit holds that another is compared with.
type compared struct {
	tree   gitops.Hash
	policy *policy
}

// authorities are the policies that must all let a commit through: those of its
// parents, because a signer must be authorised where the commit was made; and,
// for a commit that came in by a merge, those of the lines that it came into.
// The second keeps a branch that left before a key was withdrawn from bringing
// that key's commits back. Before is what the commit is compared with.
func (x *examination) authorities(ctx context.Context, id gitops.Hash, raw rawCommit) (under []*policy, before []compared, err error) {
	add := func(p *policy) {
		if !slices.Contains(under, p) {
			under = append(under, p)
		}
	}
	for _, from := range x.authorisedAt(id, raw) {
		p, err := x.policyOf(ctx, from)
		if err != nil {
			return nil, nil, err
		}
		add(p)
		before = append(before, compared{x.trees[from], p})
	}
	err = x.brought(ctx, id, func(into gitops.Hash) error {
		p, err := x.policyOf(ctx, into)
		if err == nil {
			add(p)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(under) == 0 {
		under = append(under, x.node) // a root commit
	}
	under, err = x.whenAccepted(ctx, id, raw, under)
	return under, before, err
}

// whenAccepted is the policy under which the head that was accepted is judged
// again where only the head is signed. Its own trust file need not know any more
// who signed it: people take themselves out. It was let through by the file
// before that, which is looked for in its first parent, and then on the node.
// Nobody judged the first parent; but the roots of that file before stood for
// the change, and so for all that it builds on. A revoked key takes it back
// under each of them.
func (x *examination) whenAccepted(ctx context.Context, id gitops.Hash, raw rawCommit, own []*policy) ([]*policy, error) {
	if x.v.cfg.Mode == ModeHistory || id != x.accepted || id != x.from {
		return own, nil
	}
	_, err := x.signerUnder(ctx, id, raw, own[0])
	if err != nil && !refused(err) {
		return nil, err
	}
	if gitops.ReasonOf(err) != gitops.UnknownSigner {
		return own, nil
	}
	if same, err := x.sameTag(ctx); !same {
		return own, err
	}
	before := x.node
	if from := first(raw.parents); from != "" {
		p, err := x.policyOf(ctx, from)
		if err != nil && !refused(err) {
			return nil, err
		}
		if err == nil {
			before = p
		}
	}
	for _, p := range []*policy{before, x.node} {
		_, err := x.signerUnder(ctx, id, raw, p)
		if err != nil && !refused(err) {
			return nil, err
		}
		if gitops.ReasonOf(err) != gitops.UnknownSigner {
			return []*policy{p}, nil
		}
	}
	return own, nil
}

// sameTag reports whether the head is shown under the tag that it was accepted
// under. Another one is signed anew, by somebody who may have been taken out.
func (x *examination) sameTag(ctx context.Context) (bool, error) {
	if x.v.cfg.Mode != ModeTag {
		return true, nil
	}
	if x.v.cfg.TagOf == nil {
		return false, nil
	}
	tag, err := x.v.cfg.TagOf(ctx, x.commit.Revision)
	if gitops.ReasonOf(err) == gitops.Incomplete {
		return false, nil // it has another name
	}
	return err == nil && tag == x.commit.Tag, err
}

// authorisedAt are the commits whose trust file is asked: the parents in
// history mode. Where only the head is signed, what lies between was never
// judged, and may have put anything into the trust file: there it is the
// trust file of what was accepted.
func (x *examination) authorisedAt(id gitops.Hash, raw rawCommit) []gitops.Hash {
	if x.v.cfg.Mode == ModeHistory {
		if x.firstHead(id) {
			return nil // below it lies what the host made up, or did not
		}
		return raw.parents
	}
	if base := x.base(); base != "" {
		return []gitops.Hash{base}
	}
	return nil
}

// firstHead reports whether trust begins with a commit because it was the first
// to be seen: nothing but the node's own files says whom it is from.
func (x *examination) firstHead(id gitops.Hash) bool {
	return x.v.start == "" && (x.accepted == "" || id == x.remembered.Introduction)
}

// base is what was trusted before the head where only the head is signed: the
// accepted commit, or where trust begins. The head that was accepted is judged
// again by its own trust file, which was judged when it was accepted, or see
// whenAccepted. Where the accepted commit does not stand any more, nobody ever
// judged the trust files below it.
func (x *examination) base() gitops.Hash {
	if x.accepted == "" || x.accepted != x.from {
		return x.v.start
	}
	return x.accepted
}
