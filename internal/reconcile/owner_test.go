// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

func TestObjectsOfOthersAreNotTakenOver(t *testing.T) {
	tests := map[string]struct{ labels, annotations string }{
		"Flux":             {labels: `kustomize.toolkit.fluxcd.io/name: apps`},
		"Flux Helm":        {labels: `helm.toolkit.fluxcd.io/name: apps`},
		"Argo CD label":    {labels: `argocd.argoproj.io/instance: apps`},
		"Argo CD tracking": {annotations: `argocd.argoproj.io/tracking-id: "apps:/ConfigMap:x/a"`},
		"Helm":             {labels: `app.kubernetes.io/managed-by: Helm`, annotations: `meta.helm.sh/release-name: apps`},
		"k3s deployer":     {annotations: `objectset.rio.cattle.io/id: ""` + "\n    objectset.rio.cattle.io/owner-name: traefik"},
		"kapp":             {labels: `kapp.k14s.io/app: "1700000000"`},
		"another source":   {labels: `applyset.kubernetes.io/part-of: applyset-other-v1`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			doc := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: NS\n"
			if test.labels != "" {
				doc += "  labels:\n    " + test.labels + "\n"
			}
			if test.annotations != "" {
				doc += "  annotations:\n    " + test.annotations + "\n"
			}
			s.create(doc + "data: {key: theirs}\n")
			want := s.want(configMap("a", "ours"), configMap("b", "ours"))
			since := time.Now()
			_, err := s.converge(want)
			wantReason(t, err, gitops.OwnedByOther, "ConfigMap/"+s.ns+"/a", "adopt")
			if w := s.writes(since); len(w) > 0 {
				t.Errorf("a plan against another owner wrote %q", w)
			}
			s.req.Adopt = true
			s.mustConverge(want)
			if got := value(s.live("ConfigMap", "a"), "key"); got != "ours" {
				t.Errorf("adopt: true left the value at %q", got)
			}
		})
	}
}

