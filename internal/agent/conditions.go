// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// conditions says in Kubernetes' form where a source stands. It is pure; last
// gives the transition times of what did not change.
func conditions(v view, state gitops.SourceState, last []gitops.Condition, now time.Time) []gitops.Condition {
	out := []gitops.Condition{
		ready(v, state),
		reconciling(v),
		stalled(v),
		reachable(v),
		verified(v, state),
		trusted(v, state),
		healthy(v, state),
		yes(gitops.ConditionDrifted, v.differ() > 0, gitops.BecauseDrift, fmt.Sprintf("%d objects differ from Git", v.differ())),
		yes(gitops.ConditionPrunePending, len(v.pending) > 0, gitops.PrunePending,
			fmt.Sprintf("%d deletions wait for: edgeagent sync --allow-prune=%d", len(v.pending), len(v.pending))),
		heldAt(state),
		stale(v),
	}
	for i := range out {
		out[i].LastTransitionTime = now
		j := slices.IndexFunc(last, func(c gitops.Condition) bool { return c.Type == out[i].Type })
		if j >= 0 && last[j].Status == out[i].Status {
			out[i].LastTransitionTime = last[j].LastTransitionTime
		}
	}
	return out
}

// ready is True when the newest head is verified, applied and healthy.
func ready(v view, state gitops.SourceState) gitops.Condition {
	c := gitops.Condition{Type: gitops.ConditionReady, Status: "False"}
	switch {
	case state.Suspended != nil:
		c.Reason, c.Message = gitops.IsSuspended, state.Suspended.Reason
	case headRefused(v, state):
		c.Reason, c.Message = state.Refused.Reason, state.Refused.Message
	case v.undecided != nil:
		c.Reason, c.Message = reasonFor(v.undecided), v.undecided.Error()
	case v.distrusts(state):
		c.Reason, c.Message = reasonFor(v.distrusted), v.distrusted.Error()
	case state.Hold != nil:
		c.Reason, c.Message = gitops.HeldBack, "held at "+state.Hold.Revision.Short()
	case v.failed != nil && v.behind:
		c.Reason, c.Message = v.failed.Reason, v.failed.Message
	case v.stalled != nil:
		c.Reason, c.Message = reasonFor(v.stalled), v.stalled.Error()
	case v.failed != nil:
		c.Reason, c.Message = v.failed.Reason, v.failed.Message
	case state.Accepted == nil:
		c.Status, c.Reason, c.Message = "Unknown", gitops.NotYet, "no revision was accepted yet"
		if v.pullErr != nil {
			c.Status, c.Reason, c.Message = "False", reasonFor(v.pullErr), v.pullErr.Error()
		} else if v.later() != nil {
			c.Reason, c.Message = reasonFor(v.later()), v.later().Error()
		}
	case v.later() != nil && state.Open == nil && !sameRevision(state.Applied, state.Accepted):
		c.Status, c.Reason, c.Message = "Unknown", reasonFor(v.later()), v.later().Error()
	case state.Open != nil || !sameRevision(state.Applied, state.Accepted) || !sameRevision(state.Healthy, state.Accepted):
		c.Status, c.Reason, c.Message = "Unknown", gitops.InProgressNow, "converging on "+state.Accepted.Revision.Short()
	case v.differ() > 0:
		c.Reason, c.Message = gitops.BecauseDrift, fmt.Sprintf("%d objects differ from Git", v.differ())
	case len(v.health.Blocking()) > 0:
		b := v.health.Blocking()[0]
		c.Reason, c.Message = gitops.HealthFailed, fmt.Sprintf("%s is %s: %s", b.Ref, b.Status, b.Message)
	case !v.settled:
		c.Status, c.Reason, c.Message = "Unknown", gitops.InProgressNow, "looking at the cluster"
	default:
		c.Status, c.Reason, c.Message = "True", gitops.IsHealthy, "running "+state.Healthy.Revision.Short()
	}
	return c
}

func reconciling(v view) gitops.Condition {
	busy := v.stage != gitops.StageWaiting && v.stage != gitops.StageSuspended
	return yes(gitops.ConditionReconciling, busy, gitops.InProgressNow, string(v.stage))
}

func stalled(v view) gitops.Condition {
	switch {
	case v.stalled != nil:
		return yes(gitops.ConditionStalled, true, reasonFor(v.stalled), v.stalled.Error())
	case v.failed != nil:
		msg := v.failed.Message
		if !v.target.retryAt.IsZero() {
			msg += "; tried again at " + v.target.retryAt.UTC().Format(time.RFC3339)
		}
		return yes(gitops.ConditionStalled, true, v.failed.Reason, msg)
	}
	return yes(gitops.ConditionStalled, false, "", "")
}

