// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"golang.org/x/sync/errgroup"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func cleared(plan gitops.Plan) time.Duration { return cmp.Or(plan.HealthTimeout, defaultTimeout) }

// Prune deletes what left Git, and takes our marks off what is released. What
// is gone already counts as deleted; what is no longer labelled as ours is left
// alone and forgotten. Deletion is in the background: an object that a
// finalizer holds must not hold up the source. It never waits.
//
// An object that cannot be deleted does not stop the others: all changes are
// returned beside the error, which is PruneFailed. When the API server is out
// of reach, what is left is not tried.
func (c *Cluster) Prune(ctx context.Context, plan gitops.Plan) ([]gitops.Change, error) {
	return c.deleteAll(ctx, plan.Source, plan.Prune)
}

// deleteAll carries deletions out, stage by stage in the order given, those of
// one stage side by side.
func (c *Cluster) deleteAll(ctx context.Context, source string, todo []gitops.Change) ([]gitops.Change, error) {
	made := make([]gitops.Change, 0, len(todo))
	var errs []error
	var away atomic.Bool
	for len(todo) > 0 {
		n := 1
		for n < len(todo) && stageOf(todo[n].Ref) == stageOf(todo[0].Ref) {
			n++
		}
		done, failed := make([]gitops.Change, n), make([]error, n)
		var group errgroup.Group
		group.SetLimit(c.cfg.Concurrency)
		for i, change := range todo[:n] {
			group.Go(func() error {
				if away.Load() {
					return nil
				}
				done[i], failed[i] = c.delete(ctx, source, change, metav1.DeletePropagationBackground)
				if isOutOfReach(failed[i]) {
					away.Store(true)
				}
				return nil
			})
		}
		_ = group.Wait() // the errors are in failed
		if ctx.Err() != nil {
			return made, ctx.Err()
		}
		for i, err := range failed {
			if done[i].Action == "" {
				continue // not tried
			}
			made = append(made, done[i])
			if err != nil {
				errs = append(errs, err)
			}
		}
		todo = todo[n:]
	}
	return made, pruneFailed(errs)
}

// isOutOfReach reports that the API server could not be asked, or not by us.
func isOutOfReach(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.APIUnreachable, gitops.APIUnauthorized, gitops.KubeconfigError:
		return true
	}
	return false
}

// pruneFailed sums errors of deletions up. An API server that is away is not a
// failed prune, whatever else was refused: it is tried again as it is.
func pruneFailed(errs []error) error {
	if i := slices.IndexFunc(errs, isOutOfReach); i >= 0 {
		return errs[i]
	}
	err := summary(errs)
	e, ok := asError(err)
	if !ok || e.Reason == gitops.Forbidden {
		return err
	}
	e.Reason, e.Remedy = gitops.PruneFailed, "see what holds the objects with kubectl get -o yaml; the deletion is tried again"
	return e
}

// delete carries one change of a prune out.
func (c *Cluster) delete(ctx context.Context, source string, change gitops.Change, how metav1.DeletionPropagation) (gitops.Change, error) {
	if change.Reason == gitops.BecauseReleased && change.Action == gitops.Skipped {
		return change, nil
	}
	err := c.tryDelete(ctx, source, &change, how)
	if apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
		err = c.tryDelete(ctx, source, &change, how) // its UID is another one by now: look again
	}
	if err == nil {
		return change, nil
	}
	err = c.failure("delete", &change.Ref, err)
	change.Action, change.Reason, change.Message = gitops.FailedToDo, gitops.ReasonOf(err), err.Error()
	return change, err
}

func (c *Cluster) tryDelete(ctx context.Context, source string, change *gitops.Change, how metav1.DeletionPropagation) error {
	r, err := c.address(ctx, change.Ref, false, true)
	if errors.Is(err, errNoKind) {
		change.Message = "its kind is gone"
		return nil
	}
	if err != nil {
		return err
	}
	at := placed{r.namespaceOf(change.Ref), change.Ref.Name}
	var meta metav1.ObjectMeta
	if err := c.read(ctx, r, at, func(m metav1.ObjectMeta) { meta = m }); err != nil {
		return err
	}
	switch {
	case meta.UID == "":
		change.Message = "it was gone already"
		return nil
	case meta.Labels[partOfLabel] != SetID(source):
		*change = forgotten(*change, "it is no longer labelled as ours")
		return nil
	case change.Reason == gitops.BecauseReleased:
		return c.release(ctx, r, at, meta)
	}
	change.Item.UID = string(meta.UID)
	if meta.DeletionTimestamp != nil {
		change.Message = "it is being deleted already"
		return nil
	}
	if err := c.remove(ctx, r, at, meta.UID, how); err != nil {
		return err
	}
	if s := c.stream(source, r); s != nil {
		s.removed(at, string(meta.UID))
	}
	return nil
}

// release takes our label and annotation off an object that stays.
func (c *Cluster) release(ctx context.Context, r resource, at placed, meta metav1.ObjectMeta) error {
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":         meta.UID, // refused if it is another object by now
		"labels":      map[string]any{partOfLabel: nil},
		"annotations": map[string]any{digestAnnotation: nil},
	}})
	if err != nil {
		return err
	}
	err = c.call(ctx, func(ctx context.Context, conn *connection) error {
		_, err := conn.metadata.Resource(r.GroupVersionResource).Namespace(at.namespace).
			Patch(ctx, at.name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Orphan forgets a source and leaves its objects: they lose our marks, and the
// ApplySet's parent goes.
func (c *Cluster) Orphan(ctx context.Context, source string, inv gitops.Inventory) error {
	if err := c.checkWriter(ctx, source); err != nil {
		return err
	}
	todo := make([]gitops.Change, 0, len(inv))
	for _, item := range inv {
		todo = append(todo, released(gitops.Change{Ref: item.Ref, Item: item}))
	}
	slices.SortStableFunc(todo, lastFirst)
	if _, err := c.deleteAll(ctx, source, todo); err != nil {
		return err
	}
	return c.removeParent(ctx, source)
}

// Delete forgets a source and deletes its objects, except those that say they
// must be kept.
func (c *Cluster) Delete(ctx context.Context, source string, inv gitops.Inventory) ([]gitops.Change, error) {
	if err := c.checkWriter(ctx, source); err != nil {
		return nil, err
	}
	q := question{source: source}
	for _, item := range inv {
		q.owned = append(q.owned, item.Ref)
	}
	seen, err := c.observe(ctx, q)
	if err != nil {
		return nil, err
	}
	todo := make([]gitops.Change, 0, len(inv))
	for _, item := range inv {
		change := gitops.Change{Ref: item.Ref, Action: gitops.Deleted, Reason: gitops.BecausePruned, Item: item}
		if seen[item.Ref.Key()].marks.keep {
			change = released(change)
		}
		todo = append(todo, change)
	}
	slices.SortStableFunc(todo, lastFirst)
	changes, err := c.deleteAll(ctx, source, todo)
	if err != nil {
		return changes, err
	}
	return changes, c.removeParent(ctx, source)
}

func (c *Cluster) removeParent(ctx context.Context, source string) error {
	c.follow(source, nil)
	parent, found, err := c.parent(ctx, source)
	if err != nil || !found {
		return err
	}
	ref := parentRef(source)
	r := resource{configMaps, true}
	return c.failure("delete", &ref, c.remove(ctx, r, placed{parentNamespace, source}, parent.UID, metav1.DeletePropagationBackground))
}
