// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// reload puts a new agent in the place of the old one in the same process.
func (w *world) reload() {
	w.stop()
	w.cfg.Replaces = w.agent
	w.agent = agent.New(w.cfg)
	w.cfg.Replaces = nil
}

func TestReloadedAgentGoesOnCounting(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.once()
		w.reload()
		w.once()
		if got := w.status().Cycle; got != 3 {
			t.Errorf("cycle = %d, want 3", got)
		}
	})
}

// A changed configuration is no crash: the attempt under way is not resumed, it
// goes on with the time that it has left.
func TestReloadInTheMiddleOfAWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.push(content{"a": "slow"})
		for range 5 {
			w.run()
			w.sleep(61 * time.Second)
			w.reload()
		}
		if open := w.state().Open; open == nil || open.Resumes != 0 {
			t.Errorf("open = %+v, want the attempt as it was", open)
		}
		w.run()
		if r := last(w.cluster.waits()); r.Timeout > 2*time.Minute {
			t.Errorf("timeout = %s after 4 of 5 minutes", r.Timeout)
		}
		w.sleep(2 * time.Minute)
		w.history("update Pruned", "update Failed HealthTimeout", "rollback Pruned")
	})
}

// k3s comes up seconds after the agent: nobody waits for the next interval.
func TestClusterThatIsNotUpYetIsAskedSoon(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Interval, w.remote.interval = time.Hour, time.Hour
		w.cluster.away = failure(gitops.APIUnreachable)
		w.restart()
		rev := w.push(content{"a": "1"})
		w.run()
		w.sleep(15 * time.Second)
		if calls, _ := w.cluster.count(); calls < 4 || calls > 12 {
			t.Errorf("%d looks in 15 seconds, want them at growing distances", calls)
		}
		w.cluster.set(func(c *cluster) { c.away = nil })
		w.sleep(45 * time.Second)
		w.runs(rev, content{"a": "1"})
	})
}
