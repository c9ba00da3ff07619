// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestAcceptedMovesOnlyWhenTold(t *testing.T) {
	j := open(t, memory(t), small)
	at := gitops.At{Revision: revision("a"), Signer: "ada", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	check(t, j.Accept(t.Context(), "fleet", at, false))
	converge(t, j, manifests(revision("0"), "one=1"))
	if s := state(t, j); *s.Accepted != at {
		t.Errorf("accepted is %+v", s.Accepted)
	}
	// The digest is known later, after rendering; when it was accepted stays.
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a"), Digest: "sha256:d"}, false))
	at.Digest = "sha256:d"
	if s := state(t, j); *s.Accepted != at {
		t.Errorf("accepted is %+v", s.Accepted)
	}
	wantReason(t, j.Accept(t.Context(), "fleet", gitops.At{}, false), gitops.BadRequest)
	wantReason(t, j.Accept(t.Context(), "", at, false), gitops.BadRequest)
}

func TestAnUnchangedRevisionMovesAppliedAndHealthyWithIt(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	converge(t, j, m)
	next := gitops.At{Revision: revision("b"), Digest: m.Digest, Signer: "bob"}
	check(t, j.Accept(t.Context(), "fleet", next, true))
	s := state(t, j)
	for name, got := range map[string]*gitops.At{"accepted": s.Accepted, "applied": s.Applied, "healthy": s.Healthy} {
		if got == nil || got.Revision != next.Revision || got.Signer != "bob" || got.Digest != m.Digest {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if list := must(j.Healthy(t.Context(), "fleet"))(t); len(list) != 1 || list[0].Revision != next.Revision {
		t.Errorf("healthy revisions are %+v", list)
	}
	if got := must(j.Manifests(t.Context(), "fleet", m.Digest))(t); got.Revision != next.Revision {
		t.Errorf("the manifests are of %s", got.Revision)
	}
}

func TestAnUnchangedRevisionThatIsNotHealthyYet(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("0"), "one=0"))
	m := manifests(revision("a"), "one=1")
	a := begin(t, j, m)
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{})
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("b"), Digest: m.Digest}, true))
	if s := state(t, j); revisionOf(s.Applied) != revision("b") || revisionOf(s.Healthy) != revision("0") {
		t.Errorf("state is %+v", s)
	}
	// Healthy does not fall behind what is applied.
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	if s := state(t, j); revisionOf(s.Applied) != revision("b") || revisionOf(s.Healthy) != revision("b") {
		t.Errorf("state is %+v", s)
	}
}

func TestUnchangedIsRefusedWhenSomethingElseIsApplied(t *testing.T) {
	j := open(t, memory(t), small)
	at := gitops.At{Revision: revision("b"), Digest: "sha256:other"}
	wantReason(t, j.Accept(t.Context(), "fleet", at, true), gitops.Conflict)
	converge(t, j, manifests(revision("a"), "one=1"))
	wantReason(t, j.Accept(t.Context(), "fleet", at, true), gitops.Conflict, "another digest is applied")
	wantReason(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("b")}, true), gitops.BadRequest)
	if s := state(t, j); s.Accepted != nil || revisionOf(s.Applied) != revision("a") {
		t.Errorf("state is %+v", s)
	}
}

func TestARefusalIsRecordedUntilSomethingIsAccepted(t *testing.T) {
	j := open(t, memory(t), small)
	first := gitops.Refusal{Revision: revision("b"), Commit: "c", Reason: gitops.Unsigned, Message: "sign it"}
	check(t, j.Refuse(t.Context(), "fleet", first))
	if s := state(t, j); s.Refused == nil || s.Refused.Reason != gitops.Unsigned || s.Refused.At.IsZero() {
		t.Errorf("refused is %+v", s.Refused)
	}
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a")}, false))
	if s := state(t, j); s.Refused != nil {
		t.Errorf("refused is %+v after something was accepted", s.Refused)
	}
	// The ref goes to a refused head and back to what is accepted already.
	check(t, j.Refuse(t.Context(), "fleet", first))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a")}, false))
	if s := state(t, j); s.Refused != nil {
		t.Errorf("refused is %+v after the ref went back", s.Refused)
	}
	if got := must(j.Refusals(t.Context(), "fleet"))(t); len(got) != 2 {
		t.Errorf("refusals are %+v", got)
	}
}

func TestOnlyTheLastRefusalsAreKept(t *testing.T) {
	j := open(t, memory(t), small)
	for i := range 60 {
		check(t, j.Refuse(t.Context(), "fleet", gitops.Refusal{
			Revision: gitops.NewRevision("main", gitops.Hash(fmt.Sprintf("%040d", i))), Reason: gitops.Unsigned,
		}))
	}
	got := must(j.Refusals(t.Context(), "fleet"))(t)
	if len(got) != 50 || !strings.HasSuffix(string(got[0].Revision), "59") || !strings.HasSuffix(string(got[49].Revision), "10") {
		t.Errorf("%d refusals from %s", len(got), got[0].Revision)
	}
}
