// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
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
			for range either(broken, 39, 38) {
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
	failEachRead(t, w, w.config(), 3, func(v *verify.Verifier) (bool, error) {
		return false, v.MayReturn(t.Context(), floor, accepted)
	})
	failEachRead(t, w, w.config(), 3, func(v *verify.Verifier) (bool, error) {
		in, err := v.Includes(t.Context(), accepted, w.root)
		if err == nil && !in {
			err = errors.New("it is not included")
		}
		return err != nil && in, err
	})
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.MayReturn(t.Context(), w.root, accepted); gitops.ReasonOf(err) != gitops.RollbackFloor {
		t.Errorf("below the floor: %v", err)
	}
}

// A commit that is missing above what two lines have in common may hide what that
// is; below, nothing is asked of it, nor of one that is malformed.
func TestMergeBasesOfWhatIsMissing(t *testing.T) {
	m := memory{}
	bottom := m.commit(nil, 1, "what")
	root := m.commit(nil, 2, bottom)
	ours := m.commit(nil, 3, root)
	theirs := m.commit(nil, 4, root)
	a, b := m.commit(nil, 5, ours), m.commit(nil, 6, theirs)
	find := func(ctx context.Context) ([]gitops.Hash, error) { return verify.MergeBases(ctx, m, a, b) }
	for n := 1; ; n++ {
		store := &failing{Objects: m, nth: n, err: func() error { return errors.New("disk") }}
		got, err := verify.MergeBases(t.Context(), store, a, b)
		if store.last == "" {
			break
		}
		if gitops.ReasonOf(err) != gitops.StoreFailed || got != nil {
			t.Errorf("read %d of %s fails: %v, %v", n, store.last.Short(), got, err)
		}
	}
	for _, lost := range []gitops.Hash{"", bottom} {
		delete(m, lost)
		if got, err := find(t.Context()); err != nil || !slices.Equal(got, []gitops.Hash{root}) {
			t.Errorf("without %q: %v, %v", lost, got, err)
		}
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := find(stopped); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("stopped: %v, %v", got, err)
	}
	for _, lost := range []gitops.Hash{root, ours, theirs, a, b} {
		raw := m[lost]
		delete(m, lost)
		if got, err := find(t.Context()); gitops.ReasonOf(err) != gitops.Incomplete || got != nil {
			t.Errorf("without %s: %v, %v", lost.Short(), got, err)
		}
		m[lost] = raw
	}
}

// A parent that is no id leads nowhere, also where dates that lie have it walked
// before it is known to lie below.
func TestMergeBasesAboveAParentThatIsNone(t *testing.T) {
	m := memory{}
	root := m.commit(nil, 2, m.commit(nil, 3, "what"))
	a, b := m.commit(nil, 5, m.commit(nil, 0, root)), m.commit(nil, 6, root)
	got, err := verify.MergeBases(t.Context(), m, a, b)
	if err != nil || !slices.Equal(got, []gitops.Hash{root}) {
		t.Errorf("merge bases: %v, %v", got, err)
	}
}

// steps is a context that counts how often it is asked whether it ended: once
// for each step of a walk, and for each read.
type steps struct {
	context.Context
	n *int
}

func (s steps) Err() error { *s.n++; return s.Context.Err() }

// Lines that are merged into each other again and again have more ways through
// them than anybody can walk: each commit is walked from a few times at most.
func TestWalksThroughManyMergesEnd(t *testing.T) {
	m := memory{}
	root := m.commit(nil, 1)
	left, right := m.commit(nil, 2, root), m.commit(nil, 2, root)
	for i := range int64(16) {
		left, right = m.commit(nil, 3+i, left, right), m.commit(nil, 3+i, right, left)
	}
	var n int
	ctx := steps{t.Context(), &n}
	if got, err := verify.MergeBases(ctx, m, left, right); err != nil || len(got) != 2 {
		t.Errorf("merge bases: %v, %v", got, err)
	}
	if n > 8*len(m) {
		t.Errorf("merge bases of %d commits took %d steps", len(m), n)
	}
	n = 0
	if _, exact, err := verify.Between(ctx, m, left, []gitops.Hash{root}); err != nil || len(exact) != len(m)-2 {
		t.Errorf("%d commits are new, %v", len(exact), err)
	}
	if n > 8*len(m) {
		t.Errorf("to find what is new in %d commits took %d steps", len(m), n)
	}
}
