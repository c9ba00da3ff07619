// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// What was half written before a failure has to go, also when the next commit
// renders to what was applied before.
func TestRevertOfAHalfWrittenRevisionCleansUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Rollback = agent.RollbackMode{Max: 2}
		w.restart()
		w.healthy(content{"a": "1"})
		w.push(content{"a": "2", "b": "new", "c": "fail"})
		w.once()
		w.holds(content{"a": "2", "b": "new"})
		w.history("update Pruned", "update Failed ApplyFailed")
		revert := w.push(content{"a": "1"})
		w.once()
		w.runs(revert, content{"a": "1"})
		w.history("update Pruned", "update Failed ApplyFailed", "update Pruned")
		w.ready("True", gitops.IsHealthy)
	})
}

// A failed revision is undone also when the newest one cannot be rendered.
func TestFailedRevisionIsUndoneWhenTheNewestDoesNotRender(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "slow", "b": "new"})
		w.run()
		w.sleep(time.Minute)
		broken := w.push(content{"a": "never"})
		w.breakRender(broken)
		w.sleep(20 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
		if back := w.attempts()[2]; back.Undoes != w.attempts()[1].ID {
			t.Errorf("undoes = %d, want %d", back.Undoes, w.attempts()[1].ID)
		}
		w.ready("False", gitops.InvalidManifest)
	})
}

// What a superseded attempt broke is not what was unhealthy before: the next
// one answers for it, or two bad commits in a row would make a healthy one.
func TestBreakageOfASupersededRevisionStillCounts(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "b": "1", "camera": "1", "light": "1"})
		w.cluster.set(func(c *cluster) { c.sick = []string{"1"} }) // everything is unplugged
		w.push(content{"a": "slow", "b": "2", "camera": "1", "light": "2"})
		w.run()
		w.sleep(time.Minute)
		w.push(content{"a": "slow", "b": "3", "camera": "1", "light": "2"})
		w.sleep(time.Minute)
		waited := last(w.cluster.waits()).Plan.UnhealthyBefore
		if !slices.Equal(waited, []gitops.ObjectRef{ref("camera")}) {
			t.Errorf("unhealthy before = %v, want the camera only: the first attempt wrote the rest", waited)
		}
		w.cluster.set(func(c *cluster) { c.sick = nil })
		w.sleep(10 * time.Minute)
		w.runs(one, content{"a": "1", "b": "1", "camera": "1", "light": "1"})
		w.history("update Pruned", "update Failed Superseded", "update Failed HealthTimeout", "rollback Pruned")
	})
}

// The same where nothing is rolled back by itself.
func TestBreakageThatWasLeftStillCounts(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Rollback = agent.RollbackMode{Max: 2}
		w.restart()
		one := w.healthy(content{"a": "1", "b": "1"})
		w.push(content{"a": "crash", "b": "1"})
		w.once()
		w.push(content{"a": "crash", "b": "2"})
		w.once()
		w.history("update Pruned", "update Failed CrashLoop", "update Failed CrashLoop")
		if w.state().Healthy.Revision != one {
			t.Errorf("healthy = %+v", w.state().Healthy)
		}
	})
}

func TestWhatWasUnhealthyBeforeDoesNotBlock(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "camera": "plugged"})
		w.cluster.set(func(c *cluster) { c.sick = []string{"plugged"} })
		w.healthy(content{"a": "2", "camera": "plugged"})
	})
}

// A camera that is unplugged during an update fails the update, and nothing more.
func TestWhatBrokeDuringAnUpdateDoesNotFailItsRollback(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1", "camera": "plugged"})
		two := w.healthy(content{"a": "2", "camera": "plugged"})
		w.push(content{"a": "slow", "camera": "plugged"})
		w.run()
		w.sleep(time.Minute)
		w.cluster.set(func(c *cluster) { c.sick = []string{"plugged"} })
		w.sleep(time.Minute)
		w.runs(two, content{"a": "2", "camera": "plugged"})
		w.history("update Pruned", "update Pruned", "update Failed CrashLoop", "rollback Pruned")
	})
}

// The attempt that is gone on with while the newest commit does not render.
func TestResumedOlderRevisionAnswersForWhatItBroke(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "b": "1"})
		w.push(content{"a": "slow", "b": "2"})
		w.run()
		w.sleep(time.Minute)
		broken := w.push(content{"a": "never"})
		w.breakRender(broken)
		w.sleep(time.Minute)
		w.restart()
		w.cluster.edit("b", "edited") // so that there is something to write
		w.run()
		w.sleep(10 * time.Minute)
		w.runs(one, content{"a": "1", "b": "1"})
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
	})
}

// A rollback that fails through the host is tried again when it is due, and not
// in a loop: also when the newest commit does not render.
func TestRollbackThatTheHostFailsWaitsItsTurn(t *testing.T) {
	for name, broken := range map[string]bool{"the newest failed": false, "the newest does not render": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.cluster.cured = true
				one := w.healthy(content{"a": "pull"})
				w.push(content{"a": "stuck"})
				w.run()
				w.sleep(time.Minute)
				if broken {
					w.breakRender(w.push(content{"a": "never"}))
				}
				w.cluster.set(func(c *cluster) { c.cured = false })
				w.sleep(8 * time.Minute) // it fails, and so does the first rollback
				w.history("update Pruned", "update Failed HealthTimeout", "rollback Failed ImagePull")
				w.sleep(5 * time.Minute)
				w.history("update Pruned", "update Failed HealthTimeout", "rollback Failed ImagePull", "rollback Failed ImagePull")
				w.cluster.set(func(c *cluster) { c.cured = true })
				w.sleep(12 * time.Minute)
				w.runs(one, content{"a": "pull"})
			})
		})
	}
}
