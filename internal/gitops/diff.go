// SPDX-License-Identifier: Apache-2.0

package gitops

// ObjectDiff is one object that differs between the cluster and Git, as a
// unified diff (live to desired) in which values of Secrets are masked.
type ObjectDiff struct {
	Ref    ObjectRef `json:"ref"`
	Action Action    `json:"action"` // created, configured or deleted
	Diff   string    `json:"diff"`
}
