// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

func TestTimeWithoutAnAnswerDoesNotCount(t *testing.T) {
	type look struct {
		began, ended time.Duration
		answered     bool
	}
	const minute = time.Minute
	tests := map[string]struct {
		looks []look
		end   time.Duration // with a timeout of five minutes
	}{
		"always there":           {[]look{{0, 0, true}, {minute, minute, true}}, 5 * minute},
		"away at the start":      {[]look{{0, 0, false}}, 5 * minute},
		"away and back":          {[]look{{0, 0, true}, {minute, 2 * minute, false}, {4 * minute, 4 * minute, false}, {5 * minute, 6 * minute, true}}, 10 * minute},
		"away twice":             {[]look{{minute, minute, false}, {2 * minute, 2 * minute, true}, {4 * minute, 4 * minute, false}, {5 * minute, 5 * minute, true}}, 7 * minute},
		"away late, and on":      {[]look{{0, 0, true}, {4 * minute, 4 * minute, false}, {6 * minute, 6 * minute, false}}, 9 * minute},
		"never longer than that": {[]look{{0, 0, false}, {4 * minute, 4 * minute, true}, {8 * minute, 8 * minute, false}}, 10 * minute},
		"nor with answers":       {[]look{{0, 0, false}, {4 * minute, 4 * minute, true}, {5 * minute, 5 * minute, false}, {9 * minute, 9 * minute, true}}, 10 * minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			p := reconcile.NewPatience(start, 5*minute)
			for _, l := range test.looks {
				p.Looked(start.Add(l.began), start.Add(l.ended), l.answered)
			}
			if got := p.End().Sub(start); got != test.end {
				t.Errorf("it gives up after %s, want %s", got, test.end)
			}
		})
	}
}

func TestOutageDoesNotUseUpTheHealthTime(t *testing.T) {
	s := newSite(t)
	var back time.Time // written before the first request that reads it
	proxy := newProxy(t, func(_ int64, r *http.Request) int {
		if strings.Contains(r.URL.Path, "deployments") && r.Method == http.MethodGet && time.Now().Before(back) {
			return http.StatusServiceUnavailable
		}
		return -1
	})
	direct := s.c
	s.c = newCluster(t, reconcile.Config{Kubeconfig: proxy, Node: "node-1", Version: s.version})
	plan := s.mustPlan(s.want(deployment("web", "slow-10")))
	changes, err := direct.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The pod needs longer than the timeout; most of that the API server is away.
	back = time.Now().Add(7 * time.Second)
	_, err = s.c.Wait(t.Context(), gitops.HealthRequest{Source: s.source, Plan: plan, Changes: changes, Timeout: 9 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPIServerThatStaysAwayEndsTheWait(t *testing.T) {
	s := newSite(t)
	plan := s.mustPlan(s.want(deployment("web", "web:1")))
	s.c = newCluster(t, reconcile.Config{Kubeconfig: newProxy(t, func(int64, *http.Request) int { return http.StatusServiceUnavailable }), Node: "node-1", Version: s.version})
	_, err := s.c.Wait(t.Context(), gitops.HealthRequest{Source: s.source, Plan: plan, Timeout: 2 * time.Second})
	wantReason(t, err, gitops.APIUnreachable)
}
