// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

func TestDiagnosis(t *testing.T) {
	waiting := func(reason, message string, restarts int32) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", RestartCount: restarts,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 7}},
		}}}
	}
	unscheduled := func(message string) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message}}}
	}
	initFails := waiting("CrashLoopBackOff", "", 5)
	initFails.InitContainerStatuses, initFails.ContainerStatuses = initFails.ContainerStatuses, waiting("PodInitializing", "", 0).ContainerStatuses
	tests := map[string]struct {
		status corev1.PodStatus
		reason gitops.Reason
		failed bool
		words  string
	}{
		"first crash":       {waiting("CrashLoopBackOff", "back-off 10s", 1), gitops.CrashLoop, false, "exit code 7"},
		"second crash":      {waiting("CrashLoopBackOff", "back-off 20s", 2), gitops.CrashLoop, true, "back-off 20s"},
		"init container":    {initFails, gitops.CrashLoop, true, "CrashLoopBackOff"},
		"invalid name":      {waiting("InvalidImageName", "x", 0), gitops.ImageName, true, "InvalidImageName"},
		"never pulled":      {waiting("ErrImageNeverPull", "x", 0), gitops.ImageName, true, "ErrImageNeverPull"},
		"pull, link down":   {waiting("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout", 0), gitops.ImagePull, false, "i/o timeout"},
		"pull, not there":   {waiting("ImagePullBackOff", "x: not found", 0), gitops.ImageName, true, "not found"},
		"starting":          {waiting("ContainerCreating", "", 0), "", false, ""},
		"missing config":    {waiting("CreateContainerConfigError", `secret "s" not found`, 0), "", false, `secret "s" not found`},
		"evicted":           {corev1.PodStatus{Reason: "Evicted", Message: "low on disk"}, gitops.NodePressure, false, "low on disk"},
		"no room":           {unscheduled("0/1 nodes are available: 1 Insufficient memory."), gitops.Unschedulable, false, "Insufficient memory"},
		"disk pressure":     {unscheduled("1 node(s) had untolerated taint(s) {node.kubernetes.io/disk-pressure: }"), gitops.NodePressure, false, "disk-pressure"},
		"nothing to report": {corev1.PodStatus{Phase: corev1.PodRunning}, "", false, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := gitops.ObjectHealth{Status: gitops.InProgress}
			reconcile.Diagnose(corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: test.status}, &h)
			if h.Reason != test.reason || (h.Status == gitops.Failed) != test.failed || !strings.Contains(h.Message, test.words) {
				t.Errorf("health is %+v, want reason %q, failed %v, words %q", h, test.reason, test.failed, test.words)
			}
		})
	}
}

func TestOnlyRestartsInTheWaitMakeACrashLoop(t *testing.T) {
	look := func(uid, container string, restarts int32) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: types.UID(uid)}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: container, RestartCount: restarts,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		}}}}
	}
	running := look("old", "main", 6)
	running.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	tests := map[string]struct {
		looks  []corev1.Pod
		failed bool // at the last of them
	}{
		"old pod, seen crashing":        {[]corev1.Pod{look("old", "main", 7)}, false},
		"old pod, one more crash":       {[]corev1.Pod{look("old", "main", 7), look("old", "main", 8)}, false},
		"old pod, two more":             {[]corev1.Pod{look("old", "main", 7), look("old", "main", 8), look("old", "main", 9)}, true},
		"old pod, ran at first":         {[]corev1.Pod{running, look("old", "main", 7)}, false},
		"new pod":                       {[]corev1.Pod{look("new", "main", 0), look("new", "main", 2)}, true},
		"another pod of the same name":  {[]corev1.Pod{look("old", "main", 0), look("new", "main", 2)}, false},
		"another container of the same": {[]corev1.Pod{look("old", "main", 0), look("old", "side", 2)}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			health := reconcile.DiagnoseAll(test.looks)
			last := health[len(health)-1]
			if last.Reason != gitops.CrashLoop || (last.Status == gitops.Failed) != test.failed {
				t.Errorf("health is %+v, want failed %v", last, test.failed)
			}
		})
	}
}

