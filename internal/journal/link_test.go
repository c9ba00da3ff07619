// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

func linkDay(date string, in, out int64) gitops.LinkDay {
	return gitops.LinkDay{Date: date, LinkBytes: gitops.LinkBytes{In: in, Out: out}}
}

func TestBytesOfADayGoAlongWithTheNextWrite(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	ctx := t.Context()
	check(t, j.Configure(ctx, "fleet", "orphan"))
	today := time.Now().UTC().Format(time.DateOnly)
	check(t, j.SetLink(ctx, "fleet", linkDay(today, 500, 50)))
	check(t, j.SetLink(ctx, "nobody", linkDay(today, 1, 1)))
	if days := must(j.Link(ctx, "fleet"))(t); len(days) != 0 {
		t.Errorf("days are %v before anything was written", days)
	}
	check(t, j.SetNodeName(ctx, "store-1"))
	want := []gitops.LinkDay{linkDay(today, 500, 50)}
	if days := must(j.Link(ctx, "fleet"))(t); !slices.Equal(days, want) {
		t.Errorf("days are %v, want %v", days, want)
	}
	if days := must(j.Link(ctx, "nobody"))(t); len(days) != 0 {
		t.Errorf("days of a source that is not there are %v", days)
	}
	// What was written is not written again.
	check(t, j.Exec("DELETE FROM link_days"))
	check(t, j.SetNodeName(ctx, "store-2"))
	if days := must(j.Link(ctx, "fleet"))(t); len(days) != 0 {
		t.Errorf("days are %v, written twice", days)
	}
	// Nor is what was noted lost in a write that fails.
	check(t, j.SetLink(ctx, "fleet", linkDay(today, 600, 60)))
	wantReason(t, j.Advance(ctx, 1, gitops.PhaseApplied, gitops.Outcome{}), gitops.NotFoundHere)
	check(t, j.SetNodeName(ctx, "store-3"))
	check(t, j.Close())
	j = open(t, dir, small)
	want = []gitops.LinkDay{linkDay(today, 600, 60)}
	if days := must(j.Link(ctx, "fleet"))(t); !slices.Equal(days, want) {
		t.Errorf("after a start days are %v, want %v", days, want)
	}
	check(t, j.Remove(ctx, "fleet"))
	if days := must(j.Link(ctx, "fleet"))(t); len(days) != 0 {
		t.Errorf("days of a removed source are %v", days)
	}
}

func TestBytesOfADayOnlyGrow(t *testing.T) {
	j := open(t, t.TempDir(), small)
	ctx := t.Context()
	check(t, j.Configure(ctx, "fleet", "orphan"))
	today := time.Now().UTC().Format(time.DateOnly)
	for i, d := range []gitops.LinkDay{linkDay(today, 100, 10), linkDay(today, 50, 20), linkDay(today, 70, 5)} {
		check(t, j.SetLink(ctx, "fleet", d))
		if i > 0 { // the second joins the first in memory, the third on disk
			check(t, j.AllowPrune(ctx, "fleet", i))
		}
	}
	if days := must(j.Link(ctx, "fleet"))(t); !slices.Equal(days, []gitops.LinkDay{linkDay(today, 100, 20)}) {
		t.Errorf("days are %v, want the most of each", days)
	}
}

func TestDaysAreKeptForFiveWeeks(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	j := open(t, t.TempDir(), journal.Options{Ballast: -1, Now: func() time.Time { return now }})
	ctx := t.Context()
	check(t, j.Configure(ctx, "fleet", "orphan"))
	for range 50 { // no write in all this time
		check(t, j.SetLink(ctx, "fleet", linkDay(now.Format(time.DateOnly), 1, 1)))
		now = now.AddDate(0, 0, 1)
	}
	now = now.AddDate(0, 0, -1)
	check(t, j.SetNodeName(ctx, "store-1"))
	days := must(j.Link(ctx, "fleet"))(t)
	if len(days) != 35 || days[0].Date != "2026-02-19" || days[34].Date != "2026-01-16" {
		t.Errorf("%d days, %v", len(days), days)
	}
	now = now.AddDate(0, 0, 10)
	check(t, j.SetLink(ctx, "fleet", linkDay(now.Format(time.DateOnly), 1, 1)))
	check(t, j.SetNodeName(ctx, "store-2"))
	if days := must(j.Link(ctx, "fleet"))(t); len(days) != 26 || days[25].Date != "2026-01-26" {
		t.Errorf("ten days later %d days, %v", len(days), days)
	}
}

func TestBytesOfNoDayAreRefused(t *testing.T) {
	j := open(t, t.TempDir(), small)
	for _, d := range []gitops.LinkDay{{}, linkDay("2026-13-01", 1, 1), linkDay("yesterday", 1, 1), linkDay("2026-01-01", -1, 0), linkDay("2026-01-01", 0, -1)} {
		wantReason(t, j.SetLink(t.Context(), "fleet", d), gitops.BadRequest)
	}
	wantReason(t, j.SetLink(t.Context(), "", linkDay("2026-01-01", 1, 1)), gitops.BadRequest)
}

// A journal of the first schema goes on as it is.
func TestFirstSchemaIsMigratedInPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "journal.db")
	schema := must(os.ReadFile("migrations/0001_journal.sql"))(t)
	db := must(sql.Open("sqlite", "file:"+file+"?_auto_vacuum=INCREMENTAL"))(t)
	for _, statement := range []string{
		string(schema), "PRAGMA user_version = 1",
		`INSERT INTO sources (name, accepted) VALUES ('fleet', '{"revision":"main@sha1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","at":"2026-01-02T03:04:05Z"}')`,
	} {
		must(db.Exec(statement))(t)
	}
	check(t, db.Close())
	j := open(t, dir, small)
	if s := state(t, j); s.Accepted == nil || s.Accepted.Revision != revision("a") {
		t.Errorf("accepted is %+v after the migration", s.Accepted)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	check(t, j.SetLink(t.Context(), "fleet", linkDay(today, 7, 7)))
	check(t, j.SetNodeName(t.Context(), "store-1"))
	if days := must(j.Link(t.Context(), "fleet"))(t); len(days) != 1 {
		t.Errorf("days are %v", days)
	}
}
