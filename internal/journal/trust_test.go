// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// What the roots once said counts for good: a later statement that says less
// takes nothing back.
func TestWhatWasLearnedIsNeverUnlearned(t *testing.T) {
	j := open(t, memory(t), small)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{
		TrustVersion: 3, Revoked: []string{"SHA256:b", "SHA256:a"}, Floor: noon, Heartbeat: &gitops.Heartbeat{Sequence: 7, At: noon, Commit: "x"},
	}))
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{
		TrustVersion: 2, Revoked: []string{"SHA256:c"}, Floor: noon.Add(-time.Hour), Heartbeat: &gitops.Heartbeat{Sequence: 6, At: noon.Add(time.Hour)},
	}))
	check(t, j.Learn(t.Context(), "other", gitops.Learned{Revoked: []string{"SHA256:z"}}))
	known := must(j.Learned(t.Context(), "fleet"))(t)
	if known.TrustVersion != 3 || !slices.Equal(known.Revoked, []string{"SHA256:a", "SHA256:b", "SHA256:c"}) ||
		!known.Floor.Equal(noon) || known.Heartbeat.Sequence != 7 {
		t.Errorf("learned %+v", known)
	}
	if s := state(t, j); !slices.Equal(s.Learned.Revoked, known.Revoked) {
		t.Errorf("the state says %+v", s.Learned)
	}
	wantReason(t, j.Learn(t.Context(), "", gitops.Learned{TrustVersion: 1}), gitops.BadRequest)
}

func TestWhatIsKnownWritesNothing(t *testing.T) {
	writes := 0
	j := open(t, memory(t), small.WithHook(func(point string) {
		if point == "commit" {
			writes++
		}
	}))
	known := gitops.Learned{TrustVersion: 1, Revoked: []string{"SHA256:a"}, Floor: time.Unix(1_760_000_000, 5), Heartbeat: &gitops.Heartbeat{Sequence: 1, At: time.Unix(1_760_000_000, 5)}}
	check(t, j.Learn(t.Context(), "fleet", known))
	before := writes
	check(t, j.Learn(t.Context(), "fleet", known))
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{}))
	if writes != before {
		t.Errorf("%d writes of what is known", writes-before)
	}
}

// The version moves in the transaction that accepts, and never back.
func TestAcceptedTrustVersionNeverFalls(t *testing.T) {
	j := open(t, memory(t), small)
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a"), TrustVersion: 4, RefBinding: "trailer"}, false))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("b"), TrustVersion: 2, RefBinding: "tag"}, false))
	s := state(t, j)
	if s.Learned.TrustVersion != 4 || s.Accepted.TrustVersion != 2 || s.Accepted.RefBinding != "tag" {
		t.Errorf("learned %+v, accepted %+v", s.Learned, s.Accepted)
	}
}

func TestWaiverIsGoodForOneStepAndOnce(t *testing.T) {
	j := open(t, memory(t), small)
	a, b, c := revision("a"), revision("b"), revision("c")
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: a}, false))
	check(t, j.Waive(t.Context(), "fleet", gitops.Waiver{From: a.Hash(), To: c.Hash(), Reason: "no", By: "uid 0"}))
	check(t, j.Waive(t.Context(), "fleet", gitops.Waiver{From: a.Hash(), To: b.Hash(), Reason: "the host was rebuilt", By: "uid 0"}))
	if w := state(t, j).Waiver; !w.Waives(a.Hash(), b.Hash()) || w.Waives(a.Hash(), c.Hash()) || w.Waives(b.Hash(), b.Hash()) {
		t.Errorf("waiver = %+v, want the newest and no other", w)
	}
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: b}, false))
	w := state(t, j).Waiver
	if w.Waives(a.Hash(), b.Hash()) || w.Used.IsZero() || w.Reason != "the host was rebuilt" || w.By != "uid 0" {
		t.Errorf("waiver = %+v, want it used up", w)
	}
	if all := must(j.Waivers(t.Context(), "fleet"))(t); len(all) != 2 || !all[1].Used.IsZero() {
		t.Errorf("waivers = %+v", all)
	}
	wantReason(t, j.Waive(t.Context(), "fleet", gitops.Waiver{To: b.Hash()}), gitops.BadRequest)
	wantReason(t, j.Waive(t.Context(), "fleet", gitops.Waiver{To: "b", Reason: "short"}), gitops.BadRequest)
}

// A waiver for a step that is not made any more is not used by another.
func TestWaiverIsVoidOnceTheSourceMovedOn(t *testing.T) {
	j := open(t, memory(t), small)
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a")}, false))
	check(t, j.Waive(t.Context(), "fleet", gitops.Waiver{From: revision("a").Hash(), To: revision("b").Hash(), Reason: "r"}))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("c")}, false))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("b")}, false))
	if w := state(t, j).Waiver; !w.Used.IsZero() {
		t.Errorf("waiver = %+v, want it not used", w)
	}
}
