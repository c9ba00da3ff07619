// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/agent"
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
