// SPDX-License-Identifier: Apache-2.0

package gitops

import "time"

// SourceState is what the journal knows of a source. Nothing in it is a
// memory of the cluster or of Git: those are looked at again every cycle.
type SourceState struct {
	Source   string
	Accepted *At // the newest revision that the trust rules let through
	Applied  *At // what was written last
	Healthy  *At // the last healthy revision
	Refused  *Refusal
	Hold     *Hold
	// Suspended is set while a person stopped the source.
	Suspended *Suspension
	// Failed is the newest failed attempt whose revision is not tried again.
	Failed *Attempt
	// Open is the attempt that was begun and not closed.
	Open *Attempt
	// ClusterUID is of the cluster that was written to last.
	ClusterUID string
	// Introduction is the commit that the word first-seen was pinned to.
	Introduction Hash
	// OnRemove is what becomes of the objects when the source leaves the
	// node's file: "orphan" or "prune".
	OnRemove string
	// AllowPrune is how many deletions a person confirmed and no prune has used
	// up yet.
	AllowPrune int
	// Learned is what signed statements told about the source.
	Learned Learned
	// TrustLost says that something was accepted once, and that nobody knows what.
	TrustLost bool
	// Waiver is the newest one that root gave, used or not.
	Waiver *Waiver
}

// BeginRequest opens an attempt: everything in it is on disk before the first
// write to the cluster.
type BeginRequest struct {
	Source   string
	Revision Revision
	Cause    Cause
	Plan     Plan // its Inventory is the union, its Manifests the target
	Undoes   int64
	Signer   string
	// HealthTimeout is how long the attempt may take to become healthy, over
	// all restarts.
	HealthTimeout time.Duration
	// Supersedes closes the open attempt of the source in the same
	// transaction, as Failed for the reason Superseded.
	Supersedes int64
}

// Outcome is what a move to the next phase records.
type Outcome struct {
	Changes []Change
	// Inventory holds the items as they are now. With Exact it replaces what
	// is recorded, otherwise it is merged into it.
	Inventory Inventory
	Exact     bool
	Reason    Reason
	Message   string
	// Remember keeps a failed revision and its digest from being tried again:
	// the revision is to blame, not the host.
	Remember bool
	// Untouched says of a failed attempt that nothing was written: what only it
	// announced is not owned any more.
	Untouched bool
	// HealthLeft is the health time that remains, for a resume.
	HealthLeft time.Duration
}
