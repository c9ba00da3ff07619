// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func configMaps(n int) []string {
	var out []string
	for i := range n {
		out = append(out, configMap(fmt.Sprintf("cm-%03d", i), "1"))
	}
	return out
}

func TestPruneGuards(t *testing.T) {
	tests := map[string]struct {
		before, after  int
		allow          int
		pruned, waits_ int
	}{
		"few deletions":                   {before: 20, after: 16, pruned: 4},
		"under the minimum, all the same": {before: 5, after: 1, pruned: 4},
		"over a quarter":                  {before: 18, after: 13, waits_: 5},
		"at a quarter":                    {before: 20, after: 15, pruned: 5},
		"more than twenty":                {before: 90, after: 69, waits_: 21},
		"confirmed":                       {before: 90, after: 69, allow: 21, pruned: 21},
		"confirmed fewer":                 {before: 90, after: 69, allow: 20, waits_: 21},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(configMaps(test.before)...))
			s.req.AllowPrune = test.allow
			since := time.Now()
			r := s.mustConverge(s.want(configMaps(test.after)...))
			if len(r.pruned) != test.pruned || len(r.plan.Pending) != test.waits_ {
				t.Errorf("pruned %d, pending %d; want %d and %d", len(r.pruned), len(r.plan.Pending), test.pruned, test.waits_)
			}
			deleted := slices.DeleteFunc(s.writes(since), func(w string) bool { return !strings.HasPrefix(w, "delete") })
			if len(deleted) != test.pruned || len(s.owned) != test.before-test.pruned {
				t.Errorf("%d DELETE requests, %d still owned", len(deleted), len(s.owned))
			}
			for _, c := range r.plan.Pending {
				if c.Reason != gitops.PrunePending {
					t.Errorf("pending %s for %q", c.Ref, c.Reason)
				}
			}
		})
	}
}

func TestPreciousObjectsWaitForConfirmation(t *testing.T) {
	s := newSite(t)
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: NS, annotations: {argocd.argoproj.io/ignore-healthcheck: \"true\"}}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	inner := "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-inner}\n"
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), claim, inner))
	r := s.mustConverge(s.want(configMap("a", "1")))
	wantActions(t, r.pruned, "deleted ConfigMap/b")
	wantActions(t, r.plan.Pending, "skipped Namespace/"+s.ns+"-inner", "skipped PersistentVolumeClaim/data")
	if s.live("PersistentVolumeClaim", "data") == nil || len(s.owned) != 3 {
		t.Error("the claim must stay, and stay owned")
	}
	s.req.AllowPrune = 2
	r = s.mustConverge(s.want(configMap("a", "1")))
	wantActions(t, r.pruned, "deleted Namespace/"+s.ns+"-inner", "deleted PersistentVolumeClaim/data")
}

func TestWantingNothingIsRefused(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	_, err := s.planFor(s.want())
	wantReason(t, err, gitops.EmptyRender, "remove")
}

func TestPruneLeavesWhatIsNotOurs(t *testing.T) {
	tests := map[string]struct {
		meddle func(s *site, plan *gitops.Plan)
		gone   bool
	}{
		"label taken away after planning": {meddle: func(s *site, _ *gitops.Plan) {
			s.edit("x", "ConfigMap", "b", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
		}},
		"label of another source after planning": {meddle: func(s *site, _ *gitops.Plan) {
			s.edit("x", "ConfigMap", "b", `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"applyset-x-v1"}}}`)
		}},
		"recreated without the label": {meddle: func(s *site, _ *gitops.Plan) {
			s.delete("ConfigMap", "b")
			s.create(configMap("b", "mine"))
		}},
		"already gone": {meddle: func(s *site, _ *gitops.Plan) { s.delete("ConfigMap", "b") }, gone: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1")))
			plan := s.mustPlan(s.want(configMap("a", "1")))
			test.meddle(s, &plan)
			since := time.Now()
			changes, err := s.c.Prune(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			if (s.live("ConfigMap", "b") == nil) != test.gone || len(s.writes(since)) > 0 {
				t.Errorf("b gone: want %v; writes %q", test.gone, s.writes(since))
			}
			s.forget(changes)
			if len(s.owned) != 1 {
				t.Errorf("b is still in the inventory after %q", actions(changes))
			}
		})
	}
}

func TestLabelAloneIsNoReasonToDelete(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	label := s.live("ConfigMap", "a").GetLabels()["applyset.kubernetes.io/part-of"]
	s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: forged, namespace: NS, labels: {applyset.kubernetes.io/part-of: " + label + "}}\n")
	r := s.mustConverge(s.want(configMap("a", "2")))
	if len(r.plan.Prune) > 0 || s.live("ConfigMap", "forged") == nil {
		t.Errorf("an object with a forged label is pruned: %q", actions(r.plan.Prune))
	}
}

