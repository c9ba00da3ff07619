// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestReceivedObjectsReadBack(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	long := strings.Repeat("line\n", 1000)
	blob := p.add(blobType, []byte(long))
	empty := p.add(blobType, nil)
	gitlink := gitops.Hash(strings.Repeat("5", 40))
	sub := p.add(treeType, append(entryOf("100755", "run.sh", blob), entryOf("160000", "sub", gitlink)...))
	tree := p.add(treeType, bytes.Join([][]byte{
		entryOf("100644", "a", empty), entryOf("120000", "a.b", empty), entryOf("40000", "dir", sub),
	}, nil))
	commit := p.add(commitType, commitOf(tree))
	tag := p.add(tagType, []byte("object "+string(commit)+"\ntype commit\ntag v1\n\nx\n"))
	receive(t, s, tag, p)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, objects.Options{})
	for id, want := range map[gitops.Hash]struct {
		kind gitops.ObjectKind
		size int
	}{
		blob: {gitops.BlobObject, len(long)}, empty: {gitops.BlobObject, 0}, commit: {gitops.CommitObject, len(commitOf(tree))},
		tag: {gitops.TagObject, 70}, sub: {gitops.TreeObject, 65},
	} {
		kind, content, err := s.Object(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if kind != want.kind || len(content) != want.size {
			t.Errorf("%s: %s of %d bytes, want %s of %d", id, kind, len(content), want.kind, want.size)
		}
	}
	_, _, err := s.Object(t.Context(), gitlink)
	wantReason(t, err, gitops.Incomplete)
	_, _, err = s.Object(t.Context(), "HEAD")
	wantReason(t, err, gitops.Incomplete)
	if ok, err := s.Has(t.Context(), gitlink); ok || err != nil {
		t.Error(ok, err)
	}
	heads, err := s.Heads(t.Context())
	if err != nil || len(heads) != 1 || heads[0] != tag {
		t.Errorf("heads %v, %v", heads, err)
	}
}

func TestDeltasAreResolved(t *testing.T) {
	base := []byte(strings.Repeat("base\n", 50))
	one := append(bytes.Clone(base), "one"...)
	two := append(bytes.Clone(one), "two"...)
	three := append(bytes.Clone(two), "three"...)
	head := func(p *pack, blobs ...[]byte) gitops.Hash {
		var tree []byte
		for i, b := range blobs {
			tree = append(tree, entryOf("100644", string(rune('a'+i)), hashOf(blobType, b))...)
		}
		return p.add(commitType, commitOf(p.add(treeType, tree)))
	}
	cases := map[string]func(p *pack) gitops.Hash{
		"offset deltas in a chain": func(p *pack) gitops.Hash {
			p.add(blobType, base)
			p.ofsDelta(1, appendDelta(base, "one"))
			p.ofsDelta(1, appendDelta(one, "two"))
			return head(p, base, one, two)
		},
		"id delta on a base before it": func(p *pack) gitops.Hash {
			p.add(blobType, base)
			p.refDelta(hashOf(blobType, base), appendDelta(base, "one"))
			return head(p, base, one)
		},
		"id deltas on bases after them, and an offset delta on one of those": func(p *pack) gitops.Hash {
			p.refDelta(hashOf(blobType, two), appendDelta(two, "three"))
			p.refDelta(hashOf(blobType, base), appendDelta(base, "one"))
			p.ofsDelta(1, appendDelta(one, "two"))
			p.add(blobType, base)
			return head(p, base, one, two, three)
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, objects.Options{})
			p := newPack()
			id := build(p)
			receive(t, s, id, p)
			if !whole(t, s, id) {
				t.Fatal("not whole")
			}
		})
	}
	t.Run("thin: on a base that is in the store", func(t *testing.T) {
		s, _ := open(t, objects.Options{})
		p := newPack()
		p.add(blobType, base)
		receive(t, s, head(p, base), p)
		p = newPack()
		p.refDelta(hashOf(blobType, base), appendDelta(base, "one"))
		receive(t, s, head(p, one), p)
		_, content, err := s.Object(t.Context(), hashOf(blobType, one))
		if err != nil || !bytes.Equal(content, one) {
			t.Fatalf("%q, %v", content, err)
		}
	})
}

