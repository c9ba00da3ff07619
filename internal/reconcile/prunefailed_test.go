// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// denyDeletion makes the API server refuse to delete one ConfigMap of the site,
// and returns when it does.
func (s *site) denyDeletion(name string) {
	s.t.Helper()
	admission := schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	for resource, doc := range map[string]string{
		"validatingadmissionpolicies": `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [DELETE]}]
  validations: [{expression: "oldObject.metadata.name != '` + name + `'", message: "it is needed"}]
`,
		"validatingadmissionpolicybindings": `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec: {policyName: NS, validationActions: [Deny]}
`,
	} {
		r := person(s.t).Resource(admission.WithResource(resource))
		if _, err := r.Create(s.t.Context(), s.object(doc), metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := r.Delete(context.Background(), s.ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				s.t.Error(err)
			}
		})
	}
	eventually(s.t, "the policy is in force", func() bool {
		err := s.on("ConfigMap").Delete(s.t.Context(), name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "it is needed")
	})
}

func TestDeniedDeletionDoesNotStopTheOthers(t *testing.T) {
	s := newSite(t)
	old := s.want(configMap("a", "1"))
	s.mustConverge(old)
	// One that is refused among its like, and one of a later stage.
	role := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: account, namespace: NS}\n"
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), configMap("held", "1"), configMap("z", "1"), role))
	s.denyDeletion("held")
	s.req.Rollback, s.req.Undone = true, map[int64]bool{2: true}
	plan := s.mustPlan(old)
	changes, err := s.c.Prune(t.Context(), plan)
	wantReason(t, err, gitops.PruneFailed, "ConfigMap/"+s.ns+"/held", "it is needed")
	if e, _ := errors.AsType[*gitops.Error](err); e.Object == nil || e.Object.Name != "held" {
		t.Errorf("the error blames %v", e.Object)
	}
	wantActions(t, changes, "deleted ConfigMap/b", "failed ConfigMap/held", "deleted ConfigMap/z", "deleted ServiceAccount/account")
	if s.live("ConfigMap", "held") == nil || s.live("ConfigMap", "b") != nil || s.live("ConfigMap", "z") != nil {
		t.Error("want held alone left")
	}
}

func TestPruneStopsWhenTheAPIServerIsAway(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(append(configMaps(40), configMap("a", "1"))...))
	s.req.AllowPrune = 40
	plan := s.mustPlan(s.want(configMap("a", "1")))
	var deletions atomic.Int64
	s.c = newCluster(t, reconcile.Config{Kubeconfig: newProxy(t, func(_ int64, r *http.Request) int {
		if r.Method != http.MethodDelete {
			return -1
		}
		switch n := deletions.Add(1); {
		case n == 1:
			return http.StatusUnprocessableEntity // refused, which is not the cause
		case n <= 4:
			return -1
		}
		return http.StatusServiceUnavailable
	}), Node: "node-1", Version: s.version})
	changes, err := s.c.Prune(t.Context(), plan)
	wantReason(t, err, gitops.APIUnreachable)
	if len(changes) < 4 || len(changes) > 20 {
		t.Errorf("%d of 40 deletions were tried", len(changes))
	}
	for _, c := range changes {
		if c.Action != gitops.Deleted && c.Action != gitops.FailedToDo {
			t.Errorf("change %+v", c)
		}
	}
}
