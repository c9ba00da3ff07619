// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
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
		w.renderer.broken[broken.Hash()] = gitops.InvalidManifest
		w.sleep(20 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
		if back := w.attempts()[2]; back.Undoes != w.attempts()[1].ID {
			t.Errorf("undoes = %d, want %d", back.Undoes, w.attempts()[1].ID)
		}
		w.ready("False", gitops.InvalidManifest)
	})
}
