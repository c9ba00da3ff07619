// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// defaultTimeout bounds a wait for health inside apply when neither the bundle
// nor the source sets one.
const defaultTimeout = 5 * time.Minute

// dependencyFailed marks objects that were not written because what they
// depend on failed.
const dependencyFailed gitops.Reason = "DependencyFailed"

// apply is one run of Apply. Its steps run side by side as far as their
// dependencies allow.
type apply struct {
	c         *Cluster
	plan      gitops.Plan
	manifests map[gitops.ObjectKey]gitops.Manifest
	planned   map[gitops.ObjectKey]gitops.Change
	brought   map[schema.GroupKind]bool // kinds that this plan defines
	slots     chan struct{}             // writes in flight
	progress  func(done, total int)
	// abort ends the run: the API server is away, so nothing more can be done.
	abort context.CancelCauseFunc

	mu   sync.Mutex
	made map[gitops.ObjectKey]gitops.Change
	errs []error
}

// Apply writes the plan's objects, in order. One object that fails does not
// stop those that do not depend on it: all changes are returned beside the
// error. When ctx ends, what was written so far is returned with its error.
//
// Progress is called, never twice at once, with each object that is done, and
// with the same numbers after each look while Apply waits: for health between
// two steps, or for an object to be gone. Looks are seconds apart at most while
// the API server answers, so who hears nothing for minutes watches a loop that
// hangs. It must not block.
func (c *Cluster) Apply(ctx context.Context, plan gitops.Plan, progress func(done, total int)) ([]gitops.Change, error) {
	settled := settledBefore(plan)
	if len(plan.Apply) == 0 && len(plan.DeleteFirst) == 0 {
		return settled, ctx.Err()
	}
	if err := c.announce(ctx, plan.Source, plan.Inventory); err != nil {
		return nil, err
	}
	changes, err := c.clearWay(ctx, plan, func() {
		if progress != nil {
			progress(0, len(plan.Apply))
		}
	})
	if err != nil {
		return changes, err
	}
	changes = append(changes, settled...)
	a, steps, err := c.newApply(plan, progress)
	if err != nil {
		return changes, err
	}
	err = a.run(ctx, steps)
	for _, change := range plan.Apply {
		if made, ok := a.made[change.Ref.Key()]; ok {
			changes = append(changes, made)
		}
	}
	return changes, err
}

// settledBefore is what needs no write but is news to the inventory: Jobs and
// hooks that a rollback does not run again, which are done for the digest that
// is wanted now, and objects that an attempt created and did not live to record.
func settledBefore(plan gitops.Plan) []gitops.Change {
	recorded := plan.Inventory.Index()
	var out []gitops.Change
	for _, change := range plan.Skipped {
		created := change.Reason == skippedCreateOnly && change.Item.UID != "" && isAnnounced(recorded[change.Ref.Key()])
		if change.Reason == gitops.BecauseCompleted || created {
			change.Action = gitops.Unchanged
			out = append(out, change)
		}
	}
	return out
}

func (c *Cluster) newApply(plan gitops.Plan, progress func(done, total int)) (*apply, []*step, error) {
	a := &apply{
		c: c, plan: plan, progress: progress,
		manifests: map[gitops.ObjectKey]gitops.Manifest{},
		planned:   map[gitops.ObjectKey]gitops.Change{},
		brought:   map[schema.GroupKind]bool{},
		slots:     make(chan struct{}, c.cfg.Concurrency),
		made:      map[gitops.ObjectKey]gitops.Change{},
	}
	for _, m := range plan.Manifests.Objects {
		a.manifests[m.Ref.Key()] = m
	}
	defined, err := defines(plan.Manifests)
	if err != nil {
		return nil, nil, err
	}
	for gk := range defined {
		a.brought[gk] = true
	}
	var members []member
	for _, change := range plan.Apply {
		key := change.Ref.Key()
		m, ok := a.manifests[key]
		if !ok {
			return nil, nil, fmt.Errorf("the plan writes %s, which its manifests do not hold", change.Ref)
		}
		annotations, err := annotationsOf(m)
		if err != nil {
			return nil, nil, err
		}
		needs, err := parseDependsOn(m.Ref, annotations[dependsOn])
		if err != nil {
			return nil, nil, err
		}
		a.planned[key] = change
		members = append(members, member{manifest: m, needs: needs})
	}
	steps, err := schedule(plan.Manifests.Bundles, members)
	return a, steps, err
}

