// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// story is a history whose parts can be left out of a pack by their names.
type story struct {
	names map[gitops.Hash]string
	ids   map[string]gitops.Hash
	parts map[string]part
	order []string
}

type part struct {
	kind    int
	content []byte
}

func newStory() *story {
	return &story{names: map[gitops.Hash]string{}, ids: map[string]gitops.Hash{}, parts: map[string]part{}}
}

func (y *story) add(name string, kind int, content []byte) gitops.Hash {
	h := hashOf(kind, content)
	if _, again := y.names[h]; !again {
		y.names[h] = name
	}
	y.ids[name], y.parts[name] = h, part{kind, content}
	y.order = append(y.order, name)
	return h
}

// commit adds a commit with a root tree, trust files and one file, of its own.
func (y *story) commit(name string, parents ...string) {
	key := y.add(name+" key", blobType, []byte("key of "+name))
	keys := y.add(name+" keys", treeType, entryOf("100644", "signers", key))
	trust := y.add(name+" trust", treeType, entryOf("40000", "keys", keys))
	file := y.add(name+" file", blobType, []byte("file of "+name))
	tree := y.add(name+" tree", treeType, append(entryOf("40000", ".edgeagent", trust), entryOf("100644", "a.yaml", file)...))
	var up []gitops.Hash
	for _, p := range parents {
		up = append(up, y.ids[p])
	}
	y.add(name, commitType, commitOf(tree, up...))
}

// store holds all of it but what is named.
func (y *story) store(t testing.TB, without ...string) *objects.Store {
	t.Helper()
	s, _ := open(t, objects.Options{})
	p := newPack()
	left := map[string]bool{}
	for _, name := range without {
		left[name] = true
	}
	for _, name := range y.order {
		if !left[name] {
			p.add(y.parts[name].kind, y.parts[name].content)
		}
	}
	arrive(t, s, p)
	return s
}

func (y *story) hashes(names ...string) []gitops.Hash {
	var out []gitops.Hash
	for _, name := range names {
		h, ok := y.ids[name]
		if !ok {
			h = gitops.Hash(name)
		}
		out = append(out, h)
	}
	return out
}

// told is a list of missing objects as a test writes it.
func (y *story) told(lost []gitops.MissingObject) string {
	var out []string
	for _, m := range lost {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s(%s,%d) %s", y.names[m.ID], m.Kind, m.Depth, m.Path)))
	}
	return strings.Join(out, "; ")
}

