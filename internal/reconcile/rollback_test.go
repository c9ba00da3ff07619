// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// rollBack converges on an older revision by a rollback's rules, undoing the
// newest attempts.
func (s *site) rollBack(want gitops.Manifests, undone ...int64) result {
	s.t.Helper()
	s.req.Rollback, s.req.Undone = true, map[int64]bool{}
	for _, id := range undone {
		s.req.Undone[id] = true
	}
	defer func() { s.req.Rollback, s.req.Undone = false, nil }()
	return s.mustConverge(want)
}

func TestRollbackDeletesOnlyWhatWasAbsentBefore(t *testing.T) {
	s := newSite(t)
	old := s.want(configMap("a", "1"))
	s.mustConverge(old)
	s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs, namespace: NS}\ndata: {key: theirs}\n")
	inner := "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-inner}\n"
	s.mustConverge(s.want(configMap("a", "2"), configMap("theirs", "2"), configMap("new", "2"), inner))
	since := time.Now()
	r := s.rollBack(old, 2)
	wantActions(t, r.changes, "configured ConfigMap/a")
	wantActions(t, r.pruned, "deleted ConfigMap/new", "configured ConfigMap/theirs")
	wantActions(t, r.plan.Skipped, "skipped Namespace/"+s.ns+"-inner")
	theirs := s.live("ConfigMap", "theirs")
	if theirs == nil || theirs.GetLabels()["applyset.kubernetes.io/part-of"] != "" {
		t.Errorf("what was adopted is not released: %v", theirs)
	}
	if s.live("ConfigMap", "new") != nil || s.live("Namespace", s.ns+"-inner") == nil || value(s.live("ConfigMap", "a"), "key") != "1" {
		t.Errorf("want new gone, the namespace there and a at 1; writes %q", s.writes(since))
	}
}

func TestRollbackIgnoresGuardsForWhatTheUndoneAttemptCreated(t *testing.T) {
	s := newSite(t)
	old := s.want(configMap("a", "1"))
	s.mustConverge(old)
	s.mustConverge(s.want(append(configMaps(30), configMap("a", "1"))...))
	r := s.rollBack(old, 2)
	if len(r.pruned) != 30 || len(r.plan.Pending) != 0 {
		t.Errorf("pruned %d, pending %d", len(r.pruned), len(r.plan.Pending))
	}
}

func TestRollbackGuardsWhatOlderAttemptsCreated(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(append(configMaps(30), configMap("a", "1"))...))
	s.mustConverge(s.want(append(configMaps(30), configMap("a", "2"), configMap("new", "2"))...))
	// To a revision that never had the thirty: they are not the undone
	// attempt's, so the guards hold them.
	r := s.rollBack(s.want(configMap("a", "0")), 2)
	wantActions(t, r.pruned, "deleted ConfigMap/new")
	if len(r.plan.Pending) != 30 {
		t.Errorf("pending are %d, want 30", len(r.plan.Pending))
	}
}

func TestRollbackRestoresWhatTheUndoneAttemptDeleted(t *testing.T) {
	s := newSite(t)
	old := s.want(configMap("a", "1"), configMap("b", "1"))
	s.mustConverge(old)
	s.mustConverge(s.want(configMap("a", "2")))
	r := s.rollBack(old, 2)
	wantActions(t, r.changes, "configured ConfigMap/a", "created ConfigMap/b")
}

func TestBrokenDeploymentRollsBackToTheOldOne(t *testing.T) {
	s := newSite(t)
	old := s.want(deployment("web", "web:1"))
	s.mustConverge(old)
	_, err := s.converge(s.want(deployment("web", "broken")))
	wantReason(t, err, gitops.CrashLoop, "Deployment.apps/"+s.ns+"/web", "restarting failed container")
	// The crashing pod is still there when the wait begins: it is of the
	// revision that is undone, and must not fail the rollback.
	s.rollBack(old, 2)
	image, _, _ := unstructured.NestedSlice(s.live("Deployment", "web").Object, "spec", "template", "spec", "containers")
	if image[0].(map[string]any)["image"] != "web:1" {
		t.Errorf("containers are %v", image)
	}
}

func TestRebuiltClusterGetsEverythingAndLosesNothing(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), configMap("gone", "1")))
	for _, name := range []string{"a", "b"} {
		s.delete("ConfigMap", name)
	}
	s.create(configMap("b", "restored by hand"))
	s.req.ClusterRebuilt, s.req.Drift = true, gitops.DriftNotify
	r := s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1")))
	wantActions(t, r.changes, "created ConfigMap/a", "configured ConfigMap/b")
	if len(r.plan.Prune)+len(r.plan.Pending) > 0 || s.live("ConfigMap", "gone") == nil {
		t.Error("a rebuilt cluster must lose nothing")
	}
}
