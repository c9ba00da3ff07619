// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// A commit that is not judged itself, because it lies below, still says by its
// tree who may build on it. What does not begin with its tree says nothing.
func TestTreesOfCommitsBelow(t *testing.T) {
	for name, c := range map[string]struct {
		begin string
		want  gitops.Reason
	}{
		"tree":                 {"tree " + string(emptyTree), ""},
		"an id, and no word":   {string(emptyTree), gitops.MalformedCommit},
		"the word in capitals": {"TREE " + string(emptyTree), gitops.MalformedCommit},
		"no id":                {"tree what", gitops.MalformedCommit},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			below := w.put(gitops.CommitObject, []byte(strings.Replace(w.unsigned(), "tree "+string(emptyTree), c.begin, 1)))
			main, side := w.commit(nil, below), w.commit(w.ann.sign, below)
			head := w.commit(w.ann.sign, main, side)
			v := w.verifier(func(cfg *verify.Config) { cfg.Introduction = string(main) })
			got, err := v.Verify(t.Context(), onMain(head), main)
			if gitops.ReasonOf(err) != c.want || got.Valid() != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// Whose key is out of its time is told so, though other roles do not know it.
func TestRolesThatDoNotKnowAKeySayLess(t *testing.T) {
	runRules(t, []rule{
		{"root whose time is over, and who is no developer", gitops.KeyExpired, func(w *inband, broken bool) offer {
			alice := w.keys["alice"].line()
			dated := `  alice: {validBefore: "` + either(broken, "20260501", "20260701") + `", validAfter: "20250101", ssh: ["` + alice + `"]}`
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), `  alice: {ssh: ["`+alice+`"]}`, dated, 1)
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(w.keys["alice"].sign, w.base, "", w.root)
			w.approve("dan", head, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// Lines above a seal can part at a commit that is not judged. One without a tree
// is not taken for an empty one: that would say what a merge of them must hold.
func TestLinesThatPartAtNoTree(t *testing.T) {
	for name, c := range map[string]struct {
		tree bool
		want gitops.Reason
	}{"a tree": {true, ""}, "none": {false, gitops.MalformedCommit}} {
		t.Run(name, func(t *testing.T) {
			w := newInband(t)
			other := w.base.with(files{"rbac/admin.yaml": "c: 0\n"})
			tree := ""
			if c.tree {
				tree = string(w.tree(other))
			}
			below := w.put(gitops.CommitObject, []byte(strings.Replace(w.unsigned(), string(emptyTree), tree, 1)))
			w.root = w.commitOf(nil, w.base, "", below)
			sealed := w.commitOf(nil, other, "", below)
			w.seal(sealed, now, "alice", "bob")
			side := w.commitOf(w.keys["erin"].sign, other.with(files{"apps/new.yaml": "n\n"}), "", sealed)
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/new.yaml": "n\n"}), w.forMain(), w.root, side)
			got, err := w.verifier(t, nil).Verify(t.Context(), onMain(head), w.root)
			if gitops.ReasonOf(err) != c.want || got.Valid() != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A trust file can say which repository it is for. A node that takes the first
// head that it sees has not been told which that is.
func TestTrustFileOfARepositoryThatTheNodeDoesNotName(t *testing.T) {
	w := newInband(t)
	bound := w.base.with(files{trustYAML: w.trust(1, "introduction: "+string(w.root)+"\n")})
	another := w.commit(nil)
	for name, c := range map[string]struct {
		introduction string
		parents      []gitops.Hash
		want         gitops.Reason
	}{
		"none":    {verify.FirstSeen, nil, ""},
		"another": {string(another), []gitops.Hash{another}, gitops.TrustFileRefused},
	} {
		t.Run(name, func(t *testing.T) {
			head := w.commitOf(w.keys["dan"].sign, bound, "", c.parents...)
			for _, who := range []string{"alice", "bob", "erin"} {
				w.state(who, verify.ApprovalRef(head, who), head, gitops.CommitObject, verify.ApprovalMessage(head, "refs/heads/main", "", head))
			}
			v := w.verifier(t, both(w.nodesFiles, func(cfg *verify.Config) { cfg.Introduction = c.introduction }))
			if got, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != c.want || got.Valid() != (c.want == "") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