func TestOneSourceDoesNotTakeFromAnother(t *testing.T) {
	one := newSite(t)
	one.mustConverge(one.want(configMap("a", "one")))
	two := *one
	two.source, two.owned = one.source+"-2", nil
	two.req.Source = two.source
	_, err := two.converge(one.want(configMap("a", "two")))
	wantReason(t, err, gitops.OwnedByOther)
	// Losing the label in the meantime does not make it fair game for one's
	// own repair either.
	one.edit("x", "ConfigMap", "a", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"`+reconcile.SetID("third")+`"}}}`)
	_, err = one.converge(one.want(configMap("a", "one")))
	wantReason(t, err, gitops.OwnedByOther)
}

func TestObjectMadeWithKubectlIsTakenOverWithItsFields(t *testing.T) {
	for _, manager := range []string{"kubectl-client-side-apply", "kubectl-create"} {
		t.Run(manager, func(t *testing.T) {
			s := newSite(t)
			u := s.object("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS}\ndata: {key: old, gone: x}\n")
			made, err := s.on("ConfigMap").Create(t.Context(), u, metav1.CreateOptions{FieldManager: manager})
			if err != nil {
				t.Fatal(err)
			}
			r := s.mustConverge(s.want(configMap("a", "new")))
			wantActions(t, r.changes, "configured ConfigMap/a")
			a := s.live("ConfigMap", "a")
			if value(a, "key") != "new" || value(a, "gone") != "" {
				t.Errorf("data is %v: what is not in Git must leave", a.Object["data"])
			}
			if s.owned[0].PriorUID != string(made.GetUID()) {
				t.Errorf("prior UID is %q, want %q", s.owned[0].PriorUID, made.GetUID())
			}
		})
	}
}

func TestFieldsOfKubectlApplySeenLaterBecomeOurs(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"))
	s.mustConverge(want)
	// The same values: nothing of ours changes, but kubectl holds them now too.
	s.kubectlApply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS}\ndata: {key: \"1\", extra: x}\n")
	s.mustConverge(want)
	if a := s.live("ConfigMap", "a"); value(a, "extra") != "" || value(a, "key") != "1" {
		t.Errorf("data is %v", a.Object["data"])
	}
	// Server-side kubectl apply, likewise.
	data := []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: " + s.ns + "}\ndata: {more: \"yes\"}\n")
	if _, err := s.on("ConfigMap").Patch(t.Context(), "a", types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	s.mustConverge(want)
	a := s.live("ConfigMap", "a")
	if value(a, "more") != "" {
		t.Errorf("data is %v", a.Object["data"])
	}
	for _, e := range a.GetManagedFields() {
		if strings.HasPrefix(e.Manager, "kubectl") {
			t.Errorf("%s still holds fields", e.Manager)
		}
	}
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("it does not settle: %+v", plan.Apply)
	}
}

func TestMergePolicyKeepsWhatKubectlHolds(t *testing.T) {
	s := newSite(t)
	s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS}\ndata: {theirs: x}\n")
	s.mustConverge(s.want("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: NS, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}}\ndata: {key: ours}\n"))
	if a := s.live("ConfigMap", "a"); value(a, "theirs") != "x" || value(a, "key") != "ours" {
		t.Errorf("data is %v", a.Object["data"])
	}
}

func TestParentNamesWriterScopeAndRevisions(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), deployment("web", "web:1")))
	parent := s.parent()
	if parent == nil {
		t.Fatal("there is no parent")
	}
	wantData := map[string]string{"writer": "node-1", "accepted": "main@sha1:1", "healthy": "main@sha1:1"}
	for key, want := range wantData {
		if got := value(parent, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	annotations := parent.GetAnnotations()
	if got := annotations["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Deployment.apps" {
		t.Errorf("kinds are %q", got)
	}
	if got := annotations["applyset.kubernetes.io/additional-namespaces"]; got != s.ns {
		t.Errorf("namespaces are %q", got)
	}
	if got := annotations["applyset.kubernetes.io/tooling"]; got != "edgeagent/"+s.version {
		t.Errorf("tooling is %q", got)
	}
	if got := parent.GetLabels()["applyset.kubernetes.io/id"]; got != reconcile.SetID(s.source) || got != s.live("ConfigMap", "a").GetLabels()["applyset.kubernetes.io/part-of"] {
		t.Errorf("id is %q", got)
	}
	// The kinds shrink at the end of an attempt, not before.
	s.mustConverge(s.want(configMap("a", "1")))
	if got := s.parent().GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap" {
		t.Errorf("kinds are %q after the Deployment left", got)
	}
}

func TestParentNamesNewKindsBeforeTheFirstWrite(t *testing.T) {
	s := newSite(t)
	plan := s.mustPlan(s.want(configMap("a", "1"), "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: NS}\nspec: {ports: [{port: 99999}]}\n"))
	if _, err := s.c.Apply(t.Context(), plan, nil); err == nil {
		t.Fatal("want the Service refused")
	}
	if got := s.parent().GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Service" {
		t.Errorf("kinds are %q in the middle of an attempt", got)
	}
}

// What a node applied marks the cluster, for it and for nobody else.
func TestTheClusterIsMarkedByItsWriter(t *testing.T) {
	s := newSite(t)
	marked := func(c *reconcile.Cluster) bool {
		t.Helper()
		found, err := c.Marked(t.Context(), s.source)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if marked(s.c) {
		t.Error("marked before anything was applied")
	}
	s.mustConverge(s.want(configMap("a", "1")))
	if !marked(s.c) {
		t.Error("not marked after an attempt")
	}
	if marked(newCluster(t, reconcile.Config{Kubeconfig: agentKubeconfig, Node: "node-2", Version: s.version})) {
		t.Error("marked for a node that wrote nothing")
	}
	if err := s.c.Orphan(t.Context(), s.source, s.owned); err != nil {
		t.Fatal(err)
	}
	if marked(s.c) {
		t.Error("marked after everything was let go")
	}
}

func TestSecondWriterIsForeign(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"))
	s.mustConverge(want)
	other := *s
	other.version += "-other"
	other.c = newCluster(t, reconcile.Config{Kubeconfig: agentKubeconfig, Node: "node-2", Version: other.version})
	other.owned = nil
	since := time.Now()
	_, err := other.converge(s.want(configMap("a", "2")))
	wantReason(t, err, gitops.ForeignWriter, "node-1", "node-2"[:5], s.source)
	if _, err := other.c.Delete(t.Context(), s.source, s.owned); gitops.ReasonOf(err) != gitops.ForeignWriter {
		t.Errorf("delete by another node: %v", err)
	}
	if err := other.c.Orphan(t.Context(), s.source, s.owned); gitops.ReasonOf(err) != gitops.ForeignWriter {
		t.Errorf("orphan by another node: %v", err)
	}
	if err := other.c.Finish(t.Context(), s.source, s.owned, "", ""); gitops.ReasonOf(err) != gitops.ForeignWriter {
		t.Errorf("finish by another node: %v", err)
	}
	if w := other.writes(since); len(w) > 0 {
		t.Errorf("the second agent wrote %q", w)
	}
	s.mustConverge(s.want(configMap("a", "3"))) // the first one goes on
}

func TestRenamedNodeGoesOnWhereItWas(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	before := s.c
	s.c = newCluster(t, reconcile.Config{Kubeconfig: agentKubeconfig, Node: "node-1-renamed", Version: s.version})
	s.c.AcceptWriter("node-0")
	_, err := s.planFor(s.want(configMap("a", "2")))
	wantReason(t, err, gitops.ForeignWriter, "node-1")
	s.c.AcceptWriter("node-1")
	s.mustConverge(s.want(configMap("a", "2")))
	if got := value(s.parent(), "writer"); got != "node-1-renamed" {
		t.Errorf("the parent names %q", got)
	}
	s.c = before // the old name is another agent's from now on
	_, err = s.planFor(s.want(configMap("a", "3")))
	wantReason(t, err, gitops.ForeignWriter, "node-1-renamed")
}

func TestParentOfAnotherToolIsForeign(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	s.editParent(`{"metadata":{"annotations":{"applyset.kubernetes.io/tooling":"kubectl/v1.37.0"}}}`)
	_, err := s.converge(s.want(configMap("a", "2")))
	wantReason(t, err, gitops.ForeignWriter, "kubectl")
}
