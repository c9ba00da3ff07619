// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Health implements agent.Cluster.
func (c *cluster) Health(ctx context.Context, want gitops.Manifests, _ gitops.Inventory) (gitops.Health, error) {
	if err := c.enter(ctx, "health"); err != nil {
		return gitops.Health{}, err
	}
	defer c.mu.Unlock()
	return c.look(want, nil), nil
}

func (c *cluster) look(want gitops.Manifests, unhealthyBefore []gitops.ObjectRef) gitops.Health {
	var h gitops.Health
	for _, m := range want.Objects {
		o := c.healthOf(m)
		o.Decides = !slices.Contains(unhealthyBefore, m.Ref)
		h.Objects = append(h.Objects, o)
	}
	return h
}

func (c *cluster) healthOf(m gitops.Manifest) gitops.ObjectHealth {
	h := gitops.ObjectHealth{Ref: m.Ref, Bundle: m.Bundle, Status: gitops.Current}
	o, ok := c.live[m.Ref.Key()]
	switch kind := strings.TrimRight(o.value, "0123456789"); {
	case !ok:
		h.Status = gitops.NotFound
	case kind == "crash" && !c.cured || slices.Contains(c.sick, o.value):
		h.Status, h.Reason = gitops.Failed, gitops.CrashLoop
	case kind == "pull" && !c.cured:
		h.Status, h.Reason = gitops.InProgress, gitops.ImagePull
	case kind == "slow" && !c.cured || kind == "stuck" || c.stuck:
		h.Status = gitops.InProgress
	case kind == "job":
		h.Completed = true
	}
	return h
}

// Wait implements agent.Cluster: it looks every five seconds.
func (c *cluster) Wait(ctx context.Context, r gitops.HealthRequest) (gitops.Health, error) {
	if err := c.enter(ctx, "wait"); err != nil {
		return gitops.Health{}, err
	}
	c.waited = append(c.waited, r)
	c.mu.Unlock()
	began, stable := time.Now(), time.Now()
	for {
		c.mu.Lock()
		h, away := c.look(r.Plan.Manifests, r.Plan.UnhealthyBefore), c.away
		c.mu.Unlock()
		if away != nil {
			return h, away
		}
		r.Progress(h)
		blocking := h.Blocking()
		if len(blocking) > 0 {
			stable = time.Now()
		}
		for _, o := range blocking {
			if o.Reason != "" {
				return h, failure(o.Reason)
			}
		}
		switch now := time.Now(); {
		case len(blocking) == 0 && now.Sub(stable) >= r.Stable:
			return h, nil
		case now.Sub(began) >= r.Timeout:
			return h, failure(gitops.HealthTimeout)
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
}
