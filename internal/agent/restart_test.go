// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// stopAt blocks a step of the cluster until the agent is told to stop, as
// SIGTERM does.
func (w *world) stopAt(step string) {
	w.t.Helper()
	w.cluster.set(func(c *cluster) {
		c.hook = func(ctx context.Context, at string) error {
			if at == step {
				<-ctx.Done()
			}
			return ctx.Err()
		}
	})
	w.run()
	w.sleep(90 * time.Second)
	w.stop()
	w.cluster.set(func(c *cluster) { c.hook = nil })
}

func TestStopInAnyPhaseRecordsNothingAndIsResumed(t *testing.T) {
	cases := []struct {
		step  string
		phase gitops.Phase // of the open attempt, "" when there is none yet
	}{
		{"capabilities", ""},
		{"plan", ""},
		{"dry run", gitops.PhaseIntent},
		{"apply", gitops.PhaseIntent},
		{"apply b", gitops.PhaseIntent},
		{"wait", gitops.PhaseApplied},
		{"prune", gitops.PhaseHealthy},
		{"finish", gitops.PhaseHealthy},
	}
	for _, c := range cases {
		t.Run(c.step, func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1", "old": "1"})
				two := w.push(content{"a": "2", "b": "2", "c": "2"})
				w.stopAt(c.step)
				state := w.state()
				switch {
				case c.phase == "" && state.Open != nil:
					t.Fatalf("open = %+v, want none", state.Open)
				case c.phase != "" && (state.Open == nil || state.Open.Phase != c.phase || state.Open.Reason != ""):
					t.Fatalf("open = %+v, want one at %s without a reason", state.Open, c.phase)
				case state.Failed != nil:
					t.Fatalf("failed = %+v: going down is nobody's failure", state.Failed)
				case c.phase != gitops.PhaseHealthy && state.Healthy.Revision != one:
					t.Fatalf("healthy = %+v", state.Healthy)
				}
				w.restart()
				w.run()
				w.sleep(90 * time.Second)
				w.runs(two, content{"a": "2", "b": "2", "c": "2"})
				w.history("update Pruned", "update Pruned")
				resumes := 0
				if c.phase != "" {
					resumes = 1
				}
				if a := w.attempts()[1]; a.Resumes != resumes {
					t.Errorf("resumes = %d, want %d", a.Resumes, resumes)
				}
				if got := w.owned(); !slices.Equal(got, []string{"a", "b", "c"}) {
					t.Errorf("owned = %v: nothing may be orphaned, and the inventory is exact", got)
				}
			})
		})
	}
}

func TestStopInARollbackIsResumed(t *testing.T) {
	for _, step := range []string{"apply a", "prune", "wait", "finish"} {
		t.Run(step, func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				w.push(content{"a": "crash", "b": "new"})
				waits := 0
				w.cluster.set(func(c *cluster) {
					c.hook = func(ctx context.Context, at string) error {
						if at == "wait" {
							waits++
						}
						if at == step && (waits == 2 || waits == 1 && at != "wait") {
							<-ctx.Done()
						}
						return ctx.Err()
					}
				})
				w.run()
				w.sleep(90 * time.Second)
				w.stop()
				open := w.state().Open
				if open == nil || open.Cause != gitops.CauseRollback {
					t.Fatalf("open = %+v, want the rollback", open)
				}
				w.cluster.set(func(c *cluster) { c.hook = nil })
				w.restart()
				w.run()
				w.sleep(90 * time.Second)
				w.runs(one, content{"a": "1"})
				w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
				asked := w.cluster.plans()
				back := asked[slices.IndexFunc(asked, func(r gitops.PlanRequest) bool { return r.Rollback })]
				if !back.Undone[open.Undoes] {
					t.Errorf("undone = %v, want %d among it", back.Undone, open.Undoes)
				}
			})
		})
	}
}

func TestFourthRestartFailsTheAttempt(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.push(content{"a": "2", "b": "new"})
		for range 4 { // begun, and resumed three times
			w.stopAt("wait")
			w.restart()
		}
		if open := w.state().Open; open == nil || open.Resumes != 3 {
			t.Fatalf("open = %+v, want 3 resumes", open)
		}
		w.run()
		w.sleep(30 * time.Second)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed ResumedTooOften", "rollback Pruned")
		if failed := w.state().Failed; failed == nil || failed.Revision != two {
			t.Errorf("failed = %+v, want %s to be remembered: it may be what stops the node", failed, two)
		}
	})
}

