// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// What podLine says of the two most frequent pods.
const (
	ready    = "Running ready=True running"
	crashing = "Running ready=False CrashLoopBackOff"
)

type podSpec struct {
	name, image, init, annotation, node string
}

func createPod(t *testing.T, kube kubernetes.Interface, spec podSpec) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: spec.name},
		Spec:       corev1.PodSpec{NodeName: spec.node, Containers: []corev1.Container{{Name: "main", Image: spec.image}}},
	}
	if spec.init != "" {
		pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: spec.init}}
	}
	if spec.annotation != "" {
		pod.Annotations = map[string]string{"edgeagent.dev/test": spec.annotation}
	}
	if _, err := kube.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func waitForPod(t *testing.T, kube kubernetes.Interface, name, want string) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	eventually(t, func() string {
		var err error
		pod, err = kube.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := podLine(pod); got != want {
			return fmt.Sprintf("pod %s is %q, want %q", name, got, want)
		}
		return ""
	})
	return pod
}

// podLine is a pod's status in one line.
func podLine(pod *corev1.Pod) string {
	line := string(pod.Status.Phase)
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			line += " ready=" + string(condition.Status)
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		switch state := container.State; {
		case state.Running != nil:
			line += " running"
		case state.Waiting != nil:
			line += " " + state.Waiting.Reason
		case state.Terminated != nil:
			line += " " + state.Terminated.Reason
		}
	}
	return line
}
