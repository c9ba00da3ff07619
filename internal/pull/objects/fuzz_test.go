// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"crypto/sha1"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// FuzzReceive feeds bytes as a pack, as they are and with the checksum that
// they should have, and looks at what is kept of them.
func FuzzReceive(f *testing.F) {
	base := []byte(strings.Repeat("base\n", 20))
	good := newPack()
	good.revision("x: 1\n")
	f.Add(good.bytes())
	deltas := newPack()
	deltas.add(blobType, base)
	deltas.ofsDelta(1, appendDelta(base, "one"))
	deltas.refDelta(hashOf(blobType, base), appendDelta(base, "two"))
	deltas.refDelta(gitops.Hash(strings.Repeat("d", 40)), appendDelta(base, "three"))
	deltas.ofsDelta(1, appendDelta(base, "four"))
	f.Add(deltas.bytes())
	f.Add(deltas.bytes()[:60])
	large := newPack()
	large.raw(append(varint(blobType, 4<<30), deflate(base)...))
	f.Add(large.bytes())
	dir := f.TempDir()
	n := 0
	var s *objects.Store
	f.Fuzz(func(t *testing.T, b []byte) {
		if s == nil || n%500 == 0 { // else what is kept fills the disk
			if s != nil {
				_ = s.Close()
			}
			var err error
			s, err = objects.Open(filepath.Join(dir, "objects.db"), objects.Options{MaxObject: 1 << 20, MaxPack: 1 << 20, MaxBytes: 16 << 20})
			if err != nil {
				t.Fatal(err)
			}
		}
		n++
		for _, pack := range [][]byte{b, signed(b)} {
			got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(pack)})
			if err != nil && gitops.ReasonOf(err) != gitops.Corrupt && gitops.ReasonOf(err) != gitops.TooLarge {
				t.Fatal(err)
			}
			if got.New > got.Objects || got.Objects < 0 || got.SetAside < 0 {
				t.Fatalf("%+v", got)
			}
			again, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(pack)})
			if again.New != 0 && gitops.ReasonOf(err) != gitops.TooLarge {
				t.Fatalf("%+v the second time, %+v the first", again, got)
			}
		}
	})
}

// signed gives a pack the checksum that belongs to it.
func signed(b []byte) []byte {
	if len(b) < 20 {
		return nil
	}
	sum := sha1.Sum(b[:len(b)-20])
	return append(bytes.Clone(b[:len(b)-20]), sum[:]...)
}
