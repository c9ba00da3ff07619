// SPDX-License-Identifier: Apache-2.0

package gitops

import "time"

// PlanRequest is what the loop wants of the cluster: the same for an update,
// a drift repair and a rollback.
type PlanRequest struct {
	Source string
	Want   Manifests
	// Owned is what the journal says this source owns.
	Owned    Inventory
	Accepted Revision // written to the ApplySet's parent
	Healthy  Revision
	Drift    DriftMode
	Adopt    bool // take over objects that another tool owns
	Prune    bool
	Guard    PruneGuard
	// AllowPrune is how many deletions a person confirmed, 0 for none.
	AllowPrune int
	// Rollback plans by a rollback's rules: only what the undone attempts
	// created is deleted, what they adopted is released.
	Rollback bool
	// Undone holds the attempts that a rollback takes back.
	Undone map[int64]bool
	// ClusterRebuilt applies everything and prunes nothing.
	ClusterRebuilt bool
	// HealthTimeout bounds each wait for health between two steps of apply.
	HealthTimeout time.Duration
	// Look says that only drift is wanted, and no attempt follows: an empty plan
	// then costs no request, and says nothing about what was unhealthy before.
	Look bool
	// Full sends every object, drifted or not: the backstop of drift detection.
	Full bool
}

// HealthRequest asks to wait until the objects of a plan are healthy.
type HealthRequest struct {
	Source  string
	Plan    Plan
	Changes []Change
	// Timeout is the longest wait; bundles may have their own.
	Timeout time.Duration
	// Stable is how long everything has to stay Current.
	Stable time.Duration
	// Progress is called after each look, with the newest answer there is: with
	// none while the API server has not answered yet. It must not block.
	Progress func(Health)
}