func TestPodThatCrashedBeforeTheWaitGetsAnotherChance(t *testing.T) {
	s := newSite(t)
	want := s.want(deployment("web", "broken"))
	plan := s.mustPlan(want)
	changes, err := s.c.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod crashes", func() bool {
		h, err := s.c.Health(t.Context(), want, plan.Inventory)
		return err == nil && h.Objects[0].Status == gitops.Failed
	})
	looks := 0
	_, err = s.c.Wait(t.Context(), gitops.HealthRequest{
		Source: s.source, Plan: plan, Changes: changes, Timeout: s.timeout,
		Progress: func(h gitops.Health) {
			if looks++; looks == 1 && h.Objects[0].Status == gitops.Failed {
				t.Errorf("the first look says %+v", h.Objects[0])
			}
		},
	})
	wantReason(t, err, gitops.CrashLoop, "web")
}

func TestUnhealthyErrorNamesTheCulprit(t *testing.T) {
	object := func(name string, status gitops.HealthStatus, reason gitops.Reason) gitops.ObjectHealth {
		return gitops.ObjectHealth{Ref: gitops.ObjectRef{Version: "v1", Kind: "Pod", Name: name}, Status: status, Reason: reason, Decides: true}
	}
	tests := map[string]struct {
		blocking []gitops.ObjectHealth
		after    time.Duration
		reason   gitops.Reason
		first    string
	}{
		"the revision before the host": {[]gitops.ObjectHealth{object("a", gitops.InProgress, gitops.ImagePull), object("b", gitops.Failed, gitops.CrashLoop)}, 0, gitops.CrashLoop, "b"},
		"unknown before the host":      {[]gitops.ObjectHealth{object("a", gitops.InProgress, gitops.ImagePull), object("b", gitops.InProgress, "")}, time.Minute, gitops.HealthTimeout, "b"},
		"only the host":                {[]gitops.ObjectHealth{object("a", gitops.InProgress, gitops.ImagePull)}, time.Minute, gitops.ImagePull, "a"},
		"failed for no known reason":   {[]gitops.ObjectHealth{object("a", gitops.Failed, "")}, 0, gitops.HealthFailed, "a"},
		"gave up while the link was":   {[]gitops.ObjectHealth{object("a", gitops.Failed, gitops.ImagePull)}, 0, gitops.ImagePull, "a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := reconcile.Unhealthy(test.blocking, test.after)
			wantReason(t, err, test.reason)
			if e, _ := errors.AsType[*gitops.Error](err); e.Object == nil || e.Object.Name != test.first {
				t.Errorf("object is %v, want %s", e.Object, test.first)
			}
		})
	}
	var many []gitops.ObjectHealth
	for i := range 8 {
		many = append(many, object(fmt.Sprint("p", i), gitops.InProgress, ""))
	}
	wantReason(t, reconcile.Unhealthy(many, time.Minute), gitops.HealthTimeout, "p4", "and 3 more", "1m0s")
}

func TestSummaryPutsTheWorstFirst(t *testing.T) {
	if reconcile.Summary(nil) != nil {
		t.Error("no errors make an error")
	}
	errs := []error{errors.New("plain"), &gitops.Error{Reason: gitops.Forbidden, Message: "no right"}}
	for i := range 6 {
		errs = append(errs, &gitops.Error{Reason: gitops.Rejected, Message: fmt.Sprint("refused ", i)})
	}
	wantReason(t, reconcile.Summary(errs), gitops.Rejected, "refused 0; refused 1; refused 2; refused 3; refused 4; and 3 more")
	wantReason(t, reconcile.Summary(errs[:2]), gitops.Forbidden, "no right", "plain")
	wantReason(t, reconcile.Summary(errs[:1]), gitops.ApplyFailed, "plain")
}

func TestWebhookThatIsDownIsNobodysRevision(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1")))
	hook := `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS-hook}
webhooks:
- name: hook.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 1
  clientConfig: {url: "https://127.0.0.1:1/"}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: ["*"]}]
`
	u := s.object(hook)
	hooks := person(t).Resource(plural["ValidatingWebhookConfiguration"])
	if _, err := hooks.Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := hooks.Delete(t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "the webhook is in force", func() bool {
		_, err := s.converge(s.want(configMap("a", fmt.Sprint(time.Now().UnixNano()))))
		return gitops.ReasonOf(err) == gitops.ServerError && strings.Contains(err.Error(), "hook.example.com")
	})
}

func TestCreateOnlyObjectOfAnotherToolIsLeftAlone(t *testing.T) {
	s := newSite(t)
	s.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: NS, labels: {kustomize.toolkit.fluxcd.io/name: apps}}\n")
	s.mustConverge(s.want(configMap("a", "1"), annotated("b", "1", `kustomize.toolkit.fluxcd.io/ssa: IfNotPresent`)))
	if value(s.live("ConfigMap", "b"), "key") != "" {
		t.Error("b was overwritten")
	}
}
