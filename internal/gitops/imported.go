// SPDX-License-Identifier: Apache-2.0

package gitops

// Imported is what came of a bundle that was brought to the node on a stick.
type Imported struct {
	// Source is the one whose repository the bundle is of.
	Source string `json:"source"`
	// Revision is the head in the bundle.
	Revision Revision `json:"revision"`
	// New says that the trust rules accepted it now. False with no refusal, it
	// was here already.
	New bool `json:"new"`
	// Refused is why the trust rules turned it down, nil when they did not.
	Refused *Refusal `json:"refused,omitempty"`
	// Cycle is the number of the source's cycle that will have acted on it.
	Cycle int64 `json:"cycle"`
}