// What is healthy does not fail any more: its prune is taken up as often as it
// takes.
func TestPruneIsResumedWithoutEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "old": "1"})
		two := w.push(content{"a": "2"})
		for range 6 {
			w.stopAt("prune")
			w.restart()
		}
		w.run()
		w.sleep(time.Minute)
		w.runs(two, content{"a": "2"})
		w.history("update Pruned", "update Pruned")
		w.ready("True", gitops.IsHealthy)
	})
}

func TestResumeIsJudgedByWhatWasUnhealthyWhenItBegan(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "b": "1", "camera": "plugged"})
		w.cluster.set(func(c *cluster) { c.sick = []string{"plugged"} })
		w.push(content{"a": "slow", "b": "2", "camera": "plugged"})
		w.run()
		w.sleep(time.Minute)
		w.restart()
		w.cluster.edit("b", "edited")
		w.run()
		if got := last(w.cluster.waits()).Plan.UnhealthyBefore; !slices.Equal(got, []gitops.ObjectRef{ref("camera")}) {
			t.Errorf("unhealthy before = %v, want the camera and not what the attempt broke", got)
		}
		w.sleep(10 * time.Minute)
		w.runs(one, content{"a": "1", "b": "1", "camera": "plugged"})
	})
}

func TestClusterAwayKeepsTheAttemptOpen(t *testing.T) {
	for _, step := range []string{"capabilities", "apply b", "wait", "finish"} {
		t.Run(step, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				before, _ := w.cluster.count()
				two := w.push(content{"a": "2", "b": "2"})
				away := func(_ context.Context, at string) error {
					if at != step {
						return nil
					}
					w.cluster.set(func(c *cluster) { c.away = failure(gitops.APIUnreachable) })
					return failure(gitops.APIUnreachable)
				}
				w.cluster.set(func(c *cluster) { c.hook = away })
				w.run()
				w.sleep(2 * time.Minute)
				if st := w.agent.Status().Cluster; st.Reachable || st.Message == "" {
					t.Errorf("cluster = %+v", st)
				}
				w.ready("False", gitops.APIUnreachable)
				calls, _ := w.cluster.count()
				polls := w.remote.polled()
				w.sleep(time.Hour)
				// Once a minute at most, and seldom at random half of that.
				if now, _ := w.cluster.count(); now-calls < 35 || now-calls > 140 {
					t.Errorf("%d looks in an hour, want between one and two a minute", now-calls)
				}
				if now := w.remote.polled(); now-polls < 35 {
					t.Errorf("%d polls in an hour: Git is polled also while the cluster is away", now-polls)
				}
				w.cluster.set(func(c *cluster) { c.away, c.hook = nil, nil })
				w.sleep(2 * time.Minute)
				w.runs(two, content{"a": "2", "b": "2"})
				w.history("update Pruned", "update Pruned")
				if a := w.attempts()[1]; a.Resumes != 0 {
					t.Errorf("resumes = %d: nothing was restarted", a.Resumes)
				}
				steps := slices.DeleteFunc(w.cluster.since(before), func(s string) bool { return s != "apply a" })
				if len(steps) != 1 {
					t.Errorf("a was written %d times: it is not known that it was done", len(steps))
				}
			})
		})
	}
}

// The API server goes away half way, and rejects the rest when it is back: what
// was written before must not be forgotten.
func TestHalfAppliedAndThenRejectedIsNotOrphaned(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "1", "b": "new", "c": "new"})
		gone := false
		w.cluster.set(func(c *cluster) {
			c.hook = func(_ context.Context, at string) error {
				switch {
				case at == "apply c" && !gone:
					gone = true
					w.cluster.edit("c", "new") // it is written, and the answer is lost
					return failure(gitops.APIUnreachable)
				case at == "dry run" && gone:
					return failure(gitops.Rejected)
				}
				return nil
			}
		})
		w.run()
		w.sleep(3 * time.Minute)
		w.runs(one, content{"a": "1"})
		if got := w.owned(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("owned = %v", got)
		}
	})
}