func TestLineage(t *testing.T) {
	// a ← b ← c ← d, and c ← m, x ← m
	y := newStory()
	y.commit("a")
	y.commit("b", "a")
	y.commit("c", "b")
	y.commit("d", "c")
	y.commit("x")
	y.commit("m", "c", "x")
	y.add("v1", tagType, []byte("object "+string(y.ids["d"])+"\ntype commit\ntag v1\n\nx\n"))
	y.add("v2", tagType, []byte("object "+string(y.ids["v1"])+"\ntype tag\ntag v2\n\nx\n"))
	cases := map[string]struct {
		tip     string
		until   []string
		without []string
		most    int
		missing string
		around  bool
		commits int
	}{
		"whole":                        {tip: "d", around: true, commits: 4},
		"bounded":                      {tip: "d", until: []string{"b"}, commits: 3},
		"the end itself":               {tip: "d", until: []string{"d"}, commits: 1},
		"bounded by a root":            {tip: "d", until: []string{"a"}, commits: 4},
		"an empty end names nothing":   {tip: "d", until: []string{""}, around: true, commits: 4},
		"a way around the end":         {tip: "m", until: []string{"b"}, around: true, commits: 4},
		"two ends":                     {tip: "m", until: []string{"b", "x"}, commits: 4},
		"an end that is not related":   {tip: "d", until: []string{"x"}, around: true, commits: 4},
		"a tag":                        {tip: "v1", until: []string{"b"}, commits: 3},
		"a tag of a tag":               {tip: "v2", until: []string{"b"}, commits: 3},
		"files do not matter":          {tip: "d", without: []string{"d file", "a file"}, around: true, commits: 4},
		"below the end does not count": {tip: "d", until: []string{"c"}, without: []string{"b", "a tree", "b key"}, commits: 2},
		"the end's own parts count":    {tip: "d", until: []string{"c"}, without: []string{"c tree"}, missing: "c tree(tree,1)", commits: 2},
		"the end is not here":          {tip: "d", until: []string{"c"}, without: []string{"c"}, missing: "c(commit,1)", around: true, commits: 1},
		"the tip is not here":          {tip: "d", without: []string{"d"}, missing: "d(,1)", around: true},
		"what a tag names is not here": {tip: "v2", without: []string{"d"}, missing: "d(commit,1)", around: true},
		"commits, then root trees, then trust": {
			tip: "m", until: []string{"a"}, without: []string{"x", "c tree", "b", "m keys"}, around: true, commits: 2,
			missing: "x(commit,1); b(commit,1); c tree(tree,1); m keys(tree,0) .edgeagent/keys",
		},
		"trust files": {
			tip: "d", until: []string{"b"}, without: []string{"b trust", "c keys", "d key"}, commits: 3,
			missing: "d key(blob,0) .edgeagent/keys/signers; c keys(tree,0) .edgeagent/keys; b trust(tree,0) .edgeagent",
		},
		"the nearest first": {tip: "d", until: []string{"a"}, without: []string{"d tree", "c tree", "b tree", "a"}, most: 3, around: true, commits: 3,
			missing: "a(commit,1); d tree(tree,1); c tree(tree,1)"},
		"no more than asked for": {tip: "m", without: []string{"c", "x"}, most: 1, around: true, commits: 1, missing: "c(commit,1)"},
		"no more trust than asked for": {tip: "d", without: []string{"a key", "b key", "c key", "d key"}, most: 2, around: true, commits: 4,
			missing: "d key(blob,0) .edgeagent/keys/signers; c key(blob,0) .edgeagent/keys/signers"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := y.store(t, c.without...)
			if c.most == 0 {
				c.most = 100
			}
			l := lineage(t, s, y.ids[c.tip], y.hashes(c.until...), c.most)
			if got := y.told(l.Missing); got != c.missing {
				t.Errorf("missing: %s\nwant:    %s", got, c.missing)
			}
			if l.Around != c.around || l.Commits != c.commits {
				t.Errorf("around %v, %d commits; want %v, %d", l.Around, l.Commits, c.around, c.commits)
			}
			err := s.Advance(t.Context(), "fleet", y.ids[c.tip])
			if ok := err == nil; ok != (c.missing == "") {
				t.Errorf("may be the head: %v (%v)", ok, err)
			}
		})
	}
}

func TestLineageOfWhatCannotBe(t *testing.T) {
	y := newStory()
	blob := y.add("blob", blobType, []byte("x"))
	tree := y.add("tree", treeType, entryOf("100644", "a", blob))
	commit := y.add("commit", commitType, commitOf(tree))
	y.add("tree for a parent", commitType, commitOf(tree, tree))
	y.add("blob for a tree", commitType, commitOf(blob))
	y.add("tag of a tree", tagType, []byte("object "+string(tree)+"\ntype tree\ntag x\n"))
	y.add("tag that lies", tagType, []byte("object "+string(tree)+"\ntype commit\ntag x\n"))
	trust := y.add("trust is no tree", treeType, entryOf("40000", ".edgeagent", blob))
	y.add("blob for trust", commitType, commitOf(trust))
	inner := y.add("inner", treeType, entryOf("100644", "signers", tree))
	keys := y.add("trust with a wrong file", treeType, entryOf("40000", ".edgeagent", inner))
	y.add("tree for a key", commitType, commitOf(keys))
	last := commit
	for n := range 17 {
		kind := "tag"
		if n == 0 {
			kind = "commit"
		}
		last = y.add(fmt.Sprint("tag ", n), tagType, fmt.Appendf(nil, "object %s\ntype %s\ntag x\n", last, kind))
	}
	s := y.store(t)
	for name, reason := range map[string]gitops.Reason{
		"blob": gitops.MalformedTag, "tree": gitops.MalformedTag, "tag of a tree": gitops.MalformedTag,
		"tag that lies": gitops.Corrupt, "tree for a parent": gitops.Corrupt, "blob for a tree": gitops.Corrupt,
		"blob for trust": gitops.Corrupt, "tree for a key": gitops.Corrupt, "tag 16": gitops.Corrupt, "commit": "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Lineage(t.Context(), y.ids[name], nil, 10)
			wantReason(t, err, reason)
			if reason != "" && s.Advance(t.Context(), "fleet", y.ids[name]) == nil {
				t.Error("it may be the head")
			}
		})
	}
	_, err := s.Lineage(t.Context(), "HEAD", nil, 10)
	wantReason(t, err, gitops.Incomplete)
	_, err = s.Lineage(t.Context(), commit, []gitops.Hash{"HEAD"}, 10)
	wantReason(t, err, gitops.Incomplete)
}

