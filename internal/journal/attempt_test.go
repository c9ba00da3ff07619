// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestAnAttemptMovesThroughItsPhases(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	a := begin(t, j, m)
	if a.Phase != gitops.PhaseIntent || a.Digest != m.Digest || a.Signer != "ada" || a.HealthLeft != 5*time.Minute || a.Started.IsZero() {
		t.Errorf("begun is %+v", a)
	}
	if s := state(t, j); s.Open == nil || s.Open.ID != a.ID || s.Applied != nil {
		t.Errorf("after Begin: %+v", s)
	}
	change := gitops.Change{Ref: ref("one"), Action: gitops.Created, Reason: gitops.BecauseNew}
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{Changes: []gitops.Change{change}, Inventory: applied(m)})
	if s := state(t, j); revisionOf(s.Applied) != m.Revision || s.Healthy != nil || s.Open.Phase != gitops.PhaseApplied {
		t.Errorf("after Applied: %+v", s)
	}
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	if s := state(t, j); revisionOf(s.Healthy) != m.Revision || s.Open == nil {
		t.Errorf("after Healthy: %+v", s)
	}
	deleted := gitops.Change{Ref: ref("zero"), Action: gitops.Deleted, Reason: gitops.BecausePruned}
	advance(t, j, a.ID, gitops.PhasePruned, gitops.Outcome{Changes: []gitops.Change{deleted}, Inventory: applied(m), Exact: true})
	got := must(j.Attempt(t.Context(), a.ID))(t)
	if s := state(t, j); s.Open != nil || got.Ended.IsZero() || !slices.Equal(got.Changes, []gitops.Change{change, deleted}) {
		t.Errorf("after Pruned: %+v, %+v", s, got)
	}
}

// Every pair of phases is tried, so that a phase that is added is tried too.
func TestOnlyLegalMovesAreMade(t *testing.T) {
	paths := map[gitops.Phase][]gitops.Phase{
		gitops.PhaseIntent:  {},
		gitops.PhaseApplied: {gitops.PhaseApplied},
		gitops.PhaseHealthy: {gitops.PhaseApplied, gitops.PhaseHealthy},
		gitops.PhasePruned:  {gitops.PhaseApplied, gitops.PhaseHealthy, gitops.PhasePruned},
		gitops.PhaseFailed:  {gitops.PhaseFailed},
	}
	for _, from := range gitops.Phases() {
		path, ok := paths[from]
		if !ok {
			t.Fatalf("how is phase %s reached?", from)
		}
		for _, to := range gitops.Phases() {
			t.Run(string(from+" to "+to), func(t *testing.T) {
				j := open(t, memory(t), small)
				a := begin(t, j, manifests(revision("a"), "one=1"))
				for _, p := range path {
					advance(t, j, a.ID, p, gitops.Outcome{})
				}
				err := j.Advance(t.Context(), a.ID, to, gitops.Outcome{})
				got := must(j.Attempt(t.Context(), a.ID))(t)
				if from.MayMove(to) {
					check(t, err)
					if got.Phase != to {
						t.Errorf("phase is %s", got.Phase)
					}
					return
				}
				wantReason(t, err, gitops.Conflict)
				if got.Phase != from {
					t.Errorf("phase is %s after a refused move", got.Phase)
				}
			})
		}
	}
}

func TestBeginIsRefusedWhileAnAttemptIsOpen(t *testing.T) {
	j := open(t, memory(t), small)
	begin(t, j, manifests(revision("a"), "one=1"))
	m := manifests(revision("b"), "one=2")
	_, err := j.Begin(t.Context(), gitops.BeginRequest{Source: "fleet", Revision: m.Revision, Plan: plan(nil, m)})
	wantReason(t, err, gitops.Conflict, "is open (Intent)", "resume or close")
	if got := must(j.Attempts(t.Context(), "fleet", 0))(t); len(got) != 1 {
		t.Errorf("attempts are %+v", got)
	}
	// Another source is not in the way.
	_, err = j.Begin(t.Context(), gitops.BeginRequest{Source: "other", Revision: m.Revision, Plan: plan(nil, m)})
	check(t, err)
}

func TestTheDatabaseItselfHoldsOneOpenAttempt(t *testing.T) {
	j := open(t, memory(t), small)
	begin(t, j, manifests(revision("a"), "one=1"))
	err := j.Exec(`INSERT INTO attempts (source, revision, digest, cause, phase, undoes, signer, health_left, started, plan)
		SELECT source, revision, digest, cause, phase, undoes, signer, health_left, started, plan FROM attempts`)
	if err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("a second open attempt: %v", err)
	}
}

