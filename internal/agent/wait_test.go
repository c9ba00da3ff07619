// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// A poll that brings nothing new must not prolong the wait: the attempt under
// way is older than what is accepted, because that does not render.
func TestPollsDoNotProlongTheWaitOfAnOlderRevision(t *testing.T) {
	inWorld(t, func(w *world) {
		w.remote.interval = 20 * time.Second
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "slow"})
		w.run()
		w.sleep(20 * time.Second)
		broken := w.push(content{"a": "never"})
		w.breakRender(broken)
		w.sleep(20 * time.Second)
		w.sleep(10 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
		if n := len(w.cluster.waits()); n != 4 { // the two above, the one cut short by the poll, the rollback's
			t.Errorf("%d waits, want 4", n)
		}
	})
}

func TestResumeEndsTheWaitOfAHold(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		w.run()
		w.cluster.set(func(c *cluster) { c.stuck = true })
		if _, _, err := w.agent.Rollback(w.ctx, fleet, "", false, "uid 0"); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Second)
		w.holds(content{"a": "1"})
		w.cluster.set(func(c *cluster) { c.stuck = false })
		if _, err := w.agent.Resume(w.ctx, fleet); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Second)
		w.runs(two, content{"a": "2"})
		w.history("update Pruned", "update Pruned", "rollback Failed Superseded", "update Pruned")
	})
}

func TestNewerCommitCancelsTheWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		two := w.push(content{"a": "slow", "b": "new"})
		w.run()
		w.sleep(time.Minute)
		if c := w.status(); c.Phase != gitops.StageChecking || c.Condition(gitops.ConditionReconciling).Status != "True" {
			t.Errorf("phase = %s, want %s", c.Phase, gitops.StageChecking)
		}
		w.ready("Unknown", gitops.InProgressNow)
		three := w.push(content{"a": "3"})
		w.sleep(time.Minute + 20*time.Second) // the poll and the stable time
		w.runs(three, content{"a": "3"})
		w.history("update Pruned", "update Failed Superseded", "update Pruned")
		if failed, err := w.journal.FailedBefore(w.ctx, fleet, two, w.attempts()[1].Digest); err != nil || failed != nil {
			t.Errorf("failed before = %+v, %v: a superseded revision has no black mark", failed, err)
		}
		w.ready("True", gitops.IsHealthy)
	})
}

func TestSuspendInTheMiddleOfAWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		two := w.push(content{"a": "slow"})
		w.run()
		w.sleep(time.Minute)
		if err := w.agent.Suspend(w.ctx, fleet, "a visit", "uid 0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		calls, _ := w.cluster.count()
		polls := w.remote.polled()
		w.sleep(time.Hour)
		if now, _ := w.cluster.count(); now != calls || w.remote.polled() != polls {
			t.Errorf("%d steps and %d polls while suspended, want none", now-calls, w.remote.polled()-polls)
		}
		if open := w.state().Open; open == nil || open.Revision != two || open.Resumes != 0 {
			t.Errorf("open = %+v, want the attempt as it was", open)
		}
		if st := w.status(); st.Phase != gitops.StageSuspended || st.Suspended == nil || st.Suspended.Reason != "a visit" {
			t.Errorf("status = %+v", st)
		}
		w.ready("False", gitops.IsSuspended)
		w.cluster.edit("a", "ready")
		w.cluster.set(func(c *cluster) { c.cured = true })
		if _, err := w.agent.Resume(w.ctx, fleet); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.cluster.edit("a", "ready") // the resumed attempt wrote it back
		w.sleep(16 * time.Second)
		if state := w.state(); state.Healthy.Revision != two || state.Open != nil {
			t.Errorf("healthy = %+v, open = %+v", state.Healthy, state.Open)
		}
		if a := w.attempts()[1]; a.Resumes != 0 {
			t.Errorf("resumes = %d: the process was the same", a.Resumes)
		}
	})
}

func TestOrdersAreTakenWhileIdleAndWhileWaiting(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.remote.interval = time.Hour
		w.once()
		w.run()
		two := w.push(content{"a": "slow"})
		cycle, err := w.agent.Sync(w.ctx, fleet, 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.state().Accepted.Revision != two || w.status().Cycle >= cycle {
			t.Errorf("accepted = %s, cycle = %d: the order was not carried out, or is over too soon", w.state().Accepted.Revision, w.status().Cycle)
		}
		three := w.push(content{"a": "3"})
		if _, err := w.agent.Sync(w.ctx, fleet, 0); err != nil { // while waiting
			t.Fatal(err)
		}
		w.sleep(16 * time.Second)
		w.runs(three, content{"a": "3"})
		if w.status().Cycle < cycle {
			t.Errorf("cycle = %d, want %d or more", w.status().Cycle, cycle)
		}
	})
}

func TestOrderIsRefusedWhenTheLoopIsBusy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cluster.hook = func(ctx context.Context, step string) error {
			if step == "apply" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		w.push(content{"a": "1"})
		w.run()
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		defer cancel()
		if _, err := w.agent.Sync(ctx, fleet, 0); gitops.ReasonOf(err) != gitops.Conflict {
			t.Errorf("Sync = %v, want %s", err, gitops.Conflict)
		}
		if _, err := w.agent.Sync(w.ctx, "other", 0); gitops.ReasonOf(err) != gitops.NotFoundHere {
			t.Errorf("Sync of another source = %v, want %s", err, gitops.NotFoundHere)
		}
	})
}

// The remaining time is journalled now and then: a crash gives little of it back.
func TestHealthTimeIsNotProlongedByARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.push(content{"a": "slow"})
		w.run()
		w.sleep(time.Minute)
		w.sleep(3*time.Minute + 30*time.Second)
		w.restart()
		w.run()
		if r := last(w.cluster.waits()); r.Timeout < time.Minute || r.Timeout > 2*time.Minute {
			t.Errorf("timeout = %s after 3.5 of 5 minutes, want at most 2", r.Timeout)
		}
		w.stop()
		if err := w.journal.SetHealthLeft(w.ctx, w.state().Open.ID, time.Second); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.run()
		if r := last(w.cluster.waits()); r.Timeout != 30*time.Second {
			t.Errorf("timeout = %s, want 30 s: a slow boot must not use it up", r.Timeout)
		}
		w.sleep(time.Minute)
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
	})
}