// TestTrustThatIsAFile: .edgeagent may be a file or a gitlink; what is named is
// brought, for others to judge.
func TestTrustThatIsAFile(t *testing.T) {
	y := newStory()
	blob := y.add("blob", blobType, []byte("x"))
	y.add("commit", commitType, commitOf(y.add("tree", treeType, entryOf("100644", ".edgeagent", blob))))
	y.add("link", commitType, commitOf(y.add("link tree", treeType, entryOf("160000", ".edgeagent", blob))))
	s := y.store(t, "blob")
	if got := y.told(lineage(t, s, y.ids["commit"], nil, 9).Missing); got != "blob(blob,0) .edgeagent" {
		t.Error(got)
	}
	if got := y.told(lineage(t, s, y.ids["link"], nil, 9).Missing); got != "" {
		t.Error(got)
	}
}

func TestBelow(t *testing.T) {
	y := newStory()
	deep := y.add("deep", treeType, entryOf("100644", "f", y.add("f", blobType, []byte("f"))))
	dir := y.add("dir", treeType, append(entryOf("40000", "deep", deep), entryOf("100644", "g", y.add("g", blobType, []byte("g")))...))
	root := y.add("root", treeType, append(append(entryOf("100644", "a", y.add("a", blobType, []byte("a"))), entryOf("40000", "dir", dir)...),
		entryOf("160000", "sub", gitops.Hash(strings.Repeat("5", 40)))...))
	y.commit("parent")
	commit := y.add("commit", commitType, commitOf(root, y.ids["parent"]))
	y.add("tag", tagType, []byte("object "+string(commit)+"\ntype commit\ntag x\n"))
	wrong := y.add("wrong", treeType, entryOf("100644", "x", dir))
	cases := map[string]struct {
		roots, without []string
		most           int
		missing        string
		reason         gitops.Reason
	}{
		"nothing":            {roots: []string{"commit", "tag", "root", "a"}, without: []string{"parent", "parent tree"}},
		"breadth first":      {roots: []string{"tag"}, without: []string{"f", "g", "a"}, missing: "a(blob,0) a; g(blob,0) dir/g; f(blob,0) dir/deep/f"},
		"a directory":        {roots: []string{"commit"}, without: []string{"dir", "deep"}, missing: "dir(tree,0) dir"},
		"the tree":           {roots: []string{"commit"}, without: []string{"root"}, missing: "root(tree,0)"},
		"the root":           {roots: []string{"commit"}, without: []string{"commit"}, missing: "commit(,0)"},
		"what a tag names":   {roots: []string{"tag"}, without: []string{"commit"}, missing: "commit(commit,0)"},
		"each once":          {roots: []string{"dir", "root", "a", "a"}, without: []string{"g", "a"}, missing: "a(,0); g(blob,0) g"},
		"at most":            {roots: []string{"root"}, without: []string{"f", "g", "a"}, most: 2, missing: "a(blob,0) a; g(blob,0) dir/g"},
		"a file that is not": {roots: []string{"wrong"}, reason: gitops.Corrupt},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := y.store(t, c.without...)
			if c.most == 0 {
				c.most = 100
			}
			lost, err := s.Below(t.Context(), y.hashes(c.roots...), c.most)
			wantReason(t, err, c.reason)
			if got := y.told(lost); got != c.missing {
				t.Errorf("missing: %s\nwant:    %s", got, c.missing)
			}
		})
	}
	_ = wrong
}

