// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// TestHostilePacks is what is wrong with a pack as such.
func TestHostilePacks(t *testing.T) {
	w := newWorld(t)
	s := w.scene
	good := s.pack()
	commit, tree, blob := object(commitEntry, s.commit), object(treeEntry, s.tree), object(blobEntry, s.blob)
	changed := func(at int, to ...byte) []byte {
		p := bytes.Clone(good[:len(good)-20])
		copy(p[at:], to)
		return sealed(p)
	}
	send := func(entries ...[]byte) v2Script { return sending(s, s.packWith(entries...)) }
	nobody := gitops.Hash(strings.Repeat("9", 40))
	bad := append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1)
	four := binary.AppendUvarint(nil, 4<<30)
	head := 4 << 30 // not all of which follows
	w.run([]hostileCase{
		{name: "not a pack", serve: sending(s, changed(0, 'J', 'U', 'N', 'K')), reasons: is(gitops.Corrupt)},
		{name: "version 3", serve: sending(s, changed(7, 3)), reasons: is(gitops.Corrupt)},
		{name: "fewer objects than it says", serve: sending(s, packSaying(9, commit, tree, blob)), reasons: is(gitops.Corrupt, gitops.TooLarge)},
		{name: "more objects than it says", serve: sending(s, packSaying(2, commit, tree, blob)), reasons: is(gitops.Corrupt)},
		{name: "four billion objects", serve: sending(s, packSaying(1<<32-1, commit)), reasons: is(gitops.Corrupt, gitops.TooLarge)},
		{name: "an empty pack", serve: send(), reasons: is(gitops.Incomplete, gitops.ServerError)},
		{name: "an object of 4 GB", serve: send(commit, append(entryHeader(blobEntry, uint64(head)), deflated(s.blob)...)), reasons: is(gitops.TooLarge)},
		{name: "a size without end", serve: send(bytes.Repeat([]byte{0xff}, 1000)), reasons: is(gitops.Corrupt, gitops.TooLarge)},
		{name: "less content than its size", serve: send(commit, append(entryHeader(blobEntry, 100), deflated(s.blob)...)), reasons: is(gitops.Corrupt)},
		{name: "more content than its size", serve: send(commit, append(entryHeader(blobEntry, 2), deflated(s.blob)...)), reasons: is(gitops.Corrupt, gitops.TooLarge)},
		{name: "a wrong checksum", serve: sending(s, bad), reasons: is(gitops.Corrupt)},
		{name: "garbage behind it, without end", serve: offering(s.commitID, v2Endless(strings.TrimSuffix(v2Pack(good), v2Flush), v2Line("\x01garbage"))), change: tight, reasons: is("", gitops.TooLarge)},
		{name: "an entry of a reserved kind", serve: send(append(entryHeader(reservedEntry, 5), deflated(s.blob)...)), reasons: is(gitops.Corrupt)},
		{name: "content that is not compressed", serve: send(append(entryHeader(blobEntry, 5), "hello"...)), reasons: is(gitops.Corrupt)},
		{name: "a zlib bomb", serve: send(commit, append(entryHeader(blobEntry, 10), deflated(make([]byte, 64<<20))...)), reasons: is(gitops.Corrupt, gitops.TooLarge)},
		{name: "a zlib bomb with its size", serve: send(commit, object(blobEntry, make([]byte, 64<<20))), reasons: is(gitops.TooLarge)},
		{name: "a delta on a base that never comes", serve: send(refDelta(nobody, delta(5, 5, copies(0, 5)))), reasons: is(gitops.Incomplete, gitops.Corrupt)},
		{name: "a delta on a commit that never comes, as the tip", serve: send(tree, blob, refDelta(nobody, delta(len(s.commit), len(s.commit), copies(0, len(s.commit))))), reasons: is(gitops.Incomplete)},
		{name: "a delta on an entry before the pack", serve: send(ofsDelta(9999, delta(5, 5, copies(0, 5)))), reasons: is(gitops.Corrupt)},
		{name: "a delta on itself", serve: send(ofsDelta(0, delta(5, 5, copies(0, 5)))), reasons: is(gitops.Corrupt)},
		{name: "a delta on the middle of an entry", serve: send(blob, ofsDelta(len(blob)-1, delta(5, 5, copies(0, 5)))), reasons: is(gitops.Corrupt)},
		{name: "deltas on each other", serve: send(refDelta(objectID(blobEntry, []byte("b")), delta(1, 1, inserts("a"))), refDelta(objectID(blobEntry, []byte("a")), delta(1, 1, inserts("b")))), reasons: is(gitops.Incomplete, gitops.Corrupt)},
		{name: "a delta for a base of another size", serve: send(blob, ofsDelta(len(blob), delta(6, 5, copies(0, 5)))), reasons: is(gitops.Corrupt)},
		{name: "a delta with another result", serve: send(blob, ofsDelta(len(blob), delta(5, 6, copies(0, 5)))), reasons: is(gitops.Corrupt)},
		{name: "a copy beyond the base", serve: send(blob, ofsDelta(len(blob), delta(5, 9, copies(1, 9)))), reasons: is(gitops.Corrupt)},
		{name: "a delta with the reserved step", serve: send(blob, ofsDelta(len(blob), delta(5, 1, []byte{0}))), reasons: is(gitops.Corrupt)},
		{name: "a delta cut in a step", serve: send(blob, ofsDelta(len(blob), delta(5, 5, []byte{0xff, 0}))), reasons: is(gitops.Corrupt)},
		{name: "a delta with a result of 4 GB", serve: send(blob, ofsDelta(len(blob), append(append([]byte{5}, four...), copies(0, 5)...))), reasons: is(gitops.TooLarge)},
		{name: "deltas that double", serve: sending(s, doubling(t, 40)), reasons: is(gitops.TooLarge)},
		{name: "a thousand large results of one base", serve: sending(s, multiplying(1000)), change: func(o *order) { o.Options.MaxPack = 64 << 20 }, reasons: is(gitops.TooLarge)},
		{name: "an object over the limit", serve: send(commit, object(blobEntry, make([]byte, 2<<20))), change: func(o *order) { o.Options = objects.Options{MaxObject: 1 << 20} }, reasons: is(gitops.TooLarge)},
	})
}

