// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestNodeOfAnotherNameAppliesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.cfg.Node.Name = "node-2"
		w.restart()
		two := w.push(content{"a": "2"})
		w.cluster.edit("a", "edited")
		calls, _ := w.cluster.count()
		w.run()
		w.sleep(10 * time.Minute)
		if now, _ := w.cluster.count(); now != calls {
			t.Errorf("%d steps on the cluster of another node", now-calls)
		}
		w.ready("False", gitops.IdentityChanged)
		if problems := w.agent.Status().Problems; len(problems) != 1 {
			t.Errorf("problems = %q, want one", problems)
		}
		if err := w.agent.AcceptIdentity(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Second)
		w.runs(two, content{"a": "2"})
		if problems := w.agent.Status().Problems; len(problems) != 0 {
			t.Errorf("problems = %q, want none", problems)
		}
		w.restart()
		w.run()
		w.ready("True", gitops.IsHealthy)
	})
}

func TestDepartedSourceIsLetGo(t *testing.T) {
	for onRemove, want := range map[string]content{"orphan": {"a": "1"}, "prune": {}} {
		t.Run(onRemove, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.cfg.Sources[0].OnRemove = onRemove
				var released []string
				w.cfg.Release = func(_ context.Context, source string) error {
					released = append(released, source)
					return nil
				}
				w.restart()
				w.healthy(content{"a": "1"})
				w.cfg.Sources = nil
				w.cluster.set(func(c *cluster) { c.away = failure(gitops.APIUnreachable) })
				w.restart()
				w.run()
				w.sleep(10 * time.Minute)
				if len(w.owned()) != 1 || len(released) != 0 {
					t.Error("forgotten before its objects were let go")
				}
				w.cluster.set(func(c *cluster) { c.away = nil })
				w.sleep(time.Minute)
				w.holds(want)
				if names, err := w.journal.Sources(w.ctx); err != nil || len(names) != 0 {
					t.Errorf("sources = %v, %v; want none", names, err)
				}
				if orphaned := len(w.cluster.orphaned) == 1; orphaned != (onRemove == "orphan") {
					t.Errorf("orphaned = %v", w.cluster.orphaned)
				}
				if !slices.Equal(released, []string{fleet}) {
					t.Errorf("released = %v, want the Git objects of the source once", released)
				}
			})
		})
	}
}

func TestDepartedSourceStaysWhileTheNodeHasAnotherName(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].OnRemove = "prune"
		w.restart()
		w.healthy(content{"a": "1"})
		w.cfg.Sources, w.cfg.Node.Name = nil, "node-2"
		w.restart()
		w.run()
		w.sleep(10 * time.Minute)
		w.holds(content{"a": "1"})
		if err := w.agent.AcceptIdentity(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Minute)
		w.holds(content{})
	})
}

func TestRemoveWhileConfiguredSuspends(t *testing.T) {
	for _, prune := range []bool{false, true} {
		inWorld(t, func(w *world) {
			w.healthy(content{"a": "1", "b": "1"})
			w.run()
			changes, err := w.agent.Remove(w.ctx, fleet, prune)
			if err != nil || len(changes) != 2 {
				t.Fatalf("Remove = %v, %v", changes, err)
			}
			want := content{"a": "1", "b": "1"}
			if prune {
				want = content{}
			}
			synctest.Wait()
			calls, _ := w.cluster.count()
			w.sleep(time.Hour)
			w.holds(want)
			if now, _ := w.cluster.count(); now != calls {
				t.Errorf("%d steps after the source was removed", now-calls)
			}
			state := w.state()
			if state.Suspended == nil || state.Accepted != nil || len(w.owned()) != 0 {
				t.Errorf("state = %+v, owned = %v", state, w.owned())
			}
			w.ready("False", gitops.IsSuspended)
			// It comes back when a person says so.
			if _, err := w.agent.Resume(w.ctx, fleet); err != nil {
				t.Fatal(err)
			}
			w.sleep(20 * time.Second)
			w.holds(content{"a": "1", "b": "1"})
			w.ready("True", gitops.IsHealthy)
		})
	}
}

func TestRemoveInTheMiddleOfAWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "slow"})
		w.run()
		w.sleep(time.Minute)
		if _, err := w.agent.Remove(w.ctx, fleet, true); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Hour)
		w.holds(content{})
		w.history()
	})
}

