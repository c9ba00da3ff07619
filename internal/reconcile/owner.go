// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What marks an object as ours, by KEP-3659 (ApplySet).
const (
	partOfLabel      = "applyset.kubernetes.io/part-of"
	digestAnnotation = "edgeagent.dev/digest"
	parentNamespace  = "edgeagent-system"
)

// SetID is the ApplySet id of a source: every object of the source carries it
// as the label applyset.kubernetes.io/part-of.
func SetID(source string) string {
	sum := sha256.Sum256([]byte(source + "." + parentNamespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// live is what planning needs to know of an object in the cluster. It is small
// because a watch keeps one for every object.
type live struct {
	uid         string
	version     string // resourceVersion
	partOf      string
	digest      string // of the manifest that was applied last
	fields      string // hash of our managedFields entry
	marks       marks
	owner       string // another tool that owns it, for people, "" if none
	terminating bool
	kubectl     bool // kubectl holds fields, which would stay when they leave Git
	foreign     bool // somebody else, no controller of Kubernetes, holds fields
}

// summarize keeps of an object's metadata what planning needs.
func summarize(m metav1.ObjectMeta) live {
	l := live{
		uid: string(m.UID), version: m.ResourceVersion,
		partOf: m.Labels[partOfLabel], digest: m.Annotations[digestAnnotation],
		marks: marksOf(m.Annotations), owner: ownerOf(m),
		terminating: m.DeletionTimestamp != nil,
	}
	for _, e := range m.ManagedFields {
		switch {
		case e.Subresource != "":
		case isOurs(e):
			l.fields = hashEntry(e)
		default:
			l.kubectl = l.kubectl || appliedByKubectl(e)
			l.foreign = l.foreign || !isControlPlane(e)
		}
	}
	return l
}

// hashEntry is over our whole managedFields entry, its time included. The API
// server takes a field out of our entry when somebody else changes or removes
// its value, so an equal hash means that no field of ours was touched.
func hashEntry(e metav1.ManagedFieldsEntry) string {
	h := sha256.New()
	at := ""
	if e.Time != nil {
		at = e.Time.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(h, "%s\n%s\n", e.APIVersion, at)
	if e.FieldsV1 != nil {
		h.Write(e.FieldsV1.GetRawBytes())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ownerOf names the tool or controller that an object belongs to, so that two
// of them never fight over it. An object that people made with kubectl belongs
// to nobody.
func ownerOf(m metav1.ObjectMeta) string {
	for _, ref := range m.OwnerReferences {
		if ref.Controller != nil && *ref.Controller {
			return fmt.Sprintf("its controller %s %s", ref.Kind, ref.Name)
		}
	}
	if release := m.Annotations["meta.helm.sh/release-name"]; release != "" && m.Labels["app.kubernetes.io/managed-by"] == "Helm" {
		return "Helm release " + release
	}
	for _, mark := range ownerLabels {
		if name := m.Labels[mark.key]; name != "" {
			return mark.tool + " " + name
		}
	}
	for _, mark := range ownerAnnotations {
		if name := m.Annotations[mark.key]; name != "" {
			return mark.tool + " " + name
		}
	}
	return ""
}

type ownerMark struct{ key, tool string }

var ownerLabels = []ownerMark{
	{"kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"},
	{"helm.toolkit.fluxcd.io/name", "Flux HelmRelease"},
	{"argocd.argoproj.io/instance", "Argo CD application"},
	{"kapp.k14s.io/app", "kapp application"},
	{"objectset.rio.cattle.io/hash", "k3s' own deployer, object set"},
}

var ownerAnnotations = []ownerMark{
	{"argocd.argoproj.io/tracking-id", "Argo CD application"},
	{"objectset.rio.cattle.io/owner-name", "k3s' own deployer, addon"},
	{"objectset.rio.cattle.io/id", "k3s' own deployer, object set"},
	{"config.k8s.io/owning-inventory", "inventory"},
	{"configsync.gke.io/manager", "Config Sync"},
}

// kubectlManagers are written by kubectl's declarative commands: what they
// hold is meant to be the whole object, as ours is. What kubectl edit, scale
// or annotate changed is not among them.
var kubectlManagers = []string{"kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "before-first-apply"}

// appliedByKubectl reports that somebody ran kubectl apply on the object.
func appliedByKubectl(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == "kubectl-client-side-apply" ||
		e.Manager == "kubectl" && e.Operation == metav1.ManagedFieldsOperationApply
}

// isControlPlane reports that Kubernetes or k3s itself holds the fields: they
// are never taken away, not even in strict mode.
func isControlPlane(e metav1.ManagedFieldsEntry) bool {
	switch e.Manager {
	case "kube-controller-manager", "kube-apiserver", "kube-scheduler", "kubelet", "kube-proxy", "cloud-controller-manager", "k3s", "k3s-supervisor":
		return true
	}
	return strings.HasPrefix(e.Manager, "system:")
}
