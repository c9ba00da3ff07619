// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var (
	pods        = resource{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, true}
	replicaSets = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, true}
	jobs        = resource{schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, true}
	classes     = resource{schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, false}
)

// refine corrects kstatus where it is too generous or too strict for a node,
// and finds out from the pods why a workload does not get ready.
func (c *Cluster) refine(ctx context.Context, u *unstructured.Unstructured, h *gitops.ObjectHealth, seen *restarts) error {
	switch {
	case h.Status == gitops.Terminating:
		return nil
	case h.Ref.Group == "batch" && h.Ref.Kind == "Job":
		refineJob(u, h)
	case h.Ref.Group == "" && h.Ref.Kind == "Pod":
		refinePod(u, h, seen)
		return nil
	case h.Ref.Group == "" && h.Ref.Kind == "PersistentVolumeClaim" && h.Status == gitops.InProgress:
		return c.refineClaim(ctx, u, h)
	case h.Ref.Group == "helm.cattle.io" && h.Ref.Kind == "HelmChart":
		return c.refineHelmChart(ctx, u, h)
	}
	if h.Status == gitops.Current {
		return nil
	}
	return c.blamePods(ctx, u, h, seen)
}

// refineJob wants a Job to have ended: to kstatus, one that runs is Current.
func refineJob(u *unstructured.Unstructured, h *gitops.ObjectHealth) {
	switch {
	case hasCondition(u, "Complete"):
		h.Status, h.Completed, h.Message = gitops.Current, true, ""
	case hasCondition(u, "Failed"):
		h.Status, h.Reason = gitops.Failed, gitops.JobFailed
	case isSuspended(u):
		h.Status, h.Message = gitops.Current, "" // somebody will start it; that is not ours to wait for
	case h.Status == gitops.Current:
		h.Status, h.Message = gitops.InProgress, "the Job has not completed"
	}
}

func isSuspended(u *unstructured.Unstructured) bool {
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	return suspended
}

// refinePod takes a pod that ended badly for what it is, and names the cause.
func refinePod(u *unstructured.Unstructured, h *gitops.ObjectHealth, seen *restarts) {
	var pod corev1.Pod
	if runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod) != nil {
		return
	}
	switch {
	case pod.Status.Phase == corev1.PodFailed:
		h.Status, h.Message = gitops.Failed, "the pod ended with an error"
	case pod.Status.Phase == corev1.PodSucceeded:
		h.Completed = true
	case h.Status == gitops.Failed:
		h.Status = gitops.InProgress // kstatus gives up at the first crash, and after 15 s without a node
	}
	if h.Status != gitops.Current {
		diagnose(pod, seen).apply(h, pod.Name)
	}
}

// refineHelmChart judges a chart of k3s' Helm controller by the Job that
// installs it: the object itself has no conditions.
func (c *Cluster) refineHelmChart(ctx context.Context, u *unstructured.Unstructured, h *gitops.ObjectHealth) error {
	name, _, _ := unstructured.NestedString(u.Object, "status", "jobName")
	if name == "" {
		h.Status, h.Message = gitops.InProgress, "k3s' Helm controller has not started its Job yet"
		return nil
	}
	job, err := c.readWhole(ctx, jobs, placed{u.GetNamespace(), name})
	if err != nil || job == nil {
		return err // a Job that is gone was cleaned up after it completed
	}
	refineJob(job, h)
	h.Completed = false // the chart stays
	if h.Status == gitops.Failed {
		h.Message = fmt.Sprintf("its Job %s failed", name)
	}
	return nil
}

