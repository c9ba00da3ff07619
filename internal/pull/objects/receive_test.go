// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
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
			if ok, err := s.Complete(t.Context(), id); !ok || err != nil {
				t.Fatal(ok, err)
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

func TestBadPacksAreRefusedAndLeaveNothing(t *testing.T) {
	small := objects.Options{MaxObject: 10_000, MaxPack: 100_000}
	base := []byte(strings.Repeat("base\n", 50))
	wanted := func(p *pack) gitops.Hash { return p.revision("x: 1\n") }
	cases := map[string]struct {
		build  func(p *pack) gitops.Hash
		bytes  func([]byte) []byte
		reason gitops.Reason
		text   string
	}{
		"not a pack":      {bytes: func([]byte) []byte { return []byte("<html>") }, reason: gitops.Corrupt},
		"empty":           {bytes: func([]byte) []byte { return nil }, reason: gitops.Corrupt},
		"pack version 3":  {bytes: func(b []byte) []byte { b[7] = 3; return b }, reason: gitops.Corrupt},
		"bad checksum":    {bytes: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, reason: gitops.Corrupt},
		"flipped content": {bytes: func(b []byte) []byte { b[20] ^= 1; return b }, reason: gitops.Corrupt},
		"too large":       {bytes: func([]byte) []byte { return bytes.Repeat([]byte("x"), 100_001) }, reason: gitops.TooLarge},
		"head not in it": {build: func(p *pack) gitops.Hash {
			wanted(p)
			return gitops.Hash(strings.Repeat("d", 40))
		}, reason: gitops.Incomplete},
		"too many objects": {build: func(p *pack) gitops.Hash { p.count = 1 << 30; return wanted(p) }, reason: gitops.TooLarge, text: "announces"},
		"fewer objects than announced": {build: func(p *pack) gitops.Hash {
			p.count = 5
			return wanted(p)
		}, reason: gitops.Corrupt},
		"object over the limit": {build: func(p *pack) gitops.Hash {
			return p.revision(strings.Repeat("x", 10_001))
		}, reason: gitops.TooLarge},
		"object that says a smaller size than it has": {build: func(p *pack) gitops.Hash {
			p.raw(append(varint(blobType, 10), deflate(base)...))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"object that says a larger size than it has": {build: func(p *pack) gitops.Hash {
			p.raw(append(varint(blobType, 300), deflate(base)...))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"delta that says 8 GiB": {build: func(p *pack) gitops.Hash {
			p.raw(append(append(varint(refDeltaType, 8<<30), make([]byte, 20)...), deflate(base)...))
			return wanted(p)
		}, reason: gitops.TooLarge},
		"delta whose result is over the limit": {build: func(p *pack) gitops.Hash {
			id := p.add(blobType, base)
			p.refDelta(id, append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 10_001), 0x90, 10))
			return wanted(p)
		}, reason: gitops.TooLarge},
		"delta that copies from beyond its base": {build: func(p *pack) gitops.Hash {
			id := p.add(blobType, base)
			p.refDelta(id, append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 9000), 0xb0, 0x28, 0x23))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"delta for a base of another size": {build: func(p *pack) gitops.Hash {
			id := p.add(blobType, base)
			p.refDelta(id, appendDelta(base[1:], "x"))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"delta that is empty": {build: func(p *pack) gitops.Hash {
			p.refDelta(p.add(blobType, base), nil)
			return wanted(p)
		}, reason: gitops.Corrupt},
		"delta without a base": {build: func(p *pack) gitops.Hash {
			p.refDelta(gitops.Hash(strings.Repeat("d", 40)), appendDelta(base, "x"))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"deltas before their bases, more than can be kept": {build: func(p *pack) gitops.Hash {
			for i := range 3 {
				delta := append(bytes.Repeat([]byte{0x80}, 8_000), byte(i))
				p.refDelta(gitops.Hash(strings.Repeat("d", 40)), delta)
			}
			return wanted(p)
		}, reason: gitops.TooLarge},
		"deltas on each other": {build: func(p *pack) gitops.Hash {
			p.refDelta(gitops.Hash(strings.Repeat("d", 40)), appendDelta(base, "x"))
			p.ofsDelta(1, appendDelta(base, "y"))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"entry of an unknown type": {build: func(p *pack) gitops.Hash {
			p.raw(append(varint(5, int64(len(base))), deflate(base)...))
			return wanted(p)
		}, reason: gitops.Corrupt},
		"inflates without end": {build: func(p *pack) gitops.Hash {
			for i := range 90 {
				p.add(blobType, append(bytes.Repeat([]byte("x"), 9_990), byte(i)))
			}
			return wanted(p)
		}, reason: gitops.TooLarge},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, path := open(t, small)
			p := newPack()
			if c.build == nil {
				c.build = wanted
			}
			head := c.build(p)
			b := p.bytes()
			if c.bytes != nil {
				b = c.bytes(b)
			}
			err := s.Receive(t.Context(), objects.Arrival{Source: "fleet", Head: head, Pack: bytes.NewReader(b)})
			wantReason(t, err, c.reason)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q is not in %q", c.text, err)
			}
			// A good pack still arrives.
			good := newPack()
			receive(t, s, good.revision("y: 2\n"), good)
			if n := count(t, s, path, "objects"); n != 3 {
				t.Errorf("%d objects, want those of the good pack", n)
			}
		})
	}
}

func TestPackCutAnywhereLeavesNothing(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	head := p.revision(strings.Repeat("a: b\n", 100))
	whole := p.bytes()
	for n := range len(whole) {
		err := s.Receive(t.Context(), objects.Arrival{Source: "fleet", Head: head, Pack: bytes.NewReader(whole[:n])})
		wantReason(t, err, gitops.Corrupt)
	}
	if ok, err := s.Has(t.Context(), head); ok || err != nil {
		t.Fatal(ok, err)
	}
	receive(t, s, head, p)
	if n := count(t, s, path, "objects"); n != 3 {
		t.Errorf("%d objects", n)
	}
}

// broken fails after some bytes, as a connection does.
type broken struct {
	n   int
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	if b.n <= 0 {
		return 0, b.err
	}
	n := min(len(p), b.n)
	b.n -= n
	return n, nil
}

func TestReadErrorsComeBackAsTheyAre(t *testing.T) {
	cut := errors.New("cut")
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "objects.db"), objects.Options{})
	head := gitops.Hash(strings.Repeat("d", 40))
	for _, n := range []int{0, 100, 3 << 20} {
		if err := s.Receive(t.Context(), objects.Arrival{Source: "fleet", Head: head, Pack: &broken{n, cut}}); !errors.Is(err, cut) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*incoming*"))
	if err != nil || len(left) > 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPack()
	if err := s.Receive(ctx, objects.Arrival{Source: "fleet", Head: p.revision("x"), Pack: bytes.NewReader(p.bytes())}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLargePackGoesThroughAFile(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	noise := make([]byte, 3<<20)
	f, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(noise); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	head := p.revision(string(noise))
	receive(t, s, head, p)
	_, content, err := s.Object(t.Context(), hashOf(blobType, noise))
	if err != nil || !bytes.Equal(content, noise) {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
}

func TestStoreStaysUnderItsLimit(t *testing.T) {
	s, path := open(t, objects.Options{MaxBytes: 1 << 20})
	p := newPack()
	first := p.revision("small")
	receive(t, s, first, p)
	noise := make([]byte, 2<<20)
	f, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(noise); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	p = newPack()
	err = s.Receive(t.Context(), objects.Arrival{Source: "fleet", Head: p.revision(string(noise)), Pack: bytes.NewReader(p.bytes())})
	wantReason(t, err, gitops.TooLarge)
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	p = newPack()
	receive(t, s, p.revision("still works", first), p)
}

func TestFullStoreMakesRoomOnce(t *testing.T) {
	tests := map[string]struct {
		keep bool // the unused revision
		want gitops.Reason
	}{
		"unused objects go":  {},
		"what is kept stays": {keep: true, want: gitops.TooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, objects.Options{MaxBytes: 4 << 20})
			p := newPack()
			old := p.revision(text(1, 2<<20))
			receive(t, s, old, p)
			p = newPack()
			receive(t, s, p.revision("small"), p)
			// Nothing reaches the old revision any more, and the new one does not fit beside it.
			p = newPack()
			next := p.revision(text(2, 3<<20))
			beats := 0
			a := objects.Arrival{Source: "fleet", Head: next, Pack: bytes.NewReader(p.bytes()), Progress: func() { beats++ }}
			if test.keep {
				a.Keep = []gitops.Hash{old, "0123456789012345678901234567890123456789"}
			}
			err := s.Receive(t.Context(), a)
			if gitops.ReasonOf(err) != test.want {
				t.Fatalf("reason %q, want %q: %v", gitops.ReasonOf(err), test.want, err)
			}
			for head, there := range map[gitops.Hash]bool{old: test.keep, next: !test.keep} {
				if whole, err := s.Complete(t.Context(), head); err != nil || whole != there {
					t.Errorf("%s is there: %v, %v; want %v", head.Short(), whole, err, there)
				}
			}
			if beats == 0 {
				t.Error("nobody heard that it goes on")
			}
		})
	}
}
