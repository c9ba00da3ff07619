// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestRejectedRevisionWritesNothingAndIsRemembered(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		calls, writes := w.cluster.count()
		two := w.push(content{"a": "2", "b": "reject"})
		w.once()
		if _, now := w.cluster.count(); now != writes {
			t.Errorf("%d writes of a rejected revision", now-writes)
		}
		if steps := w.cluster.since(calls); !slices.Equal(steps, []string{"plan", "dry run", "plan"}) {
			t.Errorf("steps = %v, want a dry run, and then what runs is kept", steps)
		}
		w.history("update Pruned", "update Failed Rejected")
		if got := w.owned(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("owned = %v: what was only announced is not ours", got)
		}
		state := w.state()
		if state.Accepted.Revision != two || state.Failed == nil || state.Failed.Revision != two {
			t.Errorf("accepted = %v, failed = %v; want %s", state.Accepted, state.Failed, two)
		}
		w.ready("False", gitops.Rejected)
		// It is remembered: the next cycles keep what runs.
		w.cluster.edit("a", "edited")
		w.restart()
		w.run()
		w.sleep(48 * time.Hour / 60)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed Rejected")
		w.ready("False", gitops.Rejected)
	})
}

func TestFirstRevisionIsNotDryRun(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "1"})
		w.once()
		if slices.Contains(w.cluster.since(0), "dry run") {
			t.Error("dry run without a healthy revision to protect")
		}
	})
}

func TestLateFailureRollsBackByItselfAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "kept": "1"})
		calls, _ := w.cluster.count()
		two := w.push(content{"a": "crash", "b": "new"})
		w.once() // one settle: failure and rollback
		w.runs(one, content{"a": "1", "kept": "1"})
		w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
		failed, back := w.attempts()[1], w.attempts()[2]
		if back.Undoes != failed.ID || back.Revision != one || failed.Revision != two {
			t.Errorf("rollback = %+v, want one to %s that undoes %d", back, one, failed.ID)
		}
		// A rollback prunes before health, and is not dry-run.
		want := []string{"plan", "dry run", "apply", "apply a", "apply b", "wait", "plan", "apply", "apply a", "prune", "wait", "finish", "plan"}
		if steps := w.cluster.since(calls); !slices.Equal(steps[:12], want[:12]) {
			t.Errorf("steps = %v, want %v", steps, want)
		}
		asked := w.cluster.plans()[2]
		if !asked.Rollback || !asked.Undone[failed.ID] || len(asked.Undone) != 1 {
			t.Errorf("planned with %+v, want a rollback of attempt %d", asked, failed.ID)
		}
		end := last(w.cluster.finished)
		if end.accepted != two || end.healthy != one {
			t.Errorf("finished with accepted %s, healthy %s; want %s, %s", end.accepted, end.healthy, two, one)
		}
		w.ready("False", gitops.CrashLoop)
		if st := w.status(); st.Failed == nil || st.Failed.Revision != two {
			t.Errorf("failed = %+v in the status", st.Failed)
		}
		// Not retried until Git moves.
		w.run()
		w.sleep(24 * time.Hour / 24)
		w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
		three := w.push(content{"a": "3", "kept": "1"})
		w.sleep(2 * time.Minute)
		w.runs(three, content{"a": "3", "kept": "1"})
		w.ready("True", gitops.IsHealthy)
	})
}