// run carries the steps out and sums their errors up.
func (a *apply) run(ctx context.Context, steps []*step) error {
	runCtx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	a.abort = abort
	over := map[*step]chan struct{}{}
	for _, s := range steps {
		over[s] = make(chan struct{})
	}
	var wg sync.WaitGroup
	succeeded := sync.Map{}
	for _, s := range steps {
		wg.Go(func() {
			defer close(over[s])
			for _, before := range slices.Concat(s.after, s.needs) {
				<-over[before]
			}
			for _, need := range s.needs {
				if _, ok := succeeded.Load(need); !ok {
					a.skipStep(runCtx, s, need)
					return
				}
			}
			if a.step(runCtx, s) {
				succeeded.Store(s, true)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cause := context.Cause(runCtx); cause != nil {
		return cause
	}
	return summary(a.errs)
}

// step writes the members of a step and, where somebody waits for them, waits
// until they are healthy.
func (a *apply) step(ctx context.Context, s *step) bool {
	var wg sync.WaitGroup
	for _, key := range s.members {
		select {
		case a.slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return false
		}
		wg.Go(func() {
			defer func() { <-a.slots }()
			a.object(ctx, a.manifests[key], a.planned[key])
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return false
	}
	if a.anyFailed(s) {
		return false
	}
	return !s.awaited || a.settle(ctx, s)
}

func (a *apply) anyFailed(s *step) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(s.members, func(key gitops.ObjectKey) bool { return a.made[key].Action == gitops.FailedToDo })
}

// skipStep records that a step was not carried out.
func (a *apply) skipStep(ctx context.Context, s, need *step) {
	if ctx.Err() != nil {
		return
	}
	for _, key := range s.members {
		change := a.planned[key]
		change.Action, change.Reason = gitops.Skipped, dependencyFailed
		change.Message = "bundle " + need.bundle + " failed before it"
		a.record(change, nil)
	}
}

// record keeps what became of an object.
func (a *apply) record(change gitops.Change, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made[change.Ref.Key()] = change
	if err != nil {
		a.errs = append(a.errs, err)
	}
	a.report()
}

// looked tells the caller that the run is alive although no object is done: it
// waits, and has just looked again.
func (a *apply) looked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report()
}

// report is called with mu held, so that calls of progress come one by one.
func (a *apply) report() {
	if a.progress != nil {
		a.progress(len(a.made), len(a.planned))
	}
}

// fail records that an object could not be written. When the API server is out
// of reach, the whole run ends: the objects that are left would only wait, too.
func (a *apply) fail(change gitops.Change, err error) {
	err = a.c.failure("apply", &change.Ref, err)
	if isOutOfReach(err) {
		a.abort(err)
	}
	change.Action, change.Reason, change.Message = gitops.FailedToDo, gitops.ReasonOf(err), err.Error()
	a.record(change, err)
}

// severity orders reasons: the one that says most about the revision names the
// error of the whole apply.
var severity = map[gitops.Reason]int{
	gitops.Rejected: 3, gitops.InvalidManifest: 3, gitops.UnknownKind: 3, gitops.ApplyFailed: 1, gitops.ServerError: 1,
	gitops.Forbidden: 0, gitops.HealthTimeout: 2, gitops.HealthFailed: 2, gitops.CrashLoop: 2,
	gitops.ImageName: 2, gitops.JobFailed: 2, gitops.ImagePull: 1, gitops.Unschedulable: 1, gitops.NodePressure: 1,
}

// summary is one error for all, nil for none.
func summary(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	errs = slices.Clone(errs)
	slices.SortStableFunc(errs, func(a, b error) int {
		return cmp.Or(cmp.Compare(severity[gitops.ReasonOf(b)], severity[gitops.ReasonOf(a)]), strings.Compare(a.Error(), b.Error()))
	})
	var first gitops.Error
	if e, ok := asError(errs[0]); ok {
		first = *e
	} else {
		first = gitops.Error{Reason: gitops.ApplyFailed, Message: errs[0].Error()}
	}
	for i, err := range errs[1:] {
		if i+1 == maxNamed {
			first.Message += fmt.Sprintf("; and %d more", len(errs)-maxNamed)
			break
		}
		text := err.Error()
		if e, ok := asError(err); ok {
			text = e.Message
		}
		first.Message += "; " + text
	}
	return &first
}