func TestBadPacks(t *testing.T) {
	small := objects.Options{MaxObject: 10_000, MaxPack: 100_000}
	base := []byte(strings.Repeat("base\n", 50))
	absent := gitops.Hash(strings.Repeat("d", 40))
	cases := map[string]struct {
		build  func(p *pack)
		bytes  func([]byte) []byte
		reason gitops.Reason
		text   string
		stored int
	}{
		"not a pack":                   {bytes: func([]byte) []byte { return []byte("<html>") }, reason: gitops.Corrupt},
		"empty":                        {bytes: func([]byte) []byte { return nil }, reason: gitops.Corrupt},
		"pack version 3":               {bytes: func(b []byte) []byte { b[7] = 3; return b }, reason: gitops.Corrupt},
		"bad checksum":                 {bytes: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, reason: gitops.Corrupt, stored: 3},
		"flipped content":              {bytes: func(b []byte) []byte { b[20] ^= 1; return b }, reason: gitops.Corrupt},
		"too large":                    {bytes: func(b []byte) []byte { return append(b[:len(b)-20], bytes.Repeat([]byte("x"), 100_001)...) }, build: func(p *pack) { p.count = 9 }, reason: gitops.Corrupt, stored: 3},
		"endless":                      {build: func(p *pack) { p.add(blobType, []byte(text(1, 9_000))) }, bytes: repeated(20), reason: gitops.TooLarge, text: "100000", stored: 10},
		"too many objects":             {build: func(p *pack) { p.count = 1 << 30 }, reason: gitops.TooLarge, text: "announces"},
		"fewer objects than announced": {build: func(p *pack) { p.count = 5 }, reason: gitops.Corrupt, stored: 3},
		"object over the limit": {build: func(p *pack) {
			p.add(blobType, []byte(strings.Repeat("x", 10_001)))
		}, reason: gitops.TooLarge},
		"object of 4 GiB": {build: func(p *pack) {
			p.raw(append(varint(blobType, 4<<30), deflate(base)...))
		}, reason: gitops.TooLarge},
		"object that says a smaller size than it has": {build: func(p *pack) {
			p.raw(append(varint(blobType, 10), deflate(base)...))
		}, reason: gitops.Corrupt},
		"object that says a larger size than it has": {build: func(p *pack) {
			p.raw(append(varint(blobType, 300), deflate(base)...))
		}, reason: gitops.Corrupt},
		"delta that says 8 GiB": {build: func(p *pack) {
			p.raw(append(append(varint(refDeltaType, 8<<30), make([]byte, 20)...), deflate(base)...))
		}, reason: gitops.TooLarge},
		"delta that is longer than half an object": {build: func(p *pack) {
			p.refDelta(absent, make([]byte, 5_001))
		}, reason: gitops.TooLarge},
		"delta whose result is over the limit": {build: func(p *pack) {
			id := p.add(blobType, base)
			p.refDelta(id, append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 10_001), 0x90, 10))
		}, reason: gitops.TooLarge, stored: 1},
		"delta whose result is beyond all numbers": {build: func(p *pack) {
			id := p.add(blobType, base)
			p.refDelta(id, append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 1<<63+1), 0x90, 10))
		}, reason: gitops.TooLarge, stored: 1},
		"delta that copies from beyond its base": {build: func(p *pack) {
			id := p.add(blobType, base)
			p.refDelta(id, append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 9000), 0xb0, 0x28, 0x23))
		}, reason: gitops.Corrupt, stored: 1},
		"delta for a base of another size": {build: func(p *pack) {
			id := p.add(blobType, base)
			p.refDelta(id, appendDelta(base[1:], "x"))
		}, reason: gitops.Corrupt, stored: 1},
		"delta that is empty": {build: func(p *pack) {
			p.refDelta(p.add(blobType, base), nil)
		}, reason: gitops.Corrupt, stored: 1},
		"delta on the middle of an entry": {build: func(p *pack) {
			p.add(blobType, base)
			p.offsets[0]++
			p.ofsDelta(1, appendDelta(base, "x"))
		}, reason: gitops.Corrupt, text: "where no entry begins", stored: 1},
		"delta that makes a tree no one may read": {build: func(p *pack) {
			id := p.add(treeType, entryOf("100644", "a", absent))
			p.refDelta(id, appendDelta(entryOf("100644", "a", absent), string(entryOf("100644", "..", absent))))
		}, reason: gitops.Corrupt, stored: 1},
		"entry of an unknown type": {build: func(p *pack) {
			p.raw(append(varint(5, int64(len(base))), deflate(base)...))
		}, reason: gitops.Corrupt},
		"inflates without end": {build: func(p *pack) {
			for i := range 90 {
				p.add(blobType, append(bytes.Repeat([]byte("x"), 9_990), byte(i)))
			}
		}, reason: gitops.TooLarge, stored: 80},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, path := open(t, small)
			p := newPack()
			if c.build != nil {
				c.build(p)
			}
			p.revision("x: 1\n")
			b := p.bytes()
			if c.bytes != nil {
				b = c.bytes(b)
			}
			got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(b)})
			wantReason(t, err, c.reason)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q is not in %q", c.text, err)
			}
			if got.Objects != c.stored || got.New != c.stored {
				t.Errorf("%+v, want %d objects", got, c.stored)
			}
			// A good pack still arrives.
			good := newPack()
			receive(t, s, good.revision("y: 2\n"), good)
			if n := count(t, s, path, "objects"); n != c.stored+3 {
				t.Errorf("%d objects, want %d and those of the good pack", n, c.stored)
			}
		})
	}
}

