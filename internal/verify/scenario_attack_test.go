// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// A host that makes up a history may put a trust file of its own below the first
// head that a node sees: only the node's files say whom that head is from.
func TestFirstHeadIsNotJudgedByWhatTheHostShows(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	made := strings.ReplaceAll(w.trust(1, ""), w.keys["dan"].line(), w.mallory.line())
	below := w.commitOf(nil, files{trustYAML: made}, "")
	head := w.commitOf(w.mallory.sign, files{trustYAML: made}, "", below)
	w.stateBy(w.mallory.sign, verify.ApprovalRef(head, "mallory"), head, gitops.CommitObject, verify.ApprovalMessage(head, "refs/heads/main", below, head))
	for name, mode := range map[string]string{"history": verify.ModeHistory, "head": verify.ModeHead} {
		cfg := w.config()
		cfg.Introduction, cfg.Mode = verify.FirstSeen, mode
		v, err := verify.New(cfg, w)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), onMain(head), ""); got.Valid() || gitops.ReasonOf(err) != gitops.UnknownSigner {
			t.Errorf("mode %s: valid %v, %v", name, got.Valid(), err)
		}
	}
}

// What a head is held to is the same when it is looked at again: after a
// restart, and at every poll.
func TestModeHeadHoldsTheAcceptedHeadToItsTrustFile(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	plain := w.commitOf(nil, w.base.with(files{trustYAML: ""}), "")
	one := w.commitOf(w.keys["alice"].sign, w.base, w.forMain(), plain)
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "a: 2\n"}), verify.RefTrailer(plain, "refs/heads/main"), one)
	cfg := w.config()
	cfg.Introduction, cfg.Mode = string(plain), verify.ModeHead
	cfg.AllowedSigners = w.file("all", "dan@example.com "+w.keys["dan"].line()+"\n")
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.Verify(t.Context(), onMain(head), one)
	if err != nil {
		t.Fatalf("at first: %v", err)
	}
	polled, err := v.Verify(t.Context(), onMain(head), head)
	if err != nil || polled.RefBinding() != first.RefBinding() {
		t.Errorf("at the next poll: %v, bound by %s", err, polled.RefBinding())
	}
	if _, err := v.Again(t.Context(), onMain(head).Revision); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for _, since := range []gitops.Hash{one, head, ""} {
		if err := makes(t, v, since, head, false, role); gitops.ReasonOf(err) != gitops.NotApproved {
			t.Errorf("since %q: %v", since, err)
		}
	}
}

// Where only the head is signed, what lies below it was judged by nobody: it is
// no ground to stand on when the key of the accepted head turns out stolen.
func TestModeHeadDoesNotFallBackOnWhatNobodySigned(t *testing.T) {
	t.Parallel()
	runRules(t, []rule{{"after a revocation", gitops.UnknownSigner, func(w *inband, broken bool) offer {
		made := strings.ReplaceAll(w.trust(9, ""), w.keys["dan"].line(), w.mallory.line())
		below := w.commitOf(nil, w.base.with(files{trustYAML: made}), "", w.root)
		accepted := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), below)
		next := w.commitOf(either(broken, w.mallory, w.keys["dan"]).sign, either(broken, w.base.with(files{trustYAML: made}), w.base), w.forMain(), accepted)
		return offer{commit: onMain(next), accepted: accepted, blamed: next, config: func(c *verify.Config) {
			c.Mode = verify.ModeHead
			c.Revoked = w.file("erins", w.keys["erin"].line()+"\n")
		}}
	}}})
}

