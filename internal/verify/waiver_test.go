// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func waive(from, to gitops.Hash) func(*verify.Config) {
	return func(c *verify.Config) {
		c.Waived = func(context.Context) (verify.Waived, error) { return verify.Waived{From: from, To: to}, nil }
	}
}

// Root's waiver is for one step, and for its ancestry only.
func TestWaiver(t *testing.T) {
	runRules(t, []rule{
		{"fork that root lets through, from another commit", gitops.Fork, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(two), accepted: one, blamed: two, config: waive(either(broken, w.root, one), two)}
		}},
		{"fork that root lets through, to another commit", gitops.Fork, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(two), accepted: one, blamed: two, config: waive(one, either(broken, one, two))}
		}},
		{"rollback that root lets through", gitops.RolledBack, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), one)
			return offer{commit: onMain(one), accepted: two, blamed: one, config: waive(two, either(broken, two, one))}
		}},
		{"waived fork with a commit by a stranger", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			mid := w.commitOf(either(broken, w.mallory.sign, w.keys["dan"].sign), w.base, "", w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), mid)
			return offer{commit: onMain(two), accepted: one, blamed: mid, config: waive(one, two)}
		}},
		{"waived fork that nobody released", gitops.RefUnbound, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base, either(broken, "", w.forMain()), w.root)
			return offer{commit: onMain(two), accepted: one, blamed: two, config: waive(one, two)}
		}},
		{"waived step to another repository", gitops.NotDescendant, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			parent := w.root
			if broken {
				parent = w.commitOf(w.keys["dan"].sign, w.base.with(files{"x": "another\n"}), "")
			}
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), parent)
			return offer{commit: onMain(two), accepted: one, blamed: two, config: waive(one, two)}
		}},
	})
}

func TestRollbackFloorHoldsBackOlderTargets(t *testing.T) {
	w := newInband(t)
	old := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	floor := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), old)
	newer := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), floor)
	head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: w.trust(2, "rollbackFloor: "+string(floor)+"\n")}), "", newer)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	malformed := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: "nonsense: true\n"}), "", head)
	for name, c := range map[string]struct {
		to, accepted gitops.Hash
		reason       gitops.Reason
	}{
		"below the floor":       {old, head, gitops.RollbackFloor},
		"the floor itself":      {floor, head, ""},
		"above it":              {newer, head, ""},
		"no floor was accepted": {old, newer, ""},
		"nothing was accepted":  {old, "", ""},
		"no floor can be read":  {newer, malformed, gitops.TrustFileRefused},
	} {
		if got := gitops.ReasonOf(v.MayReturn(t.Context(), c.to, c.accepted)); got != c.reason {
			t.Errorf("%s: %q, want %q", name, got, c.reason)
		}
	}
}

func TestIncludes(t *testing.T) {
	w := newInband(t)
	one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), one)
	side := w.commitOf(w.keys["dan"].sign, w.base, "", one)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		head, commit gitops.Hash
		want         bool
	}{
		"the head": {two, two, true}, "an ancestor": {two, w.root, true}, "a descendant": {one, two, false},
		"another branch": {two, side, false}, "what is not here": {two, emptyTree, false},
	} {
		if got, err := v.Includes(t.Context(), c.head, c.commit); got != c.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// A head whose history has a hole includes nothing that lies behind it: nobody
// can say that it does.
func TestIncludesWithAHole(t *testing.T) {
	w := newInband(t)
	hole := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
	head := w.commitOf(w.keys["dan"].sign, w.base, "", hole)
	w.remove(hole)
	v := w.verifier(t, nil)
	if got, err := v.Includes(t.Context(), head, w.root); got || err != nil {
		t.Errorf("what lies behind the hole: %v, %v", got, err)
	}
	for name, c := range map[string]gitops.Hash{"head": head, "hole": hole} {
		if got, err := v.Includes(t.Context(), c, c); !got || err != nil {
			t.Errorf("the %s itself: %v, %v", name, got, err)
		}
	}
}

func TestClockBesideATimeThatHasPassed(t *testing.T) {
	floor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for year, want := range map[int][2]bool{1970: {true, false}, 2026: {false, false}, 2035: {false, false}, 2037: {false, true}} {
		behind, ahead := verify.Clock(time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC), floor)
		if got := [2]bool{behind, ahead}; got != want {
			t.Errorf("%d: behind, ahead = %v, want %v", year, got, want)
		}
	}
}
