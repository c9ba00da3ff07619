// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// marks is a cluster that holds what a node applied before.
func (w *signed) marks(marked bool, away *atomic.Bool) {
	w.cfg.Marked = func(context.Context, string) (bool, error) {
		if away != nil && away.Load() {
			return false, failure(gitops.APIUnreachable)
		}
		return marked, nil
	}
	w.restart()
}

// A node that forgot what it had accepted takes nothing for the first revision
// until root says so.
func TestLostTrustStateWaitsForRoot(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		w.marks(true, nil)
		one := w.pushBy("dan", content{"a": "1"})
		w.run()
		w.sleep(3 * time.Minute)
		w.holds(content{})
		w.ready("False", gitops.TrustStateLost)
		w.condition(gitops.ConditionVerified, "Unknown", gitops.TrustStateLost)
		if st := w.state(); st.Accepted != nil || st.Refused != nil {
			t.Errorf("state = %+v", st)
		}
		// Not even once the mark is gone: somebody may have deleted it.
		w.stop()
		w.marks(false, nil)
		w.run()
		w.sleep(3 * time.Minute)
		w.ready("False", gitops.TrustStateLost)
		if err := w.accept(string(one.Hash()[:7])); err != nil {
			t.Fatal(err)
		}
		w.runs(one, content{"a": "1"})
		w.ready("True", gitops.IsHealthy)
		two := w.pushBy("dan", content{"a": "2"})
		w.sleep(2 * time.Minute)
		w.runs(two, content{"a": "2"})
	})
}

// A fresh node begins by itself, once the cluster said that it holds nothing.
func TestFreshNodeWaitsForTheClustersWord(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		var away atomic.Bool
		away.Store(true)
		w.marks(false, &away)
		w.remote.interval = time.Hour
		w.cluster.hook = func(_ context.Context, at string) error {
			if away.Load() && at == "capabilities" {
				return failure(gitops.APIUnreachable)
			}
			return nil
		}
		one := w.pushBy("dan", content{"a": "1"})
		w.run()
		w.sleep(5 * time.Minute)
		if w.state().Accepted != nil {
			t.Error("accepted before the cluster was asked")
		}
		polls := w.remote.polled()
		away.Store(false)
		w.sleep(2 * time.Minute)
		w.runs(one, content{"a": "1"})
		if got := w.remote.polled(); polls != 1 || got != 2 {
			t.Errorf("%d polls before the cluster answered and %d in all, want 1 and 2", polls, got)
		}
	})
}

// A bundle is judged by the same rules: it is not refused, it has to wait.
func TestImportIntoANodeThatForgotIsNoRefusal(t *testing.T) {
	for want, away := range map[gitops.Reason]bool{gitops.TrustStateLost: false, gitops.APIUnreachable: true} {
		inSignedWorld(t, "", func(w *signed) {
			var out atomic.Bool
			out.Store(away)
			w.marks(true, &out)
			w.remote.err = failure(gitops.Unreachable)
			rev := w.pushBy("dan", content{"a": "1"})
			w.run()
			got, err := w.agent.Import(w.ctx, fleet, w.bundle(string(rev.Hash())))
			if gitops.ReasonOf(err) != want || got.Refused != nil {
				t.Errorf("Import = %+v, %v; want %s", got, err, want)
			}
		})
	}
}

// A stick that comes before the cluster is up waits in the folder: nothing is
// wrong with it.
func TestBundleWaitsForTheClustersWord(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		var away atomic.Bool
		away.Store(true)
		w.marks(false, &away)
		w.remote.err = failure(gitops.Unreachable)
		rev := w.pushBy("dan", content{"a": "1"})
		w.folder()
		w.put("a.bundle", string(rev.Hash()))
		w.sleep(5 * time.Minute)
		if _, err := os.Stat(w.path("a.bundle")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(w.path("a.bundle.refused")); err == nil {
			t.Error("it is noted as refused")
		}
		away.Store(false)
		w.sleep(5 * time.Minute)
		w.runs(rev, content{"a": "1"})
	})
}
