// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var volumeClaims = resource{schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}, true}

// deleteFirst moves deletions to the front of the plan that would otherwise
// keep new objects from starting: they hold a node port, a host port or an
// exclusive volume that a new object claims.
func (c *Cluster) deleteFirst(ctx context.Context, plan *gitops.Plan) error {
	wanted := map[string]bool{}
	for _, change := range plan.Apply {
		if !mayClaim(change.Ref) {
			continue
		}
		m, _ := plan.Manifests.Find(change.Ref.Key())
		u, err := decode(m)
		if err != nil {
			return err
		}
		for _, claim := range claims(u) {
			wanted[claim] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	var rest []gitops.Change
	for _, change := range plan.Prune {
		claim, err := c.clash(ctx, change, wanted)
		if err != nil {
			return c.failure("read", &change.Ref, err)
		}
		if claim == "" {
			rest = append(rest, change)
			continue
		}
		change.Message = "holds " + claim + ", which a new object claims"
		plan.DeleteFirst = append(plan.DeleteFirst, change)
	}
	plan.Prune = rest
	return nil
}

// clash names what a deletion holds and a new object wants, "" if nothing.
func (c *Cluster) clash(ctx context.Context, change gitops.Change, wanted map[string]bool) (string, error) {
	if change.Action != gitops.Deleted || !mayClaim(change.Ref) {
		return "", nil
	}
	r, err := c.address(ctx, change.Ref, false, true)
	if errors.Is(err, errNoKind) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	u, err := c.readWhole(ctx, r, placed{r.namespaceOf(change.Ref), change.Ref.Name})
	if err != nil || u == nil {
		return "", err
	}
	for _, claim := range claims(u) {
		if !wanted[claim] {
			continue
		}
		exclusive, err := c.isExclusive(ctx, claim)
		if err != nil || exclusive {
			return claim, err
		}
	}
	return "", nil
}

// isExclusive reports whether two objects cannot hold the claim at once. A
// volume that many may mount is shared.
func (c *Cluster) isExclusive(ctx context.Context, claim string) (bool, error) {
	path, isVolume := strings.CutPrefix(claim, "volume claim ")
	if !isVolume {
		return true, nil
	}
	namespace, name, _ := strings.Cut(path, "/")
	pvc, err := c.readWhole(ctx, volumeClaims, placed{namespace, name})
	if err != nil || pvc == nil {
		return false, err
	}
	modes, _, _ := unstructured.NestedStringSlice(pvc.Object, "spec", "accessModes")
	return !slices.Contains(modes, "ReadWriteMany") && !slices.Contains(modes, "ReadOnlyMany"), nil
}

// mayClaim reports kinds that can hold something exclusive.
func mayClaim(ref gitops.ObjectRef) bool {
	switch ref.GroupKind() {
	case "Service", "Pod", "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps":
		return true
	}
	return false
}

// claims lists what an object holds that no second object can have.
func claims(u *unstructured.Unstructured) []string {
	if u.GetKind() == "Service" {
		return portClaims(u.Object, "node port", "nodePort", "spec", "ports")
	}
	path := []string{"spec", "template", "spec"}
	if u.GetKind() == "Pod" {
		path = []string{"spec"}
	}
	spec, _, _ := unstructured.NestedMap(u.Object, path...)
	var out []string
	for _, list := range []string{"containers", "initContainers"} {
		for _, container := range entries(spec, list) {
			out = append(out, portClaims(container, "host port", "hostPort", "ports")...)
		}
	}
	for _, volume := range entries(spec, "volumes") {
		if name, _, _ := unstructured.NestedString(volume, "persistentVolumeClaim", "claimName"); name != "" {
			out = append(out, fmt.Sprintf("volume claim %s/%s", cmp.Or(u.GetNamespace(), metav1.NamespaceDefault), name))
		}
	}
	return out
}

func portClaims(o map[string]any, what, field string, path ...string) []string {
	var out []string
	for _, port := range entries(o, path...) {
		number, _, _ := unstructured.NestedInt64(port, field)
		protocol, _, _ := unstructured.NestedString(port, "protocol")
		if number > 0 {
			if protocol == "" {
				protocol = "TCP"
			}
			out = append(out, fmt.Sprintf("%s %d/%s", what, number, protocol))
		}
	}
	return out
}

// entries reads a list of maps.
func entries(o map[string]any, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedSlice(o, path...)
	var out []map[string]any
	for _, entry := range list {
		if m, ok := entry.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// clearWay carries DeleteFirst out, and waits until the objects and what they
// own are gone: only then is what they held free. Looked is called after each
// look at what is not gone yet.
func (c *Cluster) clearWay(ctx context.Context, plan gitops.Plan, looked func()) ([]gitops.Change, error) {
	var changes []gitops.Change
	for _, change := range plan.DeleteFirst {
		made, err := c.delete(ctx, plan.Source, change, metav1.DeletePropagationForeground)
		changes = append(changes, made)
		if err != nil {
			return changes, err
		}
		if made.Action != gitops.Deleted {
			continue
		}
		r, err := c.address(ctx, change.Ref, false, true)
		if err == nil {
			err = c.gone(ctx, r, placed{r.namespaceOf(change.Ref), change.Ref.Name}, types.UID(made.Item.UID), cleared(plan), looked)
		}
		if err != nil && ctx.Err() == nil {
			return changes, c.failure("delete", &change.Ref, err)
		}
	}
	return changes, ctx.Err()
}
