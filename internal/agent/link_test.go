// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func (r *remote) fails(poll, objects gitops.Reason) {
	r.set(func(r *remote) {
		r.err, r.fetchErr = nil, nil
		if poll != "" {
			r.err = failure(poll)
		}
		if objects != "" {
			r.fetchErr = failure(objects)
		}
	})
}

// asked is whether each poll since the last call was forced.
func (r *remote) asked() []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.asks
	r.asks = nil
	return out
}

// warned is what was logged as a warning, or worse.
func (l *logbook) warned() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.lines), func(line string) bool {
		return strings.HasPrefix(line, "INFO") || strings.HasPrefix(line, "DEBUG")
	})
}

// TestFetchingIsNoFailure: a link that brings only a part in its time.
func TestFetchingIsNoFailure(t *testing.T) {
	for name, parts := range map[string]struct{ poll, objects gitops.Reason }{
		"commits": {poll: gitops.Fetching},
		"objects": {objects: gitops.Fetching},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				two := w.push(content{"a": "2"})
				w.remote.set(func(r *remote) { r.interval, r.missing = 2*time.Second, []gitops.Hash{"blob"} })
				w.remote.fails(parts.poll, parts.objects)
				renders := w.renderer.renders
				w.run()
				w.sleep(time.Minute)
				polls := w.remote.polled()
				w.sleep(time.Minute)
				if more := w.remote.polled() - polls; more < 20 {
					t.Errorf("%d polls in a minute, want one whenever the source wants it", more)
				}
				st := w.status()
				if st.Phase != gitops.StageFetching || st.Progress != "made to fail: Fetching" {
					t.Errorf("phase = %s, progress = %q; want the message of what is fetched", st.Phase, st.Progress)
				}
				if c := st.Condition(gitops.ConditionSourceReachable); c.Status != "True" {
					t.Errorf("SourceReachable = %+v: bytes come", c)
				}
				if c := st.Condition(gitops.ConditionStalled); c.Status != "False" {
					t.Errorf("Stalled = %+v", c)
				}
				if st.Link.Reason != "" {
					t.Errorf("the link says %s: progress is no reason", st.Link.Reason)
				}
				if warned := w.log.warned(); len(warned) > 0 {
					t.Errorf("warned %q", warned)
				}
				if w.renderer.renders != renders {
					t.Error("rendered without its objects")
				}
				if parts.objects != "" {
					w.ready("Unknown", gitops.Fetching)
				}
				// What runs is kept in repair meanwhile.
				w.cluster.edit("a", "edited")
				w.sleep(time.Minute)
				w.runs(one, content{"a": "1"})
				w.history("update Pruned")
				// The rest comes.
				w.remote.fails("", "")
				w.sleep(30 * time.Second)
				w.runs(two, content{"a": "2"})
				if st := w.status(); st.Phase != gitops.StageWaiting || st.Progress != "" {
					t.Errorf("phase = %s, progress = %q when everything is here", st.Phase, st.Progress)
				}
			})
		})
	}
}

func TestFirstFetchIsShownAsSuch(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "1"})
		w.remote.fails(gitops.Fetching, "")
		w.run()
		w.ready("Unknown", gitops.Fetching)
		if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "True" {
			t.Errorf("SourceReachable = %+v: bytes come", c)
		}
		w.remote.fails(gitops.BudgetSpent, "")
		w.sleep(2 * time.Minute)
		w.ready("Unknown", gitops.BudgetSpent)
	})
}

func TestOnceGoesOnUntilEverythingIsHere(t *testing.T) {
	inWorld(t, func(w *world) {
		rev := w.push(content{"a": "1"})
		w.remote.set(func(r *remote) { r.interval, r.missing = time.Second, []gitops.Hash{"blob"} })
		w.remote.fails(gitops.Fetching, "")
		go func() {
			time.Sleep(10 * time.Second)
			w.remote.fails("", gitops.Fetching)
			time.Sleep(10 * time.Second)
			w.remote.fails("", "")
		}()
		w.once()
		w.runs(rev, content{"a": "1"})
		// A link that fails ends it.
		w.push(content{"a": "2"})
		w.remote.fails(gitops.Unreachable, "")
		w.once()
		w.runs(rev, content{"a": "1"})
	})
}

