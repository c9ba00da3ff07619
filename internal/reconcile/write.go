// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// kindWait is how long a kind may take to be served after its definition was
// established: the API server publishes it a moment later.
const kindWait = 15 * time.Second

// pollFirst and pollMost are the pauses between two looks at something that
// is under way.
const (
	pollFirst = 200 * time.Millisecond
	pollMost  = 2 * time.Second
)

// address finds out how an object of a kind is addressed. A kind that the set
// itself brings is waited for, any other one is unknown at once.
func (c *Cluster) address(ctx context.Context, ref gitops.ObjectRef, brought, anyVersion bool) (resource, error) {
	var r resource
	until := time.Now().Add(kindWait)
	for fresh := false; ; fresh = true {
		err := c.call(ctx, func(ctx context.Context, conn *connection) error {
			served, err := conn.served(ctx, fresh)
			if err == nil {
				r, err = served.find(ref, anyVersion)
			}
			return err
		})
		if !errors.Is(err, errNoKind) {
			return r, err
		}
		if fresh && (!brought || time.Now().After(until)) {
			return r, err
		}
		if fresh {
			if err := sleep(ctx, pollFirst); err != nil {
				return r, err
			}
		}
	}
}

// patch sends one manifest by server-side apply and returns the metadata that
// the API server answered with: the whole object is not needed.
func (c *Cluster) patch(ctx context.Context, source string, m gitops.Manifest, r resource, dryRun bool) (metav1.ObjectMeta, error) {
	data, err := body(m, source, r.namespaceOf(m.Ref))
	if err != nil {
		return metav1.ObjectMeta{}, err
	}
	force := true
	opts := metav1.PatchOptions{FieldManager: fieldManager, Force: &force}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	var meta metav1.ObjectMeta
	err = c.call(ctx, func(ctx context.Context, conn *connection) error {
		o, err := conn.metadata.Resource(r.GroupVersionResource).Namespace(r.namespaceOf(m.Ref)).
			Patch(ctx, m.Ref.Name, types.ApplyPatchType, data, opts)
		if err == nil {
			meta = o.ObjectMeta
		}
		return err
	})
	return meta, err
}

// fold makes the fields that others hold ours, for the managers that fits
// picks. Applying the manifest then removes those that it does not have.
func (c *Cluster) fold(ctx context.Context, r resource, at placed, fits func(metav1.ManagedFieldsEntry) bool) error {
	return c.call(ctx, func(ctx context.Context, conn *connection) error {
		objects := conn.metadata.Resource(r.GroupVersionResource).Namespace(at.namespace)
		o, err := objects.Get(ctx, at.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := foldPatch(o, fits)
		if err != nil || data == nil {
			return err
		}
		_, err = objects.Patch(ctx, at.name, types.JSONPatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
		return err // a conflict is tried again, with another look
	})
}

// foldPatch is a JSON patch of the managed fields, nil if nothing fits.
func foldPatch(o *metav1.PartialObjectMetadata, fits func(metav1.ManagedFieldsEntry) bool) ([]byte, error) {
	names := sets.Set[string]{}
	for i := range o.ManagedFields {
		e := &o.ManagedFields[i]
		if e.Subresource == "" && !isOurs(*e) && fits(*e) {
			// The library joins Update entries, one for each name.
			e.Manager, e.Operation = fmt.Sprintf("folded-%d", i), metav1.ManagedFieldsOperationUpdate
			names.Insert(e.Manager)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if err := csaupgrade.UpgradeManagedFields(o, names, fieldManager); err != nil {
		return nil, fmt.Errorf("join the managed fields of %s: %w", o.Name, err)
	}
	return json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": o.ManagedFields},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": o.ResourceVersion},
	})
}

// isOurs reports our own entry among the managed fields of an object.
func isOurs(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == fieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// fromKubectl fits the managers of kubectl's declarative commands.
func fromKubectl(e metav1.ManagedFieldsEntry) bool {
	if appliedByKubectl(e) {
		return true
	}
	for _, name := range kubectlManagers {
		if e.Manager == name && e.Operation == metav1.ManagedFieldsOperationUpdate {
			return true
		}
	}
	return false
}

// fromAnyone fits everybody but Kubernetes itself.
func fromAnyone(e metav1.ManagedFieldsEntry) bool { return !isControlPlane(e) }

// remove deletes one object if it still has the UID. It reports no error when
// the object is gone already.
func (c *Cluster) remove(ctx context.Context, r resource, at placed, uid types.UID, how metav1.DeletionPropagation) error {
	err := c.call(ctx, func(ctx context.Context, conn *connection) error {
		return conn.metadata.Resource(r.GroupVersionResource).Namespace(at.namespace).Delete(ctx, at.name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &how,
		})
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// gone waits until no object of that UID is there any more. Looked is called
// after each look.
func (c *Cluster) gone(ctx context.Context, r resource, at placed, uid types.UID, within time.Duration, looked func()) error {
	until, pause := time.Now().Add(within), pollFirst/4
	for {
		there := false
		if err := c.read(ctx, r, at, func(m metav1.ObjectMeta) { there = m.UID == uid }); err != nil {
			return err
		}
		looked()
		if !there {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("it was deleted %s ago and is still there: a finalizer holds it", within)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*2, pollMost)
	}
}
