// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// passing is a clock that the test moves.
type passing struct{ now time.Time }

func (p *passing) options() journal.Options {
	return journal.Options{Ballast: -1, Now: func() time.Time { return p.now }}
}

func (p *passing) days(n int) { p.now = p.now.AddDate(0, 0, n) }

func numbered(i int) gitops.Manifests {
	return manifests(gitops.NewRevision("main", gitops.Hash(fmt.Sprintf("%040d", i))), fmt.Sprintf("one=%d", i), "same=1")
}

func rows(t *testing.T, j *journal.Journal, table string) int {
	t.Helper()
	var n int
	check(t, j.Query("SELECT count(*) FROM "+table, &n))
	return n
}

func TestTenHealthyRevisionsAreKept(t *testing.T) {
	p := &passing{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	j := open(t, memory(t), p.options())
	for i := range 30 {
		converge(t, j, numbered(i))
		p.days(1)
	}
	p.days(60)
	check(t, j.Retain(t.Context()))
	list := must(j.Healthy(t.Context(), "fleet"))(t)
	if len(list) != 10 || list[0].Revision != numbered(29).Revision || list[9].Revision != numbered(20).Revision {
		t.Errorf("%d healthy revisions, the oldest %s", len(list), list[len(list)-1].Revision)
	}
	for _, at := range list {
		must(j.Manifests(t.Context(), "fleet", at.Digest))(t)
	}
	// The attempts that made them healthy stay, however old: they say what is
	// newer than what.
	if got := must(j.Attempts(t.Context(), "fleet", 0))(t); len(got) != 10 || got[9].Digest != numbered(20).Digest {
		t.Errorf("%d attempts are kept", len(got))
	}
	_, err := j.Manifests(t.Context(), "fleet", numbered(5).Digest)
	wantReason(t, err, gitops.NotFoundHere)
	if got := rows(t, j, "objects"); got != 11 {
		t.Errorf("%d objects are kept", got)
	}
}

func TestWhatASourceStandsOnIsKept(t *testing.T) {
	p := &passing{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	j := open(t, memory(t), p.options())
	converge(t, j, numbered(0))
	for i := 1; i <= 30; i++ {
		converge(t, j, numbered(i))
	}
	held := numbered(3)
	check(t, j.SetHold(t.Context(), "fleet", &gitops.Hold{Revision: held.Revision, Digest: held.Digest}))
	back := func(b *gitops.BeginRequest) { b.Cause = gitops.CauseRollback }
	converge(t, j, numbered(0), back) // applied and healthy are the oldest
	begin(t, j, numbered(1), back)    // and this one is open
	p.days(90)
	check(t, j.Retain(t.Context()))
	for _, i := range []int{0, 1, 3, 30} {
		must(j.Manifests(t.Context(), "fleet", numbered(i).Digest))(t)
	}
	listed := map[string]bool{}
	for _, at := range must(j.Healthy(t.Context(), "fleet"))(t) {
		listed[at.Digest] = true
	}
	if len(listed) != 12 || !listed[held.Digest] || !listed[numbered(0).Digest] {
		t.Errorf("%d revisions can be gone back to", len(listed))
	}
	if s := state(t, j); s.Open == nil {
		t.Error("the open attempt is gone")
	}
	must(j.Plan(t.Context(), state(t, j).Open.ID))(t)
	// Not only listed: the attempt that was healthy last stays, too.
	kept := false
	for _, a := range must(j.Attempts(t.Context(), "fleet", 0))(t) {
		kept = kept || a.Digest == numbered(0).Digest && a.Phase == gitops.PhasePruned
	}
	if !kept {
		t.Error("the attempt at the healthy revision is gone")
	}
}

func TestFailuresAreKeptForThirtyDaysOrForAsLongAsTheyMatter(t *testing.T) {
	fail := func(t *testing.T, j *journal.Journal, i int, o gitops.Outcome) gitops.Attempt {
		a := begin(t, j, numbered(i))
		o.Reason = gitops.CrashLoop
		advance(t, j, a.ID, gitops.PhaseFailed, o)
		return a
	}
	p := &passing{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	j := open(t, memory(t), p.options())
	converge(t, j, numbered(0))
	written := fail(t, j, 1, gitops.Outcome{})
	accepted := fail(t, j, 2, gitops.Outcome{Remember: true, Untouched: true})
	stale := fail(t, j, 3, gitops.Outcome{Remember: true, Untouched: true})
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: numbered(2).Revision}, false))
	// What the first one wrote is not undone: it took in an object.
	leftover := begin(t, j, manifests(revision("d"), "leftover=1"))
	advance(t, j, leftover.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ApplyFailed})

	p.days(29)
	check(t, j.Retain(t.Context()))
	if got := must(j.Attempts(t.Context(), "fleet", 0))(t); len(got) != 5 {
		t.Errorf("%d attempts are kept after 29 days", len(got))
	}
	p.days(2)
	check(t, j.Retain(t.Context()))
	kept := map[int64]bool{}
	for _, a := range must(j.Attempts(t.Context(), "fleet", 0))(t) {
		kept[a.ID] = true
	}
	for name, c := range map[string]struct {
		id   int64
		want bool
	}{
		"of a revision that Git left":          {stale.ID, false},
		"undone":                               {written.ID, false},
		"of the accepted revision":             {accepted.ID, true},
		"with objects that are in the cluster": {leftover.ID, true},
	} {
		if kept[c.id] != c.want {
			t.Errorf("%s: kept is %v", name, kept[c.id])
		}
	}
	if s := state(t, j); s.Failed == nil || s.Failed.ID != accepted.ID {
		t.Errorf("failed is %+v", s.Failed)
	}
}