// TestSyncIsForced: what a person asked for is not held back by the budget, from
// the poll to the last object; what follows is again.
func TestSyncIsForced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.remote.set(func(r *remote) { r.interval = 10 * time.Second })
		w.run()
		w.sleep(30 * time.Second)
		if asked := w.remote.asked(); slices.Contains(asked, true) {
			t.Errorf("forced = %v before anybody asked", asked)
		}
		w.push(content{"a": "2"})
		w.remote.set(func(r *remote) { r.missing = []gitops.Hash{"blob"} })
		w.remote.fails(gitops.Fetching, "")
		if _, err := w.agent.Sync(w.ctx, fleet, 0); err != nil {
			t.Fatal(err)
		}
		w.sleep(31 * time.Second)
		w.remote.fails("", gitops.Fetching)
		w.sleep(30 * time.Second)
		if asked := w.remote.asked(); len(asked) < 6 || slices.Contains(asked, false) {
			t.Errorf("forced = %v while what was asked for is fetched", asked)
		}
		w.remote.fails("", "")
		w.sleep(15 * time.Second)
		w.holds(content{"a": "2"})
		w.remote.asked()
		w.sleep(30 * time.Second)
		if asked := w.remote.asked(); len(asked) < 3 || slices.Contains(asked, true) {
			t.Errorf("forced = %v after it was done", asked)
		}
	})
}

func TestSpentBudgetIsNoFailure(t *testing.T) {
	for name, parts := range map[string]struct{ poll, objects gitops.Reason }{
		"commits": {poll: gitops.BudgetSpent},
		"objects": {objects: gitops.BudgetSpent},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				w.run()
				w.sleep(time.Minute)
				before := w.status().Condition(gitops.ConditionSourceReachable)
				two := w.push(content{"a": "2"})
				w.remote.set(func(r *remote) { r.missing = []gitops.Hash{"blob"} })
				w.remote.fails(parts.poll, parts.objects)
				w.cluster.edit("a", "edited")
				w.sleep(5 * time.Minute)
				w.runs(one, content{"a": "1"})
				w.history("update Pruned")
				st := w.status()
				if after := st.Condition(gitops.ConditionSourceReachable); after != before {
					t.Errorf("SourceReachable = %+v, was %+v", after, before)
				}
				if st.Link.Reason != gitops.BudgetSpent || st.Link.Message != "made to fail: BudgetSpent" {
					t.Errorf("link = %+v, want the reason and message in it", st.Link)
				}
				if c := st.Condition(gitops.ConditionStalled); c.Status != "False" || st.Phase != gitops.StageWaiting {
					t.Errorf("Stalled = %+v in phase %s", c, st.Phase)
				}
				if parts.poll != "" {
					w.ready("True", gitops.IsHealthy)
				} else {
					w.ready("Unknown", gitops.BudgetSpent)
				}
				if warned := w.log.warned(); len(warned) > 0 {
					t.Errorf("warned %q", warned)
				}
				w.remote.fails("", "")
				w.sleep(2 * time.Minute)
				w.runs(two, content{"a": "2"})
				if l := w.status().Link; l.Reason != "" {
					t.Errorf("link = %+v on the next day", l)
				}
			})
		})
	}
}

