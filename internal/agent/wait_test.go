// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"testing"
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
		w.renderer.broken[broken.Hash()] = gitops.InvalidManifest
		w.sleep(20 * time.Second)
		w.sleep(10 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
		if n := len(w.cluster.waited); n != 4 { // the two above, the one cut short by the poll, the rollback's
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
