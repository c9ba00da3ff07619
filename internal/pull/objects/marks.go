// SPDX-License-Identifier: Apache-2.0

package objects

// marks is a set of rows, by their seq: one bit each, so that a walk over a
// million objects remembers where it was in 125 kB.
type marks struct{ bits []uint64 }

// add reports whether seq is news.
func (m *marks) add(seq int64) bool {
	word, bit := seq/64, uint64(1)<<(seq%64)
	if word >= int64(len(m.bits)) {
		grown := make([]uint64, max(word+1, int64(2*len(m.bits))))
		copy(grown, m.bits)
		m.bits = grown
	}
	news := m.bits[word]&bit == 0
	m.bits[word] |= bit
	return news
}

func (m *marks) has(seq int64) bool {
	word := seq / 64
	return word < int64(len(m.bits)) && m.bits[word]&(1<<(seq%64)) != 0
}
