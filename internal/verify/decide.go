// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// judgement is what the rules say about one commit.
type judgement struct {
	raw    rawCommit
	signer signer
	rule   string
	under  []*policy // that let it through
	before []compared
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
	if x.at.untrusted() && x.head() != accepted {
		return Commit{}, x.clockUntrusted()
	}
	if err := x.descends(ctx); err != nil {
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
	out, err := x.release(ctx, last)
	if err != nil {
		return Commit{}, err
	}
	if head := x.head(); v.start != "" {
		v.anchor.Store(&head)
	}
	out.firstSeen = v.cfg.Introduction == FirstSeen && accepted == ""
	return out, nil
}

// Again verifies a revision that was let through before: the target of a
// rollback, or what runs after a restart or a change of the keys. Its own
// signature is judged under the keys of today. Its ancestry was judged then, and
// that its key expired since takes nothing back; a revocation does.
func (v *Verifier) Again(ctx context.Context, rev gitops.Revision) (Commit, error) {
	x, err := v.begin(ctx, gitops.Commit{Revision: rev}, rev.Hash())
	if err != nil {
		return Commit{}, err
	}
	x.again = true
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
	return x.commitOf(ctx, j)
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
	ancestry := x.descends(ctx)
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
		d, err := x.decision(ctx, id, j, err)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	slices.Reverse(out)
	return out, nil
}

// decision is what was found about a commit, in words. The head is asked the
// last question too, which Verify asks once all commits are let through.
func (x *examination) decision(ctx context.Context, id gitops.Hash, j judgement, err error) (gitops.Decision, error) {
	binding := ""
	switch {
	case err != nil || id != x.head():
	case x.at.untrusted() && id != x.from:
		err = x.clockUntrusted() // Verify asks nothing more by such a clock
	default:
		var c Commit
		if c, err = x.release(ctx, j); err != nil && !refused(err) {
			return gitops.Decision{}, err
		}
		binding = c.binding
	}
	d := decision(id, j, err)
	d.RefBinding = binding
	if len(j.under) == 0 {
		return d, nil
	}
	under := j.under[0]
	d.Policy = under.file.Version
	names, err := x.approvals(ctx, under, id, first(j.raw.parents), slices.Sorted(maps.Keys(under.rings))...)
	d.Approvals = names
	return d, err
}

func decision(id gitops.Hash, j judgement, err error) gitops.Decision {
	d := gitops.Decision{Commit: id, Subject: printable(j.raw.subject), Rule: j.rule}
	if err != nil {
		d.Reason, d.Message = gitops.ReasonOf(err), err.Error()
		return d
	}
	d.Trusted, d.Signer, d.Key, d.Role = true, j.signer.name, j.signer.key, j.signer.role
	return d
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
	if id == x.head() {
		return false, nil
	}
	if err := x.history.settle(ctx); err != nil {
		return false, err
	}
	return !x.history.isFresh(id), nil
}

// judge applies the rules of the mode to one commit.
func (x *examination) judge(ctx context.Context, id gitops.Hash) (judgement, error) {
	raw, err := parseIn(ctx, x.objects, id)
	if err != nil {
		return judgement{}, err
	}
	j := judgement{raw: raw}
	switch {
	case x.v.cfg.Mode == ModeNone:
		j.rule = "none: nothing is checked"
	case id == x.v.start && (x.v.cfg.Mode != ModeTag || x.noTag):
		j.rule = "introduction: trusted by its id"
		j.signer = x.introducer(raw)
	default:
		err = x.judgeUnder(ctx, id, &j)
	}
	return j, blame(err, id)
}

// introducer names who signed the introduction, for people: it is trusted by
// its id, whoever did.
func (x *examination) introducer(raw rawCommit) signer {
	at := x.at
	at.again = true
	who, err := x.node.check(signed{what: "the introduction", payload: raw.payload, armor: raw.signature}, at, x.revoked, roleDeveloper, roleRoot)
	if err != nil {
		return signer{name: "introduction"}
	}
	return who
}

// judgeUnder holds a commit to every policy that it was made under.
func (x *examination) judgeUnder(ctx context.Context, id gitops.Hash, j *judgement) error {
	var err error
	if j.under, j.before, err = x.authorities(ctx, id, j.raw); err != nil {
		return err
	}
	for i, p := range j.under {
		who, err := x.signerUnder(ctx, id, j.raw, p)
		if err != nil {
			return err
		}
		if i == 0 {
			j.signer = who
			j.rule = x.v.cfg.Mode + ": " + p.rule(who)
		}
	}
	if err := x.rotates(ctx, id, j); err != nil {
		return err
	}
	return x.guardsPaths(ctx, id, j)
}

// moment is when the keys of one commit are judged.
func (x *examination) moment(id gitops.Hash) moment {
	at := x.at
	at.again = id == x.accepted && !x.strict
	return at
}

// signerUnder is who signed a commit, as far as the policy lets them.
func (x *examination) signerUnder(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy) (signer, error) {
	at := x.moment(id)
	if x.v.cfg.Mode == ModeTag && !x.noTag {
		return x.judgeTag(ctx, p, at)
	}
	s := signed{what: "commit " + id.Short(), payload: raw.payload, armor: raw.signature}
	if len(raw.parents) < 2 {
		return p.check(s, at, x.revoked, roleDeveloper, roleRoot)
	}
	who, err := p.check(s, at, x.revoked, roleDeveloper, roleRoot, roleMerger)
	if err != nil {
		return signer{}, err
	}
	if who.role == roleMerger && !x.again {
		return who, x.merges(ctx, id, raw, p)
	}
	return who, nil
}

// judgeTag holds the tag to what it has to say: its signed name, the ref and
// the target agree. Otherwise the server could offer an old tag under a new name.
func (x *examination) judgeTag(ctx context.Context, p *policy, at moment) (signer, error) {
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
	raw, err := object(ctx, x.objects, c.Tag, gitops.TagObject)
	if err != nil {
		return signer{}, err
	}
	tag, err := parseTag(raw)
	if err != nil {
		return signer{}, refusal(gitops.MalformedTag, "have it made anew with git tag -s", "tag %s is malformed: %v", c.Tag.Short(), err)
	}
	what := "tag " + c.Tag.Short() + " (" + printable(name) + ")"
	who, err := p.check(signed{what: what, payload: tag.payload, armor: tag.signature}, at, x.revoked, roleDeveloper, roleRoot, roleMerger)
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
