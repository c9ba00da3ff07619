// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// byRoots is a commit that two roots stand for.
func (w *inband) byRoots(f files, parent gitops.Hash) gitops.Hash {
	c := w.commitOf(w.keys["alice"].sign, f, w.forMain(), parent)
	w.approve("bob", c, parent)
	return c
}

// A merge below a protected path must be as everybody merges it. Where nothing
// says what that is, it needs approvals of its own.
func TestMergesBelowProtectedPaths(t *testing.T) {
	runRules(t, []rule{
		{"a criss-cross that brings back what was taken away", gitops.NotApproved, func(w *inband, broken bool) offer {
			without := w.base.with(files{"rbac/admin.yaml": ""})
			main := w.byRoots(without, w.root)
			side := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", w.root)
			both, back := without.with(files{"apps/new.yaml": "n\n"}), w.base.with(files{"apps/new.yaml": "n\n"})
			a := w.commitOf(w.keys["dan"].sign, both, w.forMain(), main, side)
			b := w.commitOf(w.keys["erin"].sign, either(broken, back, both), "", side, main)
			w.approve("alice", b, side)
			w.approve("bob", b, side)
			head := w.commitOf(w.keys["dan"].sign, either(broken, back, both), w.forMain(), a, b)
			return offer{commit: onMain(head), accepted: main, blamed: head}
		}},
		{"three lines, of which one has a newer trust file, and what lies beside it", gitops.NotApproved, func(w *inband, broken bool) offer {
			w.base[".edgeagent/notes"] = "n\n"
			w.root = w.commitOf(nil, w.base, "")
			two := w.base.with(files{trustYAML: w.trust(2, "")})
			main := w.byRoots(two, w.root)
			side := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			third := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			head := w.commitOf(w.keys["dan"].sign, two.with(files{".edgeagent/notes": either(broken, "x\n", "n\n")}), w.forMain(), main, side, third)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"a merge that drops what was approved on both sides", gitops.NotApproved, func(w *inband, broken bool) offer {
			main := w.byRoots(w.base.with(files{"rbac/admin.yaml": "main\n"}), w.root)
			side := w.byRoots(w.base.with(files{"rbac/admin.yaml": "side\n"}), w.root)
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": ""}), w.forMain(), main, side)
			if !broken {
				w.approve("alice", head, main)
				w.approve("bob", head, main)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"a merge with a trust file of its own, which developers have to approve, too", gitops.NotApproved, func(w *inband, broken bool) offer {
			guarded := func(version int) files {
				return w.base.with(files{trustYAML: strings.Replace(w.trust(version, ""), "protected:\n", "protected:\n- {paths: ["+trustYAML+"], approvals: 2, by: [developer]}\n", 1)})
			}
			w.base = guarded(1)
			w.root = w.commitOf(nil, w.base, "")
			main := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			side := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", w.root)
			head := w.commitOf(w.keys["dan"].sign, guarded(2).with(files{"apps/new.yaml": "n\n"}), w.forMain(), main, side)
			for _, name := range []string{"alice", "bob", either(broken, "carol", "erin")} {
				w.approve(name, head, main)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"a line that begins anew, with a trust file", gitops.NotApproved, func(w *inband, broken bool) offer {
			// The node's roots stand for it. So must those of the line that it
			// is merged into.
			w.base = w.base.with(files{"rbac/admin.yaml": ""})
			w.root = w.commitOf(nil, w.base, "")
			text := strings.Replace(w.trust(1, ""), "[alice, bob, carol], threshold: 2", "[dan], threshold: 1", 1)
			anew := w.commitOf(w.keys["dan"].sign, files{trustYAML: strings.Replace(text, "approvals: 2", "approvals: 1", 1)}, "")
			for _, name := range []string{"alice", "bob"}[either(broken, 1, 0):] {
				w.approve(name, anew, "")
			}
			line := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), line, anew)
			return offer{commit: onMain(head), blamed: anew, config: func(c *verify.Config) {
				c.AllowedSigners = w.file("all", "dan@example.com "+w.keys["dan"].line()+"\n")
				c.Roots, c.RootThreshold = w.file("node-roots", "dan@example.com "+w.keys["dan"].line()+"\n"), 1
			}}
		}},
	})
}

// apart is a merge of two lines of which one changed a protected path, and the
// commit without which nobody can tell where they part.
func (w *inband) apart() (accepted, head, between gitops.Hash) {
	base := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
	between = w.commitOf(w.keys["dan"].sign, w.base, "", base)
	tight := w.base.with(files{"rbac/admin.yaml": "tight\n"})
	accepted = w.byRoots(tight, between)
	w.approve("dan", accepted, between)
	side := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), "", base)
	head = w.commitOf(w.keys["dan"].sign, tight.with(files{"rbac/admin.yaml": "both\n", "apps/new.yaml": "n\n"}), w.forMain(), accepted, side)
	w.approve("alice", head, accepted)
	w.approve("bob", head, accepted)
	return accepted, head, between
}

// Where two lines part is asked only of a merge that is new, and where every
// commit is judged: elsewhere it is not there to be read.
func TestWhereLinesPart(t *testing.T) {
	for name, c := range map[string]struct {
		mode  string
		again bool
		want  gitops.Reason
	}{
		"every commit":        {verify.ModeHistory, false, gitops.Incomplete},
		"every commit, again": {verify.ModeHistory, true, ""},
		"the head only":       {verify.ModeHead, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInband(t)
			accepted, head, between := w.apart()
			v := w.verifier(t, func(cfg *verify.Config) { cfg.Mode = c.mode })
			if _, err := v.Verify(t.Context(), onMain(accepted), ""); err != nil {
				t.Fatal(err)
			}
			w.remove(between)
			ask := func() (verify.Commit, error) { return v.Verify(t.Context(), onMain(head), accepted) }
			if c.again {
				ask = func() (verify.Commit, error) { return v.Again(t.Context(), onMain(head).Revision) }
			}
			if got, err := ask(); gitops.ReasonOf(err) != c.want || got.Valid() != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A store that cannot read where two lines part has decided nothing.
func TestReadsThatFailWhereLinesPart(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	accepted, head, _ := w.apart()
	failEachRead(t, w, w.config(), 15, func(v *verify.Verifier) (bool, error) {
		c, err := v.Verify(t.Context(), onMain(head), accepted)
		return c.Valid(), err
	})
}

// Directories in which nothing protected can lie are not read: a node does not
// fetch them for the decision, nor do many files in them make it refuse.
func TestDirectoriesThatHoldNothingProtected(t *testing.T) {
	w := newInband(t)
	dir := w.tree(files{"deep.yaml": "d\n"})
	tree := w.tree(w.base.with(files{"apps/deep.yaml": "d\n", "apps/web.yaml": ""}))
	head := w.commitTree(w.keys["dan"].sign, tree, w.forMain(), w.root)
	w.remove(dir)
	if got, err := w.verifier(t, nil).Verify(t.Context(), onMain(head), ""); err != nil || !got.Valid() {
		t.Errorf("without the tree of apps: %v", err)
	}
}
