// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestNodeIsReadyAndHasALease(t *testing.T) {
	kube := client(t, shared)
	eventually(t, func() string {
		node, err := kube.CoreV1().Nodes().Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if len(node.Spec.Taints) > 0 {
			return fmt.Sprintf("the node has taints %v", node.Spec.Taints)
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
				return fmt.Sprintf("the node is %+v", condition)
			}
		}
		_, err = kube.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			return "lease of the node: " + err.Error()
		}
		return ""
	})
}

func TestDaemonSetAndStatefulSetBecomeReady(t *testing.T) {
	kube := client(t, shared)
	labels := map[string]string{"app": "sets"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	template := newDeployment("sets", "web").Spec.Template
	daemons, sets := kube.AppsV1().DaemonSets("default"), kube.AppsV1().StatefulSets("default")
	_, err := daemons.Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "sets"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	replicas := int32(2)
	_, err = sets.Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "sets"},
		Spec:       appsv1.StatefulSetSpec{Selector: selector, Template: template, Replicas: &replicas},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		daemon, err := daemons.Get(t.Context(), "sets", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		set, err := sets.Get(t.Context(), "sets", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if daemon.Status.NumberAvailable != 1 || set.Status.AvailableReplicas != 2 {
			return fmt.Sprintf("DaemonSet %+v, StatefulSet %+v: want 1 and 2 available", daemon.Status, set.Status)
		}
		return ""
	})
}

// What a pod looks like is judged by one line: phase, readiness, and how each
// container is.
func TestPodsBehaveAsTheirImagesSay(t *testing.T) {
	tests := []struct {
		podSpec
		want string
	}{
		{podSpec{name: "healthy", image: "example.com/team/web:1.2"}, ready},
		{podSpec{name: "digest", image: "web@sha256:0000000000000000000000000000000000000000000000000000000000000000"}, ready},
		{podSpec{name: "broken", image: "example.com/team/broken-web:1.2"}, crashing},
		{podSpec{name: "broken-registry", image: "broken.example.com/team/web:1.2"}, ready},
		{podSpec{name: "missing", image: "missing"}, "Pending ready=False ImagePullBackOff"},
		{podSpec{name: "slow-before", image: "slow-3600:v1"}, "Running ready=False running"},
		{podSpec{name: "slow-after", image: "slow-2:v1"}, ready},
		{podSpec{name: "flaky-before", image: "flaky-3600"}, ready},
		{podSpec{name: "flaky-after", image: "flaky-1"}, crashing},
		{podSpec{name: "annotated", image: "web", annotation: "broken"}, crashing},
		{podSpec{name: "init", image: "web", init: "migrate"}, ready},
		{podSpec{name: "init-broken", image: "web", init: "broken"}, "Pending ready=False PodInitializing"},
	}
	kube := client(t, shared)
	for _, test := range tests {
		createPod(t, kube, test.podSpec)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			waitForPod(t, kube, test.name, test.want)
		})
	}
}

func TestSlowPodIsReadyNoSoonerThanItsImageSays(t *testing.T) {
	kube := client(t, shared)
	createPod(t, kube, podSpec{name: "slow", image: "slow-3"})
	pod := waitForPod(t, kube, "slow", ready)
	for _, condition := range pod.Status.Conditions {
		// The API keeps whole seconds, so three seconds may look like two.
		if wait := condition.LastTransitionTime.Sub(pod.Status.StartTime.Time); condition.Type == corev1.PodReady && wait < 2*time.Second {
			t.Errorf("Ready %s after its start, want 3 s", wait)
		}
	}
}

func TestCrashLoopCountsRestarts(t *testing.T) {
	kube := client(t, shared)
	createPod(t, kube, podSpec{name: "restarts", image: "broken"})
	eventually(t, func() string {
		pod, err := kube.CoreV1().Pods("default").Get(t.Context(), "restarts", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, container := range pod.Status.ContainerStatuses {
			if container.RestartCount >= 2 && container.LastTerminationState.Terminated.ExitCode == 1 {
				return ""
			}
		}
		return "the container was not restarted twice: " + podLine(pod)
	})
}

func TestDeletedPodGoesAtOnce(t *testing.T) {
	kube := client(t, shared)
	createPod(t, kube, podSpec{name: "doomed", image: "web"})
	waitForPod(t, kube, "doomed", ready)
	before := time.Now()
	if err := kube.CoreV1().Pods("default").Delete(t.Context(), "doomed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		pod, err := kube.CoreV1().Pods("default").Get(t.Context(), "doomed", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("%s after its deletion: still there, grace period %v, %v", time.Since(before), pod.DeletionGracePeriodSeconds, err)
	})
}