func TestMarksKeepObjectsFromBeingDeleted(t *testing.T) {
	marks := map[string]string{
		"Flux":          `kustomize.toolkit.fluxcd.io/prune: disabled`,
		"Argo CD":       `argocd.argoproj.io/sync-options: "Prune=false,Validate=false"`,
		"Argo delete":   `argocd.argoproj.io/sync-options: Delete=false`,
		"Config Sync":   `client.lifecycle.config.k8s.io/deletion: detach`,
		"kapp":          `kapp.k14s.io/delete-strategy: orphan`,
		"Helm":          `helm.sh/resource-policy: keep`,
		"conservative":  `kustomize.toolkit.fluxcd.io/prune: disabled, kapp.k14s.io/update-strategy: fallback-on-replace`,
		"by hand later": ``,
	}
	for name, mark := range marks {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(configMap("a", "1"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS, annotations: {"+mark+"}}\n"))
			if mark == "" {
				s.edit("kubectl-annotate", "ConfigMap", "b", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}}}`)
			}
			s.mustConverge(s.want(configMap("a", "1")))
			b := s.live("ConfigMap", "b")
			if b == nil {
				t.Fatal("b was deleted")
			}
			if b.GetLabels()["applyset.kubernetes.io/part-of"] != "" || b.GetAnnotations()["edgeagent.dev/digest"] != "" || len(s.owned) != 1 {
				t.Errorf("b was not released: %v", b.Object["metadata"])
			}
		})
	}
}

func TestPruneDisabledKeepsObjectsOwned(t *testing.T) {
	for _, where := range []string{"source", "bundle"} {
		t.Run(where, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1")))
			want := s.want(configMap("a", "1"))
			s.req.Prune = where != "source"
			want.Bundles[0].Prune = where != "bundle"
			r := s.mustConverge(want)
			wantActions(t, r.plan.Skipped, "skipped ConfigMap/b")
			if s.live("ConfigMap", "b") == nil || len(s.owned) != 2 {
				t.Error("b must stay, and stay owned")
			}
			s.req.Prune = true
			s.mustConverge(s.want(configMap("a", "1")))
			if s.live("ConfigMap", "b") != nil {
				t.Error("b must go once pruning is on again")
			}
		})
	}
}

func TestConfirmMarkWaitsForApproval(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS, annotations: {argocd.argoproj.io/sync-options: Prune=confirm}}\n"))
	r := s.mustConverge(s.want(configMap("a", "1")))
	wantActions(t, r.plan.Pending, "skipped ConfigMap/b")
	s.edit("kubectl-annotate", "ConfigMap", "b", `{"metadata":{"annotations":{"argocd.argoproj.io/deletion-approved":"2026-11-23T00:00:00Z"}}}`)
	s.mustConverge(s.want(configMap("a", "1")))
	if s.live("ConfigMap", "b") != nil {
		t.Error("b must go once its deletion is approved")
	}
}

func TestSameObjectByAnotherNameIsNotDeleted(t *testing.T) {
	s := newSite(t)
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: NS-role%s}\nrules: []\n"
	s.mustConverge(s.want(fmt.Sprintf(role, ""), configMap("a", "1")))
	// Cluster-scoped, so the namespace says nothing; as a key it is another one.
	s.mustConverge(s.want(fmt.Sprintf(role, ", namespace: elsewhere"), configMap("a", "1")))
	if s.live("ClusterRole", s.ns+"-role") == nil {
		t.Error("the role was deleted as its own predecessor")
	}
	if len(s.owned) != 2 {
		t.Errorf("inventory is %+v", s.owned)
	}
}

func TestOrphanLeavesObjectsWithoutMarks(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), deployment("web", "web:1")))
	if err := s.c.Orphan(t.Context(), s.source, s.owned); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ConfigMap a", "Deployment web"} {
		k, name, _ := strings.Cut(kind, " ")
		u := s.live(k, name)
		if u == nil || u.GetLabels()["applyset.kubernetes.io/part-of"] != "" || u.GetAnnotations()["edgeagent.dev/digest"] != "" {
			t.Errorf("%s is gone or still marked", kind)
		}
	}
	if s.parent() != nil {
		t.Error("the parent is still there")
	}
}

func TestDeleteRemovesObjectsAndKeepsWhatSaysSo(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: NS, annotations: {helm.sh/resource-policy: keep}}\n"))
	s.create(configMap("bystander", "1"))
	changes, err := s.c.Delete(t.Context(), s.source, s.owned)
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, changes, "deleted ConfigMap/a", "configured ConfigMap/kept")
	if s.live("ConfigMap", "a") != nil || s.live("ConfigMap", "kept") == nil || s.live("ConfigMap", "bystander") == nil || s.parent() != nil {
		t.Error("want a and the parent gone, kept and bystander there")
	}
}
