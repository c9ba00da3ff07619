// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"cmp"
	"strings"
)

// ObjectRef identifies a Kubernetes object. The version says how it is read
// and written and takes no part in its identity: see Key.
type ObjectRef struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// ObjectKey is an object's identity, comparable and without the version.
type ObjectKey struct {
	Group, Kind, Namespace, Name string
}

// Key is the identity of the object.
func (r ObjectRef) Key() ObjectKey {
	return ObjectKey{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

// APIVersion is "group/version", or "version" in the core group.
func (r ObjectRef) APIVersion() string {
	if r.Group == "" {
		return r.Version
	}
	return r.Group + "/" + r.Version
}

// GroupKind is "Kind.group", or "Kind" in the core group: what ApplySets write
// (KEP-3659).
func (r ObjectRef) GroupKind() string {
	if r.Group == "" {
		return r.Kind
	}
	return r.Kind + "." + r.Group
}

// String is "Kind.group/namespace/name", as people read it. Empty parts are
// left out.
func (r ObjectRef) String() string {
	parts := []string{r.GroupKind()}
	if r.Namespace != "" {
		parts = append(parts, r.Namespace)
	}
	return strings.Join(append(parts, r.Name), "/")
}

// Compare orders by group, kind, namespace and name.
func (r ObjectRef) Compare(o ObjectRef) int {
	return cmp.Or(
		cmp.Compare(r.Group, o.Group),
		cmp.Compare(r.Kind, o.Kind),
		cmp.Compare(r.Namespace, o.Namespace),
		cmp.Compare(r.Name, o.Name),
	)
}
