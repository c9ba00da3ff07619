// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// A heartbeat names a commit that the host keeps back: it is said, and nothing
// else happens.
func TestWithheldCommitIsSeen(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.condition(gitops.ConditionStale, "False", "")
		two := w.pushBy("dan", content{"a": "2"})
		w.heartbeat("dan", two.Hash(), 5, time.Now())
		w.remote.head = one.Hash()
		w.once()
		w.runs(one, content{"a": "1"})
		if c := w.condition(gitops.ConditionStale, "True", gitops.Withheld); !strings.Contains(c.Message, two.Hash().Short()) {
			t.Errorf("Stale says %q", c.Message)
		}
		w.ready("True", gitops.IsHealthy)
		// An older heartbeat does not take it back, nor does a restart without one.
		w.heartbeat("dan", one.Hash(), 4, time.Now())
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.Withheld)
		clear(w.remote.refs)
		w.restart()
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.Withheld)
		if h := w.status().Heartbeat; h == nil || h.Sequence != 5 || h.Signer != "dan" {
			t.Errorf("heartbeat = %+v", h)
		}
		// A descendant includes it.
		w.remote.head = two.Hash()
		w.pushBy("erin", content{"a": "3"})
		w.once()
		w.condition(gitops.ConditionStale, "False", "")
	})
}

// Who may not give a sign of life gives none.
func TestHeartbeatByAStrangerIsNone(t *testing.T) {
	inSignedWorld(t, "heartbeat: {by: [root]}\n", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		two := w.pushBy("dan", content{"a": "2"})
		w.heartbeat("dan", two.Hash(), 5, time.Now())
		w.remote.head = one.Hash()
		w.once()
		w.condition(gitops.ConditionStale, "False", "")
		if w.status().Heartbeat != nil {
			t.Errorf("heartbeat = %+v", w.status().Heartbeat)
		}
	})
}

// A stolen key may have signed the highest sequence there is. Once it is revoked
// its heartbeat is as good as none, and an honest one with any sequence counts.
func TestHeartbeatOfAStolenKeyIsForgotten(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		w.cfg.Synchronised = func() bool { return true }
		w.cfg.Sources[0].MaxStaleness = 2 * time.Hour
		w.restart()
		one := w.pushBy("erin", content{"a": "1"})
		w.heartbeat("dan", one.Hash(), 1<<62, time.Now().AddDate(50, 0, 0))
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.StaleSource)
		w.heartbeat("erin", one.Hash(), 6, time.Now())
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.StaleSource)
		clear(w.remote.refs)
		w.revoke(w.fingerprint("dan"), "alice", "bob")
		w.once()
		if h := w.status().Heartbeat; h != nil {
			t.Errorf("heartbeat = %+v, want none: its key is revoked", h)
		}
		w.condition(gitops.ConditionStale, "False", "")
		w.heartbeat("erin", one.Hash(), 6, time.Now().Add(-3*time.Hour))
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.StaleSource)
		w.heartbeat("erin", one.Hash(), 7, time.Now())
		w.once()
		if h := w.status().Heartbeat; h == nil || h.Sequence != 7 || h.Signer != "erin" || h.Statement != nil {
			t.Errorf("heartbeat = %+v, want erin's", h)
		}
		w.condition(gitops.ConditionStale, "False", "")
		w.restart()
		w.once()
		w.condition(gitops.ConditionStale, "False", "")
	})
}

// A heartbeat from the future, by whoever holds a key for a day, does not keep
// the source fresh for ever.
func TestHeartbeatFromTheFutureIsStale(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		w.cfg.Synchronised = func() bool { return true }
		w.cfg.Sources[0].MaxStaleness = 2 * time.Hour
		w.restart()
		one := w.pushBy("dan", content{"a": "1"})
		w.heartbeat("dan", one.Hash(), 1, time.Now().Add(23*time.Hour))
		w.once()
		w.condition(gitops.ConditionStale, "False", "")
		w.heartbeat("dan", one.Hash(), 2, time.Now().AddDate(50, 0, 0))
		w.once()
		w.condition(gitops.ConditionStale, "True", gitops.StaleSource)
		w.runs(one, content{"a": "1"})
	})
}

// Ages count from the newest heartbeat, however well polls go, and only while
// the clock is known to be right.
func TestSilenceBecomesStale(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		var drifting atomic.Bool
		w.cfg.Synchronised = func() bool { return !drifting.Load() }
		w.cfg.Sources[0].MaxStaleness = 2 * time.Hour
		w.restart()
		one := w.pushBy("dan", content{"a": "1"})
		w.heartbeat("dan", one.Hash(), 1, time.Now())
		w.run()
		w.sleep(time.Hour)
		w.condition(gitops.ConditionStale, "False", "")
		w.sleep(time.Hour + 2*time.Minute)
		w.condition(gitops.ConditionStale, "True", gitops.StaleSource)
		w.runs(one, content{"a": "1"})
		drifting.Store(true)
		w.sleep(2 * time.Minute)
		w.condition(gitops.ConditionStale, "Unknown", gitops.ClockUntrusted)
		drifting.Store(false)
		w.heartbeat("dan", one.Hash(), 2, time.Now())
		w.sleep(2 * time.Minute)
		w.condition(gitops.ConditionStale, "False", "")
	})
}

