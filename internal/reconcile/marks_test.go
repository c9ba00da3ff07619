// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// annotated is a ConfigMap with an annotation.
func annotated(name, value, annotation string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: NS, annotations: {" + annotation + "}}\ndata: {key: \"" + value + "\"}\n"
}

func TestMarksThatKeepObjectsOutOfTheCluster(t *testing.T) {
	for _, mark := range []string{
		`config.kubernetes.io/local-config: "true"`, `argocd.argoproj.io/hook: Skip`,
		`kustomize.toolkit.fluxcd.io/reconcile: disabled`, `configmanagement.gke.io/managed: disabled`, `kustomize.toolkit.fluxcd.io/ssa: Ignore`,
	} {
		t.Run(mark, func(t *testing.T) {
			s := newSite(t)
			r := s.mustConverge(s.want(configMap("a", "1"), annotated("b", "1", mark)))
			wantActions(t, r.plan.Skipped, "skipped ConfigMap/b")
			if s.live("ConfigMap", "b") != nil || len(s.owned) != 1 {
				t.Error("b must not be written or owned")
			}
		})
	}
}

func TestMarksThatKeepObjectsFromBeingOverwritten(t *testing.T) {
	for _, mark := range []string{
		`kustomize.toolkit.fluxcd.io/ssa: IfNotPresent`, `client.lifecycle.config.k8s.io/mutation: ignore`, `kapp.k14s.io/update-strategy: skip`,
	} {
		t.Run(mark, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(configMap("a", "1"), annotated("b", "1", mark)))
			if value(s.live("ConfigMap", "b"), "key") != "1" {
				t.Fatal("b must be created")
			}
			s.edit("kubectl-edit", "ConfigMap", "b", `{"data":{"key":"by hand"}}`)
			s.mustConverge(s.want(configMap("a", "2"), annotated("b", "2", mark)))
			if got := value(s.live("ConfigMap", "b"), "key"); got != "by hand" {
				t.Errorf("b was overwritten with %q", got)
			}
			// Without the mark it is Git's again.
			s.mustConverge(s.want(configMap("a", "2"), configMap("b", "3")))
			if got := value(s.live("ConfigMap", "b"), "key"); got != "3" {
				t.Errorf("b is %q once the mark has left Git", got)
			}
		})
	}
}

func TestMarkOnTheLiveObjectStopsRepairs(t *testing.T) {
	s := newSite(t)
	want := s.want(configMap("a", "1"))
	s.mustConverge(want)
	s.edit("kubectl", "ConfigMap", "a", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}},"data":{"key":"by hand"}}`)
	r := s.mustConverge(want)
	wantActions(t, r.plan.Skipped, "skipped ConfigMap/a")
	if got := value(s.live("ConfigMap", "a"), "key"); got != "by hand" {
		t.Errorf("a was repaired to %q", got)
	}
}

// sealed is an object whose data cannot be changed.
func sealed(value, extra string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sealed, namespace: NS" + extra + "}\nimmutable: true\ndata: {key: \"" + value + "\"}\n"
}

func TestImmutableFieldNeedsForce(t *testing.T) {
	tests := map[string]struct {
		bundle bool
		mark   string
		ok     bool
	}{
		"without":            {},
		"bundle":             {bundle: true, ok: true},
		"annotation":         {mark: ", annotations: {kustomize.toolkit.fluxcd.io/force: enabled}", ok: true},
		"kapp":               {mark: ", annotations: {kapp.k14s.io/update-strategy: fallback-on-replace}", ok: true},
		"bundle and keep":    {bundle: true, mark: ", annotations: {helm.sh/resource-policy: keep}"},
		"both, kept by Flux": {mark: ", annotations: {kustomize.toolkit.fluxcd.io/force: enabled, kustomize.toolkit.fluxcd.io/prune: disabled}"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(sealed("1", test.mark), configMap("a", "1")))
			before := s.live("ConfigMap", "sealed").GetUID()
			want := s.want(sealed("2", test.mark), configMap("a", "1"))
			want.Bundles[0].Force = test.bundle
			r, err := s.converge(want)
			if !test.ok {
				wantReason(t, err, gitops.Rejected, "ConfigMap/", "immutable")
				if s.live("ConfigMap", "sealed").GetUID() != before {
					t.Error("the object was recreated without leave")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantActions(t, r.changes, "created ConfigMap/sealed")
		})
	}
}

func TestForceOfABundleDoesNotReachVolumeClaims(t *testing.T) {
	s := newSite(t)
	claim := func(mode string) string {
		return "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: NS, annotations: {argocd.argoproj.io/ignore-healthcheck: \"true\"}}\nspec: {accessModes: [" + mode + "], resources: {requests: {storage: 1Gi}}}\n"
	}
	s.mustConverge(s.want(claim("ReadWriteOnce"), configMap("a", "1")))
	want := s.want(claim("ReadWriteMany"), configMap("a", "1"))
	want.Bundles[0].Force = true
	_, err := s.converge(want)
	wantReason(t, err, gitops.Rejected, "PersistentVolumeClaim/")
}

func TestUnknownKindIsTold(t *testing.T) {
	s := newSite(t)
	_, err := s.planFor(s.want("apiVersion: nowhere.example.com/v1\nkind: Thing\nmetadata: {name: x, namespace: NS}\n"))
	wantReason(t, err, gitops.UnknownKind, "Thing.nowhere.example.com", "CustomResourceDefinition")
	_, err = s.planFor(s.want("apiVersion: apps/v9\nkind: Deployment\nmetadata: {name: x, namespace: NS}\n"))
	wantReason(t, err, gitops.UnknownKind, "apps/v9")
}

func TestManifestWithOurLabelIsRefused(t *testing.T) {
	s := newSite(t)
	_, err := s.converge(s.want("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: NS, labels: {applyset.kubernetes.io/part-of: applyset-forged-v1}}\n"))
	wantReason(t, err, gitops.InvalidManifest, "applyset.kubernetes.io/part-of")
}

func TestObjectInANamespaceThatIsNotThereIsRejected(t *testing.T) {
	s := newSite(t)
	_, err := s.converge(manifests(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: no-such-namespace}\n"))
	wantReason(t, err, gitops.Rejected, "no-such-namespace")
}

func TestNamespacedObjectWithoutNamespaceLivesInDefault(t *testing.T) {
	s := newSite(t)
	want := manifests(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+s.source+"}\n")
	s.mustConverge(want)
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("the second plan is not empty: %+v", plan.Apply)
	}
	if changes, err := s.c.Delete(t.Context(), s.source, s.owned); err != nil || changes[0].Action != gitops.Deleted {
		t.Errorf("delete: %q, %v", actions(changes), err)
	}
}