func TestPodsHaveDifferentAddresses(t *testing.T) {
	kube := client(t, shared)
	seen := map[string]string{}
	for _, name := range []string{"address-1", "address-2", "address-3"} {
		createPod(t, kube, podSpec{name: name, image: "web"})
		pod := waitForPod(t, kube, name, ready)
		if other := seen[pod.Status.PodIP]; other != "" || pod.Status.PodIP == "" {
			t.Errorf("%s has address %q, as %q", name, pod.Status.PodIP, other)
		}
		seen[pod.Status.PodIP] = name
	}
}

func TestDeploymentBecomesAvailableUnlessItsImageIsBroken(t *testing.T) {
	kube := client(t, shared)
	deployments := kube.AppsV1().Deployments("default")
	for name, image := range map[string]string{"good": "web:1", "bad": "broken:1"} {
		if _, err := deployments.Create(t.Context(), newDeployment(name, image), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		return available(t, kube, "good", 2)
	})
	eventually(t, func() string {
		deployment, err := deployments.Get(t.Context(), "bad", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if deployment.Status.UnavailableReplicas == 2 && deployment.Status.AvailableReplicas == 0 {
			return ""
		}
		return fmt.Sprintf("bad: %+v, want 2 unavailable", deployment.Status)
	})
	// An update from the broken image to a good one rolls out.
	fixed := newDeployment("bad", "web:2")
	if _, err := deployments.Update(t.Context(), fixed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		return available(t, kube, "bad", 2)
	})
}

func TestJobCompletesOrFails(t *testing.T) {
	kube := client(t, shared)
	jobs := kube.BatchV1().Jobs("default")
	for name, image := range map[string]string{"done": "migrate", "undone": "broken"} {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{
			BackoffLimit: new(int32),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: image}},
			}},
		}}
		if _, err := jobs.Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]batchv1.JobConditionType{"done": batchv1.JobComplete, "undone": batchv1.JobFailed} {
		eventually(t, func() string {
			job, err := jobs.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, condition := range job.Status.Conditions {
				if condition.Type == want && condition.Status == corev1.ConditionTrue {
					return ""
				}
			}
			return fmt.Sprintf("job %s: %+v, want %s", name, job.Status, want)
		})
	}
}

func TestRunningJobCanBeDeleted(t *testing.T) {
	kube := client(t, shared)
	jobs := kube.BatchV1().Jobs("default")
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "long"}, Spec: batchv1.JobSpec{
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: "slow-3600"}},
		}},
	}}
	if _, err := jobs.Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	selector := metav1.ListOptions{LabelSelector: "job-name=long"}
	eventually(t, func() string {
		pods, err := kube.CoreV1().Pods("default").List(t.Context(), selector)
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) == 1 && pods.Items[0].Status.Phase == corev1.PodRunning {
			return ""
		}
		return "the job's pod does not run"
	})
	background := metav1.DeletePropagationBackground
	if err := jobs.Delete(t.Context(), "long", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		pods, err := kube.CoreV1().Pods("default").List(t.Context(), selector)
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Items) == 0 {
			return ""
		}
		return "the deleted job's pod stays: " + podLine(&pods.Items[0])
	})
}

func newDeployment(name, image string) *appsv1.Deployment {
	replicas := int32(2)
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
			},
		},
	}
}

func available(t *testing.T, kube kubernetes.Interface, name string, replicas int32) string {
	t.Helper()
	deployment, err := kube.AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	status := deployment.Status
	if status.ObservedGeneration == deployment.Generation && status.UpdatedReplicas == replicas &&
		status.AvailableReplicas == replicas && status.Replicas == replicas {
		return ""
	}
	return fmt.Sprintf("%s: %+v, want %d available", name, status, replicas)
}
