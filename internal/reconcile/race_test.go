// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// meddled is a site where somebody acts just before a request of the agent
// reaches the API server, once.
func meddled(t *testing.T, method, path string, act func(s *site)) *site {
	t.Helper()
	s := newSite(t)
	done := false
	kubeconfig := newProxy(t, func(_ int64, r *http.Request) int {
		if !done && r.Method == method && strings.HasSuffix(r.URL.Path, path) && r.URL.Query().Get("dryRun") == "" && s.attempt > 1 {
			done = true
			act(s)
		}
		return -1
	})
	s.c = newCluster(t, reconcile.Config{Kubeconfig: kubeconfig, Node: "node-1", Version: s.version})
	t.Cleanup(func() {
		if !done {
			t.Errorf("no %s of %s was seen", method, path)
		}
	})
	return s
}

func TestObjectRecreatedWhileItIsPrunedStays(t *testing.T) {
	recreate := func(s *site) {
		s.delete("ConfigMap", "b")
		s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS, labels: {applyset.kubernetes.io/part-of: applyset-x-v1}}\ndata: {key: mine}\n")
	}
	tests := map[string]struct{ method, mark string }{
		"deleted":  {http.MethodDelete, ""},
		"released": {http.MethodPatch, ", annotations: {helm.sh/resource-policy: keep}"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := meddled(t, test.method, "/configmaps/b", recreate)
			s.mustConverge(s.want(configMap("a", "1"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS"+test.mark+"}\n"))
			s.mustConverge(s.want(configMap("a", "1")))
			b := s.live("ConfigMap", "b")
			if value(b, "key") != "mine" || b.GetLabels()["applyset.kubernetes.io/part-of"] != "applyset-x-v1" {
				t.Fatalf("b is %v", b)
			}
			for _, e := range b.GetManagedFields() {
				if e.Manager == "edgeagent" {
					t.Error("the agent wrote to an object that is not its own")
				}
			}
			if len(s.owned) != 1 {
				t.Errorf("inventory is %+v", s.owned)
			}
		})
	}
}

func TestWriterThatComesInBetweenIsForeign(t *testing.T) {
	// The parent is named after the source, whose name ends in a number.
	s := meddled(t, http.MethodPut, "", func(s *site) {
		s.editParent(`{"data":{"writer":"node-2"}}`)
	})
	s.mustConverge(s.want(configMap("a", "1")))
	_, err := s.converge(s.want(configMap("a", "1"), deployment("web", "web:1")))
	wantReason(t, err, gitops.ForeignWriter, "node-2")
	if s.live("Deployment", "web") != nil {
		t.Error("the Deployment was written although another agent had come in")
	}
}

func TestObjectEditedWhileItIsAdoptedIsFoldedAgain(t *testing.T) {
	s := meddled(t, http.MethodPatch, "/configmaps/b", func(s *site) {
		s.edit("somebody", "ConfigMap", "b", `{"data":{"theirs":"x"}}`)
	})
	s.mustConverge(s.want(configMap("a", "1")))
	s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS}\ndata: {key: old, gone: x}\n")
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1")))
	if b := s.live("ConfigMap", "b"); value(b, "gone") != "" || value(b, "theirs") != "x" || value(b, "key") != "1" {
		t.Errorf("b is %v", b.Object["data"])
	}
}

func TestInterruptedBeforeTheFirstWriteLeavesNothing(t *testing.T) {
	s := newSite(t)
	ctx, cancel := contextWithCancel(t)
	plan := s.mustPlan(s.want(configMap("a", "1")))
	cancel()
	changes, err := s.c.Apply(ctx, plan, nil)
	if err == nil || gitops.ReasonOf(err) != "" || len(changes) != 0 || s.live("ConfigMap", "a") != nil {
		t.Errorf("changes %q, error %v", actions(changes), err)
	}
	if _, err := s.c.Prune(ctx, plan); len(plan.Prune) > 0 && err == nil {
		t.Error("prune went on after the end")
	}
}
