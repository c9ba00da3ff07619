// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func headMode(c *verify.Config) { c.Mode = verify.ModeHead }

// acceptedAs has the node remember under which tag it accepted a revision.
func acceptedAs(c gitops.Commit) func(*verify.Config) {
	return func(cfg *verify.Config) {
		cfg.TagOf = func(_ context.Context, rev gitops.Revision) (gitops.Hash, error) {
			if rev != c.Revision {
				return "", &gitops.Error{Reason: gitops.Incomplete, Message: "not accepted"}
			}
			return c.Tag, nil
		}
	}
}

// without is a trust file in which a developer is not named any more.
func (w *inband) without(version int, name string) string {
	text := strings.Replace(w.trust(version, ""), "developer: {principals: [dan, erin]}", "developer: {principals: ["+map[string]string{"dan": "erin", "erin": "dan"}[name]+"]}", 1)
	return strings.Replace(text, "  "+name+": {ssh", "  left: {ssh", 1)
}

// leaving is a head in which erin takes herself out, with the agreement of the
// roots, shown as the mode wants it.
func (w *inband) leaving(mode string, below gitops.Hash) gitops.Commit {
	next := w.base.with(files{trustYAML: w.without(2, "erin")})
	signs := w.keys["erin"].sign
	if mode == verify.ModeTag {
		signs = nil
	}
	head := w.commitOf(signs, next, w.forMain(), below)
	if mode == verify.ModeHead {
		w.approve("alice", head, below)
		w.approve("bob", head, below)
		return onMain(head)
	}
	c := onTag("v1", head, w.tag(w.keys["erin"].sign, head, gitops.CommitObject, "v1"))
	for _, name := range []string{"alice", "bob"} {
		w.state(name, verify.ApprovalRef(head, name), head, gitops.CommitObject, verify.ApprovalMessage(w.root, c.FullRef, below, head))
	}
	return c
}

// Who takes themselves out by the head that they sign was let through by the
// trust file before it: at the next poll, too, and after a restart. That their
// key was revoked takes it back.
func TestLastWordOfWhoLeaves(t *testing.T) {
	for _, mode := range []string{verify.ModeHead, verify.ModeTag} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			c := w.leaving(mode, w.root)
			asked := func(changes ...func(*verify.Config)) *verify.Verifier {
				return w.verifier(t, both(append(changes, acceptedAs(c), func(c *verify.Config) { c.Mode = mode })...))
			}
			first, err := asked().Verify(t.Context(), c, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := asked().Verify(t.Context(), c, c.Revision.Hash())
			if err != nil || got.Signer() != "erin" || got.RefBinding() != first.RefBinding() || got.TrustVersion() != 2 {
				t.Errorf("at the next poll: by %q, %s, version %d: %v", got.Signer(), got.RefBinding(), got.TrustVersion(), err)
			}
			if got, err = asked().Again(t.Context(), c.Revision); err != nil || got.Signer() != "erin" {
				t.Errorf("after a restart: by %q: %v", got.Signer(), err)
			}
			revoked := remembers(verify.Remembered{Revoked: []string{w.keys["erin"].fingerprint()}})
			if _, err := asked(revoked).Verify(t.Context(), c, c.Revision.Hash()); gitops.ReasonOf(err) != gitops.KeyRevoked {
				t.Errorf("at the next poll, when the key was revoked: %v", err)
			}
			if _, err := asked(revoked).Again(t.Context(), c.Revision); gitops.ReasonOf(err) != gitops.KeyRevoked {
				t.Errorf("after a restart, when the key was revoked: %v", err)
			}
		})
	}
}

// The trust file before counts for the very head that was accepted, and nothing
// else brings those back who left.
func TestWhoLeftBringsNothingElse(t *testing.T) {
	// brought is an accepted head that brings the first trust file, in which who
	// signed it is not; ann may sign by the node's files. Below is the file before.
	brought := func(below string) func(w *inband, broken bool) offer {
		return func(w *inband, broken bool) offer {
			w.root = w.commitOf(nil, w.base.with(files{trustYAML: ""}), "")
			parent := w.commitOf(nil, w.base.with(files{trustYAML: below}), "", w.root)
			accepted := w.commitOf(either(broken, w.mallory.sign, w.ann.sign), w.base, "", parent)
			return offer{commit: onMain(accepted), accepted: accepted, blamed: accepted, config: headMode}
		}
	}
	runRules(t, []rule{
		{"mode head: head after the last word of who left", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			left := w.leaving(verify.ModeHead, w.root)
			next := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base.with(files{trustYAML: w.without(2, "erin")}), w.forMain(), left.Revision.Hash())
			return offer{commit: onMain(next), accepted: left.Revision.Hash(), blamed: next, config: headMode}
		}},
		{"mode head: head by a signer of the node's files only", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			accepted := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			next := w.commitOf(either(broken, w.ann.sign, w.keys["dan"].sign), w.base, w.forMain(), accepted)
			return offer{commit: onMain(next), accepted: accepted, blamed: next, config: headMode}
		}},
		{"mode history: accepted commit by a signer of the node's files only", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			accepted := w.commitOf(either(broken, w.ann.sign, w.keys["dan"].sign), w.base, w.forMain(), w.root)
			return offer{commit: onMain(accepted), accepted: accepted, blamed: accepted}
		}},
		{"mode head: accepted commit does not stand, and a stranger's trust file lies below the one before it", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			w.keys["left"] = w.mallory
			made := strings.Replace(w.trust(2, ""), "developer: {principals: [dan, erin]}", "developer: {principals: [left]}", 1)
			strange := w.commitOf(nil, w.base.with(files{trustYAML: made}), "", w.root)
			before := w.commitOf(either(broken, w.mallory.sign, w.keys["erin"].sign), w.base, w.forMain(), strange)
			accepted := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), before)
			return offer{commit: onMain(before), accepted: accepted, blamed: before, config: both(headMode,
				remembers(verify.Remembered{Revoked: []string{w.keys["dan"].fingerprint()}}))}
		}},
		{"mode head: accepted head that brought the first trust file", gitops.UnknownSigner, brought("")},
		{"mode head: accepted head above a trust file that cannot be read", gitops.UnknownSigner, brought("nothing")},
		{"mode tag: accepted commit under a tag made anew by who left", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			c := w.leaving(verify.ModeTag, w.root)
			as := acceptedAs(c)
			if broken {
				text := tagText(c.Revision.Hash(), gitops.CommitObject, "v1") + "made anew\n"
				c.Tag = w.put(gitops.TagObject, []byte(text+w.keys["erin"].sign([]byte(text))))
			}
			return offer{commit: c, accepted: c.Revision.Hash(), blamed: c.Revision.Hash(), config: both(tagMode, as)}
		}},
		{"mode tag: accepted commit under another name by who left", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			c := w.leaving(verify.ModeTag, w.root)
			as := acceptedAs(c)
			if broken {
				c = onTag("v9", c.Revision.Hash(), w.tag(w.keys["erin"].sign, c.Revision.Hash(), gitops.CommitObject, "v9"))
			}
			return offer{commit: c, accepted: c.Revision.Hash(), blamed: c.Revision.Hash(), config: both(tagMode, as)}
		}},
		{"mode tag: nobody knows the tag that was accepted", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			c := w.leaving(verify.ModeTag, w.root)
			return offer{commit: c, accepted: c.Revision.Hash(), blamed: c.Revision.Hash(),
				config: both(tagMode, either(broken, tagMode, acceptedAs(c)))}
		}},
	})
}

