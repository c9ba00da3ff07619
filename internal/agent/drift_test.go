// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// watched gives the node a watch on its cluster, and returns its other end.
func (w *world) watched() chan<- string {
	changed := make(chan string)
	w.cfg.Watch = func(context.Context) <-chan string { return changed }
	w.cfg.Sources[0].Interval, w.remote.interval = time.Hour, time.Hour
	w.restart()
	return changed
}

func TestDriftIsRepairedAsItHappens(t *testing.T) {
	inWorld(t, func(w *world) {
		changed := w.watched()
		one := w.healthy(content{"a": "1"})
		w.run()
		w.sleep(time.Minute)
		polls := w.remote.polled()
		for range 3 {
			w.cluster.edit("a", "edited")
			for range 10 { // a burst is one look
				changed <- fleet
				changed <- "another source"
			}
			calls, _ := w.cluster.count()
			w.sleep(time.Second)
			w.runs(one, content{"a": "1"})
			if steps := w.cluster.since(calls); len(steps) > 8 {
				t.Errorf("steps = %v for one burst", steps)
			}
		}
		if w.remote.polled() != polls {
			t.Error("Git was polled because of drift")
		}
		close(changed)
		w.sleep(2 * time.Hour)
		w.runs(one, content{"a": "1"})
	})
}

func TestFightIsBackedOffFromAndNamed(t *testing.T) {
	inWorld(t, func(w *world) {
		changed := w.watched()
		w.healthy(content{"a": "1", "b": "1"})
		w.run()
		_, writes := w.cluster.count()
		for range 600 { // somebody else changes it back, every second
			w.cluster.edit("a", "theirs")
			changed <- fleet
			w.sleep(time.Second)
		}
		if _, now := w.cluster.count(); now-writes < 6 || now-writes > 12 {
			t.Errorf("%d repairs in ten minutes of a fight, want a few more than five", now-writes)
		}
		st := w.status()
		if len(st.Drift.Objects) != 1 || st.Condition(gitops.ConditionDrifted).Status != "True" {
			t.Errorf("drift = %+v, want the object that is fought for", st.Drift)
		}
		if !slices.ContainsFunc(st.Warnings, func(s string) bool { return len(s) > 20 && s[:20] == "ConfigMap/default/a " }) {
			t.Errorf("warnings = %q, want the object named", st.Warnings)
		}
		// Another object is repaired at once all the same.
		w.cluster.edit("b", "edited")
		changed <- fleet
		w.sleep(time.Second)
		w.holds(content{"a": "theirs", "b": "1"})
		// They stop. After a while it is forgotten that there was a fight.
		w.sleep(3 * time.Hour)
		w.holds(content{"a": "1", "b": "1"})
		w.ready("True", gitops.IsHealthy)
		for range 4 {
			w.cluster.edit("a", "edited")
			changed <- fleet
			w.sleep(time.Second)
			w.holds(content{"a": "1", "b": "1"})
		}
	})
}

func TestDriftThatCannotBeRepairedIsShown(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "b": "1"})
		w.cluster.edit("a", "edited")
		w.cluster.edit("b", "edited")
		w.cluster.hook = func(_ context.Context, at string) error {
			if at == "apply b" {
				return failure(gitops.ApplyFailed)
			}
			return nil
		}
		w.once()
		w.holds(content{"a": "1", "b": "edited"})
		w.ready("False", gitops.ApplyFailed)
		w.history("update Pruned") // health or drift alone rolls nothing back
		w.cluster.hook = nil
		w.once()
		w.holds(content{"a": "1", "b": "1"})
		w.ready("True", gitops.IsHealthy)
	})
}

// A deletion that is denied stays open, and drift is repaired meanwhile.
func TestDeniedDeletionStopsNothingElse(t *testing.T) {
	deny := func(w *world, yes bool) {
		w.cluster.set(func(c *cluster) {
			c.hook = func(_ context.Context, at string) error {
				if at == "prune" && yes {
					return failure(gitops.PruneFailed)
				}
				return nil
			}
		})
	}
	t.Run("update", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.healthy(content{"a": "1", "old": "1"})
			deny(w, true)
			two := w.push(content{"a": "2"})
			w.run()
			w.sleep(5 * time.Minute)
			if state := w.state(); state.Healthy.Revision != two || state.Open == nil || state.Open.Phase != gitops.PhaseHealthy || state.Failed != nil {
				t.Errorf("state = %+v, want %s healthy and its prune open", state, two)
			}
			w.cluster.edit("a", "edited")
			w.sleep(2 * time.Minute)
			w.holds(content{"a": "2", "old": "1"})
			deny(w, false)
			w.sleep(2 * time.Minute)
			w.runs(two, content{"a": "2"})
			w.history("update Pruned", "update Pruned")
		})
	})
	t.Run("rollback", func(t *testing.T) {
		inWorld(t, func(w *world) {
			one := w.healthy(content{"a": "1"})
			w.push(content{"a": "crash", "b": "new"})
			deny(w, true)
			w.run()
			w.sleep(5 * time.Minute)
			w.holds(content{"a": "1", "b": "new"})
			if state := w.state(); state.Open == nil || state.Open.Phase != gitops.PhaseHealthy || state.Open.Revision != one {
				t.Errorf("open = %+v, want the rollback, healthy", state.Open)
			}
			deny(w, false)
			w.sleep(2 * time.Minute)
			w.runs(one, content{"a": "1"})
			w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
		})
	})
}

