// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestAmbiguousObjectsAreRefused(t *testing.T) {
	blobContent := []byte("x")
	blob := hashOf(blobType, blobContent)
	inner := entryOf("100644", "f", blob)
	dir := hashOf(treeType, inner)
	tree := func(entries ...[]byte) []byte { return bytes.Join(entries, nil) }
	file := func(name string) []byte { return entryOf("100644", name, blob) }
	sub := func(name string) []byte { return entryOf("40000", name, dir) }
	good := hashOf(treeType, inner)
	cases := []struct {
		name    string
		kind    int
		content []byte
		reason  gitops.Reason // "" = accepted
	}{
		{"tree in order", treeType, tree(file("a"), file("a.b"), sub("a0"), file("b")), ""},
		{"file before directory of a longer name", treeType, tree(file("a-b"), sub("a"), file("a0")), ""},
		{"old group-writable mode", treeType, entryOf("100664", "a", blob), ""},
		{"same name twice", treeType, tree(file("a"), file("a")), gitops.Corrupt},
		{"out of order", treeType, tree(file("b"), file("a")), gitops.Corrupt},
		{"directory sorted as a file", treeType, tree(sub("a"), file("a-b")), gitops.Corrupt},
		{"file and directory of one name", treeType, tree(file("a"), sub("a")), gitops.Corrupt},
		{"file and directory of one name, apart", treeType, tree(file("a"), file("a-b"), file("a.c"), sub("a")), gitops.Corrupt},
		{"entry ..", treeType, file(".."), gitops.Corrupt},
		{"entry .", treeType, file("."), gitops.Corrupt},
		{"entry without a name", treeType, file(""), gitops.Corrupt},
		{"entry .git", treeType, sub(".git"), gitops.Corrupt},
		{"entry .GIT", treeType, sub(".GIT"), gitops.Corrupt},
		{"entry with an endless name", treeType, file(strings.Repeat("a", 4097)), gitops.Corrupt},
		{"entry with a slash", treeType, file("a/b"), gitops.Corrupt},
		{"padded mode", treeType, entryOf("040000", "a", dir), gitops.Corrupt},
		{"unknown mode", treeType, entryOf("100600", "a", blob), gitops.Corrupt},
		{"endless mode", treeType, []byte(strings.Repeat("1", 100)), gitops.Corrupt},
		{"entry cut short", treeType, file("a")[:20], gitops.Corrupt},
		{"commit without a tree", commitType, []byte("author a\n"), gitops.Corrupt},
		{"two trees", commitType, []byte("tree " + string(good) + "\ntree " + string(good) + "\nauthor a\n"), gitops.Corrupt},
		{"upper-case id", commitType, []byte("tree " + strings.ToUpper(string(good)) + "\nauthor a\n"), gitops.Corrupt},
		{"id of letters", commitType, []byte("tree " + strings.Repeat("z", 40) + "\nauthor a\n"), gitops.Corrupt},
		{"tag of a tree", tagType, []byte("object " + string(good) + "\ntype tree\ntag x\n"), ""},
		{"tag of an unknown type", tagType, []byte("object " + string(good) + "\ntype ofs-delta\ntag x\n"), gitops.Corrupt},
		{"tag without a type", tagType, []byte("object " + string(good) + "\ntag x\n"), gitops.Corrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _ := open(t, objects.Options{})
			p := newPack()
			p.add(blobType, blobContent)
			p.add(treeType, inner)
			id := p.add(c.kind, c.content)
			got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(p.bytes())})
			wantReason(t, err, c.reason)
			stored := 2
			if c.reason == "" {
				stored = 3
			}
			if got.Objects != stored || has(t, s, id) != (c.reason == "") || !has(t, s, blob) {
				t.Errorf("%+v; it is here: %v", got, has(t, s, id))
			}
		})
	}
}

func TestCollisionIsRefused(t *testing.T) {
	b, err := os.ReadFile("testdata/shattered.bin")
	if err != nil {
		t.Fatal(err)
	}
	_, err = objects.Sum(b)
	wantReason(t, err, gitops.Corrupt)
	got, err := objects.Sum(b[:300])
	if err != nil || got != "" && len(got) != 40 {
		t.Fatal(got, err)
	}
	if got, err := objects.Sum([]byte("abc")); got != "a9993e364706816aba3e25717850c26c9cd0d89d" || err != nil {
		t.Fatal(got, err)
	}
}
