// SPDX-License-Identifier: Apache-2.0

package render

import (
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// scopes knows which kinds live in a namespace: those of Kubernetes, and those
// that the source itself defines.
type scopes map[[2]string]bool // group and kind → namespaced

// learn reads a CustomResourceDefinition.
func (s scopes) learn(o *object) {
	if o.ref.Kind != "CustomResourceDefinition" || o.ref.Group != "apiextensions.k8s.io" {
		return
	}
	spec, _ := o.body["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	scope, _ := spec["scope"].(string)
	if kind != "" && (scope == "Namespaced" || scope == "Cluster") {
		s[[2]string{group, kind}] = scope == "Namespaced"
	}
}

// namespaced reports whether objects of o's kind live in a namespace, and
// whether that is known at all. A kind that is neither Kubernetes' nor defined
// by the source is known only to the cluster.
func (s scopes) namespaced(o *object) (bool, bool) {
	if namespaced, ok := s[[2]string{o.ref.Group, o.ref.Kind}]; ok {
		return namespaced, true
	}
	return openapi.IsNamespaceScoped(kyaml.TypeMeta{APIVersion: o.ref.APIVersion(), Kind: o.ref.Kind})
}

// place gives the object the namespace that it will have in the cluster, so
// that one object has one identity: the bundle's (or "default") where it has
// none and its kind needs one, none where its kind takes none. A kind that only
// the cluster knows gets the bundle's, which is what a chart means by it.
func (s scopes) place(o *object, namespace string) {
	namespaced, known := s.namespaced(o)
	metadata := o.body["metadata"].(map[string]any)
	switch {
	case known && !namespaced:
		delete(metadata, "namespace")
		o.ref.Namespace = ""
	case o.ref.Namespace == "" && (known || namespace != ""):
		if namespace == "" {
			namespace = "default"
		}
		metadata["namespace"] = namespace
		o.ref.Namespace = namespace
	}
}
