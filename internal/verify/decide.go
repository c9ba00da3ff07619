// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// examination is what the decision about one head rests on.
type examination struct {
	v        *Verifier
	keys     *trust
	commit   gitops.Commit
	accepted gitops.Hash
	at       moment
	history  *history // nil when trust begins with the head
	// noTag is set for a revision that is verified again and whose tag object
	// nobody can name: the commit's own signature has to do then.
	noTag bool
}

// judgement is what the rules say about one commit.
type judgement struct {
	raw    rawCommit
	signer signer
	rule   string
}

// Verify decides whether the node may move to c. Accepted is the newest commit
// that was let through before, "" if none was. A refusal is a *gitops.Error that
// names its reason and the commit that broke the rule; the reasons Incomplete,
// Corrupt, StoreFailed and TrustMissing say that there is no decision.
func (v *Verifier) Verify(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (Commit, error) {
	x, err := v.examine(ctx, c, accepted)
	if err != nil {
		return Commit{}, err
	}
	if err := v.descends(ctx, x.history, x.head(), accepted); err != nil {
		return Commit{}, err
	}
	var last judgement // of the head: it has no child, so it comes last
	for _, id := range x.subjects() {
		if last, err = x.judge(ctx, id); err == nil {
			continue
		}
		if stale, settleErr := x.stale(ctx, id, err); settleErr != nil {
			return Commit{}, settleErr
		} else if !stale {
			return Commit{}, err
		}
	}
	if head := x.head(); v.start != "" {
		v.anchor.Store(&head)
	}
	return Commit{
		revision:  c.Revision,
		tree:      last.raw.tree,
		signer:    last.signer,
		firstSeen: v.cfg.Introduction == FirstSeen && accepted == "",
		valid:     true,
	}, nil
}

// Again verifies a revision that was let through before: the target of a
// rollback, or what runs after a restart or a change of the keys. Its own
// signature is judged under the keys of today. Its ancestry was judged then, and
// that its key expired since takes nothing back; a revocation does.
func (v *Verifier) Again(ctx context.Context, rev gitops.Revision) (Commit, error) {
	keys, err := v.trusted()
	if err != nil {
		return Commit{}, err
	}
	x := &examination{v: v, keys: keys, commit: gitops.Commit{Revision: rev}, accepted: rev.Hash(), at: v.moment()}
	if x.noTag = v.cfg.TagOf == nil; !x.noTag && v.cfg.Mode == ModeTag {
		if x.commit.Tag, err = v.cfg.TagOf(ctx, rev); err != nil {
			return Commit{}, err
		}
		x.commit.FullRef = "refs/tags/" + rev.Ref()
	}
	j, err := x.judge(ctx, x.head())
	if err != nil {
		return Commit{}, err
	}
	return Commit{revision: rev, tree: j.raw.tree, signer: j.signer, valid: true}, nil
}

// Explain says of each commit that Verify would judge what the rules say about
// it, newest first. It does not stop at the first refusal.
func (v *Verifier) Explain(ctx context.Context, c gitops.Commit, accepted gitops.Hash) ([]gitops.Decision, error) {
	x, err := v.examine(ctx, c, accepted)
	if refused(err) {
		return []gitops.Decision{decision(c.Revision.Hash(), judgement{}, err)}, nil
	}
	if err != nil {
		return nil, err
	}
	ancestry := v.descends(ctx, x.history, x.head(), accepted)
	if ancestry != nil && !refused(ancestry) {
		return nil, ancestry
	}
	var out []gitops.Decision
	for _, id := range x.subjects() {
		j, err := x.judge(ctx, id)
		if err != nil {
			stale, settleErr := x.stale(ctx, id, err)
			if settleErr != nil {
				return nil, settleErr
			}
			if stale {
				continue
			}
		}
		if e, ok := errors.AsType[*gitops.Error](ancestry); ok && e.Commit == id {
			err = ancestry // what Verify says of it
		}
		out = append(out, decision(id, j, err))
	}
	slices.Reverse(out)
	return out, nil
}

func decision(id gitops.Hash, j judgement, err error) gitops.Decision {
	d := gitops.Decision{Commit: id, Subject: printable(j.raw.subject), Rule: j.rule}
	if err != nil {
		d.Reason, d.Message = gitops.ReasonOf(err), err.Error()
		return d
	}
	d.Trusted, d.Signer, d.Key = true, j.signer.name, j.signer.key
	return d
}

// examine finds what is new in a head. It decides nothing yet.
func (v *Verifier) examine(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (*examination, error) {
	keys, err := v.trusted()
	if err != nil {
		return nil, err
	}
	if accepted != "" && !accepted.Valid() {
		return nil, refusal(gitops.TrustMissing, "restore the journal",
			"the accepted commit %s of source %s is not a commit id", quoted(string(accepted)), v.cfg.Source)
	}
	x := &examination{v: v, keys: keys, commit: c, accepted: accepted, at: v.moment()}
	x.history, err = v.history(ctx, x.head(), accepted)
	return x, err
}

func (x *examination) head() gitops.Hash { return x.commit.Revision.Hash() }

// subjects are the commits to judge, oldest first, the head last.
func (x *examination) subjects() []gitops.Hash {
	if x.v.cfg.Mode == ModeHistory && x.history != nil {
		if commits := x.history.commits(); len(commits) > 0 {
			return commits
		}
	}
	return []gitops.Hash{x.head()}
}

// stale reports whether a commit that was refused turns out not to be new after
// all: it is settled before anybody is told of a refusal.
func (x *examination) stale(ctx context.Context, id gitops.Hash, err error) (bool, error) {
	if !refused(err) {
		return false, err
	}
	if x.history == nil || id == x.head() {
		return false, nil
	}
	if err := x.history.settle(ctx); err != nil {
		return false, err
	}
	return !x.history.isFresh(id), nil
}

// judge applies the rules of the mode to one commit.
func (x *examination) judge(ctx context.Context, id gitops.Hash) (judgement, error) {
	raw, err := x.v.parse(ctx, id)
	if err != nil {
		return judgement{}, err
	}
	at := x.at
	at.again = id == x.accepted
	s := signed{what: "commit " + id.Short(), payload: raw.payload, armor: raw.signature}
	j := judgement{raw: raw}
	switch {
	case x.v.cfg.Mode == ModeNone:
		j.rule = "none: nothing is checked"
	case x.v.cfg.Mode == ModeTag && !x.noTag:
		j.rule = "tag: signed by an allowed signer"
		j.signer, err = x.judgeTag(ctx, at)
	case id == x.v.start:
		j.rule = "introduction: trusted by its id"
		if j.signer, err = x.keys.check(s, at); err != nil {
			j.signer, err = signer{name: "introduction"}, nil
		}
	default:
		j.rule = x.v.cfg.Mode + ": signed by an allowed signer"
		j.signer, err = x.keys.check(s, at)
	}
	return j, blame(err, id)
}

// judgeTag holds the tag to what it has to say: its signed name, the ref and
// the target agree. Otherwise the server could offer an old tag under a new name.
func (x *examination) judgeTag(ctx context.Context, at moment) (signer, error) {
	c := x.commit
	name, isTag := strings.CutPrefix(c.FullRef, "refs/tags/")
	switch {
	case !isTag:
		return signer{}, refusal(gitops.RefMismatch, "set ref.tag or ref.semver, or another trust mode",
			"ref %s is not a tag, and trust mode tag needs a signed one", quoted(c.FullRef))
	case c.Tag == "":
		return signer{}, refusal(gitops.Unsigned, "make it with git tag -s",
			"tag %s is a lightweight tag, which has no signature", printable(name))
	}
	raw, err := object(ctx, x.v.objects, c.Tag, gitops.TagObject)
	if err != nil {
		return signer{}, err
	}
	tag, err := parseTag(raw)
	if err != nil {
		return signer{}, refusal(gitops.MalformedTag, "have it made anew with git tag -s", "tag %s is malformed: %v", c.Tag.Short(), err)
	}
	what := "tag " + c.Tag.Short() + " (" + printable(name) + ")"
	who, err := x.keys.check(signed{what: what, payload: tag.payload, armor: tag.signature}, at)
	switch {
	case err != nil:
		return signer{}, err
	case tag.kind != gitops.CommitObject || tag.object != x.head():
		return signer{}, refusal(gitops.RefMismatch, "make a tag of the commit itself",
			"%s is of %s %s, not of commit %s", what, tag.kind, tag.object.Short(), x.head().Short())
	case tag.name != name || c.Revision.Ref() != name:
		return signer{}, refusal(gitops.RefMismatch, "the server shows a tag under another name than it was signed for; find out why",
			"%s says that its name is %s", what, quoted(tag.name))
	}
	return who, nil
}