// Without heartbeats the last successful poll is the newest sign of life.
func TestSilenceOfTheLinkBecomesStale(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].MaxStaleness = 2 * time.Hour
		w.restart()
		w.healthy(content{"a": "1"})
		w.run()
		stale := func() gitops.Condition { return w.status().Condition(gitops.ConditionStale) }
		w.sleep(90 * time.Minute)
		w.remote.set(func(r *remote) { r.link.LastSuccess = time.Now(); r.err = failure(gitops.Unreachable) })
		w.sleep(110 * time.Minute)
		if c := stale(); c.Status != "False" {
			t.Errorf("Stale = %+v, want False: a poll went well 110 minutes ago", c)
		}
		w.sleep(15 * time.Minute)
		if c := stale(); c.Status != "True" || c.Reason != gitops.StaleSource {
			t.Errorf("Stale = %+v", c)
		}
		// A process that never reached the source says so, too.
		w.remote.set(func(r *remote) { r.link.LastSuccess = time.Time{} })
		w.restart()
		w.run()
		w.sleep(time.Hour)
		if c := stale(); c.Status != "False" {
			t.Errorf("Stale = %+v, want False: nobody knows when it was heard last", c)
		}
		w.sleep(90 * time.Minute)
		if c := stale(); c.Status != "True" {
			t.Errorf("Stale = %+v", c)
		}
	})
}

// A clock that cannot be right decides about nothing new, and undoes nothing.
func TestClockFarAheadIsNoDecision(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		floor := time.Now()
		w.cfg.Floor = floor
		w.restart()
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		if c := w.agent.Status().Clock; c.State != gitops.ClockSynchronised || !c.Floor.Equal(floor) {
			t.Errorf("clock = %+v", c)
		}
		w.clock = func() time.Time { return floor.AddDate(11, 0, 0) }
		w.floor = floor
		w.believe()
		two := w.pushBy("dan", content{"a": "2"})
		w.once()
		w.runs(one, content{"a": "1"})
		w.ready("False", gitops.ClockUntrusted)
		w.condition(gitops.ConditionVerified, "Unknown", gitops.ClockUntrusted)
		w.condition(gitops.ConditionTrusted, "True", "")
		if r := w.state().Refused; r != nil {
			t.Errorf("refused = %+v: the clock says nothing about a commit", r)
		}
		w.clock = time.Now
		w.believe()
		w.once()
		w.runs(two, content{"a": "2"})
		w.ready("True", gitops.IsHealthy)
	})
}

// Where the source asks for a clock that is synchronised, nothing new comes in
// without one. What is there is repaired, and people may go back.
func TestClockThatIsNotSynchronisedStopsOnlyWhatIsNew(t *testing.T) {
	inWorld(t, func(w *world) {
		var set atomic.Bool
		set.Store(true)
		v, err := verify.New(verify.Config{Source: fleet, Mode: verify.ModeNone, Insecure: true, Synchronised: set.Load}, w.remote)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg.Sources[0].Verifier = v
		w.restart()
		one := w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		set.Store(false)
		three := w.push(content{"a": "3"})
		w.run()
		w.sleep(5 * time.Minute)
		w.runs(two, content{"a": "2"})
		w.ready("False", gitops.ClockUntrusted)
		w.cluster.edit("a", "edited")
		w.sleep(5 * time.Minute)
		w.runs(two, content{"a": "2"})
		w.rollback("", false)
		w.runs(one, content{"a": "1"})
		if s := w.state(); s.Refused != nil || s.Accepted.Revision != two {
			t.Errorf("refused = %+v, accepted = %+v", s.Refused, s.Accepted)
		}
		set.Store(true)
		w.sleep(5 * time.Minute)
		w.runs(three, content{"a": "3"})
		w.ready("True", gitops.IsHealthy)
	})
}

func TestStatusNamesTheClock(t *testing.T) {
	inWorld(t, func(w *world) {
		now := time.Now()
		for want, set := range map[string]func(){
			gitops.ClockBehind:         func() { w.cfg.Floor = now.Add(time.Hour) },
			gitops.ClockAhead:          func() { w.cfg.Floor = now.AddDate(-11, 0, 0) },
			gitops.ClockUnsynchronised: func() { w.cfg.Synchronised = func() bool { return false } },
			gitops.ClockSynchronised:   func() {},
		} {
			w.cfg.Floor, w.cfg.Synchronised = now.AddDate(-1, 0, 0), nil
			set()
			w.restart()
			if c := w.agent.Status().Clock; c.State != want {
				t.Errorf("clock = %+v, want %s", c, want)
			}
		}
		// A time that the roots signed counts like that of the build.
		if err := w.journal.Learn(w.ctx, fleet, gitops.Learned{Floor: now.Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		w.push(content{"a": "1"})
		w.once()
		if c := w.agent.Status().Clock; c.State != gitops.ClockBehind || !c.Floor.Equal(now.Add(24*time.Hour).Truncate(time.Second)) {
			t.Errorf("clock = %+v", c)
		}
	})
}
