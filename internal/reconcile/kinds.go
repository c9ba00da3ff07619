// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// kinds is what the API server serves, read once per connection and again
// only when a kind is missing: there are many, and they rarely change.
type kinds struct {
	resources map[schema.GroupVersionKind]resource
	// versions lists the served versions of a kind, the preferred one first.
	versions map[schema.GroupKind][]string
	// unanswered holds groups whose aggregated API server does not answer: a
	// kind in them is not unknown, it is out of reach.
	unanswered map[schema.GroupVersion]error
}

// resource is how objects of a kind are addressed.
type resource struct {
	schema.GroupVersionResource
	namespaced bool
}

// errNoKind says that the API server does not serve a kind.
var errNoKind = errors.New("kind is not served")

// served returns the kinds of the API server, from memory unless fresh is set.
func (conn *connection) served(ctx context.Context, fresh bool) (*kinds, error) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if conn.kinds != nil && !fresh {
		return conn.kinds, nil
	}
	groups, lists, err := conn.discovery.ServerGroupsAndResourcesWithContext(ctx)
	k := &kinds{
		resources:  map[schema.GroupVersionKind]resource{},
		versions:   map[schema.GroupKind][]string{},
		unanswered: map[schema.GroupVersion]error{},
	}
	if partial, ok := errors.AsType[*discovery.ErrGroupDiscoveryFailed](err); ok {
		k.unanswered = partial.Groups
	} else if err != nil {
		return nil, err
	}
	k.add(lists)
	k.prefer(groups)
	conn.kinds = k
	return k, nil
}

func (k *kinds) add(lists []*metav1.APIResourceList) {
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // a broken aggregated API serves nothing that we could name
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "patch") {
				continue // a subresource, or nothing that can be applied
			}
			gvk := gv.WithKind(r.Kind)
			k.resources[gvk] = resource{GroupVersionResource: gv.WithResource(r.Name), namespaced: r.Namespaced}
			k.versions[gvk.GroupKind()] = append(k.versions[gvk.GroupKind()], gv.Version)
		}
	}
}

func (k *kinds) prefer(groups []*metav1.APIGroup) {
	for gk, versions := range k.versions {
		for _, g := range groups {
			if g.Name != gk.Group {
				continue
			}
			slices.SortStableFunc(versions, func(a, b string) int {
				switch g.PreferredVersion.Version {
				case a:
					return -1
				case b:
					return 1
				}
				return 0
			})
		}
	}
}

// find returns how an object of ref's kind is addressed. With anyVersion, a
// version that is gone is replaced by the one that the server prefers: what we
// own can be read and deleted in any of them.
func (k *kinds) find(ref gitops.ObjectRef, anyVersion bool) (resource, error) {
	gvk := schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}
	if r, ok := k.resources[gvk]; ok {
		return r, nil
	}
	if versions := k.versions[gvk.GroupKind()]; anyVersion && len(versions) > 0 {
		return k.resources[gvk.GroupKind().WithVersion(versions[0])], nil
	}
	for gv, err := range k.unanswered {
		if gv.Group == ref.Group && (anyVersion || gv.Version == ref.Version) {
			return resource{}, &gitops.Error{
				Reason:  gitops.APIUnreachable,
				Message: fmt.Sprintf("cannot learn about the kinds of %s: its API service does not answer: %v", gv, err),
				Remedy:  "see kubectl get apiservices", Object: &ref, Err: err,
			}
		}
	}
	return resource{}, errNoKind
}

// unknownKind is the error for an object of a kind that neither the API server
// nor the set itself brings.
func unknownKind(ref gitops.ObjectRef) error {
	return &gitops.Error{
		Reason:  gitops.UnknownKind,
		Message: fmt.Sprintf("%s: the cluster does not know the kind %s in %s", ref, ref.Kind, ref.APIVersion()),
		Remedy:  "correct apiVersion and kind, or add the CustomResourceDefinition to the same source",
		Object:  &ref,
	}
}

// namespaceOf is the namespace that an object lives in: what its kind allows,
// and "default" where it must have one and names none.
func (r resource) namespaceOf(ref gitops.ObjectRef) string {
	switch {
	case !r.namespaced:
		return ""
	case ref.Namespace == "":
		return metav1.NamespaceDefault
	}
	return ref.Namespace
}