// doubling is a pack in which each delta makes twice what it is based on.
func doubling(t *testing.T, n int) []byte {
	t.Helper()
	size := 64 << 10
	entries := [][]byte{object(blobEntry, make([]byte, size))}
	for range n {
		last := len(entries[len(entries)-1])
		entries = append(entries, ofsDelta(last, delta(size, 2*size, copies(0, size), copies(0, size))))
		size = min(2*size, 16<<20-1)
	}
	return packOf(entries...)
}

// multiplying is a small pack that becomes n objects of 8 MB.
func multiplying(n int) []byte {
	const size = 4 << 20
	base := object(blobEntry, make([]byte, size))
	entries, behind := [][]byte{base}, len(base)
	for i := range n {
		text := string(binary.BigEndian.AppendUint32(nil, uint32(i))) //nolint:gosec // a small number
		e := ofsDelta(behind, delta(size, 2*size+4, copies(0, size), copies(0, size), inserts(text)))
		entries, behind = append(entries, e), behind+len(e)
	}
	return packOf(entries...)
}

// TestHostileObjects is what is wrong with objects that hash right, and with
// what comes and does not.
func TestHostileObjects(t *testing.T) {
	w := newWorld(t)
	s := w.scene
	child := s.withParent(s.withParent(gitops.Hash(strings.Repeat("8", 40))).commitID)
	commit, tree, blob := object(commitEntry, s.commit), object(treeEntry, s.tree), object(blobEntry, s.blob)
	file := func(name string) []byte { return treeLine("100644", name, s.blobID) }
	// whole sends a commit with another tree.
	whole := func(tree []byte) v2Script { return sending(s.withTree(tree), s.withTree(tree).pack()) }
	// naming sends a commit with other content.
	naming := func(content string) v2Script {
		return sending(s.withCommit([]byte(content)), s.withCommit([]byte(content)).pack())
	}
	who := "author a <a@example.com> 1 +0000\ncommitter a <a@example.com> 1 +0000\n\nx\n"
	tag := "object " + strings.Repeat("7", 40) + "\ntype commit\ntag v1\ntagger a <a@example.com> 1 +0000\n\nx\n"
	treeHead := "tree " + string(s.treeID) + "\n"
	folder := s.withTree(treeLine("100644", "a", s.treeID))
	w.run([]hostileCase{
		{name: "a file named ..", serve: whole(file("..")), reasons: is(gitops.Corrupt)},
		{name: "a file named .", serve: whole(file(".")), reasons: is(gitops.Corrupt)},
		{name: "a file named .git", serve: whole(file(".git")), reasons: is(gitops.Corrupt)},
		{name: "a file named .GIT", serve: whole(file(".GIT")), reasons: is(gitops.Corrupt)},
		{name: "a file with a slash", serve: whole(file("a/b")), reasons: is(gitops.Corrupt)},
		{name: "a file without a name", serve: whole(file("")), reasons: is(gitops.Corrupt)},
		{name: "a file twice", serve: whole(treeOf(file("a"), file("a"))), reasons: is(gitops.Corrupt)},
		{name: "a file and a folder of one name", serve: whole(treeOf(file("a"), treeLine("40000", "a", s.treeID))), reasons: is(gitops.Corrupt)},
		{name: "files out of order", serve: whole(treeOf(file("b"), file("a"))), reasons: is(gitops.Corrupt)},
		{name: "a mode that there is not", serve: whole(treeLine("100000", "a", s.blobID)), reasons: is(gitops.Corrupt)},
		{name: "a mode with a zero before it", serve: whole(treeLine("040000", "a", s.treeID)), reasons: is(gitops.Corrupt)},
		{name: "an entry without an end of its name", serve: whole([]byte("100644 abcdefghijklmnopqrstuvwxyz")), reasons: is(gitops.Corrupt)},
		{name: "an entry cut in its id", serve: whole(file("a")[:20]), reasons: is(gitops.Corrupt)},
		{name: "a commit without a tree", serve: naming(who), reasons: is(gitops.Corrupt)},
		{name: "a commit with two trees", serve: naming(treeHead + treeHead + who), reasons: is(gitops.Corrupt)},
		{name: "a commit with a bad id", serve: naming("tree " + strings.Repeat("g", 40) + "\n" + who), reasons: is(gitops.Corrupt)},
		{name: "a commit with a short id", serve: naming("tree " + strings.Repeat("a", 39) + "\n" + who), reasons: is(gitops.Corrupt)},
		{name: "a commit with a parent that is none", serve: naming(treeHead + "parent x\n" + who), reasons: is(gitops.Corrupt)},
		{name: "an empty commit", serve: naming(""), reasons: is(gitops.Corrupt)},
		{name: "a commit whose tree is a file", serve: naming("tree " + string(s.blobID) + "\nparent " + string(w.first) + "\n" + who), reasons: is(gitops.Corrupt)},
		{name: "a commit whose parent is a tree", serve: naming(treeHead + "parent " + string(s.treeID) + "\n" + who), reasons: is(gitops.Corrupt)},
		{name: "a folder that is a file", serve: whole(treeLine("40000", "a", s.blobID)), reasons: is(gitops.Corrupt)},
		{name: "a file that is a folder", serve: sending(folder, s.packWith(object(commitEntry, folder.commit), object(treeEntry, folder.tree), tree, blob)), reasons: is(gitops.Corrupt)},
		{name: "a branch that names a tree", serve: offering(s.treeID, v2Says(v2Pack(s.packWith(tree, blob)))), reasons: is(gitops.MalformedTag, gitops.Corrupt)},
		{name: "a branch that names a tag of nothing", serve: offering(objectID(tagEntry, []byte(tag)), v2Says(v2Pack(s.packWith(object(tagEntry, []byte(tag)))))), reasons: is(gitops.MalformedTag, gitops.Incomplete)},
		{name: "the head is not in the pack", serve: sending(s, s.packWith(tree, blob)), reasons: is(gitops.Incomplete)},
		{name: "only what was not asked for", serve: sending(s, s.packWith(object(blobEntry, []byte("x")), object(blobEntry, []byte("y")))), reasons: is(gitops.Incomplete)},
		{name: "a parent that never comes", serve: sending(child, s.packWith(object(commitEntry, child.commit), tree, blob)), reasons: is(gitops.Incomplete)},
		{name: "a tree that never comes", serve: sending(s, s.packWith(commit, blob)), reasons: is(gitops.Incomplete)},
		{name: "a file that never comes", serve: sending(s, s.packWith(commit, tree)), reasons: is(gitops.Incomplete)},
		{name: "something new each time, never the head", serve: offering(s.commitID, changing()), reasons: is(gitops.Incomplete, gitops.TooLarge)},
	})
}
