// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The parent of an ApplySet (KEP-3659) is a ConfigMap named after the source.
// Besides what kubectl expects of it, it says who writes and what is applied,
// so that the inventory can be rebuilt if the node's disk is lost.
const (
	idLabel              = "applyset.kubernetes.io/id"
	toolingAnnotation    = "applyset.kubernetes.io/tooling"
	groupKindsAnnotation = "applyset.kubernetes.io/contains-group-kinds"
	namespacesAnnotation = "applyset.kubernetes.io/additional-namespaces"

	writerKey   = "writer"
	acceptedKey = "accepted"
	healthyKey  = "healthy"
	sequenceKey = "sequence"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// errAgain makes an update of the parent start over: somebody wrote meanwhile.
var errAgain = errors.New("the parent was written meanwhile")

// parentTries bounds how often an update of the parent starts over.
const parentTries = 5

// checkWriter fails when another agent writes this source to the cluster.
func (c *Cluster) checkWriter(ctx context.Context, source string) error {
	_, _, err := c.parent(ctx, source)
	return err
}

// parent reads the parent; found is false when there is none yet. One that
// another node or tool wrote is an error: the first writer wins.
func (c *Cluster) parent(ctx context.Context, source string) (parent corev1.ConfigMap, found bool, err error) {
	ref := parentRef(source)
	err = c.call(ctx, func(ctx context.Context, conn *connection) error {
		u, err := conn.dynamic.Resource(configMaps).Namespace(parentNamespace).Get(ctx, source, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &parent)
	})
	if apierrors.IsNotFound(err) {
		return parent, false, nil
	}
	if err != nil {
		return parent, false, c.failure("read", &ref, err)
	}
	if tool, _, _ := strings.Cut(parent.Annotations[toolingAnnotation], "/"); tool != "" && tool != fieldManager {
		return parent, true, foreignWriter(ref, "the tool "+tool)
	}
	if writer := parent.Data[writerKey]; writer != "" && !c.isWriter(writer) {
		return parent, true, foreignWriter(ref, "the agent of node "+writer)
	}
	return parent, true, nil
}

// Marked reports whether the cluster holds what this node applied of a source.
// It is a hint, never a proof: whoever may write ConfigMaps can make it.
func (c *Cluster) Marked(ctx context.Context, source string) (bool, error) {
	_, found, err := c.parent(ctx, source)
	if gitops.ReasonOf(err) == gitops.ForeignWriter {
		return false, nil // and nothing will be written
	}
	return found, err
}

// AcceptWriter makes the cluster take what a former name of this node wrote for
// ours: a person said that the node was renamed. The parent names the new one
// from its next write on.
func (c *Cluster) AcceptWriter(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.formerly = append(c.formerly, name)
}

func (c *Cluster) isWriter(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return name == c.cfg.Node || slices.Contains(c.formerly, name)
}

func foreignWriter(ref gitops.ObjectRef, who string) error {
	return &gitops.Error{
		Reason: gitops.ForeignWriter, Object: &ref,
		Message: fmt.Sprintf("%s says that %s writes source %s to this cluster: nothing was written", ref, who, ref.Name),
		Remedy:  fmt.Sprintf("stop the other one, or, if it is gone, run: kubectl delete configmap -n %s %s", ref.Namespace, ref.Name),
	}
}

func parentRef(source string) gitops.ObjectRef {
	return gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: parentNamespace, Name: source}
}

// announce makes the parent name every kind and namespace of the inventory, in
// addition to those it names already: it goes before the first write, so that
// whoever rebuilds the inventory from labels finds everything.
func (c *Cluster) announce(ctx context.Context, source string, union gitops.Inventory) error {
	return c.updateParent(ctx, source, func(parent *corev1.ConfigMap) bool {
		kinds, spaces := scope(union)
		kinds = merged(kinds, parent.Annotations[groupKindsAnnotation])
		spaces = merged(spaces, parent.Annotations[namespacesAnnotation])
		return setScope(parent, kinds, spaces)
	})
}

