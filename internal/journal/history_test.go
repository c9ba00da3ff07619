// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

func healthyList(t testing.TB, j *journal.Journal) string {
	t.Helper()
	out := ""
	for _, at := range must(j.Healthy(t.Context(), "fleet"))(t) {
		out += string(at.Revision.Hash()[0])
	}
	return out
}

func TestHealthyRevisionsAreListedInTheOrderOfGit(t *testing.T) {
	j := open(t, memory(t), small)
	a, b, c := manifests(revision("a"), "one=a"), manifests(revision("b"), "one=b"), manifests(revision("c"), "one=c")
	converge(t, j, a)
	converge(t, j, b)
	converge(t, j, c)
	if got := healthyList(t, j); got != "cba" {
		t.Fatalf("healthy revisions are %s", got)
	}
	back := func(b *gitops.BeginRequest) { b.Cause = gitops.CauseRollback }
	converge(t, j, b, back)
	if got := healthyList(t, j); got != "cba" || revisionOf(state(t, j).Healthy) != revision("b") {
		t.Errorf("after a rollback: %s", got)
	}
	converge(t, j, b, func(b *gitops.BeginRequest) { b.Cause = gitops.CausePrune })
	if got := healthyList(t, j); got != "cba" {
		t.Errorf("after a repair on the older revision: %s", got)
	}
	// Git reverts: what a brought is the newest again, under its new name.
	converge(t, j, manifests(revision("d"), "one=a"))
	if got := healthyList(t, j); got != "dcb" {
		t.Errorf("after a revert in Git: %s", got)
	}
	// Going back to the old name of a digest does not move it up.
	converge(t, j, b)
	converge(t, j, a, back)
	if got := healthyList(t, j); got != "dcb" {
		t.Errorf("after a rollback to an older name: %s", got)
	}
}

func TestAFailedPruneNeverTakesHealthyBack(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	a := begin(t, j, m)
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{})
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	err := j.Advance(t.Context(), a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.PruneFailed, Remember: true})
	wantReason(t, err, gitops.Conflict, "Healthy")
	if s := state(t, j); revisionOf(s.Healthy) != m.Revision || s.Open == nil || s.Failed != nil {
		t.Errorf("state is %+v", s)
	}
}

func TestAFailureIsRememberedByRevisionAndDigest(t *testing.T) {
	for name, c := range map[string]struct {
		outcome gitops.Outcome
		want    bool
	}{
		"the revision's fault": {gitops.Outcome{Reason: gitops.CrashLoop, Message: "it crashes", Remember: true}, true},
		"the host's fault":     {gitops.Outcome{Reason: gitops.ImagePull}, false},
		"interrupted":          {gitops.Outcome{Reason: gitops.Interrupted, Remember: true}, false},
		"superseded":           {gitops.Outcome{Reason: gitops.Superseded, Remember: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, memory(t), small)
			m := manifests(revision("b"), "one=2")
			check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: m.Revision}, false))
			a := begin(t, j, m)
			advance(t, j, a.ID, gitops.PhaseFailed, c.outcome)
			for by, found := range map[string]*gitops.Attempt{
				"revision": must(j.FailedBefore(t.Context(), "fleet", m.Revision, ""))(t),
				"digest":   must(j.FailedBefore(t.Context(), "fleet", revision("c"), m.Digest))(t),
				"state":    state(t, j).Failed,
			} {
				if (found != nil) != c.want {
					t.Errorf("by %s: %+v", by, found)
				} else if c.want && (found.ID != a.ID || found.Reason != c.outcome.Reason || found.Message != c.outcome.Message || found.Ended.IsZero()) {
					t.Errorf("by %s: %+v", by, found)
				}
			}
			if found := must(j.FailedBefore(t.Context(), "fleet", revision("c"), ""))(t); found != nil {
				t.Errorf("another revision without a digest: %+v", found)
			}
		})
	}
}

func TestAFailureIsForgottenWhenToldOrWhenTheRevisionBecomesHealthy(t *testing.T) {
	bad := manifests(revision("b"), "one=2")
	fail := func(t *testing.T) *journal.Journal {
		j := open(t, memory(t), small)
		a := begin(t, j, bad)
		advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.CrashLoop, Remember: true})
		return j
	}
	remembered := func(t *testing.T, j *journal.Journal) bool {
		return must(j.FailedBefore(t.Context(), "fleet", bad.Revision, bad.Digest))(t) != nil
	}
	t.Run("told", func(t *testing.T) {
		j := fail(t)
		check(t, j.Forget(t.Context(), "fleet"))
		if remembered(t, j) {
			t.Error("still remembered")
		}
		if got := must(j.Attempts(t.Context(), "fleet", 0))(t); len(got) != 1 || got[0].Phase != gitops.PhaseFailed {
			t.Errorf("history is %+v", got)
		}
	})
	t.Run("healthy", func(t *testing.T) {
		j := fail(t)
		converge(t, j, manifests(revision("c"), "one=3"))
		if !remembered(t, j) {
			t.Error("forgotten because another revision is healthy")
		}
		converge(t, j, bad, func(b *gitops.BeginRequest) { b.Cause = gitops.CauseRetry })
		if remembered(t, j) {
			t.Error("still remembered")
		}
	})
}

func TestTheStateShowsOnlyFailuresOfWhatIsAccepted(t *testing.T) {
	j := open(t, memory(t), small)
	bad := manifests(revision("b"), "one=2")
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: bad.Revision}, false))
	a := begin(t, j, bad)
	advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.CrashLoop, Remember: true})
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("c")}, false))
	if s := state(t, j); s.Failed != nil {
		t.Errorf("failed is %+v", s.Failed)
	}
	// The newer commit renders to what failed.
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("c"), Digest: bad.Digest}, false))
	if s := state(t, j); s.Failed == nil || s.Failed.ID != a.ID {
		t.Errorf("failed is %+v", s.Failed)
	}
}
