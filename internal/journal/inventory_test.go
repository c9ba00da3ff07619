// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func item(t testing.TB, inv gitops.Inventory, name string) gitops.Item {
	t.Helper()
	found, ok := inv.Find(ref(name).Key())
	if !ok {
		t.Fatalf("%s is not in %s", name, names(inv))
	}
	return found
}

func TestNewObjectsAreOwnedBeforeTheyAreWritten(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	converge(t, j, manifests(revision("a"), "old=1"))
	a := begin(t, j, manifests(revision("b"), "new=1", "adopted=1"), func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("adopted"), PriorUID: "u-theirs"}}
		b.Plan.Apply = []gitops.Change{{Ref: ref("new"), Action: gitops.Created}} // and its inventory forgot it
	})
	j.Die()
	inv := owned(t, open(t, dir, small))
	if names(inv) != "adopted new old" {
		t.Fatalf("owned is %s", names(inv))
	}
	if got := item(t, inv, "new"); got.Entered != a.ID || got.Digest != "" || got.PriorUID != "" {
		t.Errorf("new is %+v", got)
	}
	if got := item(t, inv, "adopted"); got.Entered != a.ID || got.PriorUID != "u-theirs" {
		t.Errorf("adopted is %+v", got)
	}
	if got := item(t, inv, "old"); got.Entered == a.ID || got.Digest == "" {
		t.Errorf("old is %+v", got)
	}
}

func TestWhatIsRecordedWinsOverWhatIsAnnounced(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	first := converge(t, j, m)
	before := owned(t, j)
	begin(t, j, manifests(revision("b"), "one=2"), func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("one"), PriorUID: "u-other"}}
	})
	got := item(t, owned(t, j), "one")
	if got != before[0] || got.Entered != first.ID || got.PriorUID != "" {
		t.Errorf("one is %+v, was %+v", got, before[0])
	}
}

func TestTheExactSetReplacesTheUnionAndKeepsWhoTookObjectsIn(t *testing.T) {
	j := open(t, memory(t), small)
	first := converge(t, j, manifests(revision("a"), "one=1", "two=1"))
	m := manifests(revision("b"), "one=2", "three=1")
	a := begin(t, j, m, func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("three"), PriorUID: "u-before"}}
	})
	items := applied(m)
	items[0].Completed = items[0].Digest
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{Inventory: items})
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	if names(owned(t, j)) != "one three two" {
		t.Fatalf("owned before the exact set is %s", names(owned(t, j)))
	}
	advance(t, j, a.ID, gitops.PhasePruned, gitops.Outcome{Inventory: applied(m), Exact: true})
	inv := owned(t, j)
	if names(inv) != "one three" {
		t.Fatalf("owned is %s", names(inv))
	}
	one, three := item(t, inv, "one"), item(t, inv, "three")
	if one.Entered != first.ID || one.Digest != m.Objects[0].Digest || one.Completed != one.Digest {
		t.Errorf("one is %+v", one)
	}
	if three.Entered != a.ID || three.PriorUID != "u-before" || three.UID != "uid-three" {
		t.Errorf("three is %+v", three)
	}
}

func TestWithoutAnExactSetTheUnionStays(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1"))
	a := begin(t, j, manifests(revision("b"), "two=1"))
	for _, p := range []gitops.Phase{gitops.PhaseApplied, gitops.PhaseHealthy, gitops.PhasePruned} {
		advance(t, j, a.ID, p, gitops.Outcome{})
	}
	if names(owned(t, j)) != "one two" {
		t.Errorf("owned is %s", names(owned(t, j)))
	}
}

