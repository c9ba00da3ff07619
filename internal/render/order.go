// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"slices"
)

// kindOrder is the order in which kinds are applied: what others need first,
// webhooks last, so that a webhook whose server is not up yet cannot stop the
// rest. Kinds that are not named come after all that are, before webhooks.
var kindOrder = []string{
	"CustomResourceDefinition", "Namespace", "PriorityClass", "RuntimeClass", "StorageClass", "IngressClass",
	"ClusterRole", "ClusterRoleBinding", "ResourceQuota", "LimitRange", "NetworkPolicy", "PodDisruptionBudget",
	"ServiceAccount", "Role", "RoleBinding", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim",
	"Service", "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet",
	"HorizontalPodAutoscaler", "Job", "CronJob", "Ingress", "APIService",
}

var lastKinds = []string{
	"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

func rank(kind string) int {
	if i := slices.Index(kindOrder, kind); i >= 0 {
		return i
	}
	if i := slices.Index(lastKinds, kind); i >= 0 {
		return len(kindOrder) + 1 + i
	}
	return len(kindOrder)
}

// sortObjects puts objects into the order of the canonical bytes.
func sortObjects(objects []*object) {
	slices.SortFunc(objects, func(a, b *object) int {
		return cmp.Or(
			cmp.Compare(rank(a.ref.Kind), rank(b.ref.Kind)),
			a.ref.Compare(b.ref),
		)
	})
}
