// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// The types of entries in a pack.
const (
	commitType   = 1
	treeType     = 2
	blobType     = 3
	tagType      = 4
	ofsDeltaType = 6
	refDeltaType = 7
)

// pack writes packs byte by byte, also those that Git would never write.
type pack struct {
	entries [][]byte
	offset  int64
	offsets []int64
	count   int // announced, when not the number of entries
}

func newPack() *pack { return &pack{offset: 12, count: -1} }

func deflate(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	_, _ = z.Write(b)
	_ = z.Close()
	return buf.Bytes()
}

func varint(kind int, size int64) []byte {
	b := []byte{byte(kind<<4) | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	return b
}

func (p *pack) raw(b []byte) {
	p.offsets = append(p.offsets, p.offset)
	p.entries = append(p.entries, b)
	p.offset += int64(len(b))
}

// add appends an object and returns its id.
func (p *pack) add(kind int, content []byte) gitops.Hash {
	p.raw(append(varint(kind, int64(len(content))), deflate(content)...))
	return hashOf(kind, content)
}

func hashOf(kind int, content []byte) gitops.Hash {
	name := map[int]string{commitType: "commit", treeType: "tree", blobType: "blob", tagType: "tag"}[kind]
	h := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", name, len(content)), content...))
	return gitops.Hash(hex.EncodeToString(h[:]))
}

func rawID(h gitops.Hash) []byte {
	b, err := hex.DecodeString(string(h))
	if err != nil {
		panic(err)
	}
	return b
}

func (p *pack) refDelta(base gitops.Hash, delta []byte) {
	b := append(varint(refDeltaType, int64(len(delta))), rawID(base)...)
	p.raw(append(b, deflate(delta)...))
}

// ofsDelta makes a delta on the entry back places before it.
func (p *pack) ofsDelta(back int, delta []byte) {
	distance := p.offset - p.offsets[len(p.offsets)-back]
	enc := []byte{byte(distance & 0x7f)}
	for distance >>= 7; distance > 0; distance >>= 7 {
		distance--
		enc = append([]byte{0x80 | byte(distance&0x7f)}, enc...)
	}
	p.raw(append(append(varint(ofsDeltaType, int64(len(delta))), enc...), deflate(delta)...))
}

// appendDelta changes a base by adding text at its end.
func appendDelta(base []byte, text string) []byte {
	d := binary.AppendUvarint(nil, uint64(len(base)))
	d = binary.AppendUvarint(d, uint64(len(base)+len(text)))
	d = append(d, 0x80|0x10|0x20, byte(len(base)), byte(len(base)>>8))
	return append(append(d, byte(len(text))), text...)
}

func (p *pack) bytes() []byte {
	n := p.count
	if n < 0 {
		n = len(p.entries)
	}
	out := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(n))
	for _, e := range p.entries {
		out = append(out, e...)
	}
	h := sha1.Sum(out)
	return append(out, h[:]...)
}

func entryOf(mode, name string, id gitops.Hash) []byte {
	return append([]byte(mode+" "+name+"\x00"), rawID(id)...)
}

func commitOf(tree gitops.Hash, parents ...gitops.Hash) []byte {
	b := []byte("tree " + string(tree) + "\n")
	for _, p := range parents {
		b = append(b, "parent "+string(p)+"\n"...)
	}
	return append(b, "author a <a@example.com> 1700000000 +0000\ncommitter a <a@example.com> 1700000000 +0000\n\nx\n"...)
}

// revision adds a commit with one file.
func (p *pack) revision(content string, parents ...gitops.Hash) gitops.Hash {
	blob := p.add(blobType, []byte(content))
	tree := p.add(treeType, entryOf("100644", "a.yaml", blob))
	return p.add(commitType, commitOf(tree, parents...))
}

func open(t testing.TB, opts objects.Options) (*objects.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "objects.db")
	return openAt(t, path, opts), path
}

func openAt(t testing.TB, path string, opts objects.Options) *objects.Store {
	t.Helper()
	s, err := objects.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func arrive(t testing.TB, s *objects.Store, p *pack) objects.Received {
	t.Helper()
	got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(p.bytes())})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// receive stores a pack and makes head the tip of the source "fleet".
func receive(t testing.TB, s *objects.Store, head gitops.Hash, p *pack) {
	t.Helper()
	arrive(t, s, p)
	advance(t, s, "fleet", head)
}

func advance(t testing.TB, s *objects.Store, source string, head gitops.Hash) {
	t.Helper()
	if l := lineage(t, s, head, nil, 9); len(l.Missing) > 0 {
		t.Fatalf("missing of %s: %v", head, l.Missing)
	}
	if err := s.Advance(t.Context(), source, head); err != nil {
		t.Fatal(err)
	}
}

func lineage(t testing.TB, s *objects.Store, tip gitops.Hash, until []gitops.Hash, most int) objects.Lineage {
	t.Helper()
	l, err := s.Lineage(t.Context(), tip, until, most)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func below(t testing.TB, s *objects.Store, root gitops.Hash, most int) []gitops.MissingObject {
	t.Helper()
	lost, err := s.Below(t.Context(), []gitops.Hash{root}, most)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func has(t testing.TB, s *objects.Store, h gitops.Hash) bool {
	t.Helper()
	ok, err := s.Has(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// whole reports whether a tip is here with its commits and all of its own files.
func whole(t testing.TB, s *objects.Store, h gitops.Hash) bool {
	t.Helper()
	return has(t, s, h) && len(lineage(t, s, h, nil, 1).Missing) == 0 && len(below(t, s, h, 1)) == 0
}

func collect(t testing.TB, s *objects.Store) {
	t.Helper()
	if err := s.GC(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func wantReason(t testing.TB, err error, want gitops.Reason) {
	t.Helper()
	if got := gitops.ReasonOf(err); got != want {
		t.Fatalf("reason %q, want %q: %v", got, want, err)
	}
}

// change closes the store, changes its file with SQL, and opens it again.
func change(t testing.TB, s *objects.Store, path string, queries ...string) *objects.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if _, err := db.ExecContext(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return openAt(t, path, objects.Options{})
}

// count counts rows of the file of a store that is closed for it.
func count(t testing.TB, s *objects.Store, path, table string) int {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