// refineClaim accepts a volume claim that is bound only when a pod uses it,
// while none does.
func (c *Cluster) refineClaim(ctx context.Context, u *unstructured.Unstructured, h *gitops.ObjectHealth) error {
	class, _, _ := unstructured.NestedString(u.Object, "spec", "storageClassName")
	if class == "" {
		return nil
	}
	sc, err := c.readWhole(ctx, classes, placed{"", class})
	if err != nil || sc == nil {
		return err
	}
	if mode, _, _ := unstructured.NestedString(sc.Object, "volumeBindingMode"); mode != "WaitForFirstConsumer" {
		return nil
	}
	used := false
	err = c.listWhole(ctx, pods, u.GetNamespace(), metav1.ListOptions{}, func(pod *unstructured.Unstructured) {
		volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
		for _, v := range volumes {
			volume, _ := v.(map[string]any)
			name, _, _ := unstructured.NestedString(volume, "persistentVolumeClaim", "claimName")
			used = used || name == u.GetName()
		}
	})
	if err == nil && !used {
		h.Status, h.Message = gitops.Current, "waits for the first pod that uses it"
	}
	return err
}

// blamePods looks for the cause among the pods of the workload's newest
// revision. Pods of older ones are on their way out and say nothing.
func (c *Cluster) blamePods(ctx context.Context, u *unstructured.Unstructured, h *gitops.ObjectHealth, seen *restarts) error {
	selector, err := c.newestPods(ctx, u)
	if err != nil || selector == nil {
		return err
	}
	var worst finding
	name := ""
	err = c.listWhole(ctx, pods, u.GetNamespace(), metav1.ListOptions{LabelSelector: selector.String()}, func(o *unstructured.Unstructured) {
		var pod corev1.Pod
		if o.GetDeletionTimestamp() != nil || runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &pod) != nil {
			return
		}
		if f := diagnose(pod, seen); f.weight() > worst.weight() {
			worst, name = f, pod.Name
		}
	})
	if h.Ref.Kind == "Job" && worst.reason == gitops.CrashLoop {
		worst.failed, worst.reason = false, "" // its backoffLimit decides
	}
	worst.apply(h, name)
	return err
}

// newestPods selects the pods that a workload made for its present template,
// nil while there are none or for other kinds.
func (c *Cluster) newestPods(ctx context.Context, u *unstructured.Unstructured) (labels.Selector, error) {
	raw, found, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if !found || u.GroupVersionKind().Group != "batch" && observed != u.GetGeneration() {
		return nil, nil
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector); err != nil {
		return nil, nil
	}
	switch u.GetKind() {
	case "Deployment":
		hash, err := c.templateHash(ctx, u, selector)
		if err != nil || hash == "" {
			return nil, err
		}
		selector.MatchLabels = withEntry(selector.MatchLabels, "pod-template-hash", hash)
	case "StatefulSet":
		revision, _, _ := unstructured.NestedString(u.Object, "status", "updateRevision")
		selector.MatchLabels = withEntry(selector.MatchLabels, "controller-revision-hash", revision)
	case "DaemonSet":
		selector.MatchLabels = withEntry(selector.MatchLabels, "pod-template-generation", u.GetAnnotations()["deprecated.daemonset.template.generation"])
	case "ReplicaSet", "Job":
	default:
		return nil, nil
	}
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil || s.Empty() {
		return nil, nil
	}
	return s, nil
}

// templateHash is the label that the pods of a Deployment's present template
// carry.
func (c *Cluster) templateHash(ctx context.Context, u *unstructured.Unstructured, selector metav1.LabelSelector) (string, error) {
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return "", nil
	}
	const revision = "deployment.kubernetes.io/revision"
	hash := ""
	err = c.listWhole(ctx, replicaSets, u.GetNamespace(), metav1.ListOptions{LabelSelector: s.String()}, func(rs *unstructured.Unstructured) {
		if metav1.IsControlledBy(rs, u) && rs.GetAnnotations()[revision] == u.GetAnnotations()[revision] {
			hash = rs.GetLabels()["pod-template-hash"]
		}
	})
	return hash, err
}

func hasCondition(u *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == kind && condition["status"] == "True" {
			return true
		}
	}
	return false
}

// shorten keeps messages of the cluster readable in one line.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
