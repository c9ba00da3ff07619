// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func conditionTrue(u *unstructured.Unstructured, kind string) bool { return condition(u, kind) != nil }

func condition(u *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m := c.(map[string]any); m["type"] == kind && m["status"] == "True" {
			return m
		}
	}
	return nil
}

func completedAt(t *testing.T, u *unstructured.Unstructured) time.Time {
	t.Helper()
	text, _, _ := unstructured.NestedString(u.Object, "status", "completionTime")
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatalf("%s has not completed: %v", u.GetName(), u.Object["status"])
	}
	return at
}

func TestFailuresAreTold(t *testing.T) {
	tests := map[string]struct {
		object string
		reason gitops.Reason
		words  []string
	}{
		"crash loop":          {deployment("web", "broken"), gitops.CrashLoop, []string{"web", "CrashLoopBackOff"}},
		"image that is not":   {deployment("web", "missing"), gitops.ImageName, []string{"web", "missing", "not found"}},
		"pod that crashes":    {"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: NS}\nspec: {containers: [{name: main, image: broken}]}\n", gitops.CrashLoop, []string{"Pod/"}},
		"not ready in time":   {deployment("web", "slow-100"), gitops.HealthTimeout, []string{"Deployment.apps/", "not healthy after 2s"}},
		"claim without class": {"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c, namespace: NS}\nspec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n", gitops.HealthTimeout, []string{"PersistentVolumeClaim/"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if test.reason == gitops.HealthTimeout {
				s.timeout = 2 * time.Second
			}
			_, err := s.converge(s.want(test.object))
			wantReason(t, err, test.reason, test.words...)
		})
	}
}

func TestUnhealthyBeforeDoesNotBlock(t *testing.T) {
	s := newSite(t)
	camera := deployment("camera", "broken")
	want := s.want(camera, configMap("a", "1"))
	if _, err := s.converge(want); gitops.ReasonOf(err) != gitops.CrashLoop {
		t.Fatalf("want a crash loop, have %v", err)
	}
	s.timeout = 5 * time.Second
	r := s.mustConverge(s.want(camera, configMap("a", "2"), deployment("web", "web:1")))
	if len(r.plan.UnhealthyBefore) != 1 || r.plan.UnhealthyBefore[0].Name != "camera" {
		t.Errorf("unhealthy before are %v", r.plan.UnhealthyBefore)
	}
	for _, o := range r.health.Objects {
		if o.Ref.Name == "camera" && (o.Decides || o.Status == gitops.Current) {
			t.Errorf("the camera is %+v", o)
		}
	}
	// Once it is written it decides.
	_, err := s.converge(s.want(deployment("camera", "broken:2"), configMap("a", "2"), deployment("web", "web:1")))
	wantReason(t, err, gitops.CrashLoop, "camera")
}

func TestEmptyPlanKnowsWhatWasUnhealthyBefore(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("camera", "broken"), configMap("a", "1"))
	if _, err := s.converge(want); gitops.ReasonOf(err) != gitops.CrashLoop {
		t.Fatalf("want a crash loop, have %v", err)
	}
	// Only a bundle's rules changed: there is nothing to write, and an attempt
	// begins all the same.
	want.Bundles[0].Prune = false
	plan := s.mustPlan(want)
	if !plan.Empty() || len(plan.UnhealthyBefore) != 1 || plan.UnhealthyBefore[0].Name != "camera" {
		t.Fatalf("plan applies %q, unhealthy before are %v", actions(plan.Apply), plan.UnhealthyBefore)
	}
	if _, err := s.c.Wait(t.Context(), gitops.HealthRequest{Source: s.source, Plan: plan, Timeout: 5 * time.Second}); err != nil {
		t.Errorf("an attempt that wrote nothing fails for it: %v", err)
	}
	s.req.Look = true
	if plan := s.mustPlan(want); len(plan.UnhealthyBefore) != 0 {
		t.Errorf("a mere look asked about health: %v", plan.UnhealthyBefore)
	}
}

func TestWithoutAHealthyRevisionEverythingDecides(t *testing.T) {
	s := newSite(t)
	s.req.Healthy = ""
	want := s.want(deployment("camera", "broken"), configMap("a", "1"))
	if _, err := s.converge(want); gitops.ReasonOf(err) != gitops.CrashLoop {
		t.Fatalf("want a crash loop, have %v", err)
	}
	_, err := s.converge(s.want(deployment("camera", "broken"), configMap("a", "2")))
	wantReason(t, err, gitops.CrashLoop, "camera")
}

func TestWhatAnAttemptWroteBeforeARestartDecides(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("web", "broken"), configMap("a", "1"))
	plan := s.mustPlan(want)
	changes, err := s.c.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.owned = plan.Inventory
	s.record(changes)
	eventually(t, "the pod crashes", func() bool {
		h, err := s.c.Health(t.Context(), want, s.owned)
		return err == nil && len(h.Blocking()) == 1 && h.Blocking()[0].Status == gitops.Failed
	})
	// A restart plans again: there is nothing to write, and web is unhealthy.
	again := s.mustPlan(want)
	again.UnhealthyBefore = []gitops.ObjectRef{want.Objects[0].Ref}
	_, err = s.c.Wait(t.Context(), gitops.HealthRequest{Source: s.source, Plan: again, Changes: changes, Timeout: s.timeout})
	wantReason(t, err, gitops.CrashLoop, "web")
}