// While the commit below it is not there, nobody knows who let the head through.
func TestLastWordAboveWhatIsMissing(t *testing.T) {
	w := newInband(t)
	below := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	c := w.leaving(verify.ModeHead, below)
	w.remove(below)
	v := w.verifier(t, headMode)
	if _, err := v.Again(t.Context(), c.Revision); gitops.ReasonOf(err) != gitops.Incomplete {
		t.Errorf("again: %v", err)
	}
	missing, err := v.Missing(t.Context(), c, c.Revision.Hash())
	if err != nil || len(missing) != 1 || missing[0].ID != below {
		t.Errorf("missing %v, want %s: %v", missing, below.Short(), err)
	}
}

// Who is in the accepted trust file is judged by that, and by no older one: it
// holds the key as its owner revoked it.
func TestAcceptedTrustFileGoesBeforeTheOneBelow(t *testing.T) {
	w := newInband(t)
	e := newEntity(t, func(*openpgp.Entity) {})
	with := func(version int) files {
		text := strings.Replace(w.trust(version, ""), "developer: {principals: [", "developer: {principals: [gus, ", 1)
		return w.base.with(files{trustYAML: strings.Replace(text, "principals:\n", fmt.Sprintf("principals:\n  gus: {openpgp: [%q]}\n", e.file()), 1)})
	}
	below := w.commitOf(nil, with(2), "", w.root)
	accepted := w.commitOf(e.signWith(e.PrivateKey, true), with(3), w.forMain(), below)
	revokeKey(e.Entity)
	revoked := w.commitOf(e.signWith(e.PrivateKey, true), with(3), w.forMain(), below)
	v := w.verifier(t, headMode)
	if got, err := v.Again(t.Context(), gitops.NewRevision("main", accepted)); err != nil || got.Signer() != "gus" {
		t.Errorf("again: by %q: %v", got.Signer(), err)
	}
	if _, err := v.Again(t.Context(), gitops.NewRevision("main", revoked)); gitops.ReasonOf(err) != gitops.KeyRevoked {
		t.Errorf("again, when the key was revoked by its owner: %v", err)
	}
	if got, err := v.Verify(t.Context(), onMain(revoked), revoked); got.Valid() || gitops.ReasonOf(err) != gitops.UnknownSigner {
		t.Errorf("at the next poll, when the key was revoked by its owner: %v", err)
	}
}

// Where the journal cannot say which tag was accepted, there is no decision.
func TestLastWordWhenTheJournalFails(t *testing.T) {
	w := newInband(t)
	c := w.leaving(verify.ModeTag, w.root)
	v := w.verifier(t, both(tagMode, func(cfg *verify.Config) {
		cfg.TagOf = func(context.Context, gitops.Revision) (gitops.Hash, error) {
			return c.Tag, &gitops.Error{Reason: gitops.JournalFailed, Message: "disk"}
		}
	}))
	if _, err := v.Verify(t.Context(), c, c.Revision.Hash()); gitops.ReasonOf(err) != gitops.JournalFailed {
		t.Errorf("at the next poll: %v", err)
	}
}

// A store that cannot read has decided nothing about who left.
func TestReadsThatFailForTheLastWord(t *testing.T) {
	for _, mode := range []string{verify.ModeHead, verify.ModeTag} {
		w := newInband(t)
		c := w.leaving(mode, w.root)
		cfg := w.config()
		cfg.Mode = mode
		acceptedAs(c)(&cfg)
		for name, ask := range questions(offer{commit: c, accepted: c.Revision.Hash()}) {
			t.Run(mode+", "+name, func(t *testing.T) {
				failEachRead(t, w, cfg, 5, func(v *verify.Verifier) (bool, error) { return ask(t.Context(), v) })
			})
		}
	}
}
