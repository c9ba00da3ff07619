// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"math/rand/v2"
)

func text(seed uint64, n int) string {
	g := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return string(b)
}