// repeated is a pack whose first entry comes again and again.
func repeated(times int) func([]byte) []byte {
	return func(b []byte) []byte {
		out := append(bytes.Clone(b[:8]), 0, 0, 1, 0)
		p := newPack()
		for i := range times {
			p.add(blobType, []byte(text(uint64(i), 9_000)))
		}
		return append(out, p.bytes()[12:]...)
	}
}

// TestDeltasOnWhatIsNotHere: a server may build on anything below what it was
// told of, and the store holds a part of that.
func TestDeltasOnWhatIsNotHere(t *testing.T) {
	base := []byte(strings.Repeat("base\n", 50))
	one := append(bytes.Clone(base), "one"...)
	two := append(bytes.Clone(one), "two"...)
	absent := gitops.Hash(strings.Repeat("d", 40))
	cases := map[string]struct {
		build func(p *pack)
		want  objects.Received
	}{
		"one": {func(p *pack) { p.refDelta(absent, appendDelta(base, "x")) }, objects.Received{Objects: 3, New: 3, SetAside: 1}},
		"in a chain": {func(p *pack) {
			p.refDelta(absent, appendDelta(base, "x"))
			p.ofsDelta(1, appendDelta(one, "y"))
			p.refDelta(hashOf(blobType, two), appendDelta(two, "z"))
		}, objects.Received{Objects: 3, New: 3, SetAside: 3}},
		"that comes at the end after all": {func(p *pack) {
			p.refDelta(hashOf(blobType, base), appendDelta(base, "one"))
			p.ofsDelta(1, appendDelta(one, "two"))
			p.refDelta(absent, appendDelta(base, "x"))
			p.add(blobType, base)
		}, objects.Received{Objects: 6, New: 6, SetAside: 1}},
		"on each other": {func(p *pack) {
			// A loop cannot be made: each would have to hold the other's hash.
			p.refDelta(absent, appendDelta(base, "x"))
			p.ofsDelta(1, appendDelta(one, "x"))
			p.refDelta(absent, appendDelta(base, "x"))
		}, objects.Received{Objects: 3, New: 3, SetAside: 3}},
		"more than may wait": {func(p *pack) {
			for range 9 {
				p.refDelta(absent, make([]byte, 4<<20))
			}
		}, objects.Received{Objects: 3, New: 3, SetAside: 9}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, objects.Options{})
			p := newPack()
			c.build(p)
			head := p.revision("x: 1\n")
			got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(p.bytes())})
			if err != nil {
				t.Fatal(err)
			}
			c.want.Bytes = int64(len(p.bytes()))
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if !whole(t, s, head) {
				t.Error("what was whole is not here")
			}
		})
	}
}

func TestWhatIsHereAlreadyIsNotWrittenAgain(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	p.revision("x")
	if got := arrive(t, s, p); got.Objects != 3 || got.New != 3 {
		t.Errorf("%+v", got)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := arrive(t, s, p); got.Objects != 3 || got.New != 0 {
		t.Errorf("%+v", got)
	}
	after, err := os.Stat(path)
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("the file was written", err)
	}
	p.revision("x") // the same three again, in one pack
	p.add(blobType, []byte("news"))
	if got := arrive(t, s, p); got.New != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAnnouncedObjectsCanBeDeclined(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	p.revision("x")
	asked := 0
	enough := errors.New("too many for this way")
	got, err := s.Receive(t.Context(), objects.Arrival{
		Pack:      bytes.NewReader(p.bytes()),
		Announced: func(n int) error { asked = n; return enough },
	})
	if !errors.Is(err, enough) || asked != 3 || got.Objects != 0 {
		t.Errorf("%v, asked about %d, %+v", err, asked, got)
	}
	if n := count(t, s, path, "objects"); n != 0 {
		t.Errorf("%d objects", n)
	}
}
