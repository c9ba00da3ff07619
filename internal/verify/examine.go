// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
)

// examination is what the decision about one head rests on.
type examination struct {
	v        *Verifier
	objects  Objects
	commit   gitops.Commit
	accepted gitops.Hash
	from     gitops.Hash // what was accepted, although a key that signed it may be revoked now
	at       moment
	history  *history // nil when trust begins with the head
	// again is set for a revision that was let through before. What others had to
	// say was said then: that it is not shown any more takes nothing back.
	again bool
	// strict is set where approvals count that may have come after the commit was
	// let through: a key that expired since signs none.
	strict bool
	// noTag is set for a revision that is verified again and whose tag object
	// nobody can name: the commit's own signature has to do then.
	noTag bool

	// unread is why something that may revoke a key could not be read. It may be
	// there a moment later: what was judged without it is not let through.
	unread error

	node       *policy // the node's own files
	revoked    revocations
	sigstore   *gitsign.Root                    // nil when the node has none
	policies   map[gitops.Hash]*policy          // by the trust file's blob
	blobs      map[gitops.Hash]gitops.Hash      // trust file, by tree
	trees      map[gitops.Hash]gitops.Hash      // by commit
	bases      map[[2]gitops.Hash][]gitops.Hash // of two parents, what they have in common
	refs       map[string]gitops.Hash           // carried, nil before they were asked for
	refNames   []string                         // of refs, in order
	remembered Remembered
	published  Published
	sealed     []gitops.Hash // commits that the roots vouch for, with all below
	arrivals   *arrivals
}

// examine finds what is new in a head. It decides nothing yet.
func (v *Verifier) examine(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (*examination, error) {
	if accepted != "" && !accepted.Valid() {
		return nil, refusal(gitops.TrustMissing, "restore the journal",
			"the accepted commit %s of source %s is not a commit id", quoted(string(accepted)), v.cfg.Source)
	}
	x, err := v.begin(ctx, c, accepted)
	if err != nil {
		return nil, err
	}
	if err := x.stands(ctx); err != nil {
		return nil, err
	}
	if x.history, err = v.history(ctx, x.head(), x.accepted, x.sealed); err != nil {
		return nil, err
	}
	top := x.accepted
	if top == "" {
		top = v.start
	}
	return x, x.enter(ctx, top)
}

// begin gathers what is known before anything of the head is looked at.
func (v *Verifier) begin(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (*examination, error) {
	keys, err := v.trusted()
	if err != nil {
		return nil, err
	}
	x := &examination{
		v: v, objects: v.objects, commit: c, accepted: accepted, from: accepted, at: v.moment(),
		node: keys.policy(v.cfg.RootThreshold), revoked: revocations{keys.revoked},
		sigstore: keys.developers.keyless.root,
		policies: map[gitops.Hash]*policy{}, bases: map[[2]gitops.Hash][]gitops.Hash{}, blobs: map[gitops.Hash]gitops.Hash{}, trees: map[gitops.Hash]gitops.Hash{},
	}
	if err := x.recall(ctx); err != nil {
		return nil, err
	}
	if v.cfg.Mode == ModeNone {
		return x, nil
	}
	if err := x.readRevocations(ctx); err != nil {
		return nil, err
	}
	return x, x.readPublished(ctx)
}

// recall takes in what the node remembers of earlier decisions.
func (x *examination) recall(ctx context.Context) error {
	if x.v.cfg.Remembered == nil {
		return nil
	}
	var err error
	if x.remembered, err = x.v.cfg.Remembered(ctx); err != nil {
		return err
	}
	list, err := parseRevoked("a revocation that the roots published", []byte(strings.Join(x.remembered.Revoked, "\n")))
	if err != nil {
		return refusal(gitops.TrustMissing, "restore the journal", "the revocations that the journal holds: %v", err)
	}
	x.revoked = append(x.revoked, list)
	x.at = x.at.notBefore(x.remembered.Floor)
	return nil
}
