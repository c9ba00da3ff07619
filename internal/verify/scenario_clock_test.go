// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestClockThatNobodySet(t *testing.T) {
	runRules(t, []rule{
		{"clock that is not synchronised, where it has to be", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				c.Synchronised = func() bool { return !broken }
			}}
		}},
	})
}

// By a clock that is not synchronised, where the source asks for one, nothing new
// comes in. What was let through before stands, can be gone back to, and comes in
// again once the clock is set, which takes no restart.
func TestClockThatIsNotSynchronised(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	next := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), head)
	synchronised := false
	v := w.verifier(t, func(c *verify.Config) { c.Synchronised = func() bool { return synchronised } })
	judge := func(head, accepted gitops.Hash, want gitops.Reason) {
		t.Helper()
		got, err := v.Verify(t.Context(), onMain(head), accepted)
		if gitops.ReasonOf(err) != want || got.Valid() != (want == "") {
			t.Errorf("valid %v, %v, want %q", got.Valid(), err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "is not synchronised") {
			t.Errorf("%v does not say what is wrong with the clock", err)
		}
		told, err := v.Explain(t.Context(), onMain(head), accepted)
		if err != nil || len(told) == 0 || told[0].Reason != want || told[0].Trusted != (want == "") {
			t.Errorf("Explain: %+v, %v, want %q", told, err, want)
		}
	}
	judge(head, "", gitops.ClockUntrusted)
	judge(next, head, gitops.ClockUntrusted)
	judge(head, head, "")
	if _, err := v.Again(t.Context(), onMain(w.root).Revision); err != nil {
		t.Errorf("Again: %v", err)
	}
	if err := v.MayReturn(t.Context(), w.root, head); err != nil {
		t.Errorf("MayReturn: %v", err)
	}
	synchronised = true
	judge(next, head, "")
}

// A clock that cannot be right is the worse of the two.
func TestClockThatIsFastAndNotSynchronised(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	v := w.verifier(t, func(c *verify.Config) {
		c.Floor, c.Synchronised = now.AddDate(-11, 0, 0), func() bool { return false }
	})
	if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != gitops.ClockUntrusted || !strings.Contains(err.Error(), "ten years") {
		t.Errorf("%v", err)
	}
}
