// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// watched is a site whose cluster plans from watches, through a proxy that
// counts requests.
type watched struct {
	*site
	asked   atomic.Int64 // requests but watches
	fail    atomic.Int64 // status to answer everything with, 0 = none
	changes <-chan string
	mu      sync.Mutex
	paths   []string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{site: newSite(t)}
	kubeconfig := newProxy(t, func(_ int64, r *http.Request) int {
		if code := w.fail.Load(); code != 0 {
			return int(code)
		}
		if r.URL.Query().Get("watch") == "" {
			w.asked.Add(1)
			w.mu.Lock()
			w.paths = append(w.paths, r.Method+" "+r.URL.String())
			w.mu.Unlock()
		}
		return -1
	})
	w.c = newCluster(t, reconcile.Config{Kubeconfig: kubeconfig, Node: "node-1", Version: w.version})
	w.changes = w.c.Changes(t.Context())
	return w
}

// quiet waits until no source is named any more, and forgets what was counted.
func (w *watched) quiet() {
	w.t.Helper()
	for {
		select {
		case <-w.changes:
		case <-time.After(time.Second):
			w.asked.Store(0)
			w.mu.Lock()
			w.paths = nil
			w.mu.Unlock()
			return
		}
	}
}

func (w *watched) woken() {
	w.t.Helper()
	select {
	case source := <-w.changes:
		if source != w.source {
			w.t.Errorf("woken for source %q", source)
		}
	case <-time.After(30 * time.Second):
		w.t.Fatal("nobody was woken")
	}
}

func TestIdleCycleAsksNothing(t *testing.T) {
	w := newWatched(t)
	want := w.want(configMap("a", "1"), configMap("b", "1"), deployment("web", "web:1"), job("once", "x"))
	w.mustConverge(want)
	w.quiet()
	w.req.Look = true
	cycle := func() {
		t.Helper()
		if caps, err := w.c.Capabilities(t.Context()); err != nil || caps.ClusterUID == "" {
			t.Fatalf("capabilities are %+v, %v", caps, err)
		}
		if plan := w.mustPlan(want); !plan.Empty() {
			t.Fatalf("the plan is not empty: %+v", plan.Apply)
		}
		h, err := w.c.Health(t.Context(), want, w.owned)
		if err != nil || len(h.Blocking()) > 0 || len(h.Objects) != 4 {
			t.Fatalf("health is %+v, %v", h, err)
		}
	}
	cycle() // may ask once what it does not know yet
	w.quiet()
	cycle()
	if n := w.asked.Load(); n != 0 {
		t.Errorf("an idle cycle made %d requests: %q", n, w.paths)
	}
}

func TestDriftWakesAndIsPlanned(t *testing.T) {
	tests := map[string]struct {
		edit func(w *watched)
		want string
	}{
		"edited":  {func(w *watched) { w.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":"by hand"}}`) }, "configured ConfigMap/a"},
		"deleted": {func(w *watched) { w.delete("ConfigMap", "a") }, "created ConfigMap/a"},
		"label removed": {func(w *watched) {
			w.edit("x", "ConfigMap", "a", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
		}, "configured ConfigMap/a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t)
			want := w.want(configMap("a", "1"), configMap("b", "1"))
			w.mustConverge(want)
			w.quiet()
			test.edit(w)
			w.woken()
			r := w.mustConverge(want)
			wantActions(t, r.changes, test.want)
			if plan := w.mustPlan(want); !plan.Empty() {
				t.Errorf("right after the repair the plan is %+v", plan.Apply)
			}
		})
	}
}

func TestForeignChangesDoNotWake(t *testing.T) {
	w := newWatched(t)
	w.mustConverge(w.want(deployment("web", "web:1")))
	w.quiet()
	w.edit("somebody", "Deployment", "web", `{"status":{"collisionCount":2}}`, "status")
	select {
	case <-w.changes:
		t.Error("a status update wakes the loop")
	case <-time.After(time.Second):
	}
}

func TestOwnWritesAreSeenAtOnce(t *testing.T) {
	w := newWatched(t)
	w.mustConverge(w.want(configMap("a", "0"), configMap("gone", "1"), configMap("b", "1")))
	w.quiet()
	for _, version := range []string{"1", "2", "3", "4", "5", "6"} {
		want := w.want(configMap("a", version), configMap("b", "1"))
		w.mustConverge(want)
		if plan := w.mustPlan(want); !plan.Empty() {
			t.Fatalf("after version %s the plan sees the cluster as it was: %+v %+v", version, plan.Apply, plan.Prune)
		}
	}
}

func TestChangeDuringAnOutageIsFoundAfterIt(t *testing.T) {
	w := newWatched(t)
	want := w.want(configMap("a", "1"), configMap("b", "1"))
	w.mustConverge(want)
	w.quiet()
	w.c.DropConnections()
	w.fail.Store(http.StatusServiceUnavailable)
	eventually(t, "the API server is seen to be away", func() bool {
		_, err := w.c.Capabilities(t.Context())
		return gitops.ReasonOf(err) == gitops.APIUnreachable
	})
	w.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":"by hand"}}`)
	w.fail.Store(0)
	w.woken()
	eventually(t, "the change is planned", func() bool { return len(w.mustPlan(want).Apply) == 1 })
}

func TestKindsThatLeaveAreNoLongerWatched(t *testing.T) {
	w := newWatched(t)
	w.mustConverge(w.want(configMap("a", "1"), deployment("web", "web:1")))
	w.mustConverge(w.want(configMap("a", "1")))
	w.mustPlan(w.want(configMap("a", "1")))
	if got := w.c.Watched(w.source); len(got) != 1 || got[0] != "configmaps" {
		t.Errorf("watched are %q", got)
	}
	if _, err := w.c.Delete(t.Context(), w.source, w.owned); err != nil {
		t.Fatal(err)
	}
	if got := w.c.Watched(w.source); len(got) != 0 {
		t.Errorf("after the source was removed, watched are %q", got)
	}
}

func TestWatchThatLagsBehindOurWritesIsNotBelieved(t *testing.T) {
	tests := map[string]struct {
		wrote, event string
		deleted      bool
		believed     string
		woken        bool
	}{
		"older":             {wrote: "10", event: "9", believed: "10"},
		"older, other size": {wrote: "1000", event: "999", believed: "1000"},
		"our own":           {wrote: "10", event: "10", believed: "10"},
		"newer":             {wrote: "10", event: "11", believed: "11", woken: true},
		"older deletion":    {wrote: "10", event: "9", deleted: true, believed: "10"},
		"newer deletion":    {wrote: "10", event: "11", deleted: true, woken: true},
		"not numbers":       {wrote: "x", event: "a", believed: "a", woken: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			believed, woken := reconcile.TakeAfterWrote(test.wrote, test.event, test.deleted)
			if believed != test.believed || woken != test.woken {
				t.Errorf("believed %q, woken %v; want %q, %v", believed, woken, test.believed, test.woken)
			}
		})
	}
}
