// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// hold puts somebody's finalizer on an object, so that it cannot go.
func (s *site) hold(kind, name string) {
	s.edit("somebody", kind, name, `{"metadata":{"finalizers":["example.com/hold"]}}`)
}

func (s *site) letGo(kind, name string) {
	s.edit("somebody", kind, name, `{"metadata":{"finalizers":null}}`)
}

// after calls do when progress came with nothing done for the third time.
type after struct {
	do    func()
	times int
	calls []int
	total int
	busy  atomic.Int32
	t     *testing.T
}

func (a *after) progress(done, total int) {
	if a.busy.Add(1) != 1 {
		a.t.Error("progress is called twice at once")
	}
	defer a.busy.Add(-1)
	a.calls, a.total = append(a.calls, done), total
	if done == 0 {
		if a.times++; a.times == 3 {
			a.do()
		}
	}
}

func TestWaitsInsideApplyReportThatTheyGoOn(t *testing.T) {
	port := "303" + lastOctet()
	hook := func(s *site, image string) gitops.Manifests {
		want := s.want(job("migrate", image), configMap("a", image))
		want.Objects[0].Hook, want.Objects[0].Wave = &gitops.Hook{Events: []string{"pre-install", "pre-upgrade"}}, -1
		return want
	}
	tests := map[string]struct {
		before, next func(s *site) gitops.Manifests
		kind, name   string
		delete       bool
	}{
		"deletion that frees a port": {
			before: func(s *site) gitops.Manifests { return s.want(nodePort("old", port), configMap("a", "1")) },
			next:   func(s *site) gitops.Manifests { return s.want(nodePort("new", port), configMap("a", "1")) },
			kind:   "Service", name: "old",
		},
		"older run of a hook": {
			before: func(s *site) gitops.Manifests { return hook(s, "one") },
			next:   func(s *site) gitops.Manifests { return hook(s, "two") },
			kind:   "Job", name: "migrate",
		},
		"object on its way out": {
			before: func(s *site) gitops.Manifests { return s.want(configMap("a", "1")) },
			next:   func(s *site) gitops.Manifests { return s.want(configMap("a", "2")) },
			kind:   "ConfigMap", name: "a", delete: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(test.before(s))
			s.hold(test.kind, test.name)
			if test.delete {
				s.delete(test.kind, test.name)
			}
			plan := s.mustPlan(test.next(s))
			// Only progress lets the object go: without it apply gives up.
			a := &after{t: t, do: func() { s.letGo(test.kind, test.name) }}
			if _, err := s.c.Apply(t.Context(), plan, a.progress); err != nil {
				t.Fatal(err)
			}
			if a.total != len(plan.Apply) || a.calls[len(a.calls)-1] != len(plan.Apply) {
				t.Errorf("progress was %v of %d, want %d in the end", a.calls, a.total, len(plan.Apply))
			}
		})
	}
}

func TestWaitForAStepReportsThatItGoesOn(t *testing.T) {
	s := newSite(t)
	want := s.want(job("migrate", "slow-3"), configMap("a", "1"))
	want.Objects[0].Hook, want.Objects[0].Wave = &gitops.Hook{Events: []string{"pre-install"}}, -1
	plan := s.mustPlan(want)
	waiting := 0
	_, err := s.c.Apply(t.Context(), plan, func(done, total int) {
		if done == 1 && total == 2 {
			waiting++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if waiting < 3 {
		t.Errorf("progress was called %d times while the hook ran", waiting)
	}
}

func TestWaitReportsLooksThatGotNoAnswer(t *testing.T) {
	s := newSite(t)
	var away atomic.Bool
	proxy := newProxy(t, func(_ int64, r *http.Request) int {
		if away.Load() && strings.Contains(r.URL.Path, "deployments") {
			return http.StatusServiceUnavailable
		}
		return -1
	})
	s.c = newCluster(t, reconcile.Config{Kubeconfig: proxy, Node: "node-1", Version: s.version})
	plan := s.mustPlan(s.want(deployment("web", "web:1")))
	changes, err := s.c.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	// Only a report of a failed look brings the API server back.
	_, err = s.c.Wait(t.Context(), gitops.HealthRequest{
		Source: s.source, Plan: plan, Changes: changes, Timeout: 20 * time.Second,
		Progress: func(gitops.Health) { away.Store(false) },
	})
	if err != nil {
		t.Fatal(err)
	}
}
