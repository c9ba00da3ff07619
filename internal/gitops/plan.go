// SPDX-License-Identifier: Apache-2.0

package gitops

import "time"

// Action is what happened, or will happen, to an object. The words are Flux's.
type Action string

// The actions.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Deleted    Action = "deleted"
	Skipped    Action = "skipped"
	FailedToDo Action = "failed"
)

// Change is one object and what became of it.
type Change struct {
	Ref    ObjectRef `json:"ref"`
	Action Action    `json:"action"`
	// Reason says why: "new", "changed", "drift", "pruned", or a CamelCase
	// Reason when it failed or was skipped.
	Reason  Reason `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Item is what the inventory records after a successful apply.
	Item Item `json:"-"`
	// Seen is the digest that the live object carried when it was planned.
	Seen string `json:"-"`
}

// Why an object is written or deleted, in Change.Reason.
const (
	BecauseNew       Reason = "New"
	BecauseChanged   Reason = "Changed"
	BecauseDrift     Reason = "Drift"
	BecausePruned    Reason = "Pruned"
	BecauseReplaced  Reason = "Replaced"
	BecauseReleased  Reason = "Released"
	BecauseCompleted Reason = "Completed"
)

// Plan is the difference between what Git wants and what is there: computed
// before anything is written, and journalled with the attempt.
type Plan struct {
	Source    string    `json:"source"`
	Manifests Manifests `json:"manifests"`
	// Apply holds what will be written, in order. Its actions are Created or
	// Configured.
	Apply []Change `json:"apply,omitempty"`
	// DeleteFirst holds what must go before apply, because it holds something
	// exclusive (a node port, host port or volume) that the new set claims.
	DeleteFirst []Change `json:"deleteFirst,omitempty"`
	// Prune holds what will be deleted at the end, in reverse order.
	Prune []Change `json:"prune,omitempty"`
	// Pending holds deletions that a guard stopped.
	Pending []Change `json:"pending,omitempty"`
	// Skipped holds objects that are left alone, each with its reason.
	Skipped []Change `json:"skipped,omitempty"`
	// Drifted holds objects whose live state differs from Git and which are
	// only reported (drift: notify).
	Drifted []Change `json:"drifted,omitempty"`
	// Forced holds what may be deleted and made anew where it cannot be changed.
	Forced []ObjectKey `json:"-"`
	// Inventory is the union that is journalled before the first write.
	Inventory Inventory `json:"-"`
	// HealthTimeout bounds each wait for health between two steps of apply; a
	// bundle's own timeout goes before it.
	HealthTimeout time.Duration `json:"-"`
	// UnhealthyBefore holds objects that were not Current when the attempt
	// began and that it does not write: they do not decide about it.
	UnhealthyBefore []ObjectRef `json:"unhealthyBefore,omitempty"`
}

// Empty reports that there is nothing to write and nothing to delete.
func (p Plan) Empty() bool {
	return len(p.Apply) == 0 && len(p.DeleteFirst) == 0 && len(p.Prune) == 0
}

// PruneGuard is the limit on deletions of one attempt.
type PruneGuard struct {
	MaxDeletes int // more than this many need confirmation
	MaxPercent int // so do more than this share of the inventory …
	Minimum    int // … when they are at least this many
}

// Capabilities is what a cluster says it can do: charts are rendered for it.
type Capabilities struct {
	KubeVersion string   `json:"kubeVersion"` // e.g. v1.36.2+k3s1
	APIVersions []string `json:"apiVersions"` // "apps/v1" and "apps/v1/Deployment"
	// ClusterUID is the UID of the kube-system namespace: another one means
	// that the cluster was rebuilt.
	ClusterUID string `json:"clusterUID"`
}
