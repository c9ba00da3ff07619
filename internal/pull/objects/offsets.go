// SPDX-License-Identifier: Apache-2.0

package objects

import "sort"

// chunk is how many entries the table of offsets grows by: grown in one piece,
// it would need its size twice.
const chunk = 4096

// offsets says which object each entry of a pack is. Entries come in the order
// of their offsets.
type offsets struct {
	chunks [][]entryAt
	n      int
}

type entryAt struct {
	offset   int64
	id       id
	resolved bool
}

// add notes an entry whose object is not known yet.
func (o *offsets) add(offset int64) {
	if o.n%chunk == 0 {
		o.chunks = append(o.chunks, make([]entryAt, 0, chunk))
	}
	last := len(o.chunks) - 1
	o.chunks[last] = append(o.chunks[last], entryAt{offset: offset})
	o.n++
}

// find is the entry that begins at an offset, nil when none does.
func (o *offsets) find(offset int64) *entryAt {
	n := sort.Search(o.n, func(i int) bool { return o.chunks[i/chunk][i%chunk].offset >= offset })
	if n == o.n {
		return nil
	}
	e := &o.chunks[n/chunk][n%chunk]
	if e.offset != offset {
		return nil
	}
	return e
}

func (o *offsets) resolve(offset int64, i id) {
	if e := o.find(offset); e != nil {
		e.id, e.resolved = i, true
	}
}
