// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func value(u *unstructured.Unstructured, key string) string {
	if u == nil {
		return "(gone)"
	}
	v, _, _ := unstructured.NestedString(u.Object, "data", key)
	return v
}

func TestDriftIsRepaired(t *testing.T) {
	tests := map[string]struct {
		edit func(s *site)
		want string // the change of the repair
	}{
		"edited field": {func(s *site) { s.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":"by hand"}}`) }, "configured ConfigMap/a"},
		"removed field": {func(s *site) { s.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":null}}`) },
			"configured ConfigMap/a"},
		"deleted object": {func(s *site) { s.delete("ConfigMap", "a") }, "created ConfigMap/a"},
		"removed label": {func(s *site) {
			s.edit("kubectl-label", "ConfigMap", "a", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
		}, "configured ConfigMap/a"},
		"recreated by hand": {func(s *site) { s.delete("ConfigMap", "a"); s.create(configMap("a", "by hand")) }, "configured ConfigMap/a"},
		"datastore lost the last write": {func(s *site) {
			s.edit("edgeagent", "ConfigMap", "a", `{"metadata":{"annotations":{"edgeagent.dev/digest":"sha256:old"}}}`)
		}, "configured ConfigMap/a"},
		"kubectl apply of another version": {func(s *site) { s.kubectlApply(configMap("a", "by hand")) }, "configured ConfigMap/a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			want := s.want(configMap("a", "1"), configMap("b", "1"))
			s.mustConverge(want)
			test.edit(s)
			r := s.mustConverge(want)
			wantActions(t, r.changes, test.want)
			if got := value(s.live("ConfigMap", "a"), "key"); got != "1" {
				t.Errorf("value is %q after the repair", got)
			}
			if plan := s.mustPlan(want); !plan.Empty() {
				t.Errorf("after the repair there is still drift: %+v", plan.Apply)
			}
		})
	}
}

// kubectlApply is client-side kubectl apply: an update under its manager.
func (s *site) kubectlApply(doc string) {
	s.t.Helper()
	u := s.object(doc)
	now := s.live(u.GetKind(), u.GetName())
	if now == nil {
		if _, err := s.on(u.GetKind()).Create(s.t.Context(), u, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	data, err := u.MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	s.edit("kubectl-client-side-apply", u.GetKind(), u.GetName(), string(data))
}

func TestForeignFieldIsLeftAlone(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"))
	s.mustConverge(want)
	s.edit("somebody", "ConfigMap", "a", `{"metadata":{"annotations":{"note":"keep me"}},"data":{"other":"mine"}}`)
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("a foreign field counts as drift: %+v", plan.Apply)
	}
	s.mustConverge(s.want(configMap("a", "2")))
	a := s.live("ConfigMap", "a")
	if value(a, "other") != "mine" || a.GetAnnotations()["note"] != "keep me" || value(a, "key") != "2" {
		t.Errorf("the foreign field did not survive an update: %v", a.Object)
	}
}

func TestStatusUpdatesAreNotDrift(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("web", "web:1"))
	s.mustConverge(want)
	s.edit("somebody", "Deployment", "web", `{"status":{"collisionCount":3}}`, "status")
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("a status update counts as drift: %+v", plan.Apply)
	}
}

func TestDriftModes(t *testing.T) {
	tests := map[string]struct {
		source, bundle gitops.DriftMode
		repaired       bool
		reported       bool
	}{
		"correct":                        {source: gitops.DriftCorrect, repaired: true},
		"notify":                         {source: gitops.DriftNotify, reported: true},
		"off":                            {source: gitops.DriftOff},
		"bundle notify":                  {source: gitops.DriftCorrect, bundle: gitops.DriftNotify, reported: true},
		"bundle correct":                 {source: gitops.DriftNotify, bundle: gitops.DriftCorrect, repaired: true},
		"nothing said means correct":     {repaired: true},
		"strict repairs what is changed": {source: gitops.DriftStrict, repaired: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.req.Drift = test.source
			documents := []string{configMap("edited", "1"), configMap("deleted", "1")}
			want := s.want(documents...)
			want.Bundles[0].Drift = test.bundle
			s.mustConverge(want)
			s.edit("kubectl-edit", "ConfigMap", "edited", `{"data":{"key":"by hand"}}`)
			s.delete("ConfigMap", "deleted")
			since := time.Now()
			r := s.mustConverge(want)
			if got := len(r.plan.Drifted) == 2; got != test.reported {
				t.Errorf("reported drift: %v (%q), want %v", got, actions(r.plan.Drifted), test.reported)
			}
			if got := len(s.writes(since)) == 2; got != test.repaired {
				t.Errorf("repaired: %v (%q), want %v", got, s.writes(since), test.repaired)
			}
			// A change in Git is no drift: every mode applies it.
			next := s.want(configMap("edited", "2"), configMap("deleted", "2"))
			next.Bundles[0].Drift = test.bundle
			s.mustConverge(next)
			if value(s.live("ConfigMap", "edited"), "key") != "2" || value(s.live("ConfigMap", "deleted"), "key") != "2" {
				t.Error("the next revision was not applied")
			}
		})
	}
}

func TestStrictRemovesWhatOthersAdded(t *testing.T) {
	s := newSite(t)
	s.req.Drift = gitops.DriftStrict
	want := s.want(configMap("a", "1"), deployment("web", "web:1"))
	s.mustConverge(want)
	s.edit("somebody", "ConfigMap", "a", `{"data":{"other":"mine"}}`)
	r := s.mustConverge(want)
	wantActions(t, r.changes, "configured ConfigMap/a")
	if got := value(s.live("ConfigMap", "a"), "other"); got != "" {
		t.Errorf("the foreign field is still there: %q", got)
	}
	// Who keeps a status keeps it, also when something else is taken away.
	s.edit("somebody", "Deployment", "web", `{"status":{"collisionCount":3}}`, "status")
	s.edit("somebody", "Deployment", "web", `{"metadata":{"annotations":{"note":"x"}}}`)
	s.mustConverge(want)
	web, kept := s.live("Deployment", "web"), false
	for _, e := range web.GetManagedFields() {
		kept = kept || e.Manager == "somebody" && e.Subresource == "status"
	}
	if web.GetAnnotations()["note"] != "" || !kept {
		t.Errorf("want the annotation gone and the status still somebody's: %v", web.GetManagedFields())
	}
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("strict mode does not settle: %+v", plan.Apply)
	}
}

