// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// This file reads the list of attempts, newest first. What it concludes is
// never stored: after a crash the same list gives the same conclusions.

// failureOf is the newest attempt at rev that failed by itself, nil if none
// or if rev became healthy since.
func failureOf(rev gitops.Revision, attempts []gitops.Attempt) *gitops.Attempt {
	for i, a := range attempts {
		if a.Revision != rev || a.Cause == gitops.CauseRollback {
			continue
		}
		switch {
		case a.Phase == gitops.PhaseFailed && a.Reason != gitops.Superseded:
			return &attempts[i]
		case a.Phase == gitops.PhaseHealthy, a.Phase == gitops.PhasePruned:
			return nil
		}
	}
	return nil
}

// undonePending is the failed attempts that wrote to the cluster and that no
// later attempt made good.
func undonePending(attempts []gitops.Attempt) map[int64]bool {
	out := map[int64]bool{}
	for _, a := range attempts {
		switch a.Phase {
		case gitops.PhaseHealthy, gitops.PhasePruned:
			return out
		case gitops.PhaseFailed:
			if wrote(a) {
				out[a.ID] = true
			}
		}
	}
	return out
}

// oldest is the attempt that began first, 0 for none.
func oldest(attempts map[int64]bool) int64 {
	first := int64(0)
	for id := range attempts {
		if first == 0 || id < first {
			first = id
		}
	}
	return first
}

// newest is the attempt that began last, 0 for none.
func newest(attempts map[int64]bool) int64 {
	last := int64(0)
	for id := range attempts {
		last = max(last, id)
	}
	return last
}

// undoneBy is what an open rollback takes back, as it was when it began.
func undoneBy(open *gitops.Attempt, attempts []gitops.Attempt) map[int64]bool {
	if open.Cause != gitops.CauseRollback {
		return nil
	}
	// Open itself may be healthy already, with its deletions still to come.
	i := slices.IndexFunc(attempts, func(a gitops.Attempt) bool { return a.ID == open.ID })
	return after(open.Digest, attempts[i+1:])
}

// after is every attempt since digest was healthy.
func after(digest string, attempts []gitops.Attempt) map[int64]bool {
	out := map[int64]bool{}
	for _, a := range attempts {
		if a.Digest == digest && (a.Phase == gitops.PhaseHealthy || a.Phase == gitops.PhasePruned) {
			return out
		}
		out[a.ID] = true
	}
	return out
}

// wrote reports whether an attempt may have written to the cluster. Where
// nobody knows (it was interrupted), it may have.
func wrote(a gitops.Attempt) bool {
	if _, applied := a.Reached[gitops.PhaseApplied]; applied || a.Resumes > 0 {
		return true
	}
	for _, c := range a.Changes {
		if c.Action == gitops.Created || c.Action == gitops.Configured || c.Action == gitops.Deleted {
			return true
		}
	}
	switch a.Reason {
	case gitops.Superseded, gitops.Interrupted, gitops.ResumedTooOften, gitops.ApplyFailed:
		return true
	}
	return false
}

// nextOlder is the newest healthy revision that was not yet tried in vain
// since the last healthy moment. At most limit revisions are tried.
func nextOlder(healthy []gitops.At, attempts []gitops.Attempt, limit int) (gitops.At, bool) {
	tried := map[string]bool{}
	for _, a := range attempts {
		if a.Phase == gitops.PhaseHealthy || a.Phase == gitops.PhasePruned {
			break
		}
		if a.Cause == gitops.CauseRollback && a.Phase == gitops.PhaseFailed && a.Reason != gitops.Superseded && !hostsFault(a) {
			tried[a.Digest] = true
		}
	}
	if len(tried) >= limit {
		return gitops.At{}, false
	}
	for _, at := range healthy {
		if !tried[at.Digest] {
			return at, true
		}
	}
	return gitops.At{}, false
}

// isRemembered reports whether the failure is the revision's own fault, so
// that it is not tried again until Git moves or a person says retry.
func isRemembered(state gitops.SourceState, failed *gitops.Attempt) bool {
	return state.Failed != nil && (state.Failed.ID == failed.ID || state.Failed.Revision == failed.Revision)
}

// retryAt is when a revision that failed through the host is tried again:
// 5 minutes after the first failure, doubling to 6 hours.
func retryAt(attempts []gitops.Attempt, failed *gitops.Attempt) time.Time {
	wait := retryFirst
	for _, a := range attempts {
		if a.Revision == failed.Revision && a.ID < failed.ID && a.Phase == gitops.PhaseFailed && a.Reason != gitops.Superseded && a.Cause != gitops.CauseRollback {
			wait = min(wait*2, retryMost)
		}
	}
	return failed.Ended.Add(wait)
}

// hostsFault reports whether an attempt failed through the node, not through
// what it was to run.
func hostsFault(a gitops.Attempt) bool {
	return decide(context.Background(), &gitops.Error{Reason: a.Reason}) != rollBack
}

// rollbackDue is when a rollback that failed through the host is tried again,
// zero when the newest attempt is none of that kind.
func rollbackDue(attempts []gitops.Attempt) time.Time {
	if len(attempts) == 0 {
		return time.Time{}
	}
	wait := retryFirst
	for i, a := range attempts {
		if a.Cause != gitops.CauseRollback || a.Phase != gitops.PhaseFailed || !hostsFault(a) {
			if i == 0 {
				return time.Time{}
			}
			break
		}
		if i > 0 {
			wait = min(wait*2, retryMost)
		}
	}
	return attempts[0].Ended.Add(wait)
}

// dueAt is due, or now when that is further away than any wait: the clock was
// ahead, perhaps by years, when the attempt ended.
func dueAt(due, now time.Time) time.Time {
	if due.After(now.Add(retryMost)) {
		return now
	}
	return due
}
