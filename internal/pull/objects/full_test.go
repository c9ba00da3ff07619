// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestStoreStaysUnderItsLimit(t *testing.T) {
	s, path := open(t, objects.Options{MaxBytes: 1 << 20})
	p := newPack()
	first := p.revision("small")
	receive(t, s, first, p)
	p = newPack()
	p.add(blobType, []byte(text(1, 2<<20)))
	_, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(p.bytes())})
	wantReason(t, err, gitops.TooLarge)
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	p = newPack()
	receive(t, s, p.revision("still works", first), p)
}

// TestFullStoreIsToldOverACut: asking again would not help.
func TestFullStoreIsToldOverACut(t *testing.T) {
	s, _ := open(t, objects.Options{MaxBytes: 1 << 20})
	p := newPack()
	for n := range uint64(1) {
		p.add(blobType, []byte(text(n, 1_040_000))) // less than a batch, so it is stored after the cut
	}
	p.count = 3
	b := p.bytes()
	_, err := s.Receive(t.Context(), objects.Arrival{Pack: cutAt(b, len(b)-20, errCut)})
	wantReason(t, err, gitops.TooLarge)
}

func TestFullStoreMakesRoom(t *testing.T) {
	tests := map[string]struct {
		keep    bool // the unused revision
		collect int  // collections before: the second may take what the first saw
		want    gitops.Reason
	}{
		"of what no fetch waits for":        {collect: 1},
		"of what another fetch waits for":   {},
		"not of what is kept":               {keep: true, collect: 1, want: gitops.TooLarge},
		"not of what is kept and came late": {keep: true, want: gitops.TooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, objects.Options{MaxBytes: 4 << 20})
			p := newPack()
			old := p.revision(text(1, 2<<20))
			receive(t, s, old, p)
			for range test.collect {
				collect(t, s)
			}
			p = newPack()
			receive(t, s, p.revision("small"), p)
			// Nothing reaches the old revision any more, and the new one does not fit
			// beside it.
			p = newPack()
			early := p.add(blobType, []byte(text(3, batchBytes)))
			next := p.revision(text(2, 2<<20))
			beats := 0
			a := objects.Arrival{Pack: bytes.NewReader(p.bytes()), Progress: func() { beats++ }}
			if test.keep {
				a.Keep = []gitops.Hash{old, "0123456789012345678901234567890123456789"}
			}
			_, err := s.Receive(t.Context(), a)
			wantReason(t, err, test.want)
			if got := has(t, s, old) && whole(t, s, old); got != test.keep {
				t.Errorf("the old revision is here: %v, want %v", got, test.keep)
			}
			if got := has(t, s, next); got == test.keep {
				t.Errorf("the new revision is here: %v, want %v", got, !test.keep)
			}
			if !has(t, s, early) {
				t.Error("what came earlier in the same pack made room for the rest")
			}
			if beats < 4 {
				t.Error("nobody heard that it goes on")
			}
		})
	}
}

// batchBytes is the content after which a batch is stored.
const batchBytes = 1 << 20