// TestLinkThatFailsBlamesNoRevision: what goes wrong between commits and objects
// is the link's fault, whatever it is.
func TestLinkThatFailsBlamesNoRevision(t *testing.T) {
	for _, reason := range []gitops.Reason{
		gitops.Unreachable, gitops.Timeout, gitops.TooSlow, gitops.CaptivePortal, gitops.RedirectRefused, gitops.TLS,
		gitops.Auth, gitops.RefMissing, gitops.TooLarge, gitops.Corrupt, gitops.NotGit, gitops.ServerError, gitops.Incomplete,
		gitops.StoreFailed, gitops.ObjectExceedsLink, gitops.UnsupportedServer, gitops.MirrorBehind, "",
	} {
		t.Run(string(reason), func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				two := w.push(content{"a": "2"})
				w.remote.set(func(r *remote) { r.missing, r.fetchErr = []gitops.Hash{"blob"}, failure(reason) })
				w.cluster.edit("a", "edited")
				w.run()
				w.sleep(10 * time.Minute)
				w.runs(one, content{"a": "1"})
				w.history("update Pruned")
				want := reason
				if reason == "" {
					want = "Error"
				}
				if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "False" || c.Reason != want {
					t.Errorf("SourceReachable = %+v, want %s", c, want)
				}
				if since := w.status().Condition(gitops.ConditionSourceReachable).LastTransitionTime; time.Since(since) < 9*time.Minute {
					t.Errorf("SourceReachable went back and forth, last %s ago", time.Since(since))
				}
				w.ready("False", want)
				if w.remote.fetches < 10 {
					t.Errorf("asked %d times in ten minutes", w.remote.fetches)
				}
				w.remote.fails("", "")
				w.sleep(time.Minute + time.Second)
				w.runs(two, content{"a": "2"})
				if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "True" {
					t.Errorf("SourceReachable = %+v when everything is here", c)
				}
			})
		})
	}
}

// A hold makes the objects of the accepted revision nobody's concern.
func TestFailedFetchIsForgottenWhenNobodyNeedsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.healthy(content{"a": "2"})
		w.push(content{"a": "3"})
		w.remote.set(func(r *remote) { r.missing = []gitops.Hash{"blob"} })
		w.remote.fails("", gitops.Timeout)
		w.run()
		w.sleep(2 * time.Minute)
		w.rollback(string(one), true)
		w.sleep(2 * time.Minute)
		if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "True" {
			t.Errorf("SourceReachable = %+v, want what the last poll says", c)
		}
	})
}

// deaf is a server that says it sent what it did not send.
type deaf struct{ *remote }

func (d deaf) Objects(context.Context, []gitops.MissingObject) error {
	d.set(func(r *remote) { r.fetches++ })
	return nil
}

func TestAnswerThatBringsNothingEndsTheRound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "1"})
		w.remote.set(func(r *remote) { r.missing = []gitops.Hash{"blob"} })
		w.cfg.Sources[0].Git = deaf{w.remote}
		w.restart()
		w.once()
		if w.remote.fetches != 1 {
			t.Errorf("asked %d times for the same", w.remote.fetches)
		}
		w.ready("False", gitops.Incomplete)
	})
}

// stamp is what changes when the journal is written.
func (w *world) stamp() string {
	w.t.Helper()
	var out string
	for _, name := range []string{"journal.db", "journal.db-journal"} {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			w.t.Fatal(err)
		}
		out += fmt.Sprintln(name, info.Size(), info.ModTime().UnixNano())
	}
	return out
}

func TestBytesOfTheLinkAreJournalledWithSomethingElse(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.run()
		w.sleep(2 * time.Minute)
		count := func(day string, in int64) {
			w.remote.set(func(r *remote) { r.link.Today = gitops.LinkDay{Date: day, LinkBytes: gitops.LinkBytes{In: in, Out: 1}} })
		}
		today := time.Now().UTC().Format(time.DateOnly)
		before := w.stamp()
		for i := range 24 * 60 {
			count(today, int64(i))
			w.sleep(time.Minute)
		}
		if after := w.stamp(); after != before {
			t.Errorf("a day of polls that brought nothing wrote:\n%swas\n%s", after, before)
		}
		tomorrow := time.Now().UTC().Format(time.DateOnly)
		count(tomorrow, 7)
		w.push(content{"a": "2"})
		w.sleep(2 * time.Minute)
		w.holds(content{"a": "2"})
		days, err := w.journal.Link(w.ctx, fleet)
		if err != nil || len(days) != 2 || days[0].Date != tomorrow || days[0].In != 7 || days[1].Date != today || days[1].In != 24*60-1 {
			t.Errorf("days = %v, %v; want both, as they were last", days, err)
		}
	})
}

// A transfer takes longer than any step of the loop: its bytes are seen to grow.
func TestLinkIsShownAsItIsNow(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.remote.set(func(r *remote) { r.link.Today.In = 77 })
		if got := w.status().Link.Today.In; got != 77 {
			t.Errorf("today = %d bytes, want what the source says now", got)
		}
	})
}
