// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// object writes one object and records what became of it.
func (a *apply) object(ctx context.Context, m gitops.Manifest, change gitops.Change) {
	brought := a.brought[schema.GroupKind{Group: m.Ref.Group, Kind: m.Ref.Kind}]
	r, err := a.c.address(ctx, m.Ref, brought, false)
	if errors.Is(err, errNoKind) {
		err = unknownKind(m.Ref)
	}
	var meta metav1.ObjectMeta
	if err == nil {
		err = a.prepare(ctx, m, r, change)
	}
	if err == nil {
		meta, err = a.send(ctx, m, r, change)
	}
	if ctx.Err() != nil {
		return // interrupted: whether it arrived shows the next look
	}
	if err != nil {
		a.fail(change, err)
		return
	}
	now := summarize(meta)
	if s := a.c.stream(a.plan.Source, r); s != nil {
		s.wrote(placed{r.namespaceOf(m.Ref), m.Ref.Name}, now)
	}
	a.record(outcome(change, now), nil)
}

// outcome compares what is there after the write with what was there before.
func outcome(change gitops.Change, l live) gitops.Change {
	before := change.Item
	switch {
	case before.UID != l.uid:
		change.Action = gitops.Created
	// The entry's time has whole seconds: what was changed and restored within
	// one shows in the digest only.
	case change.Reason == gitops.BecauseDrift && before.Fields == l.fields && change.Seen == l.digest:
		change.Action = gitops.Unchanged
	default:
		change.Action = gitops.Configured
	}
	change.Item.UID, change.Item.Fields = l.uid, l.fields
	return change
}

// prepare does what has to come before the write: an older run of a hook goes,
// and fields that kubectl holds become ours.
func (a *apply) prepare(ctx context.Context, m gitops.Manifest, r resource, change gitops.Change) error {
	at, uid := placed{r.namespaceOf(m.Ref), m.Ref.Name}, types.UID(change.Item.UID)
	switch {
	case uid == "":
		return nil
	case m.Hook != nil:
		if len(m.Hook.DeletePolicy) > 0 && !slices.Contains(m.Hook.DeletePolicy, "before-hook-creation") {
			return nil
		}
		if err := a.c.remove(ctx, r, at, uid, metav1.DeletePropagationBackground); err != nil {
			return err
		}
		return a.c.gone(ctx, r, at, uid, a.timeout(m.Bundle), a.looked)
	case change.Reason == becauseAdopted:
		return a.c.fold(ctx, r, at, fromKubectl)
	case change.Reason == becauseForeign:
		return a.c.fold(ctx, r, at, fromAnyone)
	}
	return nil
}

// send applies the object, again when it was on its way out or has to be
// recreated.
func (a *apply) send(ctx context.Context, m gitops.Manifest, r resource, change gitops.Change) (metav1.ObjectMeta, error) {
	meta, err := a.c.patch(ctx, a.plan.Source, m, r, false)
	at := placed{r.namespaceOf(m.Ref), m.Ref.Name}
	switch {
	case isImmutable(err) && change.Reason == gitops.BecauseReplaced:
		// The old one was on its way out already.
		if err := a.c.gone(ctx, r, at, types.UID(change.Item.UID), a.timeout(m.Bundle), a.looked); err != nil {
			return meta, err
		}
	case isImmutable(err) && change.Item.UID != "":
		if !slices.Contains(a.plan.Forced, m.Ref.Key()) {
			return meta, err
		}
		uid := types.UID(change.Item.UID)
		if err := a.c.remove(ctx, r, at, uid, metav1.DeletePropagationBackground); err != nil {
			return meta, err
		}
		if err := a.c.gone(ctx, r, at, uid, a.timeout(m.Bundle), a.looked); err != nil {
			return meta, err
		}
	case err == nil && meta.DeletionTimestamp != nil:
		// What was written goes away with the object: wait, and write it anew.
		if err := a.c.gone(ctx, r, at, meta.UID, a.timeout(m.Bundle), a.looked); err != nil {
			return meta, err
		}
	default:
		return meta, err
	}
	return a.c.patch(ctx, a.plan.Source, m, r, false)
}

// mayRecreate reports whether the object may be deleted to change what cannot
// be changed. A whole bundle's force does not reach what holds data or other
// objects: for those, the object itself must say so.
func mayRecreate(m gitops.Manifest, bundle gitops.Bundle, asked marks) bool {
	return asked.force || bundle.Force && !asked.keep && !isPrecious(m.Ref)
}

// DryRun has the API server judge every object that the plan changes, without
// writing. What the plan itself brings cannot be judged yet and is left out:
// objects of new kinds, in new namespaces, and what needs a place that
// DeleteFirst frees. Drift was accepted before and is not asked about.
func (c *Cluster) DryRun(ctx context.Context, plan gitops.Plan) error {
	a, _, err := c.newApply(plan, nil)
	if err != nil {
		return err
	}
	fresh, err := newGround(plan)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var refused []error
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Concurrency)
	for _, change := range plan.Apply {
		m := a.manifests[change.Ref.Key()]
		if change.Reason == gitops.BecauseDrift || change.Reason == becauseForeign || fresh.covers(m.Ref) {
			continue
		}
		group.Go(func() error {
			err := a.judge(ctx, m, change)
			switch gitops.ReasonOf(err) {
			case gitops.Rejected, gitops.InvalidManifest, gitops.UnknownKind:
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, err)
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return summary(refused)
}

// judge dry-runs one object.
func (a *apply) judge(ctx context.Context, m gitops.Manifest, change gitops.Change) error {
	r, err := a.c.address(ctx, m.Ref, false, false)
	if errors.Is(err, errNoKind) {
		return unknownKind(m.Ref)
	}
	if err == nil {
		_, err = a.c.patch(ctx, a.plan.Source, m, r, true)
	}
	if err == nil {
		return nil
	}
	if isImmutable(err) && change.Item.UID != "" {
		// A hook is deleted before it runs, what may be recreated will be.
		if m.Hook != nil || change.Reason == gitops.BecauseReplaced || slices.Contains(a.plan.Forced, m.Ref.Key()) {
			return nil
		}
	}
	return a.c.failure("apply (dry run)", &m.Ref, err)
}
