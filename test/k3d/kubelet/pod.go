// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (k *Kubelet) work(ctx context.Context) {
	for {
		name, closed := k.queue.Get()
		if closed {
			return
		}
		k.mu.Lock()
		pod := k.pods[name]
		k.mu.Unlock()
		if pod != nil && ctx.Err() == nil {
			again, err := k.step(ctx, pod)
			if err != nil {
				again = retryAfter
			}
			// A conflict means that a newer pod is on its way by the watch; one
			// that is gone needs nothing.
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				k.complain(ctx, "pod "+name.String(), err)
			}
			if again > 0 {
				k.queue.AddAfter(name, again)
			}
		}
		k.queue.Done(name)
	}
}

// step moves a pod one step on: bound, then running, or gone. It returns when to
// look again, 0 = at the next event.
func (k *Kubelet) step(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	switch {
	case pod.Spec.NodeName != "" && pod.Spec.NodeName != k.node:
		return 0, nil
	case pod.DeletionTimestamp != nil:
		return 0, k.end(ctx, pod)
	case pod.Spec.NodeName == "" && len(pod.Spec.SchedulingGates) == 0:
		return 0, k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: k.node},
		}, metav1.CreateOptions{})
	case pod.Spec.NodeName == "" || finished(pod):
		return 0, nil
	}
	m := k.recall(pod)
	status, again := statusOf(pod, m.ip, m.started, time.Now())
	return again, k.update(ctx, pod, status)
}

// end finishes a deletion, without the grace that a real pod would use up.
func (k *Kubelet) end(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
		return nil // only its finalizers hold it now
	}
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (k *Kubelet) update(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	if equality.Semantic.DeepEqual(pod.Status, status) {
		return nil
	}
	next := pod.DeepCopy()
	next.Status = status
	_, err := k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return err
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