func TestMergesThatLaunder(t *testing.T) {
	runRules(t, []rule{
		{"a line from before a protection, with the main line merged into it", gitops.NotApproved, func(w *inband, broken bool) offer {
			// Version 2 protects clusters/; the stolen key's line left before that.
			two := w.base.with(files{trustYAML: w.trust(2, "") + "rollbackFloor: " + string(w.root) + "\n"})
			two[trustYAML] = strings.Replace(two[trustYAML], "protected:\n", "protected:\n- {paths: [clusters/], approvals: 1, by: [root]}\n", 1)
			v2 := w.commitOf(w.keys["alice"].sign, two, w.forMain(), w.root)
			w.approve("bob", v2, w.root)
			own := files{either(broken, "clusters/n1/app.yaml", "apps/app.yaml"): "evil\n"}
			side := w.commitOf(w.keys["dan"].sign, w.base.with(own), "", w.root)
			head := w.commitOf(w.keys["dan"].sign, two.with(own), w.forMain(), side, v2)
			return offer{commit: onMain(head), accepted: v2, blamed: side}
		}},
		{"the same, all of it new to the node", gitops.NotApproved, func(w *inband, broken bool) offer {
			two := w.base.with(files{trustYAML: strings.Replace(w.trust(2, ""), "protected:\n", "protected:\n- {paths: [clusters/], approvals: 1, by: [root]}\n", 1)})
			v2 := w.commitOf(w.keys["alice"].sign, two, w.forMain(), w.root)
			w.approve("bob", v2, w.root)
			own := files{either(broken, "clusters/n1/app.yaml", "apps/app.yaml"): "evil\n"}
			side := w.commitOf(w.keys["dan"].sign, w.base.with(own), "", w.root)
			head := w.commitOf(w.keys["dan"].sign, two.with(own), w.forMain(), side, v2)
			return offer{commit: onMain(head), blamed: side}
		}},
		{"a trust file by roots who are no longer, with the main line merged into it", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// Version 2 has other roots; version 9 is by those of version 1.
			roots := func(version int, who string) string {
				return strings.Replace(w.trust(version, ""), "root: {principals: [alice, bob, carol]", "root: {principals: ["+who+"]", 1)
			}
			two := w.base.with(files{trustYAML: roots(2, "carol, erin")})
			v2 := w.commitOf(w.keys["carol"].sign, two, w.forMain(), w.root)
			w.approve("bob", v2, w.root)
			w.approve("erin", v2, w.root)
			nine := w.base.with(files{trustYAML: either(broken, roots(9, "alice, bob"), w.base[trustYAML])})
			side := w.commitOf(either(broken, w.keys["alice"], w.keys["dan"]).sign, nine, "", w.root)
			w.approve("bob", side, w.root)
			w.approve("alice", side, w.root)
			head := w.commitOf(w.keys["dan"].sign, either(broken, nine, two), w.forMain(), side, v2)
			return offer{commit: onMain(head), accepted: v2, blamed: either(broken, side, head)}
		}},
		{"a merge that takes an approved change back", gitops.NotApproved, func(w *inband, broken bool) offer {
			tight := w.base.with(files{"rbac/admin.yaml": "tight\n"})
			main := w.commitOf(w.keys["alice"].sign, tight, w.forMain(), w.root)
			w.approve("bob", main, w.root)
			side := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", w.root)
			head := w.commitOf(w.keys["dan"].sign, either(broken, w.base, tight).with(files{"apps/new.yaml": "n\n"}), w.forMain(), main, side)
			return offer{commit: onMain(head), accepted: main, blamed: head}
		}},
		{"a line from before a seal, of somebody whom only the sealed trust file names", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			text := strings.Replace(w.trust(2, ""), "roles:\n", "  ann: {ssh: [\""+w.ann.line()+"\"]}\nroles:\n", 1)
			two := w.base.with(files{trustYAML: strings.Replace(text, "[dan, erin]", "[dan, ann]", 1)})
			accepted := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			sealed := w.commitOf(w.keys["alice"].sign, two, w.forMain(), either(broken, w.root, accepted))
			w.approve("bob", sealed, either(broken, w.root, accepted))
			w.seal(sealed, now, "alice", "bob")
			next := w.commitOf(w.ann.sign, two, w.forMain(), sealed)
			if !broken {
				return offer{commit: onMain(next), accepted: accepted}
			}
			head := w.commitOf(w.keys["dan"].sign, two, w.forMain(), next, accepted)
			return offer{commit: onMain(head), accepted: accepted, blamed: next}
		}},
		{"a criss-cross that takes an approved change back", gitops.NotApproved, func(w *inband, broken bool) offer {
			tight := w.base.with(files{"rbac/admin.yaml": "tight\n"})
			main := w.commitOf(w.keys["alice"].sign, tight, w.forMain(), w.root)
			w.approve("bob", main, w.root)
			side := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", w.root)
			both := tight.with(files{"apps/new.yaml": "n\n"})
			a := w.commitOf(w.keys["dan"].sign, both, w.forMain(), main, side)
			loose := w.base.with(files{"apps/new.yaml": "n\n"})
			b := w.commitOf(w.keys["erin"].sign, either(broken, loose, both), "", side, main)
			w.approve("alice", b, side)
			w.approve("bob", b, side)
			head := w.commitOf(w.keys["dan"].sign, either(broken, loose, both), w.forMain(), a, b)
			return offer{commit: onMain(head), accepted: main, blamed: head}
		}},
	})
}

// What an accepted trust file revokes is told to the node, which remembers it:
// a later version cannot take it back, and neither can going back.
func TestAcceptedTrustFileTellsWhatItRevokes(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	print := w.keys["dan"].fingerprint()
	old := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	two := w.base.with(files{trustYAML: w.trust(2, "revoked: [\""+print+"\"]\n")})
	accepted := w.commitOf(w.keys["alice"].sign, two, w.forMain(), w.root)
	if got := w.published(t, onMain(accepted), w.root, nil).Revoked; len(got) != 0 {
		t.Errorf("before it is accepted: %v", got)
	}
	told := w.published(t, onMain(accepted), accepted, nil).Revoked
	if len(told) != 1 || told[0] != print {
		t.Fatalf("told: %v", told)
	}
	cfg := w.config()
	remembers(verify.Remembered{Revoked: told})(&cfg)
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Again(t.Context(), onMain(old).Revision); gitops.ReasonOf(err) != gitops.KeyRevoked {
		t.Errorf("going back to what the revoked key signed: %v", err)
	}
}

// What is asked of a merge below a protected path is told to who signs it, too.
func TestRequireOfAMergeThatTakesAChangeBack(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	tight := w.base.with(files{"rbac/admin.yaml": "tight\n"})
	main := w.commitOf(w.keys["alice"].sign, tight, w.forMain(), w.root)
	side := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", w.root)
	for name, c := range map[string]struct {
		tree files
		asks bool
	}{
		"as git merges it": {tight.with(files{"apps/new.yaml": "n\n"}), false},
		"taking it back":   {w.base.with(files{"apps/new.yaml": "n\n"}), true},
	} {
		head := w.commitOf(w.keys["dan"].sign, c.tree, w.forMain(), main, side)
		_, asked, err := verify.Require(t.Context(), w.config(), w, onMain(head))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asks := false
		for _, r := range asked {
			asks = asks || strings.Contains(r.What, `"rbac"`) && !r.Met()
		}
		if asks != c.asks {
			t.Errorf("%s: asked %+v", name, asked)
		}
	}
}
