// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// ground is what a plan lays before its objects can be judged.
type ground struct {
	kinds      map[schema.GroupKind]bool
	namespaces map[string]bool
	services   bool // a Service goes first, and its node port is free only then
}

// newGround collects the kinds and namespaces that the plan writes. A kind
// whose definition changes counts as new: the old one may refuse what the new
// one allows.
func newGround(plan gitops.Plan) (ground, error) {
	g := ground{kinds: map[schema.GroupKind]bool{}, namespaces: map[string]bool{}}
	written := map[gitops.ObjectKey]bool{}
	for _, change := range plan.Apply {
		written[change.Ref.Key()] = true
		if isNamespace(change.Ref) && change.Action == gitops.Created {
			g.namespaces[change.Ref.Name] = true
		}
	}
	defined, err := defines(plan.Manifests)
	if err != nil {
		return g, err
	}
	for gk, key := range defined {
		if written[key] {
			g.kinds[gk] = true
		}
	}
	for _, change := range plan.DeleteFirst {
		g.services = g.services || change.Ref.Kind == "Service"
	}
	return g, nil
}

func (g ground) covers(ref gitops.ObjectRef) bool {
	return g.kinds[schema.GroupKind{Group: ref.Group, Kind: ref.Kind}] || g.namespaces[ref.Namespace] ||
		g.services && ref.Group == "" && ref.Kind == "Service"
}

func asError(err error) (*gitops.Error, bool) { return errors.AsType[*gitops.Error](err) }