func TestObjectsOfAFailedAttemptStayUntilItIsUndone(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	good := manifests(revision("a"), "one=1")
	converge(t, j, good)
	bad := begin(t, j, manifests(revision("b"), "one=2", "two=1", "three=1"))
	advance(t, j, bad.ID, gitops.PhaseFailed, gitops.Outcome{
		Reason: gitops.ApplyFailed, Inventory: gitops.Inventory{{Ref: ref("two"), Digest: "d", UID: "uid-two"}},
	})
	j.Die()
	j = open(t, dir, small)
	undo := begin(t, j, good, func(b *gitops.BeginRequest) { b.Cause, b.Undoes = gitops.CauseRollback, bad.ID })
	advance(t, j, undo.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Interrupted})
	inv := owned(t, j)
	if names(inv) != "one three two" || item(t, inv, "two").UID != "uid-two" || item(t, inv, "three").Entered != bad.ID {
		t.Fatalf("owned is %+v", inv)
	}
	converge(t, j, good, func(b *gitops.BeginRequest) { b.Cause, b.Undoes = gitops.CauseRollback, bad.ID })
	if names(owned(t, j)) != "one" {
		t.Errorf("owned after undoing is %s", names(owned(t, j)))
	}
}

// An object that a failed attempt brought and the next one wants too must go
// when the next one is undone.
func TestAnAttemptTakesOverWhatAFailedOneBrought(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1"))
	first := begin(t, j, manifests(revision("b"), "one=1", "two=1", "three=1", "four=1"), func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("four"), PriorUID: "u-four"}}
	})
	advance(t, j, first.ID, gitops.PhaseFailed, gitops.Outcome{
		Reason: gitops.HealthFailed, Inventory: gitops.Inventory{{Ref: ref("two"), Digest: "d", UID: "uid-two"}},
	})
	second := begin(t, j, manifests(revision("c"), "one=1", "two=2", "four=2", "five=1"), func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("two"), PriorUID: "u-mine"}, {Ref: ref("three")}, {Ref: ref("four")}, {Ref: ref("five")}}
	})
	inv := owned(t, j)
	for name, want := range map[string]gitops.Item{
		"two":   {Entered: second.ID},                     // recorded: nothing was there before
		"three": {Entered: first.ID},                      // not wanted any more
		"four":  {Entered: second.ID, PriorUID: "u-four"}, // adopted
		"five":  {Entered: second.ID},
	} {
		if got := item(t, inv, name); got.Entered != want.Entered || got.PriorUID != want.PriorUID {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}

// The failed attempt never got to the object, and a person made one of that
// name: undoing must release it.
func TestWhatSomebodyElseMadeMeanwhileIsNotTakenForOurs(t *testing.T) {
	j := open(t, memory(t), small)
	first := begin(t, j, manifests(revision("a"), "one=1"))
	advance(t, j, first.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ApplyFailed})
	begin(t, j, manifests(revision("b"), "one=2"), func(b *gitops.BeginRequest) {
		b.Plan.Inventory = gitops.Inventory{{Ref: ref("one"), PriorUID: "u-theirs"}}
	})
	if got := item(t, owned(t, j), "one"); got.PriorUID != "u-theirs" {
		t.Errorf("one is %+v", got)
	}
}

func TestAnAttemptThatWroteNothingLeavesNothingBehind(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1"))
	failed := begin(t, j, manifests(revision("b"), "two=1"))
	advance(t, j, failed.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ApplyFailed})

	rejected := begin(t, j, manifests(revision("c"), "one=1", "two=2", "three=1"))
	advance(t, j, rejected.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Rejected, Untouched: true})
	// two may have been written by the attempt before.
	if names(owned(t, j)) != "one two" {
		t.Errorf("owned is %s", names(owned(t, j)))
	}

	resumed := begin(t, j, manifests(revision("d"), "four=1"))
	must(j.Resume(t.Context(), resumed.ID))(t)
	advance(t, j, resumed.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Rejected, Untouched: true})
	if names(owned(t, j)) != "four one two" {
		t.Errorf("owned after a resumed attempt is %s", names(owned(t, j)))
	}

	written := begin(t, j, manifests(revision("e"), "five=1"))
	advance(t, j, written.ID, gitops.PhaseApplied, gitops.Outcome{})
	advance(t, j, written.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.HealthFailed, Untouched: true})
	if names(owned(t, j)) != "five four one two" {
		t.Errorf("owned after an applied attempt is %s", names(owned(t, j)))
	}
}