func TestASourceThatKeepsFailingDoesNotFillTheDisk(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, numbered(0)) // to be gone back to, and nothing else
	converge(t, j, manifests(revision("e"), "one=e"))
	failed := begin(t, j, manifests(revision("f"), "one=f"))
	advance(t, j, failed.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ImagePull, Untouched: true})
	check(t, j.SetHold(t.Context(), "fleet", &gitops.Hold{Revision: failed.Revision, Digest: failed.Digest}))
	check(t, j.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
		INSERT INTO attempts (source, revision, digest, cause, phase, undoes, signer, health_left, started, ended, plan)
		SELECT 'fleet', 'main', 'sha256:' || i, 'update', 'Failed', 0, '', 0, ?1, ?1, x'' FROM n`, time.Now().UnixMicro()))
	for i := 1; i <= 25; i++ {
		a := begin(t, j, numbered(i))
		advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ImagePull, Untouched: true})
	}
	check(t, j.Retain(t.Context()))
	if got := rows(t, j, "attempts"); got > 502 {
		t.Errorf("%d attempts are kept", got)
	}
	must(j.Manifests(t.Context(), "fleet", failed.Digest))(t) // held, though it never was healthy
	if got := rows(t, j, "manifests"); got != 23 {
		t.Errorf("%d revisions' manifests are kept", got)
	}
	must(j.Manifests(t.Context(), "fleet", numbered(0).Digest))(t)
}

func TestTheFileShrinksALittleAtATime(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	for i := range 24 {
		var text strings.Builder
		for k := range 4000 {
			text.WriteString(gitops.Digest(fmt.Appendf(nil, "%d %d", i, k)))
		}
		m := manifests(gitops.NewRevision("main", gitops.Hash(fmt.Sprintf("%040d", i))), "one="+text.String())
		a := begin(t, j, m)
		advance(t, j, a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.ImagePull})
	}
	check(t, j.Remove(t.Context(), "fleet"))
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "journal.db"))
		check(t, err)
		return info.Size()
	}
	last := size()
	for {
		check(t, j.Retain(t.Context()))
		now := size()
		if now == last {
			break
		}
		if shrunk := last - now; shrunk > 256*4096+8*4096 {
			t.Errorf("the file shrank by %d bytes at once", shrunk)
		}
		last = now
	}
	if last > 512*4096+64*4096 {
		t.Errorf("an empty journal still has %d bytes", last)
	}
}