// TestLongPathsAreCutShort: trees in each other, each with a long name, would
// make paths that grow with the square of their number.
func TestLongPathsAreCutShort(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	id := hashOf(blobType, []byte("not here"))
	id = p.add(treeType, entryOf("100644", "file", id))
	for range 50 {
		id = p.add(treeType, entryOf("40000", strings.Repeat("d", 1000), id))
	}
	arrive(t, s, p)
	lost := below(t, s, id, 9)
	if len(lost) != 1 || len(lost[0].Path) > 4200 || !strings.HasSuffix(lost[0].Path, "/file") {
		t.Errorf("%v", lost)
	}
}

func TestAncestor(t *testing.T) {
	y := newStory()
	y.commit("a")
	y.commit("b", "a")
	y.commit("c", "b")
	y.commit("x", "a")
	y.commit("m", "x", "c")
	y.add("v1", tagType, []byte("object "+string(y.ids["c"])+"\ntype commit\ntag v1\n\nx\n"))
	s := y.store(t, "x tree", "c file")
	for _, c := range []struct {
		old, young string
		want       bool
	}{
		{"a", "a", true}, {"a", "c", true}, {"c", "a", false}, {"c", "x", false}, {"c", "m", true}, {"x", "m", true},
		{"a", "v1", true}, {"a tree", "c", false}, {"a", "a tree", false},
	} {
		if got, err := s.Ancestor(t.Context(), y.ids[c.old], y.ids[c.young]); got != c.want || err != nil {
			t.Errorf("%s before %s: %v, %v", c.old, c.young, got, err)
		}
	}
	s = y.store(t, "b")
	if got, err := s.Ancestor(t.Context(), y.ids["a"], y.ids["c"]); got || err != nil {
		t.Errorf("beyond a commit that is not here: %v, %v", got, err)
	}
}

// BenchmarkLineage walks 10,000 commits, each with a root tree and trust files
// of its own.
func BenchmarkLineage(b *testing.B) {
	s, _ := open(b, objects.Options{})
	p := newPack()
	var head gitops.Hash
	var parents, near []gitops.Hash
	for n := range 10_000 {
		key := p.add(blobType, fmt.Append(nil, "key ", n/100))
		trust := p.add(treeType, entryOf("100644", "signers", key))
		root := entryOf("40000", ".edgeagent", trust)
		for f := range 10 {
			root = append(root, entryOf("100644", fmt.Sprintf("f%d", f), hashOf(blobType, fmt.Append(nil, n, f)))...)
		}
		head = p.add(commitType, commitOf(p.add(treeType, root), parents...))
		parents = []gitops.Hash{head}
		if n == 9_989 {
			near = parents
		}
	}
	arrive(b, s, p)
	for name, c := range map[string]struct {
		until   []gitops.Hash
		commits int
	}{"all": {commits: 10_000}, "an end nearby": {until: near, commits: 11}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if l := lineage(b, s, head, c.until, 100); l.Commits != c.commits || len(l.Missing) > 0 {
					b.Fatal(l)
				}
			}
		})
	}
}

// TestWalkBesideARemovalIsNoProof: it may have seen what went a moment later.
func TestWalkBesideARemovalIsNoProof(t *testing.T) {
	if beside, alone := objects.ProofOverRemoval(); beside || !alone {
		t.Errorf("beside a removal %v, alone %v", beside, alone)
	}
}

// TestBombs: trees and commits that name each other twice have 2^40 paths.
func TestBombs(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	tree := p.add(treeType, entryOf("100644", "f", hashOf(blobType, []byte("not here"))))
	for range 40 {
		tree = p.add(treeType, append(entryOf("40000", "a", tree), entryOf("40000", "b", tree)...))
	}
	commit := p.add(commitType, commitOf(tree))
	for range 40 {
		commit = p.add(commitType, commitOf(tree, commit, commit))
	}
	arrive(t, s, p)
	if lost := below(t, s, commit, 9); len(lost) != 1 {
		t.Errorf("missing: %v", lost)
	}
	if l := lineage(t, s, commit, nil, 9); l.Commits != 41 {
		t.Errorf("%d commits", l.Commits)
	}
	advance(t, s, "fleet", commit)
	sweep(t, s)
}