func TestScaleByHandIsRepairedOnlyWhereGitSaysReplicas(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("web", "web:1"))
	s.mustConverge(want)
	s.edit("kubectl", "Deployment", "web", `{"spec":{"replicas":3}}`, "scale")
	r := s.mustConverge(want)
	wantActions(t, r.changes, "configured Deployment/web")
	replicas, _, _ := unstructured.NestedInt64(s.live("Deployment", "web").Object, "spec", "replicas")
	if replicas != 1 {
		t.Errorf("replicas are %d, want 1", replicas)
	}
}

func TestFullPassSendsEverythingAndChangesNothing(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"), configMap("b", "1"))
	s.mustConverge(want)
	before := s.live("ConfigMap", "a").GetResourceVersion()
	s.req.Full = true
	r := s.mustConverge(want)
	wantActions(t, r.changes, "unchanged ConfigMap/a", "unchanged ConfigMap/b")
	if after := s.live("ConfigMap", "a").GetResourceVersion(); after != before {
		t.Errorf("resourceVersion moved from %s to %s", before, after)
	}
}

func TestObjectOnItsWayOutIsWrittenAnew(t *testing.T) {
	s := newSite(t)
	held := `apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: NS, finalizers: [example.com/hold]}
data: {key: "1"}
`
	s.mustConverge(s.want(held))
	s.delete("ConfigMap", "a")
	first := s.live("ConfigMap", "a").GetUID()
	done := make(chan error, 1)
	go func() {
		_, err := s.converge(s.want(configMap("a", "2")))
		done <- err
	}()
	// The apply of version 2 takes the finalizer away, the object goes, and
	// must come back.
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a := s.live("ConfigMap", "a")
	if a == nil || a.GetUID() == first || value(a, "key") != "2" {
		t.Errorf("want a new object with version 2, have %v", a)
	}
}
