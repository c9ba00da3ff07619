// SPDX-License-Identifier: Apache-2.0

package objects

import "github.com/edgeagent/edgeagent/internal/gitops"

// Sum is the hash of raw bytes: no Git object that collides is public, the
// bytes of two files that do are.
func Sum(b []byte) (gitops.Hash, error) {
	i, err := sum(b)
	return i.hash(), err
}
