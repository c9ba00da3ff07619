// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// clock is one that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func noon() *clock { return &clock{time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)} }

func TestBudgetEndsThePollsOfADay(t *testing.T) {
	r, first, _ := fleet(t, 3, 2)
	srv := count(t, r.backend())
	clock := noon()
	cfg := config(srv.URL)
	cfg.Introduction, cfg.Now, cfg.RuntimeDir, cfg.BudgetPerDay = string(first), clock.Now, t.TempDir(), 6000
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	polls := 0
	for ; polls < 50; polls++ {
		if _, err := s.Commits(t.Context(), gitops.PollRequest{}); err != nil {
			wantReason(t, err, gitops.BudgetSpent)
			break
		}
	}
	l := s.Link()
	if polls < 2 || l.Today.In+l.Today.Out < 6000 || l.Today.In+l.Today.Out > 7000 {
		t.Errorf("%d polls took %+v of a budget of 6000", polls, l.Today)
	}
	if l.Failures != 0 || l.Reason != gitops.BudgetSpent || l.Budget != 6000 || l.Today.Date != "2026-01-02" {
		t.Errorf("%+v", l)
	}
	midnight := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	if next := s.NextPoll(); next.Before(midnight) || next.After(midnight.Add(2*cfg.Interval)) {
		t.Errorf("the next poll is at %s", next)
	}
	quiet := func(why string, s *pull.Source) {
		t.Helper()
		before := srv.requests.Load()
		_, err := s.Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.BudgetSpent)
		wantReason(t, s.Objects(t.Context(), []gitops.MissingObject{{ID: r.id("main:clusters")}}), gitops.BudgetSpent)
		if srv.requests.Load() != before {
			t.Error(why + ": something was sent")
		}
	}
	quiet("spent", s)
	s = newSource(t, cfg, store)
	quiet("after a restart", s)
	if err := os.RemoveAll(cfg.RuntimeDir); err != nil {
		t.Fatal(err)
	}
	cfg.Spent = []gitops.LinkDay{l.Today}
	s = newSource(t, cfg, store)
	quiet("after a reboot", s)
	if again := s.Link(); again.BytesIn != l.Today.In || again.Today != l.Today {
		t.Errorf("after a reboot: %+v", again)
	}

	// A person asked: for the poll, and for what follows from it.
	if _, err := s.Commits(t.Context(), gitops.PollRequest{Forced: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Objects(t.Context(), []gitops.MissingObject{{ID: r.id("main:clusters")}}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.BudgetSpent)

	clock.now = midnight.Add(time.Minute)
	mustPoll(t, s)
	if l := s.Link(); l.Reason != "" || l.Today.Date != "2026-01-03" || l.Today.In+l.Today.Out > 3000 {
		t.Errorf("on the next day: %+v", l)
	}
}

// TestBudgetStopsAFetchAndTheNextDayGoesOn has a folder that costs several days.
func TestBudgetStopsAFetchAndTheNextDayGoesOn(t *testing.T) {
	r, first, head := incompressible(t, 100)
	clock := noon()
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Now, cfg.BudgetPerDay = string(first), clock.Now, 150_000
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	var total int64
	for day := 1; ; day++ {
		if day > 6 {
			t.Fatal("it does not come to its end")
		}
		err := func() error {
			if _, err := s.Commits(t.Context(), gitops.PollRequest{}); err != nil {
				return err
			}
			return bringFolder(t, r, s, head, "node")
		}()
		today := s.Link().Today
		n := today.In + today.Out
		t.Log(day, n)
		// What one read took from the connection may be beyond: a packet of Git
		// is 64 kB at most.
		if total += n; n > 150_000+90_000 {
			t.Errorf("on day %d %d bytes moved", day, n)
		}
		if err == nil {
			break
		}
		wantReason(t, err, gitops.BudgetSpent)
		clock.now = clock.now.AddDate(0, 0, 1)
	}
	hasFolder(t, r, store, head, "node")
	// What was under way at the end of each day is asked for again.
	if total > 750_000 {
		t.Errorf("%d bytes for 420,000", total)
	}
}

func TestBytesAreCountedByDayAndUse(t *testing.T) {
	r, first, head := fleet(t, 3, 2)
	clock := noon()
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Now, cfg.RuntimeDir = string(first), clock.Now, t.TempDir()
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	l := s.Link()
	if both := l.Poll.In + l.Fetch.In; both != l.BytesIn || l.Today.In != l.BytesIn || l.Poll.In == 0 || l.Fetch.In == 0 {
		t.Errorf("poll and fetch do not add up: %+v", l)
	}
	for range 10 {
		clock.now = clock.now.AddDate(0, 0, 1)
		mustPoll(t, s, head)
	}
	again := s.Link()
	if again.Fetch != l.Fetch || again.Poll == l.Poll || again.Today.LinkBytes != again.Poll {
		t.Errorf("after polls that found nothing: %+v", again)
	}
	kept, err := os.ReadFile(cfg.RuntimeDir + "/pull-fleet.json")
	if err != nil || strings.Contains(string(kept), `"2026-01-02"`) || !strings.Contains(string(kept), `"2026-01-12"`) {
		t.Errorf("days: %s, %v", kept, err)
	}
	// A clock that starts at the epoch until it is set loses nothing.
	today := clock.now
	clock.now = time.Unix(0, 0)
	mustPoll(t, s, head)
	clock.now = today
	if l := s.Link(); l.Today.In != again.Today.In {
		t.Errorf("today after a wrong clock: %+v, before %+v", l.Today, again.Today)
	}
}
