// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// This file is how a scene looks at its cluster, and meddles with it by hand.

func (s *scene) found(err error) bool {
	s.t.Helper()
	if apierrors.IsNotFound(err) {
		return false
	}
	s.must(err)
	return true
}

func (s *scene) configMapData(name string) map[string]string {
	s.t.Helper()
	cm, err := s.kube.CoreV1().ConfigMaps(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	if !s.found(err) {
		return nil
	}
	return cm.Data
}

func (s *scene) configMap(name string) string { s.t.Helper(); return s.configMapData(name)["value"] }
func (s *scene) has(name string) bool         { s.t.Helper(); return s.hasIn(s.ns, name) }

func (s *scene) hasIn(ns, name string) bool {
	s.t.Helper()
	_, err := s.kube.CoreV1().ConfigMaps(ns).Get(s.ctx, name, metav1.GetOptions{})
	return s.found(err)
}

func (s *scene) hasService(name string) bool {
	s.t.Helper()
	_, err := s.kube.CoreV1().Services(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	return s.found(err)
}

func (s *scene) hasJob(name string) bool {
	s.t.Helper()
	_, err := s.kube.BatchV1().Jobs(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	return s.found(err)
}

func (s *scene) deployment(name string) *appsv1.Deployment {
	s.t.Helper()
	return s.deploymentIn(s.ns, name)
}

func (s *scene) deploymentIn(ns, name string) *appsv1.Deployment {
	s.t.Helper()
	d, err := s.kube.AppsV1().Deployments(ns).Get(s.ctx, name, metav1.GetOptions{})
	if !s.found(err) {
		return &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32)}}
	}
	return d
}

func (s *scene) deploymentImage(name string) string {
	s.t.Helper()
	d := s.deployment(name)
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return ""
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

func (s *scene) labels(name string) map[string]string {
	s.t.Helper()
	cm, err := s.kube.CoreV1().ConfigMaps(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	s.must(err)
	return cm.Labels
}

func (s *scene) widgetSize(group, name string) int64 {
	s.t.Helper()
	gvr := schema.GroupVersionResource{Group: group, Version: "v1", Resource: "widgets"}
	w, err := s.dynamic.Resource(gvr).Namespace(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	s.must(err)
	size, _, err := unstructured.NestedInt64(w.Object, "spec", "size")
	s.must(err)
	return size
}

// owned is the ConfigMaps in the case's namespace that carry an ApplySet label.
func (s *scene) owned() []string {
	s.t.Helper()
	list, err := s.kube.CoreV1().ConfigMaps(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "applyset.kubernetes.io/part-of"})
	s.must(err)
	var names []string
	for _, cm := range list.Items {
		names = append(names, cm.Name)
	}
	sort.Strings(names)
	return names
}

func (s *scene) hasParent() bool {
	s.t.Helper()
	return s.hasIn("edgeagent-system", s.name)
}

func (s *scene) createConfigMap(name string, labels map[string]string, value string) {
	s.t.Helper()
	_, err := s.kube.CoreV1().ConfigMaps(s.ns).Create(s.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"value": value},
	}, metav1.CreateOptions{FieldManager: "somebody"})
	s.must(err)
}

func (s *scene) deleteConfigMap(name string) {
	s.t.Helper()
	s.must(s.kube.CoreV1().ConfigMaps(s.ns).Delete(s.ctx, name, metav1.DeleteOptions{}))
}

func (s *scene) patchConfigMap(name, patch string) {
	s.t.Helper()
	_, err := s.kube.CoreV1().ConfigMaps(s.ns).Patch(s.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	s.must(err)
}

func (s *scene) patchDeployment(name, patch string) {
	s.t.Helper()
	_, err := s.kube.AppsV1().Deployments(s.ns).Patch(s.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	s.must(err)
}
