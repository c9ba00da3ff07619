// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// decode parses a manifest. Fields that the API server owns are dropped: it
// rejects an apply that carries them.
func decode(m gitops.Manifest) (*unstructured.Unstructured, error) {
	json, err := yaml.YAMLToJSON(m.YAML)
	u := &unstructured.Unstructured{}
	if err == nil {
		err = u.UnmarshalJSON(json)
	}
	if err != nil {
		// The parser's message may quote the document, which may hold a secret.
		return nil, &gitops.Error{
			Reason: gitops.InvalidManifest, Object: &m.Ref, Err: err,
			Message: fmt.Sprintf("cannot parse the manifest of %s", m.Ref), Remedy: "correct the object in Git",
		}
	}
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	return u, nil
}

// body is what is sent for a manifest: the object with our label and the
// digest of the manifest on it.
func body(m gitops.Manifest, source, namespace string) ([]byte, error) {
	u, err := decode(m)
	if err != nil {
		return nil, err
	}
	labels := u.GetLabels()
	if other := labels[partOfLabel]; other != "" {
		return nil, &gitops.Error{
			Reason: gitops.InvalidManifest, Object: &m.Ref,
			Message: fmt.Sprintf("%s carries the label %s, which says who owns an object in the cluster", m.Ref, partOfLabel),
			Remedy:  "remove the label in Git",
		}
	}
	u.SetLabels(withEntry(labels, partOfLabel, SetID(source)))
	u.SetAnnotations(withEntry(u.GetAnnotations(), digestAnnotation, m.Digest))
	u.SetNamespace(namespace)
	return u.MarshalJSON()
}

func withEntry(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// annotationsOf reads the annotations of a manifest. Most manifests carry none
// that concern us, and parsing is dear, so the text is searched first.
func annotationsOf(m gitops.Manifest) (map[string]string, error) {
	if !mayBeMarked(m.YAML) {
		return nil, nil
	}
	u, err := decode(m)
	if err != nil {
		return nil, err
	}
	return u.GetAnnotations(), nil
}

func mayBeMarked(text []byte) bool {
	if bytes.Contains(text, []byte(dependsOn)) {
		return true
	}
	for _, rule := range markRules {
		if bytes.Contains(text, []byte(rule.key)) {
			return true
		}
	}
	return false
}

// defines returns the kinds that the CustomResourceDefinitions of a set bring.
func defines(want gitops.Manifests) (map[schema.GroupKind]gitops.ObjectKey, error) {
	out := map[schema.GroupKind]gitops.ObjectKey{}
	for _, m := range want.Objects {
		if !isCRD(m.Ref) {
			continue
		}
		u, err := decode(m)
		if err != nil {
			return nil, err
		}
		group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
		out[schema.GroupKind{Group: group, Kind: kind}] = m.Ref.Key()
	}
	return out, nil
}

func isCRD(ref gitops.ObjectRef) bool {
	return ref.Group == "apiextensions.k8s.io" && ref.Kind == "CustomResourceDefinition"
}

func isNamespace(ref gitops.ObjectRef) bool { return ref.Group == "" && ref.Kind == "Namespace" }

// runsToEnd reports objects that do something once instead of staying.
func runsToEnd(m gitops.Manifest) bool {
	return m.Hook != nil || m.Ref.Group == "batch" && m.Ref.Kind == "Job"
}
