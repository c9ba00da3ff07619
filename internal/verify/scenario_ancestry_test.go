// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
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

// What was accepted by an older grammar, or lies where trust begins, is judged no
// further than it must be.
func TestGroundsThatAreNotJudgedAgain(t *testing.T) {
	w := newInband(t)
	text := strings.Replace(w.unsigned(w.root), "Ann", "A\x1bnn", 1)
	text = strings.Replace(text, string(emptyTree), string(w.tree(w.base)), 1)
	malformed := w.put(gitops.CommitObject, []byte(signText(text, w.keys["dan"].sign)))
	head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), malformed)
	broken := w.commitOf(nil, w.base.with(files{trustYAML: "nonsense: true\n"}), "")
	next := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
	for name, c := range map[string]struct {
		head, accepted gitops.Hash
		change         func(*verify.Config)
		want           gitops.Reason
		blamed         gitops.Hash
	}{
		"accepted commit that is malformed now":             {head, malformed, nil, "", ""},
		"malformed commit that was not accepted":            {head, w.root, nil, gitops.MalformedCommit, malformed},
		"introduction whose trust file is malformed":        {broken, "", func(c *verify.Config) { c.Introduction = string(broken) }, gitops.TrustFileRefused, broken},
		"introduction that was pinned, which trailers name": {next, w.root, both(func(c *verify.Config) { c.Introduction = verify.FirstSeen }, remembers(verify.Remembered{Introduction: w.root})), "", ""},
		"introduction that nobody remembers":                {next, w.root, func(c *verify.Config) { c.Introduction = verify.FirstSeen }, gitops.RefUnbound, next},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			if c.change != nil {
				c.change(&cfg)
			}
			v, err := verify.New(cfg, w)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), onMain(c.head), c.accepted)
			if e, _ := errors.AsType[*gitops.Error](err); gitops.ReasonOf(err) != c.want || e != nil && e.Commit != c.blamed {
				t.Errorf("%v, want %q for %s", err, c.want, c.blamed.Short())
			}
		})
	}
}

// Where nodes may go back to, and what a head includes, is no guess either when
// the store cannot read.
func TestGoingBackIsNoGuess(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	floor := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	next := w.base.with(files{trustYAML: w.trust(2, "rollbackFloor: "+string(floor)+"\n")})
	accepted := w.commitOf(w.keys["alice"].sign, next, "", floor)
	for name, ask := range map[string]func(*verify.Verifier) error{
		"MayReturn to the floor": func(v *verify.Verifier) error { return v.MayReturn(t.Context(), floor, accepted) },
		"Includes": func(v *verify.Verifier) error {
			in, err := v.Includes(t.Context(), accepted, w.root)
			if err == nil && !in {
				return errors.New("it is not included")
			}
			return err
		},
	} {
		for n := 1; ; n++ {
			store := &failing{Objects: w, nth: n, err: func() error { return errors.New("disk") }}
			v, err := verify.New(w.config(), store)
			if err != nil {
				t.Fatal(err)
			}
			err = ask(v)
			if store.last == "" {
				if err != nil || n < 3 {
					t.Errorf("%s: %v after %d reads", name, err, n)
				}
				break
			}
			if gitops.ReasonOf(err) != gitops.StoreFailed {
				t.Errorf("%s, read %d of %s fails: %v", name, n, store.last.Short(), err)
			}
		}
	}
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.MayReturn(t.Context(), w.root, accepted); gitops.ReasonOf(err) != gitops.RollbackFloor {
		t.Errorf("below the floor: %v", err)
	}
}
