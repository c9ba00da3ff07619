// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// crashes is how often a container may restart before it counts as a crash
// loop: the first restart may be a dependency that came up late.
const crashes = 2

// restarts remembers how often containers had restarted when they were first
// looked at in a wait: what an old pod went through before says nothing about
// the revision that is waited for. Without one (nil) the whole life counts.
type restarts struct {
	mu    sync.Mutex
	first map[string]int32
}

func newRestarts() *restarts { return &restarts{first: map[string]int32{}} }

// since is how often a container restarted since it was first looked at.
func (r *restarts) since(pod types.UID, cs corev1.ContainerStatus) int32 {
	if r == nil {
		return cs.RestartCount
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := string(pod) + "/" + cs.Name
	first, known := r.first[key]
	if !known {
		first = cs.RestartCount
		r.first[key] = first
	}
	return cs.RestartCount - first
}

// finding is why a pod is not ready.
type finding struct {
	reason  gitops.Reason
	message string
	failed  bool // waiting longer will not help
}

// weight orders findings: what is certain goes before what may pass.
func (f finding) weight() int {
	switch {
	case f.failed:
		return 3
	case f.reason != "":
		return 2
	case f.message != "":
		return 1
	}
	return 0
}

// apply adds the finding to the health of the object that the pod belongs to.
func (f finding) apply(h *gitops.ObjectHealth, pod string) {
	if f.weight() == 0 {
		return
	}
	h.Message = shorten(fmt.Sprintf("pod %s: %s", pod, f.message))
	if f.reason != "" {
		h.Reason = f.reason
	}
	if f.failed {
		h.Status = gitops.Failed
	}
}

// diagnose reads a pod's status for the reason why it is not ready.
func diagnose(pod corev1.Pod, seen *restarts) finding {
	if pod.Status.Reason == "Evicted" || pod.Status.Reason == "NodeAffinity" {
		return finding{reason: gitops.NodePressure, message: pod.Status.Reason + ": " + pod.Status.Message}
	}
	var worst finding
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, cs := range list {
			if f := diagnoseContainer(cs, seen.since(pod.UID, cs)); f.weight() > worst.weight() {
				worst = f
			}
		}
	}
	if worst.weight() > 0 {
		return worst
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			return unschedulable(condition.Message)
		}
	}
	return finding{}
}

func unschedulable(message string) finding {
	f := finding{reason: gitops.Unschedulable, message: message}
	for _, pressure := range []string{"disk-pressure", "memory-pressure", "pid-pressure"} {
		if strings.Contains(message, pressure) {
			f.reason = gitops.NodePressure
		}
	}
	return f
}

func diagnoseContainer(cs corev1.ContainerStatus, restarted int32) finding {
	w := cs.State.Waiting
	if w == nil {
		return finding{}
	}
	message := fmt.Sprintf("container %s: %s", cs.Name, w.Reason)
	if w.Message != "" {
		message += ": " + w.Message
	}
	switch w.Reason {
	case "ContainerCreating", "PodInitializing":
		return finding{}
	case "CrashLoopBackOff":
		if last := cs.LastTerminationState.Terminated; last != nil {
			message += fmt.Sprintf(" (exit code %d)", last.ExitCode)
		}
		return finding{reason: gitops.CrashLoop, message: message, failed: restarted >= crashes}
	case "InvalidImageName", "ErrImageNeverPull":
		return finding{reason: gitops.ImageName, message: message, failed: true}
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError":
		if isImageName(w.Message) {
			return finding{reason: gitops.ImageName, message: message, failed: true}
		}
		return finding{reason: gitops.ImagePull, message: message}
	}
	return finding{message: message}
}

// isImageName tells an image that does not exist from one that cannot be
// fetched now. When in doubt it is the link: that never leaves a black mark.
func isImageName(message string) bool {
	text := strings.ToLower(message)
	for _, link := range []string{
		"dial tcp", "no such host", "timeout", "connection refused", "connection reset", "deadline exceeded", "unexpected eof",
		"network is unreachable", "no route to host", "server misbehaving", "temporary failure", "toomanyrequests",
		"too many requests", "502 ", "503 ", "504 ", "500 internal", "x509", "no space left",
	} {
		if strings.Contains(text, link) {
			return false
		}
	}
	for _, name := range []string{"not found", "manifest unknown", "does not exist", "invalid reference format", "repository name not known", "no match for platform"} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}
