// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// mostProblems is how many unhealthy objects the status lists.
const mostProblems = 20

// published is what others may read of a source: a value, never the live one.
type published struct {
	source    gitops.SourceStatus
	cluster   gitops.ClusterStatus
	clusterAt time.Time
	later     error // why something comes later, for the link's status
	floor     time.Time
}

// stage shows what the source is doing.
func (s *source) stage(ctx context.Context, stage gitops.Stage) {
	s.touch()
	if s.view.stage == stage {
		return
	}
	s.view.stage = stage
	s.view.progress = ""
	s.publishNow(ctx)
}

// progress shows how far an apply is, once a second at most. The loop waits in
// Apply meanwhile, so the view is the callback's; calls come one at a time.
func (s *source) progress(ctx context.Context) func(done, total int) {
	var mu sync.Mutex
	last := s.now()
	return func(done, total int) {
		s.touch()
		mu.Lock()
		defer mu.Unlock()
		if s.now().Sub(last) < time.Second {
			return
		}
		last = s.now()
		s.view.progress = fmt.Sprintf("applied %d of %d objects", done, total)
		s.publishNow(ctx)
	}
}

// publishNow shows the journal's state as it is now, with what was seen since.
func (s *source) publishNow(ctx context.Context) {
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return // going down, or the journal is away: the last status stands
	}
	s.publish(state)
}

func (s *source) publish(state gitops.SourceState) {
	v := &s.view
	if v.stage == "" {
		v.stage = gitops.StageWaiting
	}
	st := gitops.SourceStatus{
		Name: s.cfg.Name, URL: s.cfg.URL, Ref: s.cfg.Ref,
		Phase: v.stage, Progress: v.progress, Cycle: v.cycles,
		Observed: v.observed, Verified: state.Accepted, Applied: state.Applied, Healthy: state.Healthy,
		Failed: v.failed, Hold: state.Hold, Suspended: state.Suspended,
		Bundles:  bundles(v.want, v.health),
		Problems: problems(v.health),
		Pending:  refs(v.pending),
		Drift:    gitops.DriftStatus{Detected: v.detected, Corrected: v.repaired, Objects: refs(slices.Concat(v.drifted, v.fighting))},
		Link:     s.link(v.later()),
		Waiver:   state.Waiver, Heartbeat: told(state.Learned.Heartbeat), TrustVersion: state.Learned.TrustVersion,
		Warnings: slices.Concat(s.cfg.Verifier.Warnings(), warnings(*v)),
	}
	if headRefused(*v, state) {
		st.Refused = state.Refused // an older refusal is history
	}
	v.conditions = conditions(*v, state, v.conditions, s.now())
	st.Conditions = v.conditions
	s.published.Store(&published{source: st, cluster: v.cluster, clusterAt: v.clusterAt, later: v.later(), floor: state.Learned.Floor})
}

// link is how the link is at this moment. Where it has not failed, it says why
// something comes later; that more is on its way is progress, and no reason.
func (s *source) link(later error) gitops.LinkStatus {
	l := s.cfg.Git.Link()
	l.NextPoll = s.cfg.Git.NextPoll()
	if l.Reason == "" && later != nil && !isFetching(later) {
		l.Reason, l.Message = reasonFor(later), later.Error()
	}
	return l
}

// warnings names who else wants to have objects of ours.
func warnings(v view) []string {
	var out []string
	for _, c := range v.fighting {
		out = append(out, fmt.Sprintf("%s is changed back again and again: somebody else manages it too; its repair backs off", c.Ref))
	}
	return out
}

func bundles(want gitops.Manifests, h gitops.Health) []gitops.BundleStatus {
	out := make([]gitops.BundleStatus, 0, len(want.Bundles))
	for _, b := range want.Bundles {
		counts := h.Counts(b.Name)
		st := gitops.BundleStatus{Name: b.Name, Objects: counts, Health: gitops.Current}
		switch {
		case counts.Failed > 0:
			st.Health = gitops.Failed
		case counts.InProgress > 0:
			st.Health = gitops.InProgress
		case counts.Total == 0:
			st.Health = gitops.Unknown
		}
		out = append(out, st)
	}
	return out
}

func problems(h gitops.Health) []gitops.ObjectHealth {
	var out []gitops.ObjectHealth
	for _, o := range h.Objects {
		if o.Status != gitops.Current && len(out) < mostProblems {
			out = append(out, o)
		}
	}
	return out
}

func refs(changes []gitops.Change) []gitops.ObjectRef {
	out := make([]gitops.ObjectRef, 0, len(changes))
	for _, c := range changes {
		out = append(out, c.Ref)
	}
	return out
}