func TestRemoveOfASourceThatLeftTheConfiguration(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.cfg.Sources = nil
		w.restart()
		if _, err := w.agent.Remove(w.ctx, "other", true); gitops.ReasonOf(err) != gitops.NotFoundHere {
			t.Errorf("Remove of what nobody knows = %v, want %s", err, gitops.NotFoundHere)
		}
		if _, err := w.agent.Remove(w.ctx, fleet, true); err != nil {
			t.Fatal(err)
		}
		w.holds(content{})
	})
}

func TestAllowPruneIsSpentOrTakenBack(t *testing.T) {
	start := content{"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}
	allowed := func(w *world, n int) {
		w.t.Helper()
		if _, err := w.agent.Sync(w.ctx, fleet, n); err != nil {
			w.t.Fatal(err)
		}
		w.sleep(20 * time.Second)
	}
	t.Run("spent", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.healthy(start)
			w.push(content{"a": "1"})
			w.run()
			w.sleep(2 * time.Minute)
			w.holds(start) // four deletions, three are allowed
			w.ready("True", gitops.IsHealthy)
			if c := w.status().Condition(gitops.ConditionPrunePending); c.Status != "True" || len(w.status().Pending) != 4 {
				t.Errorf("PrunePending = %+v, pending = %v", c, w.status().Pending)
			}
			allowed(w, 3) // too few: what a person looked at has changed
			w.holds(start)
			if n := w.state().AllowPrune; n != 0 {
				t.Errorf("%d deletions are still allowed after a plan they did not cover", n)
			}
			allowed(w, 4)
			w.holds(content{"a": "1"})
			if n := w.state().AllowPrune; n != 0 {
				t.Errorf("%d deletions are still allowed", n)
			}
			if c := w.status().Condition(gitops.ConditionPrunePending); c.Status != "False" {
				t.Errorf("PrunePending = %+v", c)
			}
		})
	})
	t.Run("taken back", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.healthy(start)
			w.run()
			allowed(w, 10) // nothing to delete
			w.push(content{"a": "1"})
			w.sleep(2 * time.Minute)
			w.holds(start)
		})
	})
}

func TestCompletedJobIsNotRunAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "migrate": "job"})
		w.cluster.edit("migrate", "") // by its TTL
		w.run()
		w.sleep(5 * time.Minute)
		w.holds(content{"a": "1"})
		w.stop()
		// Nor by a rollback; only a change of it runs it again.
		two := w.push(content{"a": "crash", "migrate": "job"})
		w.once()
		if w.state().Accepted.Revision != two {
			t.Fatal("not accepted")
		}
		w.holds(content{"a": "1"})
		w.push(content{"a": "1", "migrate": "job2"})
		w.once()
		w.holds(content{"a": "1", "migrate": "job2"})
	})
}

func TestNotifyReportsAndDoesNotTouch(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Drift = gitops.DriftNotify
		w.restart()
		w.healthy(content{"a": "1"})
		w.cluster.edit("a", "edited")
		w.run()
		w.sleep(5 * time.Minute)
		w.holds(content{"a": "edited"})
		if st := w.status(); len(st.Drift.Objects) != 1 || st.Condition(gitops.ConditionDrifted).Status != "True" {
			t.Errorf("drift = %+v", st.Drift)
		}
		w.ready("False", gitops.BecauseDrift)
	})
}

func TestSourcesDoNotMix(t *testing.T) {
	inWorld(t, func(w *world) {
		other := newRemote()
		elsewhere := &world{t: t, remote: other, renderer: &renderer{remote: other}}
		w.cfg.Sources = append(w.cfg.Sources, elsewhere.source("second"))
		w.restart()
		other.push(content{"z": "crash"})
		one := w.push(content{"a": "1"})
		w.once()
		w.runs(one, content{"a": "1", "z": "crash"})
		state, err := w.journal.State(w.ctx, "second")
		if err != nil || state.Healthy != nil || state.Applied == nil {
			t.Errorf("state of the second = %+v, %v", state, err)
		}
		for _, st := range w.agent.Status().Sources {
			if st.Ready() != (st.Name == fleet) {
				t.Errorf("%s: Ready = %+v", st.Name, st.Condition(gitops.ConditionReady))
			}
		}
	})
}

func TestOnceEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "crash"})
		w.once()
		w.ready("False", gitops.CrashLoop)
		w.cluster.away = failure(gitops.APIUnreachable)
		w.once()
		if w.agent.Status().Cluster.Reachable {
			t.Error("the cluster is said to be there")
		}
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if err := w.agent.Once(ctx); err == nil {
			t.Error("Once says nothing of being interrupted")
		}
	})
}