func TestWantedBundleNeverDecides(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("web", "broken"), configMap("a", "1"))
	want.Bundles[0].Gate = gitops.GateWanted
	r := s.mustConverge(want)
	if len(r.health.Blocking()) > 0 {
		t.Errorf("blocking are %+v", r.health.Blocking())
	}
}

func TestHealthMustHoldForTheStableTime(t *testing.T) {
	s := newSite(t)
	s.stable = 4 * time.Second
	_, err := s.converge(s.want(deployment("web", "flaky-2")))
	wantReason(t, err, gitops.CrashLoop, "web")
}

func TestCancelledWaitSaysSo(t *testing.T) {
	s := newSite(t)
	s.stable = time.Hour
	plan := s.mustPlan(s.want(deployment("web", "web:1")))
	changes, err := s.c.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextWithCancel(t)
	_, err = s.c.Wait(ctx, gitops.HealthRequest{
		Source: s.source, Plan: plan, Changes: changes, Timeout: time.Hour, Stable: time.Hour,
		Progress: func(h gitops.Health) {
			if len(h.Blocking()) == 0 {
				cancel()
			}
		},
	})
	if err == nil || gitops.ReasonOf(err) != "" || ctx.Err() == nil {
		t.Errorf("a cancelled wait returns %v", err)
	}
}

func TestKindsThatNeedNoWait(t *testing.T) {
	s := newSite(t)
	s.stable = time.Hour // none of these can change, so it is not waited for
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: NS-class}\nprovisioner: example.com/none\nvolumeBindingMode: WaitForFirstConsumer\n"
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c, namespace: NS}\nspec: {suspend: true, schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: x}]}}}}}\n"
	space := "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-more}\n"
	s.mustConverge(s.want(configMap("a", "1"), class, cron, space))
}

func TestClaimThatWaitsForItsFirstConsumerIsFine(t *testing.T) {
	s := newSite(t)
	class := "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: NS-class}\nprovisioner: example.com/none\nvolumeBindingMode: WaitForFirstConsumer\n"
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: NS}\nspec: {storageClassName: NS-class, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	s.mustConverge(s.want(class, claim))
	// With a consumer it has to be bound.
	s.create("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: NS}\nspec: {containers: [{name: m, image: x}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}\n")
	h, err := s.c.Health(t.Context(), s.want(claim), s.owned)
	if err != nil || h.Objects[0].Status != gitops.InProgress {
		t.Errorf("with a consumer the claim is %+v, %v", h.Objects, err)
	}
}

func TestHelmChartOfK3sIsItsJob(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: helmcharts.helm.cattle.io}
spec:
  group: helm.cattle.io
  scope: Namespaced
  names: {plural: helmcharts, singular: helmchart, kind: HelmChart}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`))
	chart := s.want("apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {name: c, namespace: NS}\nspec: {chart: x}\n")
	u := s.create(string(chart.Objects[0].YAML))
	look := func() gitops.HealthStatus {
		h, err := s.c.Health(t.Context(), chart, nil)
		if err != nil {
			t.Fatal(err)
		}
		return h.Objects[0].Status
	}
	if got := look(); got != gitops.InProgress {
		t.Errorf("before its Job is made the chart is %s", got)
	}
	s.create(job("helm-install-c", "slow-2"))
	if err := unstructured.SetNestedField(u.Object, "helm-install-c", "status", "jobName"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.on("HelmChart").UpdateStatus(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != gitops.InProgress {
		t.Errorf("while its Job runs the chart is %s", got)
	}
	eventually(t, "the chart is Current", func() bool { return look() == gitops.Current })
}

func TestIgnoredHealthDoesNotCount(t *testing.T) {
	s := newSite(t)
	doc := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: NS, annotations: {argocd.argoproj.io/ignore-healthcheck: \"true\"}}\nspec: {containers: [{name: main, image: broken}]}\n"
	if r := s.mustConverge(s.want(doc)); len(r.health.Objects) != 0 {
		t.Errorf("health is %+v", r.health.Objects)
	}
}

func TestManyObjectsOfAKindAreOneRequest(t *testing.T) {
	s := newSite(t)
	var docs []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		docs = append(docs, deployment(name, "web:1"))
	}
	want := s.want(docs...)
	s.mustConverge(want)
	h, err := s.c.Health(t.Context(), want, s.owned)
	if err != nil || len(h.Objects) != 6 || len(h.Blocking()) != 0 {
		t.Fatalf("health is %+v, %v", h.Objects, err)
	}
	if counts := h.Counts("main"); counts.Total != 6 || counts.Current != 6 {
		t.Errorf("counts are %+v", counts)
	}
	s.delete("Deployment", "f")
	eventually(t, "a missing object is NotFound", func() bool {
		h, err := s.c.Health(t.Context(), want, s.owned)
		return err == nil && h.Objects[5].Status == gitops.NotFound
	})
}

func TestPodsOfAnOlderRevisionAreNotToBlame(t *testing.T) {
	s := newSite(t)
	if _, err := s.converge(s.want(deployment("web", "broken"))); gitops.ReasonOf(err) != gitops.CrashLoop {
		t.Fatalf("want a crash loop, have %v", err)
	}
	// The fix takes a while to get ready, and until then the crashing pod of
	// the version before it stays.
	s.mustConverge(s.want(deployment("web", "slow-4")))
}
