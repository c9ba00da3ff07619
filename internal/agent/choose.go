// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxResumes is how often an attempt is taken up again after a restart. The
// next time fails it: it may be what crashes the node.
const maxResumes = 3

// Backoff of a revision that failed through no fault of its own.
const (
	retryFirst = 5 * time.Minute
	retryMost  = 6 * time.Hour
)

// course is what a cycle does to the cluster.
type course int

const (
	rest     course = iota // nothing to do, and nothing to keep
	keep                   // repair drift on what is applied
	update                 // converge on the accepted revision
	resume                 // go on with the open attempt
	rollback               // converge on an older revision, from the journal
)

// target says which revision the cluster is converged on next, and why.
type target struct {
	course   course
	revision gitops.Revision
	digest   string // "" for an update: it is rendered first
	cause    gitops.Cause
	// undoes is the newest attempt that a rollback takes back, undone all of them.
	undoes int64
	undone map[int64]bool
	// since is the oldest attempt that wrote and that no later one made good, 0
	// when the cluster is what the last healthy attempt left.
	since int64
	// supersedes is the open attempt that this one replaces.
	supersedes int64
	// failed is the attempt because of which the accepted revision is not the target.
	failed *gitops.Attempt
	// retryAt is when the failed revision is tried again, zero if never by itself.
	retryAt time.Time
}

// choose names the target from what the journal says. It is pure: the same
// journal at the same time gives the same answer, before and after a crash.
// attempts are newest first; healthy are the last healthy revisions, newest first.
func choose(state gitops.SourceState, attempts []gitops.Attempt, healthy []gitops.At, mode RollbackMode, now time.Time) target {
	dirty := undonePending(attempts)
	t := destination(state, attempts, healthy, dirty, mode, now)
	t.since = answersSince(t, state, dirty)
	return t
}

// answersSince is the attempt from whose beginning on breakage counts against
// the target. A rollback answers for itself only: what broke during the attempt
// that it takes back, a camera that somebody unplugged, must not fail it too.
func answersSince(t target, state gitops.SourceState, dirty map[int64]bool) int64 {
	first := oldest(dirty)
	if t.cause == gitops.CauseRollback {
		first = 0
	}
	if first == 0 && state.Open != nil && state.Open.Phase != gitops.PhaseHealthy && (t.course == resume || t.cause != gitops.CauseRollback) {
		return state.Open.ID
	}
	return first
}

// destination is choose without what the way there has to answer for.
func destination(state gitops.SourceState, attempts []gitops.Attempt, healthy []gitops.At, dirty map[int64]bool, mode RollbackMode, now time.Time) target {
	if state.Hold != nil {
		return held(state, attempts, dirty, now)
	}
	if state.Accepted == nil {
		return target{course: rest}
	}
	failed := failureOf(state.Accepted.Revision, attempts)
	if failed == nil {
		return forward(state, dirty)
	}
	t := backward(state, attempts, healthy, dirty, failed.ID, mode, now)
	t.failed = failed
	if !t.retryAt.IsZero() {
		return t // its rollback waits, and comes first
	}
	// Before anything was ever healthy there is nothing to go back to: the
	// revision is tried again, whoever is to blame.
	if state.Healthy == nil || !isRemembered(state, failed) {
		t.retryAt = dueAt(retryAt(attempts, failed), now)
		if !now.Before(t.retryAt) && state.Open == nil {
			return target{course: update, revision: state.Accepted.Revision, cause: gitops.CauseRetry}
		}
	}
	return t
}

// forward goes to the accepted revision: it has not failed.
func forward(state gitops.SourceState, dirty map[int64]bool) target {
	accepted := state.Accepted.Revision
	switch {
	case state.Open != nil && state.Open.Revision == accepted && state.Open.Cause != gitops.CauseRollback:
		return resumed(state.Open, nil)
	case state.Open != nil:
		return target{course: update, revision: accepted, cause: gitops.CauseUpdate, supersedes: state.Open.ID}
	case state.Applied != nil && state.Applied.Revision == accepted && len(dirty) == 0:
		return target{course: keep, revision: accepted, digest: state.Applied.Digest}
	default:
		return target{course: update, revision: accepted, cause: gitops.CauseUpdate}
	}
}

// backward leaves the accepted revision, which failed in the attempt undoes or
// cannot be tried, for the last healthy one.
func backward(state gitops.SourceState, attempts []gitops.Attempt, healthy []gitops.At, dirty map[int64]bool, undoes int64, mode RollbackMode, now time.Time) target {
	if state.Open != nil {
		return resumed(state.Open, undoneBy(state.Open, attempts))
	}
	if len(dirty) == 0 {
		if state.Applied == nil {
			return target{course: rest}
		}
		return target{course: keep, revision: state.Applied.Revision, digest: state.Applied.Digest}
	}
	if !mode.Auto {
		return target{course: rest}
	}
	if next, ok := nextOlder(healthy, attempts, mode.Max); ok {
		if due := dueAt(rollbackDue(attempts), now); now.Before(due) {
			return target{course: rest, retryAt: due}
		}
		return target{
			course: rollback, revision: next.Revision, digest: next.Digest,
			cause: gitops.CauseRollback, undoes: undoes, undone: dirty,
		}
	}
	return target{course: rest} // no healthy revision left to go to: nothing is undone
}

// held stays on, or goes to, the revision that a person chose.
func held(state gitops.SourceState, attempts []gitops.Attempt, dirty map[int64]bool, now time.Time) target {
	h := state.Hold
	if state.Open != nil && state.Open.Digest == h.Digest && state.Open.Cause == gitops.CauseRollback {
		return resumed(state.Open, undoneBy(state.Open, attempts))
	}
	if state.Open == nil && len(dirty) == 0 && state.Applied != nil && state.Applied.Digest == h.Digest {
		return target{course: keep, revision: h.Revision, digest: h.Digest}
	}
	t := target{course: rollback, revision: h.Revision, digest: h.Digest, cause: gitops.CauseRollback}
	t.undone = after(h.Digest, attempts)
	t.undoes = newest(t.undone)
	if state.Open != nil {
		t.supersedes = state.Open.ID
	}
	// A rollback to the held revision that failed is not tried in a loop.
	if len(attempts) > 0 && failedRollbackTo(attempts[0], h.Digest) && !attempts[0].Started.Before(h.At) {
		due := dueAt(rollbackDue(attempts), now)
		if due.IsZero() || now.Before(due) {
			return target{course: rest, failed: &attempts[0], retryAt: due}
		}
	}
	return t
}

func resumed(open *gitops.Attempt, undone map[int64]bool) target {
	return target{
		course: resume, revision: open.Revision, digest: open.Digest,
		cause: open.Cause, undoes: open.Undoes, undone: undone,
	}
}

func failedRollbackTo(a gitops.Attempt, digest string) bool {
	return a.Cause == gitops.CauseRollback && a.Phase == gitops.PhaseFailed && a.Digest == digest && a.Reason != gitops.Superseded
}
