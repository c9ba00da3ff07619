// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func tagMode(c *verify.Config) { c.Mode = verify.ModeTag }

// tagged offers a commit that nobody signed under a tag; change breaks it.
func tagged(change func(w *world, good gitops.Commit) gitops.Commit) func(*world, bool) offer {
	return func(w *world, broken bool) offer {
		head := w.commit(nil, w.root)
		c := onTag("v1.2.0", head, w.tag(w.ann.sign, head, gitops.CommitObject, "v1.2.0"))
		if broken {
			c = change(w, c)
		}
		return offer{commit: c, blamed: c.Revision.Hash(), config: tagMode}
	}
}

// tagBytes offers a tag whose text was changed before ann signed it.
func tagBytes(old, new string) func(*world, bool) offer {
	return tagged(func(w *world, c gitops.Commit) gitops.Commit {
		text := tagText(c.Revision.Hash(), gitops.CommitObject, "v1.2.0")
		changed := strings.Replace(text, old, new, 1)
		if changed == text {
			w.t.Fatalf("%q is not in the tag", old)
		}
		c.Tag = w.put(gitops.TagObject, []byte(changed+w.ann.sign([]byte(changed))))
		return c
	})
}

func retagged(s func(w *world) sign) func(*world, bool) offer {
	return tagged(func(w *world, c gitops.Commit) gitops.Commit {
		c.Tag = w.tag(s(w), c.Revision.Hash(), gitops.CommitObject, "v1.2.0")
		return c
	})
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	runScenarios(t, w, []scenario{
		{"lightweight tag", gitops.Unsigned, tagged(func(_ *world, c gitops.Commit) gitops.Commit { c.Tag = ""; return c })},
		{"branch in mode tag", gitops.RefMismatch, tagged(func(_ *world, c gitops.Commit) gitops.Commit { return onMain(c.Revision.Hash()) })},
		{"unsigned tag", gitops.Unsigned, retagged(func(*world) sign { return nil })},
		{"tag by an unknown signer", gitops.UnknownSigner, retagged(func(w *world) sign { return w.mallory.sign })},
		{"tag by an expired key", gitops.KeyExpired, retagged(func(w *world) sign { return w.gone.sign })},
		{"tag by a revoked key", gitops.KeyRevoked, retagged(func(w *world) sign { return w.taken.sign })},
		{"tag with the signature of another tag", gitops.BadSignature, retagged(func(w *world) sign {
			return func([]byte) string { return w.ann.sign([]byte(tagText(w.root, gitops.CommitObject, "v1.2.0"))) }
		})},
		{"tag shown under another name", gitops.RefMismatch, tagged(func(_ *world, c gitops.Commit) gitops.Commit {
			return onTag("v9.0.0", c.Revision.Hash(), c.Tag)
		})},
		{"revision under another name than the ref", gitops.RefMismatch, tagged(func(_ *world, c gitops.Commit) gitops.Commit {
			c.Revision = gitops.NewRevision("v9.0.0", c.Revision.Hash())
			return c
		})},
		{"tag of another commit", gitops.RefMismatch, tagged(func(w *world, c gitops.Commit) gitops.Commit {
			return onTag("v1.2.0", w.commit(nil, w.root), c.Tag)
		})},
		{"tag of a tag", gitops.RefMismatch, tagged(func(w *world, c gitops.Commit) gitops.Commit {
			c.Tag = w.tag(w.ann.sign, c.Tag, gitops.TagObject, "v1.2.0")
			return c
		})},
		{"tag that calls the commit a tree", gitops.RefMismatch, tagBytes("type commit", "type tree")},
		{"tag id that names a commit", gitops.MalformedTag, tagged(func(_ *world, c gitops.Commit) gitops.Commit {
			c.Tag = c.Revision.Hash()
			return c
		})},
		{"tag with two objects", gitops.MalformedTag, tagBytes("type commit", "object "+string(emptyTree)+"\ntype commit")},
		{"tag of a kind that is not known", gitops.MalformedTag, tagBytes("type commit", "type comit")},
		{"tag without a tagger", gitops.MalformedTag, tagBytes("tagger ", "taggr ")},
		{"tag with a malformed tagger", gitops.MalformedTag, tagBytes("ann@example.com>", "ann@example.com")},
		{"tag with a malformed object", gitops.MalformedTag, tagBytes("object ", "object 0")},
		{"tag name on two lines", gitops.MalformedTag, tagBytes("tag v1.2.0", "tag v1.2.0\n x")},
		{"tag with a header that is not known", gitops.MalformedTag, tagBytes("\n\n", "\ngpgsig x\n\n")},
		{"tag with a NUL", gitops.MalformedTag, tagBytes("release", "rel\x00ease")},
		{"tag without a message", gitops.MalformedTag, tagBytes("\n\nrelease v1.2.0", "")},
		{"tag with two signatures", gitops.MalformedTag, retagged(func(w *world) sign {
			return func(p []byte) string { s := w.ann.sign(p); return s + w.ann.sign(append(p, s...)) }
		})},
		{"tag with text behind its signature", gitops.BadSignature, retagged(func(w *world) sign {
			return func(p []byte) string { return w.ann.sign(p) + "and more\n" }
		})},
		{"malformed commit under a good tag", gitops.MalformedCommit, tagged(func(w *world, c gitops.Commit) gitops.Commit {
			head := w.put(gitops.CommitObject, []byte(strings.Replace(w.unsigned(w.root), "Ann", "A\x1bnn", 1)))
			return onTag("v1.2.0", head, w.tag(w.ann.sign, head, gitops.CommitObject, "v1.2.0"))
		})},
		{"tag of a commit that left the accepted one behind", gitops.Fork, func(w *world, broken bool) offer {
			o := tagged(nil)(w, false)
			o.blamed = o.commit.Revision.Hash()
			if o.accepted = w.root; broken {
				o.accepted = w.commit(nil, w.root)
			}
			return o
		}},
		{"unsigned tag of the introduction", gitops.Unsigned, func(w *world, broken bool) offer {
			tag := w.tag(pick(w, broken, nil), w.root, gitops.CommitObject, "v0.1.0")
			return offer{commit: onTag("v0.1.0", w.root, tag), blamed: w.root, config: tagMode}
		}},
	})
}

func TestTagByRealGit(t *testing.T) {
	w := newWorld(t)
	line, keyFile := sshKeygen(t, "ed25519")
	allowed := w.file("real_signers", "real@example.com "+line+"\n")
	head := w.commit(nil, w.root)
	w.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+keyFile, "tag", "-s", "-m", "release", "v2.0.0", string(head))
	w.git("-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-tag", "v2.0.0")
	c := onTag("v2.0.0", head, gitops.Hash(w.git("rev-parse", "v2.0.0")))
	got, err := w.verifier(func(c *verify.Config) { c.Mode, c.AllowedSigners = verify.ModeTag, allowed }).Verify(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Signer() != "real@example.com" || got.Hash() != head {
		t.Errorf("got %s by %q", got.Hash(), got.Signer())
	}
}
