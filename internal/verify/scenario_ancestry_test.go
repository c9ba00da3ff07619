// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// bases are the merge bases of two commits of a shape, by the definition.
func (s shape) bases(a, b int) []int {
	left, right := s.below(a), s.below(b)
	var out []int
	for i := range left {
		if !right[i] {
			continue
		}
		newest := true
		for j := range left {
			if j != i && right[j] && s.below(j)[i] {
				newest = false
			}
		}
		if newest {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

// In random histories no merge base is missed, and none is named in vain while
// no date lies.
func TestMergeBasesOfRandomHistories(t *testing.T) {
	t.Parallel()
	several, superfluous := 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := randomShape(r)
		m := memory{}
		ids := s.build(m, func(int) sign { return nil })
		a, b := r.IntN(len(ids)), r.IntN(len(ids))
		got, err := verify.MergeBases(t.Context(), m, ids[a], ids[b])
		if err != nil {
			t.Fatal(err)
		}
		want := s.bases(a, b)
		for _, i := range want {
			if !slices.Contains(got, ids[i]) {
				t.Fatalf("seed %d: base %d of %d and %d is missed\n%+v", seed, i, a, b, s)
			}
		}
		if len(got) > len(want) {
			if superfluous++; s.honest {
				t.Fatalf("seed %d: %d bases of %d and %d, want %v, although no date lies\n%+v", seed, len(got), a, b, want, s)
			}
		}
		if len(want) > 1 {
			several++
		}
	}
	if several == 0 {
		t.Error("no history had several bases: the test shows too little")
	}
	t.Logf("%d with several bases, %d with one too many", several, superfluous)
}

func TestAcceptedCommitsOfAllKinds(t *testing.T) {
	revoke := func(w *inband, name string) { w.revoke(w.keys[name].fingerprint(), "alice", "bob") }
	runRules(t, []rule{
		{"accepted commit whose signer has left since", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			without := strings.Replace(w.trust(2, ""), "[dan, erin]", "[dan]", 1)
			accepted := w.commitOf(w.keys["erin"].sign, w.base.with(files{trustYAML: without}), "", w.root)
			w.approve("alice", accepted, w.root)
			w.approve("bob", accepted, w.root)
			head := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base.with(files{trustYAML: without}), w.forMain(), accepted)
			return offer{commit: onMain(head), accepted: accepted, blamed: head}
		}},
		{"accepted commits that are all by a stolen key, more than is looked at", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			line := w.root
			var bad gitops.Hash
			for range 3 {
				line = w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), line)
				if bad == "" {
					bad = line
				}
			}
			if broken {
				revoke(w, "dan")
			}
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), line)
			return offer{commit: onMain(head), accepted: line, blamed: bad, config: func(c *verify.Config) { c.MaxCommits = 4 }}
		}},
		{"root's key changed, and it did not agree", gitops.NotApproved, func(w *inband, broken bool) offer {
			old := w.keys["alice"]
			w.keys["alice"] = ed25519Key()
			next := w.trust(2, "")
			head := w.commitOf(old.sign, w.base.with(files{trustYAML: next}), "", w.root)
			w.approve("bob", head, w.root)
			w.approve("dan", head, w.root)
			if !broken {
				w.approve("alice", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges a branch that left long ago", gitops.TooManyCommits, func(w *inband, broken bool) offer {
			line := w.root
			for range either(broken, 45, 5) {
				line = w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), line)
			}
			theirs := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/web.yaml": "theirs\n"}), "", w.root)
			w.approve("dan", theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, w.base.with(files{"apps/web.yaml": "theirs\n"}), w.forMain(), line, theirs)
			return offer{commit: onMain(head), accepted: line, blamed: head, config: func(c *verify.Config) { c.MaxCommits = 2 }}
		}},
	})
}