// What only deletes is not judged by health: the revision was healthy already.
func TestConfirmedDeletionsAreNotJudgedByHealth(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"})
		two := w.healthyBut(content{"a": "1"})
		w.cluster.set(func(c *cluster) { c.sick = []string{"1"} })
		w.run()
		if _, err := w.agent.Sync(w.ctx, fleet, 4); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Minute)
		w.runs(two, content{"a": "1"})
		w.history("update Pruned", "update Pruned", "prune Pruned")
		if state := w.state(); state.Failed != nil {
			t.Errorf("failed = %+v", state.Failed)
		}
	})
}

// healthyBut brings the node to a revision whose deletions a guard stops.
func (w *world) healthyBut(want content) gitops.Revision {
	w.t.Helper()
	rev := w.push(want)
	w.once()
	if state := w.state(); state.Healthy.Revision != rev || len(w.status().Pending) == 0 {
		w.t.Fatalf("healthy = %+v, pending = %v", state.Healthy, w.status().Pending)
	}
	return rev
}

func TestRebuiltClusterIsKnownAsSuchUntilEverythingIsBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "b": "1"})
		w.cluster.set(func(c *cluster) {
			c.uid = "cluster-2"
			clear(c.live)
			c.hook = func(_ context.Context, at string) error {
				if at == "apply b" {
					return failure(gitops.APIUnreachable)
				}
				return nil
			}
		})
		w.once()
		if uid := w.state().ClusterUID; uid != "cluster-1" {
			t.Errorf("cluster = %s although half of it is missing", uid)
		}
		w.cluster.hook = nil
		w.once()
		if uid := w.state().ClusterUID; uid != "cluster-2" {
			t.Errorf("cluster = %s", uid)
		}
		w.holds(content{"a": "1", "b": "1"})
	})
}

func TestRebuiltClusterIsFilledAgainAndNothingIsPruned(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "b": "1"})
		w.cluster.set(func(c *cluster) {
			c.uid = "cluster-2"
			clear(c.live)
		})
		w.cluster.edit("other", "not ours")
		w.remote.err = failure(gitops.Unreachable)
		w.restart()
		w.once()
		w.runs(one, content{"a": "1", "b": "1", "other": "not ours"})
		if uid := w.state().ClusterUID; uid != "cluster-2" {
			t.Errorf("cluster = %s", uid)
		}
		asked := w.cluster.plans()
		if !asked[len(asked)-1].ClusterRebuilt {
			t.Error("the plan was not told that the cluster was rebuilt")
		}
		w.once()
		if asked := last(w.cluster.plans()); asked.ClusterRebuilt {
			t.Error("rebuilt again")
		}
		// The same by an update.
		w.remote.err = nil
		w.cluster.set(func(c *cluster) { c.uid = "cluster-3" })
		w.push(content{"a": "2", "b": "1"})
		w.once()
		w.holds(content{"a": "2", "b": "1", "other": "not ours"})
		if uid := w.state().ClusterUID; uid != "cluster-3" {
			t.Errorf("cluster = %s", uid)
		}
	})
}

// The backstop of the watches: every object is sent once an hour, and never
// where drift is only reported.
func TestEverythingIsSentOnceAnHour(t *testing.T) {
	for mode, want := range map[gitops.DriftMode]int{gitops.DriftCorrect: 3, gitops.DriftNotify: 0} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.cfg.Sources[0].Drift = mode
				w.restart()
				w.healthy(content{"a": "1"})
				w.run()
				w.sleep(3*time.Hour + 30*time.Minute)
				w.stop()
				full := 0
				for _, r := range w.cluster.asked {
					if r.Full {
						full++
					}
				}
				if full != want {
					t.Errorf("%d full passes in three and a half hours, want %d", full, want)
				}
			})
		})
	}
}