func reachable(v view) gitops.Condition {
	c := gitops.Condition{Type: gitops.ConditionSourceReachable, Status: "Unknown", Reason: gitops.NotYet}
	failed := v.pullErr
	if failed == nil {
		failed = v.fetchErr
	}
	if failed != nil {
		c.Status, c.Reason, c.Message = "False", reasonFor(failed), failed.Error()
	} else if v.everPulled {
		c.Status, c.Reason = "True", gitops.IsHealthy
	}
	return c
}

// verified speaks of the newest head that was seen.
func verified(v view, state gitops.SourceState) gitops.Condition {
	c := gitops.Condition{Type: gitops.ConditionVerified, Status: "Unknown", Reason: gitops.NotYet}
	switch {
	case headRefused(v, state):
		c.Status, c.Reason, c.Message = "False", state.Refused.Reason, state.Refused.Message
	case v.undecided != nil:
		c.Reason, c.Message = reasonFor(v.undecided), v.undecided.Error()
	case state.Accepted != nil:
		c.Status, c.Reason, c.Message = "True", gitops.IsHealthy, "signed by "+state.Accepted.Signer
	}
	return c
}

// distrusts reports whether what runs is what was found not to be trusted any
// more: another revision may have taken its place since.
func (v view) distrusts(state gitops.SourceState) bool {
	return v.distrusted != nil && state.Applied != nil && state.Applied.Revision == v.judged
}

// trusted speaks of what runs.
func trusted(v view, state gitops.SourceState) gitops.Condition {
	c := gitops.Condition{Type: gitops.ConditionTrusted, Status: "Unknown", Reason: gitops.NotYet}
	switch {
	case state.Applied == nil:
	case v.distrusts(state):
		c.Status, c.Reason = "False", reasonFor(v.distrusted)
		c.Message = state.Applied.Revision.Short() + " runs and is not trusted any more: " + v.distrusted.Error()
	case v.unproven != nil:
		c.Reason, c.Message = reasonFor(v.unproven), v.unproven.Error()
	default:
		c.Status, c.Reason = "True", gitops.IsHealthy
	}
	return c
}

// stale is True when the host is known to show an old state, or nothing was
// heard for too long.
func stale(v view) gitops.Condition {
	if v.stale == nil && v.ageless != nil {
		return gitops.Condition{Type: gitops.ConditionStale, Status: "Unknown", Reason: reasonFor(v.ageless), Message: v.ageless.Error()}
	}
	if v.stale == nil {
		return yes(gitops.ConditionStale, false, "", "")
	}
	return yes(gitops.ConditionStale, true, reasonFor(v.stale), v.stale.Error())
}

func healthy(v view, state gitops.SourceState) gitops.Condition {
	c := gitops.Condition{Type: gitops.ConditionHealthy, Status: "Unknown", Reason: gitops.NotYet}
	blocking := v.health.Blocking()
	switch {
	case state.Applied == nil:
	case len(blocking) > 0:
		c.Status, c.Reason = "False", gitops.HealthFailed
		c.Message = fmt.Sprintf("%s is %s: %s", blocking[0].Ref, blocking[0].Status, blocking[0].Message)
	case state.Healthy != nil && state.Healthy.Digest == state.Applied.Digest:
		c.Status, c.Reason = "True", gitops.IsHealthy
	}
	return c
}

func heldAt(state gitops.SourceState) gitops.Condition {
	if state.Hold == nil {
		return yes(gitops.ConditionHeld, false, "", "")
	}
	msg := "held at " + state.Hold.Revision.Short() + " by " + state.Hold.By + " until a newer commit, or: edgeagent resume"
	if state.Hold.Pin {
		msg = "pinned to " + state.Hold.Revision.Short() + " by " + state.Hold.By + " until: edgeagent resume"
	}
	return yes(gitops.ConditionHeld, true, gitops.HeldBack, msg)
}

// headRefused reports whether the newest head that was seen is a refused one.
// Before the first poll of this process the journal's order in time tells.
func headRefused(v view, state gitops.SourceState) bool {
	if state.Refused == nil {
		return false
	}
	if v.unreleased != "" && v.unreleased == state.Refused.Revision {
		return true
	}
	if v.observed != nil {
		return !v.verifiedNow && v.observed.Revision == state.Refused.Revision
	}
	return state.Accepted == nil || state.Refused.At.After(state.Accepted.At)
}

func yes(kind string, is bool, reason gitops.Reason, message string) gitops.Condition {
	if is {
		return gitops.Condition{Type: kind, Status: "True", Reason: reason, Message: message}
	}
	return gitops.Condition{Type: kind, Status: "False", Reason: "None"}
}

func sameRevision(a, b *gitops.At) bool { return a != nil && b != nil && a.Revision == b.Revision }

func reasonFor(err error) gitops.Reason {
	if r := gitops.ReasonOf(err); r != "" {
		return r
	}
	return "Error"
}
