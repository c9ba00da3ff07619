// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestWhatPeopleOrderSurvivesACrash(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	hold := gitops.Hold{Revision: revision("a"), Digest: "sha256:d", HeldBack: revision("b"), Pin: true, By: "uid 0"}
	check(t, j.SetHold(t.Context(), "fleet", &hold))
	check(t, j.Suspend(t.Context(), "fleet", &gitops.Suspension{Reason: "service", By: "uid 0"}))
	check(t, j.AllowPrune(t.Context(), "fleet", 30))
	check(t, j.Configure(t.Context(), "fleet", "prune"))
	check(t, j.SetClusterUID(t.Context(), "fleet", "u"))
	check(t, j.PinIntroduction(t.Context(), "fleet", "abc"))
	check(t, j.SetNodeName(t.Context(), "store-1"))
	j.Die()
	j = open(t, dir, small)
	s := state(t, j)
	if s.Hold == nil || s.Hold.At.IsZero() || s.Suspended == nil || s.Suspended.Reason != "service" || s.Suspended.At.IsZero() ||
		s.AllowPrune != 30 || s.OnRemove != "prune" || s.ClusterUID != "u" || s.Introduction != "abc" {
		t.Errorf("state is %+v", s)
	}
	hold.At = s.Hold.At
	if *s.Hold != hold {
		t.Errorf("hold is %+v", s.Hold)
	}
	if got := must(j.NodeName(t.Context()))(t); got != "store-1" {
		t.Errorf("node is %q", got)
	}
	check(t, j.SetHold(t.Context(), "fleet", nil))
	check(t, j.Suspend(t.Context(), "fleet", nil))
	if s := state(t, j); s.Hold != nil || s.Suspended != nil || s.OnRemove != "prune" {
		t.Errorf("state is %+v", s)
	}
}

func TestAnIntroductionIsPinnedOnce(t *testing.T) {
	j := open(t, memory(t), small)
	check(t, j.PinIntroduction(t.Context(), "fleet", "abc"))
	check(t, j.PinIntroduction(t.Context(), "fleet", "abc"))
	wantReason(t, j.PinIntroduction(t.Context(), "fleet", "def"), gitops.Conflict, "pinned to abc")
	if got := state(t, j).Introduction; got != "abc" {
		t.Errorf("introduction is %s", got)
	}
}

func TestAPermissionToPruneIsUsedUpByDeletions(t *testing.T) {
	j := open(t, memory(t), small)
	wantReason(t, j.AllowPrune(t.Context(), "fleet", -1), gitops.BadRequest)
	check(t, j.AllowPrune(t.Context(), "fleet", 30))
	m := manifests(revision("a"), "one=1")
	first := begin(t, j, m)
	advance(t, j, first.ID, gitops.PhaseApplied, gitops.Outcome{})
	advance(t, j, first.ID, gitops.PhaseHealthy, gitops.Outcome{})
	advance(t, j, first.ID, gitops.PhasePruned, gitops.Outcome{Changes: created(m)})
	if got := state(t, j).AllowPrune; got != 30 {
		t.Errorf("permission is %d after an attempt that deleted nothing", got)
	}
	a := begin(t, j, manifests(revision("b"), "two=1"))
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{})
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	advance(t, j, a.ID, gitops.PhasePruned, gitops.Outcome{Changes: []gitops.Change{{Ref: ref("one"), Action: gitops.Deleted}}})
	if got := state(t, j).AllowPrune; got != 0 {
		t.Errorf("permission is %d after deletions", got)
	}
}
