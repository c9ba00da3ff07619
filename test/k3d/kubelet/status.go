// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A container in a crash loop is restarted this often, at most this many times.
// A real kubelet takes longer each time and never stops.
const (
	restartEvery = 2 * time.Second
	mostRestarts = 5
)

// statusOf is the whole status of a bound pod at a moment, and when it will
// change by itself, 0 = never.
func statusOf(pod *corev1.Pod, ip string, started, now time.Time) (corev1.PodStatus, time.Duration) {
	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	status.HostIP = nodeIP
	status.HostIPs = []corev1.HostIP{{IP: nodeIP}}
	status.PodIP = ip
	status.PodIPs = []corev1.PodIP{{IP: ip}}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: started.Truncate(time.Second)}
	}
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "Job" {
		return jobStatus(pod, status, started, now)
	}

	initialized, initAgain := initStatuses(pod, &status, started, now)
	ready, again := initialized, initAgain
	status.ContainerStatuses = nil
	for _, container := range pod.Spec.Containers {
		if !initialized {
			status.ContainerStatuses = append(status.ContainerStatuses, waiting(container, "PodInitializing", "", 0))
			continue
		}
		one, oneAgain := containerStatus(pod, container, started, now)
		ready = ready && one.Ready
		again = sooner(again, oneAgain)
		status.ContainerStatuses = append(status.ContainerStatuses, one)
	}
	status.Phase = phaseOf(status)
	status.Conditions = conditions(pod, initialized, ready, "ContainersNotReady", now)
	return status, again
}

// initStatuses fills in the init containers. Sidecars (those that are always
// restarted) stay running; the others end at once. One that fails holds the pod.
func initStatuses(pod *corev1.Pod, status *corev1.PodStatus, started, now time.Time) (bool, time.Duration) {
	initialized, again := true, time.Duration(0)
	status.InitContainerStatuses = nil
	for _, container := range pod.Spec.InitContainers {
		one, oneAgain := containerStatus(pod, container, started, now)
		sidecar := container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
		switch {
		case !initialized:
			one = waiting(container, "PodInitializing", "", 0)
		case !one.Ready:
			initialized, again = false, oneAgain
		case !sidecar:
			one = terminated(container, 0, "Completed", started, started)
			one.Ready = true
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, one)
	}
	return initialized, again
}

// phaseOf is Pending while an image is missing or an init container has not
// ended, else Running: a pod in a crash loop is Running.
func phaseOf(status corev1.PodStatus) corev1.PodPhase {
	for _, one := range status.ContainerStatuses {
		if one.State.Waiting != nil && one.State.Waiting.Reason != "CrashLoopBackOff" {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// containerStatus plays one container that should run for ever.
func containerStatus(pod *corev1.Pod, container corev1.Container, started, now time.Time) (corev1.ContainerStatus, time.Duration) {
	how, after := behaviourOf(pod, container.Image)
	age := now.Sub(started)
	switch {
	case how == missing:
		return waiting(container, "ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: not found", container.Image), 0), 0
	case how == broken:
		return crashLoop(container, started, now)
	case how == flaky && age >= after:
		return crashLoop(container, started.Add(after), now)
	case how == flaky:
		return running(container, started, true), after - age
	case how == slow && age < after:
		return running(container, started, false), after - age
	}
	return running(container, started, true), 0
}

func crashLoop(container corev1.Container, since, now time.Time) (corev1.ContainerStatus, time.Duration) {
	restarts := 1 + int(now.Sub(since)/restartEvery)
	again := restartEvery - now.Sub(since)%restartEvery
	if restarts >= mostRestarts {
		restarts, again = mostRestarts, 0
	}
	message := fmt.Sprintf("back-off 10s restarting failed container=%s", container.Name)
	one := waiting(container, "CrashLoopBackOff", message, restarts)
	crashed := since.Add(time.Duration(restarts-1) * restartEvery)
	one.LastTerminationState = terminated(container, 1, "Error", crashed, crashed).State
	return one, again
}

// jobStatus plays a pod that a Job made: it ends. With restartPolicy OnFailure
// a broken one is restarted in place, for ever.
func jobStatus(pod *corev1.Pod, status corev1.PodStatus, started, now time.Time) (corev1.PodStatus, time.Duration) {
	code, reason, phase := int32(0), "Completed", corev1.PodSucceeded
	status.ContainerStatuses, status.InitContainerStatuses = nil, nil
	for _, container := range pod.Spec.Containers {
		how, after := behaviourOf(pod, container.Image)
		restarted := how == broken && pod.Spec.RestartPolicy != corev1.RestartPolicyNever
		early := (how == slow || how == flaky) && now.Sub(started) < after
		if how == missing || early || restarted {
			one, again := containerStatus(pod, container, started, now)
			status.ContainerStatuses = []corev1.ContainerStatus{one}
			status.Phase = phaseOf(status)
			status.Conditions = conditions(pod, true, one.Ready, "ContainersNotReady", now)
			return status, again
		}
		if how == broken || how == flaky {
			code, reason, phase = 1, "Error", corev1.PodFailed
		}
		status.ContainerStatuses = append(status.ContainerStatuses, terminated(container, code, reason, started, now))
	}
	for _, container := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, terminated(container, 0, "Completed", started, now))
	}
	status.Phase = phase
	status.Conditions = conditions(pod, true, false, "PodCompleted", now)
	return status, 0
}