func TestHostsFaultIsRetriedOnlyWhenDue(t *testing.T) {
	inWorld(t, func(w *world) {
		w.remote.interval = 6 * time.Hour
		w.cfg.Sources[0].Interval = 6 * time.Hour
		w.restart()
		one := w.healthy(content{"a": "1"})
		two := w.push(content{"a": "pull"})
		w.once()
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed ImagePull", "rollback Pruned")
		if state := w.state(); state.Failed != nil {
			t.Errorf("failed = %+v: a dead link is no black mark", state.Failed)
		}
		w.ready("False", gitops.ImagePull)
		w.run()
		w.sleep(5*time.Hour + 30*time.Minute)
		var tries []time.Time
		for _, a := range w.attempts() {
			if a.Revision == two {
				tries = append(tries, a.Started)
			}
		}
		if len(tries) != 7 {
			t.Fatalf("%d tries, want 7", len(tries))
		}
		for i, least := range []time.Duration{5, 10, 20, 40, 80, 160} {
			gap := tries[i+1].Sub(tries[i])
			if gap < least*time.Minute || gap > least*time.Minute+time.Minute {
				t.Errorf("try %d came %s after the one before, want %d m", i+2, gap, least)
			}
		}
		if a := w.attempts()[3]; a.Cause != gitops.CauseRetry {
			t.Errorf("cause = %s, want retry", a.Cause)
		}
		w.runs(one, content{"a": "1"})
	})
}

func TestRetryTriesAtOnce(t *testing.T) {
	for value, reason := range map[string]gitops.Reason{"pull": gitops.ImagePull, "crash": gitops.CrashLoop} {
		t.Run(string(reason), func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				two := w.push(content{"a": value})
				w.once()
				w.runs(one, content{"a": "1"})
				w.run()
				w.cluster.set(func(c *cluster) { c.cured = true })
				if _, err := w.agent.Retry(w.ctx, fleet); err != nil {
					t.Fatal(err)
				}
				w.sleep(30 * time.Second)
				w.runs(two, content{"a": value})
				w.history("update Pruned", "update Failed "+string(reason), "rollback Pruned", "retry Pruned")
				w.ready("True", gitops.IsHealthy)
			})
		})
	}
}

func TestNeverHealthyRevisionIsTriedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(content{"a": "crash"})
		w.run()
		w.sleep(time.Minute)
		w.history("update Failed CrashLoop")
		w.holds(content{"a": "crash"}) // there is nothing to go back to
		w.sleep(5 * time.Minute)
		w.history("update Failed CrashLoop", "retry Failed CrashLoop")
		w.sleep(8 * time.Minute)
		w.history("update Failed CrashLoop", "retry Failed CrashLoop")
		// Nor is another commit kept from it that renders to the same: there is
		// nothing that runs to be kept.
		w.push(content{"a": "crash"})
		w.sleep(time.Minute)
		w.history("update Failed CrashLoop", "retry Failed CrashLoop", "update Failed CrashLoop")
	})
}

func TestWhatFailedIsNotTriedAgainUnderAnotherCommit(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "crash"})
		w.once()
		again := w.push(content{"a": "crash"})
		w.once()
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
		if w.state().Accepted.Revision != again {
			t.Error("not accepted")
		}
		w.ready("False", gitops.FailedBefore)
		// Drift is repaired meanwhile.
		w.cluster.edit("a", "edited")
		w.once()
		w.runs(one, content{"a": "1"})
	})
}

func TestManualRollbackLeavesTheFailedRevision(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Rollback = agent.RollbackMode{Max: 2}
		w.restart()
		w.healthy(content{"a": "1"})
		w.push(content{"a": "crash"})
		w.once()
		w.once()
		w.holds(content{"a": "crash"})
		w.history("update Pruned", "update Failed CrashLoop")
		w.ready("False", gitops.CrashLoop)
	})
}

func TestOlderRevisionIsTriedWhenARollbackFails(t *testing.T) {
	for sick, want := range map[string]string{"3": "rollback Pruned", "3 2": "rollback Failed CrashLoop"} {
		t.Run(sick, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				w.healthy(content{"a": "2"})
				w.healthy(content{"a": "3"})
				w.cluster.set(func(c *cluster) { c.sick = strings.Fields(sick) })
				w.push(content{"a": "crash"})
				w.once()
				w.once()
				// The third is not tried: two at most are.
				w.history("update Pruned", "update Pruned", "update Pruned", "update Failed CrashLoop",
					"rollback Failed CrashLoop", want)
				w.holds(content{"a": "2"})
			})
		})
	}
}
