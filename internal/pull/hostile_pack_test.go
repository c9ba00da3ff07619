// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // Git's objects are named by it
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The kinds of entries in a pack.
const (
	commitEntry   = 1
	treeEntry     = 2
	blobEntry     = 3
	tagEntry      = 4
	reservedEntry = 5
	ofsDeltaEntry = 6
	refDeltaEntry = 7
)

var entryKinds = map[int]string{commitEntry: "commit", treeEntry: "tree", blobEntry: "blob", tagEntry: "tag"}

// packOf is a pack whose parts are right: its count and its checksum.
func packOf(entries ...[]byte) []byte { return packSaying(len(entries), entries...) }

// packSaying is a pack whose header counts what it says.
func packSaying(count int, entries ...[]byte) []byte {
	p := append([]byte("PACK"), 0, 0, 0, 2)
	p = binary.BigEndian.AppendUint32(p, uint32(count)) //nolint:gosec // a hostile count is a count
	return sealed(append(p, bytes.Join(entries, nil)...))
}

// sealed adds a pack's checksum.
func sealed(p []byte) []byte {
	sum := sha1.Sum(p) //nolint:gosec // Git's packs end with it
	return append(p, sum[:]...)
}

// object is an entry that holds an object whole.
func object(kind int, content []byte) []byte {
	return append(entryHeader(kind, uint64(len(content))), deflated(content)...)
}

func entryHeader(kind int, size uint64) []byte {
	head := []byte{byte(kind)<<4 | byte(size&0x0f)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	return head
}

func deflated(content []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

// refDelta is an entry that changes the object base.
func refDelta(base gitops.Hash, d []byte) []byte {
	raw, _ := hex.DecodeString(string(base))
	return bytes.Join([][]byte{entryHeader(refDeltaEntry, uint64(len(d))), raw, deflated(d)}, nil)
}

// ofsDelta is an entry that changes the one so many bytes before it.
func ofsDelta(back int, d []byte) []byte {
	distance := []byte{byte(back & 0x7f)}
	for back >>= 7; back > 0; back >>= 7 {
		back--
		distance = append([]byte{byte(back&0x7f) | 0x80}, distance...)
	}
	return bytes.Join([][]byte{entryHeader(ofsDeltaEntry, uint64(len(d))), distance, deflated(d)}, nil)
}

// delta makes a result of so many bytes out of a base of so many.
func delta(base, result int, steps ...[]byte) []byte {
	d := binary.AppendUvarint(nil, uint64(base)) //nolint:gosec // sizes
	d = binary.AppendUvarint(d, uint64(result))  //nolint:gosec // sizes
	return append(d, bytes.Join(steps, nil)...)
}

func copies(offset, size int) []byte {
	return []byte{0xff, byte(offset), byte(offset >> 8), byte(offset >> 16), byte(offset >> 24),
		byte(size), byte(size >> 8), byte(size >> 16)}
}

func inserts(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func objectID(kind int, content []byte) gitops.Hash {
	h := sha1.New() //nolint:gosec // Git's objects are named by it
	fmt.Fprintf(h, "%s %d\x00", entryKinds[kind], len(content))
	h.Write(content)
	return gitops.Hash(hex.EncodeToString(h.Sum(nil)))
}

// treeOf is a tree's content; each entry comes from treeLine.
func treeOf(lines ...[]byte) []byte { return bytes.Join(lines, nil) }

func treeLine(mode, name string, id gitops.Hash) []byte {
	raw, _ := hex.DecodeString(string(id))
	return append([]byte(mode+" "+name+"\x00"), raw...)
}

// commitOn is a commit's content.
func commitOn(tree gitops.Hash, parents ...gitops.Hash) []byte {
	text := fmt.Sprintf("tree %s\n", tree)
	for _, p := range parents {
		text += fmt.Sprintf("parent %s\n", p)
	}
	const who = "a <a@example.com> 1700000000 +0000\n"
	return []byte(text + "author " + who + "committer " + who + "\nhello\n")
}

// scene is a commit on top of the introduction, with a tree and a file. It is
// sound, so that a case can spoil one thing.
type scene struct {
	below                    [][]byte // entries of the introduction
	parent                   gitops.Hash
	blob, tree, commit       []byte
	blobID, treeID, commitID gitops.Hash
}

// withTree gives the commit another tree.
func (s scene) withTree(tree []byte) scene {
	s.tree, s.treeID = tree, objectID(treeEntry, tree)
	return s.withCommit(commitOn(s.treeID, s.parent))
}

// withParent puts the commit on top of another one.
func (s scene) withParent(parent gitops.Hash) scene {
	s.parent = parent
	return s.withTree(s.tree)
}

// withCommit replaces the commit.
func (s scene) withCommit(content []byte) scene {
	s.commit, s.commitID = content, objectID(commitEntry, content)
	return s
}

// pack is everything of the scene.
func (s scene) pack() []byte {
	return s.packWith(object(commitEntry, s.commit), object(treeEntry, s.tree), object(blobEntry, s.blob))
}

// packWith is what the scene's commit needs of the introduction, and entries.
func (s scene) packWith(entries ...[]byte) []byte {
	return packOf(append(slices.Clone(s.below), entries...)...)
}