func waiting(container corev1.Container, reason, message string, restarts int) corev1.ContainerStatus {
	one := base(container, false)
	one.RestartCount = int32(restarts)
	one.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	return one
}

func running(container corev1.Container, started time.Time, ready bool) corev1.ContainerStatus {
	one := base(container, true)
	one.Ready = ready
	one.ContainerID = containerID(container)
	one.State.Running = &corev1.ContainerStateRunning{StartedAt: second(started)}
	return one
}

func terminated(container corev1.Container, code int32, reason string, started, now time.Time) corev1.ContainerStatus {
	one := base(container, false)
	one.ContainerID = containerID(container)
	one.State.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, ContainerID: one.ContainerID,
		StartedAt: second(started), FinishedAt: second(now),
	}
	return one
}

func base(container corev1.Container, started bool) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: container.Name, Image: container.Image, ImageID: container.Image, Started: &started,
	}
}

func containerID(container corev1.Container) string { return "fake://" + container.Name }

// second cuts a time to what the API keeps, so that a status that did not change
// compares equal to the stored one.
func second(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// conditions are the pod's conditions; each keeps the time of its last change.
func conditions(pod *corev1.Pod, initialized, ready bool, reason string, now time.Time) []corev1.PodCondition {
	next := []corev1.PodCondition{
		condition(corev1.PodReadyToStartContainers, true, ""),
		condition(corev1.PodInitialized, initialized, "ContainersNotInitialized"),
		condition(corev1.PodReady, ready, reason),
		condition(corev1.ContainersReady, ready, reason),
		condition(corev1.PodScheduled, true, ""),
	}
	known := map[corev1.PodConditionType]corev1.PodCondition{}
	for _, c := range pod.Status.Conditions {
		known[c.Type] = c
	}
	for i := range next {
		next[i].LastTransitionTime = second(now)
		if old, found := known[next[i].Type]; found && old.Status == next[i].Status {
			next[i].LastTransitionTime = old.LastTransitionTime
		}
		delete(known, next[i].Type)
	}
	// What others wrote (readiness gates, disruption) is not ours to drop.
	for _, c := range pod.Status.Conditions {
		if _, foreign := known[c.Type]; foreign {
			next = append(next, c)
		}
	}
	return next
}

func condition(kind corev1.PodConditionType, holds bool, reason string) corev1.PodCondition {
	if holds {
		return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason}
}
