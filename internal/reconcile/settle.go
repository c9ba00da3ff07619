// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// timeout is how long one wait inside apply may take for a bundle's objects.
func (a *apply) timeout(bundle string) time.Duration {
	return cmp.Or(bundleOf(a.plan.Manifests.Bundles, bundle).Timeout, a.plan.HealthTimeout, defaultTimeout)
}

// settle waits until what a step wrote is healthy, because later steps need
// it, and cleans up after hooks. A bundle whose health does not decide does
// not hold up others either, once its time is over.
func (a *apply) settle(ctx context.Context, s *step) bool {
	var targets []target
	for _, key := range s.members {
		m := a.manifests[key]
		if m.Hook != nil && !runsOnce(m) {
			continue // e.g. a ConfigMap that hooks read: there once written
		}
		if t, counts := a.c.target(m, gitops.Item{}); counts || m.Hook != nil {
			t.decides = true
			targets = append(targets, t)
		}
	}
	wait := waiting{source: a.plan.Source, targets: targets, timeout: a.timeout(s.bundle), progress: func(gitops.Health) { a.looked() }}
	health, err := a.c.await(ctx, wait)
	a.hooks(ctx, s, health, err)
	if err == nil || ctx.Err() != nil {
		return err == nil
	}
	wanted := bundleOf(a.plan.Manifests.Bundles, s.bundle).Gate == gitops.GateWanted
	if wanted && s.at.stage != stageDefinitions {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs = append(a.errs, err)
	return false
}

// hooks records which hooks are done, and deletes those that say so.
func (a *apply) hooks(ctx context.Context, s *step, health gitops.Health, failed error) {
	for _, key := range s.members {
		m := a.manifests[key]
		if m.Hook == nil {
			continue
		}
		done := failed == nil || slices.ContainsFunc(health.Objects, func(o gitops.ObjectHealth) bool {
			return o.Ref.Key() == key && o.Completed
		})
		a.mu.Lock()
		change := a.made[key]
		if done {
			change.Item.Completed = m.Digest
			a.made[key] = change
		}
		a.mu.Unlock()
		policy := "hook-failed"
		if done {
			policy = "hook-succeeded"
		}
		if slices.Contains(m.Hook.DeletePolicy, policy) {
			// A hook that stays is only clutter, and is deleted before it runs again.
			if r, err := a.c.address(ctx, m.Ref, false, false); err == nil {
				_ = a.c.remove(ctx, r, placed{r.namespaceOf(m.Ref), m.Ref.Name}, types.UID(change.Item.UID), metav1.DeletePropagationBackground)
			}
		}
	}
}

// runsOnce reports the kinds that have an end.
func runsOnce(m gitops.Manifest) bool {
	return m.Ref.Group == "batch" && m.Ref.Kind == "Job" || m.Ref.Group == "" && m.Ref.Kind == "Pod"
}
