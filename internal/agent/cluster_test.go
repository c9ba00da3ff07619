// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// liveObject is an object in the cluster. Its value says how it does: "crash…"
// crashes, "pull…" cannot pull its image, "slow…" is not ready, "stuck…" never is,
// "job…" has run to its end, and everything else is Current.
type liveObject struct{ value, uid string }

// cluster is a tiny API server: objects with a value, a health and a UID. Its
// rules of planning are those of the real one, in small.
type cluster struct {
	mu     sync.Mutex
	uid    string
	made   int // objects that were ever created, for their UIDs
	live   map[gitops.ObjectKey]liveObject
	away   error    // what every call answers
	calls  []string // the steps that were asked for, in order
	writes int
	cured  bool     // everything becomes ready after all
	stuck  bool     // nothing becomes ready
	sick   []string // values that crash now, although they were healthy once
	// hook is called at the beginning of each step, and of "apply NAME": what it
	// returns fails the step. It may block until its context ends.
	hook     func(ctx context.Context, step string) error
	finished []finish
	orphaned []string
	asked    []gitops.PlanRequest
	waited   []gitops.HealthRequest
}

type finish struct {
	exact             gitops.Inventory
	accepted, healthy gitops.Revision
}

func newCluster() *cluster {
	return &cluster{uid: "cluster-1", live: map[gitops.ObjectKey]liveObject{}}
}

// enter notes a step, and holds the cluster's lock when there is no error.
func (c *cluster) enter(ctx context.Context, step string) error {
	c.mu.Lock()
	c.calls = append(c.calls, step)
	hook := c.hook
	c.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, step); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.away != nil {
		defer c.mu.Unlock()
		return c.away
	}
	return nil
}

// set changes the cluster while the agent may be running.
func (c *cluster) set(change func(c *cluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// edit changes an object by hand, "" deletes it.
func (c *cluster) edit(name, value string) {
	c.set(func(c *cluster) {
		o, ok := c.live[ref(name).Key()]
		switch {
		case value == "":
			delete(c.live, ref(name).Key())
			return
		case !ok:
			c.made++
			o.uid = fmt.Sprintf("uid-%d", c.made)
		}
		o.value = value
		c.live[ref(name).Key()] = o
	})
}

func (c *cluster) content() content {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := content{}
	for key, o := range c.live {
		out[key.Name] = o.value
	}
	return out
}

// since returns the steps after the first n, without looks.
func (c *cluster) since(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.calls[n:]), func(step string) bool {
		return step == "capabilities" || step == "health"
	})
}

// plans is what plans were asked for, and waits what was waited for.
func (c *cluster) plans() []gitops.PlanRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *cluster) waits() []gitops.HealthRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.waited)
}

func (c *cluster) count() (calls, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls), c.writes
}

// Capabilities implements agent.Cluster.
func (c *cluster) Capabilities(ctx context.Context) (gitops.Capabilities, error) {
	if err := c.enter(ctx, "capabilities"); err != nil {
		return gitops.Capabilities{}, err
	}
	defer c.mu.Unlock()
	return gitops.Capabilities{KubeVersion: "v1.37.2", ClusterUID: c.uid}, nil
}

// Apply implements agent.Writer. Values that begin with "fail" are refused, and
// the other objects are written all the same.
func (c *cluster) Apply(ctx context.Context, p gitops.Plan, progress func(done, total int)) ([]gitops.Change, error) {
	if err := c.enter(ctx, "apply"); err != nil {
		return nil, err
	}
	c.mu.Unlock()
	var changes []gitops.Change
	var failed error
	for i, change := range p.Apply {
		if err := c.enter(ctx, "apply "+change.Ref.Name); err != nil {
			return changes, err
		}
		m, _ := p.Manifests.Find(change.Ref.Key())
		if strings.HasPrefix(valueOf(m), "fail") {
			change.Action = gitops.FailedToDo
			failed = failure(gitops.ApplyFailed)
		} else {
			o, ok := c.live[change.Ref.Key()]
			if !ok {
				c.made++
				o.uid = fmt.Sprintf("uid-%d", c.made)
			}
			o.value = valueOf(m)
			c.live[change.Ref.Key()] = o
			c.writes++
			change.Item.UID = o.uid
		}
		c.mu.Unlock()
		changes = append(changes, change)
		progress(i+1, len(p.Apply))
	}
	return changes, failed
}

// Prune implements agent.Writer.
func (c *cluster) Prune(ctx context.Context, p gitops.Plan) ([]gitops.Change, error) {
	if err := c.enter(ctx, "prune"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	for _, change := range p.Prune {
		if change.Action == gitops.Deleted {
			delete(c.live, change.Ref.Key())
			c.writes++
		}
	}
	return p.Prune, nil
}

// Finish implements agent.Writer.
func (c *cluster) Finish(ctx context.Context, _ string, exact gitops.Inventory, accepted, healthy gitops.Revision) error {
	if err := c.enter(ctx, "finish"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	c.finished = append(c.finished, finish{exact, accepted, healthy})
	return nil
}

// Orphan implements agent.Writer.
func (c *cluster) Orphan(ctx context.Context, source string, inv gitops.Inventory) error {
	if err := c.enter(ctx, "orphan"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, item := range inv {
		c.orphaned = append(c.orphaned, source+"/"+item.Ref.Name)
	}
	return nil
}

// Delete implements agent.Writer.
func (c *cluster) Delete(ctx context.Context, _ string, inv gitops.Inventory) (changes []gitops.Change, err error) {
	if err := c.enter(ctx, "delete"); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	for _, item := range inv {
		delete(c.live, item.Ref.Key())
		changes = append(changes, gitops.Change{Ref: item.Ref, Action: gitops.Deleted})
	}
	return changes, nil
}
