// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"slices"
	"time"
)

// Phase is a journalled step of an attempt.
type Phase string

// The journalled phases. Earlier stages are status only: they change nothing.
const (
	PhaseIntent  Phase = "Intent"  // the union inventory is on disk, nothing is written yet
	PhaseApplied Phase = "Applied" // every object was written
	PhaseHealthy Phase = "Healthy" // health held for the stable time: last healthy from here on
	PhasePruned  Phase = "Pruned"  // what left Git is gone, the inventory is exact: closed
	PhaseFailed  Phase = "Failed"  // closed without becoming healthy
)

// Moves are the legal moves between phases; everything else is an error.
// An attempt begins at Intent. Healthy may not fail any more: a prune that
// fails stays Healthy and is tried again.
var moves = map[Phase][]Phase{
	PhaseIntent:  {PhaseApplied, PhaseFailed},
	PhaseApplied: {PhaseHealthy, PhaseFailed},
	PhaseHealthy: {PhasePruned},
	PhasePruned:  {},
	PhaseFailed:  {},
}

// Phases lists every phase, in order.
func Phases() []Phase {
	return []Phase{PhaseIntent, PhaseApplied, PhaseHealthy, PhasePruned, PhaseFailed}
}

// Next lists the phases that p may move to.
func (p Phase) Next() []Phase { return slices.Clone(moves[p]) }

// MayMove reports whether an attempt in phase p may move to next.
func (p Phase) MayMove(next Phase) bool { return slices.Contains(moves[p], next) }

// Closed reports whether an attempt in phase p is over.
func (p Phase) Closed() bool { return len(moves[p]) == 0 }

// Cause is why an attempt was begun.
type Cause string

// The causes of attempts.
const (
	CauseUpdate   Cause = "update"   // a new revision
	CauseRollback Cause = "rollback" // the revision failed, or a person asked
	CauseRetry    Cause = "retry"    // the same revision again
	CausePrune    Cause = "prune"    // only deletions, e.g. after a person confirmed them
)

// Attempt is one try to bring the cluster to a revision.
type Attempt struct {
	ID       int64    `json:"id"`
	Source   string   `json:"source"`
	Revision Revision `json:"revision"`
	Digest   string   `json:"digest"`
	Cause    Cause    `json:"cause"`
	Phase    Phase    `json:"phase"`
	// Undoes is the attempt that this one takes back, 0 if none.
	Undoes int64 `json:"undoes,omitempty"`
	// Resumes counts how often the attempt was taken up after a restart.
	Resumes int    `json:"resumes,omitempty"`
	Signer  string `json:"signer,omitempty"`
	// Waiver is root's word by which the revision was let through although it
	// does not descend, zero where it does.
	Waiver  Waiver    `json:"waiver,omitzero"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// Reached is when the attempt entered each phase.
	Reached map[Phase]time.Time `json:"reached,omitempty"`
	Reason  Reason              `json:"reason,omitempty"`
	Message string              `json:"message,omitempty"`
	Changes []Change            `json:"changes,omitempty"`
	// HealthLeft is how much of the health timeout remains, in seconds when
	// encoded; it is committed so that a crash loop cannot prolong it.
	HealthLeft time.Duration `json:"-"`
}
