// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func TestFirstApplyCreatesEverythingAndMarksIt(t *testing.T) {
	s := newSite(t)
	r := s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), deployment("web", "web:1")))
	wantActions(t, r.changes, "created ConfigMap/a", "created ConfigMap/b", "created Deployment/web")
	a := s.live("ConfigMap", "a")
	if a == nil || a.GetLabels()["applyset.kubernetes.io/part-of"] == "" || a.GetAnnotations()["edgeagent.dev/digest"] != s.owned[0].Digest {
		t.Errorf("object a is not marked as ours: %v", a)
	}
	for _, item := range s.owned {
		if item.UID == "" || item.Fields == "" || item.PriorUID != "" {
			t.Errorf("item %+v: want a UID, a hash of its fields and no prior UID", item)
		}
	}
}

func TestNoChangeWritesNothing(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"), deployment("web", "web:1"))
	s.mustConverge(want)
	since := time.Now()
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("the second plan is not empty: %q", actions(plan.Apply))
	}
	if w := s.writes(since); len(w) > 0 {
		t.Errorf("the second cycle wrote %q", w)
	}
}

func TestOneObjectChangedIsExactlyOnePatch(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), configMap("c", "1"), deployment("web", "web:1")))
	since := time.Now()
	r := s.mustConverge(s.want(configMap("a", "1"), configMap("b", "2"), configMap("c", "1"), deployment("web", "web:1")))
	wantActions(t, r.changes, "configured ConfigMap/b")
	if w := s.writes(since); len(w) != 1 || w[0] != "patch configmaps/b" {
		t.Errorf("writes are %q, want one patch of b", w)
	}
}

func TestObjectThatLeftGitIsPruned(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1")))
	r := s.mustConverge(s.want(configMap("a", "1")))
	wantActions(t, r.pruned, "deleted ConfigMap/b")
	if s.live("ConfigMap", "b") != nil || s.live("ConfigMap", "a") == nil {
		t.Error("want a kept and b gone")
	}
	if len(s.owned) != 1 {
		t.Errorf("inventory is %+v, want a alone", s.owned)
	}
}

func TestCustomResourceOfANewKindInOnePlan(t *testing.T) {
	s := newSite(t)
	crd := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cameras.newkind.example.com}
spec:
  group: newkind.example.com
  scope: Namespaced
  names: {plural: cameras, singular: camera, kind: Camera}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
	cr := "apiVersion: newkind.example.com/v1\nkind: Camera\nmetadata: {name: door, namespace: NS}\nspec: {fps: 5}\n"
	want := s.want(cr, crd) // the wrong way round on purpose
	r := s.mustConverge(want)
	wantActions(t, r.changes, "created CustomResourceDefinition/cameras.newkind.example.com", "created Camera/door")
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("the second plan is not empty: %q", actions(plan.Apply))
	}
}

func TestNamespaceComesBeforeWhatLivesInIt(t *testing.T) {
	s := newSite(t)
	want := manifests(t,
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: order-inner}\n",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: order-inner}\n",
	)
	r := s.mustConverge(want)
	wantActions(t, r.changes, "created ConfigMap/a", "created Namespace/order-inner")
	if r.plan.Apply[0].Ref.Kind != "Namespace" {
		t.Errorf("the plan begins with %s", r.plan.Apply[0].Ref)
	}
}

func TestRejectedObjectStopsEverythingBeforeAWrite(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	since := time.Now()
	bad := "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: NS}\nspec: {ports: [{port: 99999}]}\n"
	_, err := s.converge(s.want(configMap("a", "2"), bad))
	wantReason(t, err, gitops.Rejected, "Service", "bad", "spec.ports[0].port", "between 1 and 65535")
	if w := s.writes(since); len(w) > 0 {
		t.Errorf("a rejected plan wrote %q", w)
	}
}

func TestLateFailureDoesNotStopIndependentObjects(t *testing.T) {
	s := newSite(t)
	bad := "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: NS}\nspec: {ports: [{port: 99999}]}\n"
	plan := s.mustPlan(s.want(bad, configMap("a", "1"), deployment("web", "web:1")))
	changes, err := s.c.Apply(t.Context(), plan, nil)
	wantReason(t, err, gitops.Rejected, "bad")
	wantActions(t, changes, "created ConfigMap/a", "created Deployment/web", "failed Service/bad")
	if s.live("Deployment", "web") == nil {
		t.Error("the deployment was not applied")
	}
}

func TestFieldThatTheKindDoesNotHaveIsRejected(t *testing.T) {
	s := newSite(t)
	bad := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: NS, lables: {a: b}}\n"
	since := time.Now()
	_, err := s.converge(s.want(bad))
	wantReason(t, err, gitops.Rejected, "lables", "bad")
	if tries := s.requests(since, func(e cluster.AuditEvent) bool { return e.Name == "bad" }); len(tries) != 1 {
		t.Errorf("what cannot succeed was tried %d times: %q", len(tries), tries)
	}
}
