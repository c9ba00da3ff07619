// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// inBundles puts each object into the bundle of that name.
func inBundles(m gitops.Manifests, names ...string) gitops.Manifests {
	for i, name := range names {
		m.Objects[i].Bundle = name
	}
	return m
}

func TestBundleWaitsUntilItsDependencyIsHealthy(t *testing.T) {
	s := newSite(t)
	want := inBundles(s.want(configMap("app", "1"), deployment("infra", "slow-2")), "app", "infra")
	want.Bundles = []gitops.Bundle{
		{Name: "app", DependsOn: []string{"infra"}, Gate: gitops.GateRequired, Prune: true},
		{Name: "infra", Wait: true, Gate: gitops.GateRequired, Prune: true},
	}
	plan := s.mustPlan(want)
	var readyWhenWritten bool
	_, err := s.c.Apply(t.Context(), plan, func(done, _ int) {
		if done == 2 {
			h, err := s.c.Health(t.Context(), want, nil)
			readyWhenWritten = err == nil && len(h.Blocking()) == 0
		}
	})
	if err != nil || !readyWhenWritten {
		t.Errorf("infra was healthy when app was written: %v, %v", readyWhenWritten, err)
	}
}

func TestBundleIsNotAppliedWhenItsDependencyFails(t *testing.T) {
	tests := map[string]struct {
		gate    gitops.Gate
		applied bool
	}{
		"required": {gitops.GateRequired, false},
		"wanted":   {gitops.GateWanted, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			want := inBundles(s.want(configMap("app", "1"), deployment("infra", "broken"), configMap("other", "1")), "app", "infra", "other")
			want.Bundles = []gitops.Bundle{
				{Name: "app", DependsOn: []string{"infra"}, Prune: true},
				{Name: "infra", Wait: true, Gate: test.gate, Timeout: 10 * time.Second, Prune: true},
				{Name: "other", Prune: true},
			}
			plan := s.mustPlan(want)
			changes, err := s.c.Apply(t.Context(), plan, nil)
			if got := s.live("ConfigMap", "app") != nil; got != test.applied {
				t.Errorf("app applied: %v, want %v (%q)", got, test.applied, actions(changes))
			}
			if s.live("ConfigMap", "other") == nil {
				t.Error("an independent bundle was not applied")
			}
			if test.applied {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantReason(t, err, gitops.CrashLoop, "infra")
		})
	}
}

func TestDependencyThatIsUnchangedIsNotWaitedFor(t *testing.T) {
	s := newSite(t)
	bundles := []gitops.Bundle{
		{Name: "app", DependsOn: []string{"infra"}, Prune: true, Gate: gitops.GateWanted},
		{Name: "infra", Wait: true, Prune: true, Gate: gitops.GateWanted, Timeout: time.Second},
	}
	want := func(version string) gitops.Manifests {
		m := inBundles(s.want(configMap("app", version), deployment("infra", "broken")), "app", "infra")
		m.Bundles = bundles
		return m
	}
	s.mustConverge(want("1"))
	r := s.mustConverge(want("2"))
	wantActions(t, r.changes, "configured ConfigMap/app")
}

func TestProgressCountsObjects(t *testing.T) {
	s := newSite(t)
	plan := s.mustPlan(s.want(configMaps(5)...))
	var last, total int
	if _, err := s.c.Apply(t.Context(), plan, func(d, n int) { last, total = d, n }); err != nil || last != 5 || total != 5 {
		t.Errorf("progress ended at %d of %d, %v", last, total, err)
	}
}

func TestImagePullFailuresAreToldApart(t *testing.T) {
	tests := map[string]bool{
		`failed to resolve reference "x": x: not found`: true,
		`manifest unknown`: true,
		`repository does not exist or may require authorization`:                               true,
		`couldn't parse image name "X": invalid reference format`:                              true,
		`dial tcp: lookup registry.example.com: no such host`:                                  false,
		`failed to do request: Head "https://r/v2/": dial tcp 10.0.0.1:443: i/o timeout`:       false,
		`Get "https://r/v2/": net/http: TLS handshake timeout`:                                 false,
		`unexpected status code 503 Service Unavailable: blob not found`:                       false,
		`tls: failed to verify certificate: x509: certificate has expired or is not yet valid`: false,
		`write /var/lib/containerd: no space left on device`:                                   false,
		`Back-off pulling image "x"`:                                                           false,
	}
	for message, name := range tests {
		if got := reconcile.IsImageName(message); got != name {
			t.Errorf("%q: the image's name is to blame: %v, want %v", message, got, name)
		}
	}
}
