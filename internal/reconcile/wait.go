// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// waiting is a wait for health.
type waiting struct {
	source  string
	targets []target
	timeout time.Duration
	stable  time.Duration
	// progress is called after each look, with the newest answer there is.
	progress func(gitops.Health)
}

// Wait waits until the objects of a plan are healthy and have been so for the
// stable time. What the attempt wrote decides, and what was Current when it
// began; an object that was broken before and was not touched cannot hold up
// an update. It ends early when an object is known to have failed.
func (c *Cluster) Wait(ctx context.Context, req gitops.HealthRequest) (gitops.Health, error) {
	before := map[gitops.ObjectKey]bool{}
	for _, ref := range req.Plan.UnhealthyBefore {
		before[ref.Key()] = true
	}
	for _, change := range req.Changes {
		switch change.Action {
		case gitops.Created, gitops.Configured:
			delete(before, change.Ref.Key())
		}
	}
	left := map[gitops.ObjectKey]bool{}
	for _, change := range req.Plan.Skipped {
		left[change.Ref.Key()] = change.Reason != skippedCreateOnly
	}
	items := req.Plan.Inventory.Index()
	w := waiting{source: req.Source, timeout: req.Timeout, stable: req.Stable, progress: req.Progress}
	for _, m := range req.Plan.Manifests.Objects {
		key := m.Ref.Key()
		t, counts := c.target(m, items[key])
		if !counts || left[key] {
			continue
		}
		t.decides = !before[key] && bundleOf(req.Plan.Manifests.Bundles, m.Bundle).Gate != gitops.GateWanted
		w.targets = append(w.targets, t)
	}
	return c.await(ctx, w)
}

// await looks until nothing blocks any more for the stable time. An API server
// that is away meanwhile is nobody's fault: that time does not count.
func (c *Cluster) await(ctx context.Context, w waiting) (gitops.Health, error) {
	p, pause, seen := newPatience(time.Now(), w.timeout), pollFirst, newRestarts()
	var healthy time.Time // since when nothing blocks
	var last gitops.Health
	for {
		began := time.Now()
		health, err := c.states(ctx, w.targets, seen)
		p.looked(began, time.Now(), err == nil)
		if ctx.Err() != nil {
			return last, ctx.Err()
		}
		if err == nil {
			last = health
			w.complete(health)
		}
		if w.progress != nil {
			w.progress(last)
		}
		if err == nil {
			blocking := health.Blocking()
			if i := slices.IndexFunc(blocking, func(o gitops.ObjectHealth) bool { return o.Status == gitops.Failed }); i >= 0 {
				return health, unhealthy(blocking, 0)
			}
			switch {
			case len(blocking) > 0:
				healthy = time.Time{}
			case healthy.IsZero():
				healthy = time.Now()
			}
			if !healthy.IsZero() && (time.Since(healthy) >= w.stable || !w.canChange()) {
				return health, nil
			}
		}
		if time.Now().After(p.end()) {
			if err != nil {
				return last, err
			}
			if blocking := health.Blocking(); len(blocking) > 0 {
				return health, unhealthy(blocking, w.timeout)
			}
			return health, notStable(w.timeout, w.stable)
		}
		if err := sleep(ctx, w.pause(pause, healthy, p.end())); err != nil {
			return last, err
		}
		pause = min(pause*2, pollMost)
	}
}

// pause is how long to wait for the next look: not past the moment at which it
// could be decisive.
func (w waiting) pause(pause time.Duration, healthy, until time.Time) time.Duration {
	if !healthy.IsZero() {
		pause = min(pause, max(time.Until(healthy.Add(w.stable)), time.Millisecond))
	}
	return min(pause, max(time.Until(until), 0)+time.Millisecond)
}

// complete remembers what ran to its end: Kubernetes may remove it before the
// next look.
func (w waiting) complete(h gitops.Health) {
	for i, o := range h.Objects {
		w.targets[i].completed = w.targets[i].completed || o.Completed
	}
}

// canChange reports whether any object that decides could turn unhealthy
// again: a ConfigMap cannot, nor a namespace or definition that is there, and
// they need no stable time.
func (w waiting) canChange() bool {
	return slices.ContainsFunc(w.targets, func(t target) bool {
		ref := t.manifest.Ref
		return t.decides && !t.completed && !isAlwaysCurrent(ref) && ref.Kind != "Namespace" && ref.Kind != "CustomResourceDefinition"
	})
}

// hostReasons are causes that lie with the node, its link or its disk.
var hostReasons = []gitops.Reason{gitops.ImagePull, gitops.Unschedulable, gitops.NodePressure}

// unhealthy names what blocks. The reason is the revision's own fault where
// one is known, the host's only if nothing else blocks.
func unhealthy(blocking []gitops.ObjectHealth, after time.Duration) error {
	sorted := slices.Clone(blocking)
	weight := func(o gitops.ObjectHealth) int {
		switch {
		case o.Status == gitops.Failed && !slices.Contains(hostReasons, o.Reason):
			return 0
		case slices.Contains(hostReasons, o.Reason):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(sorted, func(a, b gitops.ObjectHealth) int { return cmp.Compare(weight(a), weight(b)) })
	first := sorted[0]
	e := &gitops.Error{Reason: first.Reason, Object: &first.Ref, Remedy: "see edgeagent status, and kubectl describe for the objects named"}
	switch {
	case e.Reason == "" && first.Status == gitops.Failed:
		e.Reason = gitops.HealthFailed
	case e.Reason == "":
		e.Reason = gitops.HealthTimeout
	}
	if after > 0 {
		e.Message = fmt.Sprintf("not healthy after %s: ", after)
	}
	for i, o := range sorted {
		if i == maxNamed {
			e.Message += fmt.Sprintf("; and %d more", len(sorted)-maxNamed)
			break
		}
		if i > 0 {
			e.Message += "; "
		}
		e.Message += fmt.Sprintf("%s is %s", o.Ref, o.Status)
		if o.Message != "" {
			e.Message += " (" + o.Message + ")"
		}
	}
	return e
}

func notStable(timeout, stable time.Duration) error {
	return &gitops.Error{
		Reason:  gitops.HealthTimeout,
		Message: fmt.Sprintf("every object is Current, but within %s none of it stayed so for %s", timeout, stable),
		Remedy:  "see which pods restart, or set health.timeout well above health.stable",
	}
}