func TestBeginNeedsATarget(t *testing.T) {
	j := open(t, memory(t), small)
	_, err := j.Begin(t.Context(), gitops.BeginRequest{Source: "fleet", Revision: revision("a")})
	wantReason(t, err, gitops.BadRequest)
}

func TestSupersedingClosesTheOpenAttempt(t *testing.T) {
	for _, c := range []struct {
		path []gitops.Phase
		want gitops.Phase
	}{
		{nil, gitops.PhaseFailed},
		{[]gitops.Phase{gitops.PhaseApplied}, gitops.PhaseFailed},
		{[]gitops.Phase{gitops.PhaseApplied, gitops.PhaseHealthy}, gitops.PhasePruned},
	} {
		j := open(t, memory(t), small)
		converge(t, j, manifests(revision("0"), "zero=0"))
		first := begin(t, j, manifests(revision("a"), "one=1"))
		for _, p := range c.path {
			advance(t, j, first.ID, p, gitops.Outcome{})
		}
		second := begin(t, j, manifests(revision("b"), "two=2"), func(b *gitops.BeginRequest) { b.Supersedes = first.ID })
		got := must(j.Attempt(t.Context(), first.ID))(t)
		if got.Phase != c.want || got.Reason != gitops.Superseded || got.Ended.IsZero() {
			t.Errorf("superseded after %v: %+v", c.path, got)
		}
		if s := state(t, j); s.Open.ID != second.ID {
			t.Errorf("open is %+v", s.Open)
		}
		if before := must(j.FailedBefore(t.Context(), "fleet", first.Revision, first.Digest))(t); before != nil {
			t.Errorf("a superseded attempt is remembered as failed: %+v", before)
		}
		if names(owned(t, j)) != "one two zero" {
			t.Errorf("owned is %s", names(owned(t, j)))
		}
	}
}

func TestResumesAreCountedAndHealthTimeIsKept(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	a := begin(t, j, manifests(revision("a"), "one=1"))
	for want := 1; want <= 3; want++ {
		check(t, j.SetHealthLeft(t.Context(), a.ID, time.Duration(want)*time.Second))
		got := must(j.Resume(t.Context(), a.ID))(t)
		if got.Resumes != want || got.HealthLeft != time.Duration(want)*time.Second {
			t.Errorf("resumed: %+v", got)
		}
		j.Die()
		j = open(t, dir, small)
		if s := state(t, j); s.Open == nil || s.Open.Resumes != want {
			t.Errorf("after a crash: %+v", s.Open)
		}
	}
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{HealthLeft: 7 * time.Second})
	if s := state(t, j); s.Open.HealthLeft != 7*time.Second {
		t.Errorf("after Applied: %+v", s.Open)
	}
	advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ResumedTooOften})
	_, err := j.Resume(t.Context(), a.ID)
	wantReason(t, err, gitops.Conflict, "closed")
	_, err = j.Resume(t.Context(), a.ID+1)
	wantReason(t, err, gitops.NotFoundHere)
}

func TestThePlanIsThereAfterACrash(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	m := manifests(revision("a"), "one=1", "two=2")
	a := begin(t, j, m, func(b *gitops.BeginRequest) {
		b.Plan.UnhealthyBefore = []gitops.ObjectRef{ref("camera")}
		b.Plan.Prune = []gitops.Change{{Ref: ref("old"), Action: gitops.Deleted}}
	})
	j.Die()
	j = open(t, dir, small)
	p := must(j.Plan(t.Context(), a.ID))(t)
	if p.Source != "fleet" || len(p.Apply) != 2 || p.Apply[1].Ref != ref("two") || len(p.Prune) != 1 ||
		!slices.Equal(p.UnhealthyBefore, []gitops.ObjectRef{ref("camera")}) {
		t.Errorf("plan is %+v", p)
	}
	if string(p.Manifests.Bytes()) != string(m.Bytes()) || p.Manifests.Revision != m.Revision {
		t.Errorf("its manifests are %+v", p.Manifests)
	}
	_, err := j.Plan(t.Context(), 99)
	wantReason(t, err, gitops.NotFoundHere)
}

func TestAttemptsAreListedNewestFirst(t *testing.T) {
	j := open(t, memory(t), small)
	for _, letter := range []string{"a", "b", "c"} {
		converge(t, j, manifests(revision(letter), "one="+letter))
	}
	got := must(j.Attempts(t.Context(), "fleet", 2))(t)
	if len(got) != 2 || got[0].Revision != revision("c") || got[1].Revision != revision("b") {
		t.Errorf("attempts are %+v", got)
	}
}