// Finish writes the exact kinds and namespaces and the revisions to the
// parent, at the end of an attempt.
func (c *Cluster) Finish(ctx context.Context, source string, exact gitops.Inventory, accepted, healthy gitops.Revision) error {
	if err := c.followInventory(ctx, source, exact); err != nil {
		return c.failure("learn about the kinds of the API server", nil, err)
	}
	return c.updateParent(ctx, source, func(parent *corev1.ConfigMap) bool {
		kinds, spaces := scope(exact)
		changed := setScope(parent, kinds, spaces)
		for key, value := range map[string]string{acceptedKey: string(accepted), healthyKey: string(healthy)} {
			changed = changed || parent.Data[key] != value
			parent.Data[key] = value
		}
		return changed
	})
}

// updateParent changes the parent, and writes it only if change reports that
// it did. A write by somebody else in between starts it over, and finds them.
func (c *Cluster) updateParent(ctx context.Context, source string, change func(*corev1.ConfigMap) bool) error {
	ref := parentRef(source)
	err := errAgain
	for n := 0; n < parentTries && errors.Is(err, errAgain); n++ {
		err = c.tryParent(ctx, source, change)
	}
	return c.failure("update", &ref, err)
}

func (c *Cluster) tryParent(ctx context.Context, source string, change func(*corev1.ConfigMap) bool) error {
	parent, found, err := c.parent(ctx, source)
	if err != nil {
		return err
	}
	if parent.Data == nil {
		parent.Data = map[string]string{}
	}
	mine := parent.Data[writerKey] == c.cfg.Node && parent.Labels[idLabel] == SetID(source)
	if changed := change(&parent); found && mine && !changed {
		return nil
	}
	c.stamp(&parent, source)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&parent)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: content}
	return c.call(ctx, func(ctx context.Context, conn *connection) error {
		maps := conn.dynamic.Resource(configMaps).Namespace(parentNamespace)
		if found {
			// The resourceVersion in it makes this fail if somebody else wrote.
			_, err := maps.Update(ctx, u, metav1.UpdateOptions{FieldManager: fieldManager})
			return again(err)
		}
		_, err := maps.Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsNotFound(err) {
			if err := makeNamespace(ctx, conn); err != nil {
				return err
			}
			_, err = maps.Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
		}
		return again(err)
	})
}

// again turns a write that lost a race into errAgain.
func again(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return errAgain
	}
	return err
}

func makeNamespace(ctx context.Context, conn *connection) error {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": parentNamespace},
	}}
	_, err := conn.dynamic.Resource(namespaces).Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// stamp writes what does not depend on the change: whose set it is, and that
// it was written once more.
func (c *Cluster) stamp(parent *corev1.ConfigMap, source string) {
	parent.APIVersion, parent.Kind = "v1", "ConfigMap"
	parent.Name, parent.Namespace = source, parentNamespace
	parent.ManagedFields = nil
	parent.Labels = withEntry(parent.Labels, idLabel, SetID(source))
	parent.Annotations = withEntry(parent.Annotations, toolingAnnotation, fieldManager+"/"+c.cfg.Version)
	sequence, _ := strconv.ParseInt(parent.Data[sequenceKey], 10, 64) // unreadable counts as the first
	parent.Data[sequenceKey] = strconv.FormatInt(sequence+1, 10)
	parent.Data[writerKey] = c.cfg.Node
}

// scope lists the kinds and namespaces of an inventory.
func scope(inv gitops.Inventory) (kinds, spaces []string) {
	k, s := map[string]bool{}, map[string]bool{}
	for _, item := range inv {
		k[item.Ref.GroupKind()] = true
		if item.Ref.Namespace != "" && item.Ref.Namespace != parentNamespace {
			s[item.Ref.Namespace] = true
		}
	}
	return slices.Sorted(maps.Keys(k)), slices.Sorted(maps.Keys(s))
}

func merged(names []string, more string) []string {
	for _, name := range strings.Split(more, ",") {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func setScope(parent *corev1.ConfigMap, kinds, spaces []string) bool {
	changed := false
	for key, value := range map[string]string{groupKindsAnnotation: strings.Join(kinds, ","), namespacesAnnotation: strings.Join(spaces, ",")} {
		changed = changed || parent.Annotations[key] != value
		parent.Annotations = withEntry(parent.Annotations, key, value)
	}
	return changed
}
