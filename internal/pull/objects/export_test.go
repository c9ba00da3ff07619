// SPDX-License-Identifier: Apache-2.0

package objects

import "github.com/edgeagent/edgeagent/internal/gitops"

// Sum is the hash of raw bytes: no Git object that collides is public, the
// bytes of two files that do are.
func Sum(b []byte) (gitops.Hash, error) {
	i, err := sum(b)
	return i.hash(), err
}

// ProofOverRemoval is whether a walk counts that something was taken out
// beside, and whether one counts that nothing was.
func ProofOverRemoval() (beside, alone bool) {
	p := proofs{tips: map[id]struct{}{}}
	since := p.begin()
	p.forget()
	p.end(id{}, since)
	beside = p.holds(id{})
	p.end(id{}, p.begin())
	return beside, p.holds(id{})
}