// Its Job is done for that digest, and for no other.
func TestACompletedJobIsCompleteForItsDigestOnly(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "job=1")
	converge(t, j, m)
	done := applied(m)[0]
	done.Completed = done.Digest
	check(t, j.Record(t.Context(), "fleet", []gitops.Item{done}))
	check(t, j.Record(t.Context(), "fleet", applied(m)))
	if got := item(t, owned(t, j), "job"); got.Completed != done.Digest {
		t.Errorf("job is %+v", got)
	}
	converge(t, j, manifests(revision("b"), "job=2"))
	if got := item(t, owned(t, j), "job"); got.Completed != "" {
		t.Errorf("job is %+v after its digest changed", got)
	}
}

func TestAnAnnouncementNeverHidesWhatIsRecorded(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	converge(t, j, m)
	before := owned(t, j)
	bare := gitops.Inventory{{Ref: ref("one")}}
	check(t, j.Record(t.Context(), "fleet", bare))
	a := begin(t, j, m)
	for _, p := range []gitops.Phase{gitops.PhaseApplied, gitops.PhaseHealthy, gitops.PhasePruned} {
		advance(t, j, a.ID, p, gitops.Outcome{Inventory: bare, Exact: true})
	}
	if got := owned(t, j); len(got) != 1 || got[0] != before[0] {
		t.Errorf("owned is %+v, was %+v", got, before)
	}
}

// Whoever says that nothing was written and names what was, is believed in the
// second.
func TestWhatWasWrittenIsOwnedWhateverElseIsSaid(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1", "two=1")
	a := begin(t, j, m)
	advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Rejected, Untouched: true, Inventory: applied(m)[:1]})
	if names(owned(t, j)) != "one" {
		t.Errorf("owned is %s", names(owned(t, j)))
	}
}

func TestRepairsAreRecorded(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	first := converge(t, j, m)
	repaired := applied(m)
	repaired[0].UID = "uid-again"
	repaired = append(repaired, gitops.Item{Ref: ref("extra"), Digest: "d", UID: "u"})
	check(t, j.Record(t.Context(), "fleet", repaired))
	inv := owned(t, j)
	if got := item(t, inv, "one"); got.UID != "uid-again" || got.Entered != first.ID {
		t.Errorf("one is %+v", got)
	}
	item(t, inv, "extra")
	check(t, j.Record(t.Context(), "new", repaired))
	if got := must(j.Sources(t.Context()))(t); len(got) != 2 {
		t.Errorf("sources are %v", got)
	}
}

func TestSourcesDoNotMix(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1"))
	m := manifests(revision("b"), "two=1")
	other := must(j.Begin(t.Context(), gitops.BeginRequest{Source: "other", Revision: m.Revision, Plan: plan(nil, m)}))(t)
	advance(t, j, other.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Rejected, Remember: true})
	if names(owned(t, j)) != "one" || state(t, j).Open != nil {
		t.Errorf("fleet owns %s, state %+v", names(owned(t, j)), state(t, j))
	}
	if got := must(j.FailedBefore(t.Context(), "fleet", m.Revision, m.Digest))(t); got != nil {
		t.Errorf("fleet remembers %+v", got)
	}
	check(t, j.Remove(t.Context(), "other"))
	check(t, j.Remove(t.Context(), "other"))
	if got := must(j.Sources(t.Context()))(t); len(got) != 1 || got[0] != "fleet" {
		t.Errorf("sources are %v", got)
	}
	if got := must(j.Owned(t.Context(), "other"))(t); len(got) != 0 {
		t.Errorf("a removed source owns %v", got)
	}
	_, err := j.Manifests(t.Context(), "other", m.Digest)
	wantReason(t, err, gitops.NotFoundHere)
	var objects int
	check(t, j.Query("SELECT count(*) FROM objects", &objects))
	if objects != 1 {
		t.Errorf("%d objects are kept", objects)
	}
}
