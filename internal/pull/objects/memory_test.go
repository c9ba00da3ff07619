// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// TestHostilePacksStayInBounds measures what is live after every entry, and
// what was allocated for one that is refused at once.
func TestHostilePacksStayInBounds(t *testing.T) {
	const limit = 64 << 20
	base := bytes.Repeat([]byte("x"), 64<<10)
	// copies makes n bytes out of the base's 64 KiB, in few bytes.
	copies := func(n int) []byte {
		d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), uint64(n))
		for ; n >= 64<<10; n -= 64 << 10 {
			d = append(d, 0x80) // 64 KiB from offset 0
		}
		return d
	}
	cases := map[string]struct {
		build  func(p *pack)
		reason gitops.Reason
		atOnce bool // almost nothing may be allocated
	}{
		"an object of 4 GiB": {build: func(p *pack) {
			p.raw(append(varint(blobType, 4<<30), deflate(base)...))
		}, reason: gitops.TooLarge, atOnce: true},
		"an object of 16 MiB that is not there": {build: func(p *pack) {
			p.raw(append(varint(blobType, 16<<20), deflate(base)...))
		}, reason: gitops.Corrupt, atOnce: true},
		"a billion objects": {build: func(p *pack) { p.count = 1 << 30 }, reason: gitops.TooLarge, atOnce: true},
		"a million objects that are not there": {build: func(p *pack) {
			p.count = 1_000_000
		}, reason: gitops.Corrupt, atOnce: true},
		"deltas that each make 16 MiB": {build: func(p *pack) {
			id := p.add(blobType, base)
			for n := range 12 {
				p.refDelta(id, copies((256-n)<<16))
			}
		}},
		"deltas that each make 16 MiB, before their base": {build: func(p *pack) {
			for n := range 12 {
				p.refDelta(hashOf(blobType, base), copies((256-n)<<16))
			}
			p.add(blobType, base)
		}},
		"many objects of 1 MiB": {build: func(p *pack) {
			for n := range 100 {
				p.add(blobType, append(bytes.Repeat([]byte("x"), 1<<20), byte(n)))
			}
		}},
		"deltas without a base": {build: func(p *pack) {
			for range 40 {
				p.refDelta(gitops.Hash(strings.Repeat("d", 40)), make([]byte, 3<<20))
			}
		}},
		"many small deltas without a base": {build: func(p *pack) {
			for range 200_000 {
				p.raw(append(append(varint(refDeltaType, 8), rawID(gitops.Hash(strings.Repeat("d", 40)))...), smallDelta...))
			}
		}},
		"a tree of a hundred thousand names": {build: func(p *pack) {
			var tree []byte
			for n := range 100_000 {
				tree = append(tree, entryOf("100644", fmt.Sprintf("%06d", n), hashOf(blobType, nil))...)
			}
			p.add(treeType, tree)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, objects.Options{})
			p := newPack()
			c.build(p)
			pack := p.bytes()
			p = nil
			var before, now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			most := before.HeapAlloc
			entries := 0
			_, err := s.Receive(t.Context(), objects.Arrival{Pack: struct{ io.Reader }{bytes.NewReader(pack)}, Progress: func() {
				if entries++; entries > 64 && entries%10_000 != 0 {
					return
				}
				runtime.GC()
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}})
			wantReason(t, err, c.reason)
			runtime.ReadMemStats(&now)
			if most > before.HeapAlloc+limit {
				t.Errorf("%d MiB were live", (most-before.HeapAlloc)>>20)
			}
			if got := now.TotalAlloc - before.TotalAlloc; c.atOnce && got > 16<<20 {
				t.Errorf("%d MiB were allocated", got>>20)
			}
			t.Logf("live %d MiB over idle, allocated %d MiB", (most-before.HeapAlloc)>>20, (now.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}

var smallDelta = deflate([]byte{100, 8, 1, 'x', 1, 'x', 1, 'x'})
