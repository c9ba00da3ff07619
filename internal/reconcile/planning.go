// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Plan looks at the cluster and says what has to be written and deleted. It
// writes nothing.
func (c *Cluster) Plan(ctx context.Context, req gitops.PlanRequest) (gitops.Plan, error) {
	plan, err := c.compare(ctx, req)
	if err != nil || req.Look && plan.Empty() {
		return plan, err
	}
	// Only who is about to write has to know who else does, and what is broken
	// already: an idle cycle costs no request. An empty plan may begin an
	// attempt too, which waits for health and writes the parent.
	if err := c.checkWriter(ctx, req.Source); err != nil {
		return gitops.Plan{}, err
	}
	if err := c.deleteFirst(ctx, &plan); err != nil {
		return gitops.Plan{}, err
	}
	if req.Healthy == "" {
		// Nothing was healthy yet: whatever is not, is this source's fault.
		return plan, nil
	}
	before, err := c.unhealthy(ctx, plan, req.Owned)
	if err != nil {
		return gitops.Plan{}, err
	}
	plan.UnhealthyBefore = before
	return plan, nil
}

// compare is Plan without the looks that only a plan with changes needs.
func (c *Cluster) compare(ctx context.Context, req gitops.PlanRequest) (gitops.Plan, error) {
	if len(req.Want.Objects) == 0 {
		return gitops.Plan{}, &gitops.Error{
			Reason:  gitops.EmptyRender,
			Message: "source " + req.Source + " wants no object at all: everything it owns would be deleted",
			Remedy:  "to do that on purpose, run: edgeagent remove " + req.Source + " --prune",
		}
	}
	defined, err := defines(req.Want)
	if err != nil {
		return gitops.Plan{}, err
	}
	q := question{source: req.Source, brings: map[schema.GroupKind]bool{}}
	for gk := range defined {
		q.brings[gk] = true
	}
	items := req.Owned.Index()
	for _, m := range req.Want.Objects {
		annotations, err := annotationsOf(m)
		if err != nil {
			return gitops.Plan{}, err
		}
		asked := marksOf(annotations)
		done := items[m.Ref.Key()].Completed == m.Digest && !req.ClusterRebuilt
		if !asked.local && !asked.ignore && !done {
			q.want = append(q.want, m.Ref) // of the others nothing is asked, there or not
		}
	}
	for _, item := range req.Owned {
		q.owned = append(q.owned, item.Ref)
	}
	seen, err := c.observe(ctx, q)
	if err != nil {
		return gitops.Plan{}, err
	}
	return makePlan(req, seen)
}

// unhealthy is the objects that are not Current now and that the plan does not
// write: they cannot blame it.
func (c *Cluster) unhealthy(ctx context.Context, plan gitops.Plan, owned gitops.Inventory) ([]gitops.ObjectRef, error) {
	written := map[gitops.ObjectKey]bool{}
	for _, change := range plan.Apply {
		written[change.Ref.Key()] = true
	}
	rest := plan.Manifests
	rest.Objects = nil
	for _, m := range plan.Manifests.Objects {
		if !written[m.Ref.Key()] {
			rest.Objects = append(rest.Objects, m)
		}
	}
	health, err := c.Health(ctx, rest, owned)
	if err != nil {
		return nil, err
	}
	var out []gitops.ObjectRef
	for _, o := range health.Objects {
		if o.Status != gitops.Current {
			out = append(out, o.Ref)
		}
	}
	return out, nil
}
