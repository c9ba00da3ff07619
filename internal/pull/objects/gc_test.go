// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func text(seed uint64, n int) string {
	g := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return string(b)
}

// sweep collects twice: the first collection spares what came since the last.
func sweep(t testing.TB, s *objects.Store) {
	t.Helper()
	collect(t, s)
	collect(t, s)
}

// TestWhatACollectionKeeps has a history of three revisions, of which the middle
// one is retained, and a carried ref beside it.
func TestWhatACollectionKeeps(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	ids := map[string]gitops.Hash{}
	var parents []gitops.Hash
	for _, name := range []string{"old", "retained", "head", "dropped", "carried"} {
		id := func(what string, kind int, content []byte) gitops.Hash {
			ids[name+" "+what] = p.add(kind, content)
			return ids[name+" "+what]
		}
		key := id("key", blobType, []byte("key of "+name))
		keys := id("keys", treeType, entryOf("100644", "signers", key))
		trust := id("trust", treeType, entryOf("40000", "keys", keys))
		file := id("file", blobType, []byte("file of "+name))
		dir := id("directory", treeType, entryOf("100644", "a.yaml", file))
		root := id("root tree", treeType, append(entryOf("40000", ".edgeagent", trust), entryOf("40000", "dir", dir)...))
		commit := id("commit", commitType, commitOf(root, parents...))
		switch name {
		case "old", "retained":
			parents = []gitops.Hash{commit}
		default:
			parents = nil
		}
	}
	tag := p.add(tagType, []byte("object "+string(ids["head commit"])+"\ntype commit\ntag v1\n\nx\n"))
	ids["head tag"] = tag
	note := p.add(blobType, []byte("a note"))
	ids["carried note"] = note
	arrive(t, s, p)
	advance(t, s, "fleet", tag)
	if err := s.Retain(t.Context(), "fleet", []gitops.Hash{ids["retained commit"], gitops.Hash(strings.Repeat("d", 40))}); err != nil {
		t.Fatal(err)
	}
	if err := s.Carry(t.Context(), "fleet", map[string]gitops.Hash{
		"refs/edgeagent/base": ids["carried commit"], "refs/edgeagent/note": note,
	}); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	for what, id := range ids {
		if !has(t, s, id) {
			t.Errorf("%s went, which came since the last collection", what)
		}
	}
	collect(t, s)
	for what, id := range ids {
		of, kind, _ := strings.Cut(what, " ")
		keep := of != "dropped" && (of != "old" || !slices.Contains([]string{"file", "directory"}, kind))
		if here := has(t, s, id); here != keep {
			t.Errorf("%s is here: %v, want %v", what, here, keep)
		}
	}
	if err := s.Remove(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	sweep(t, s)
	for what, id := range ids {
		if has(t, s, id) {
			t.Errorf("%s of a source that is forgotten is here", what)
		}
	}
}

func TestSpaceIsGivenBack(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	p.add(blobType, []byte(text(1, 1<<20)))
	head := p.revision("x")
	receive(t, s, head, p)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	beats := 0
	for range 2 {
		if err := s.GC(t.Context(), func() { beats++ }); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.Stat(path)
	if err != nil || after.Size() > before.Size()-1_000_000 {
		t.Errorf("%d bytes before, %d after: %v", before.Size(), after.Size(), err)
	}
	if !whole(t, s, head) || beats < 6 {
		t.Errorf("the head is not whole, or only %d beats", beats)
	}
}

func TestNothingToDoWritesNothing(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	head := p.revision("x")
	receive(t, s, head, p)
	again := func() {
		t.Helper()
		if err := s.Retain(t.Context(), "fleet", []gitops.Hash{head}); err != nil {
			t.Fatal(err)
		}
		if err := s.Carry(t.Context(), "fleet", map[string]gitops.Hash{"refs/edgeagent/x": head}); err != nil {
			t.Fatal(err)
		}
		if err := s.Advance(t.Context(), "fleet", head); err != nil {
			t.Fatal(err)
		}
		collect(t, s)
	}
	again()
	written := func(name string) time.Time {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	file, journal := written(path), written(path+"-journal")
	for range 3 {
		again()
		arrive(t, s, p)
	}
	if !written(path).Equal(file) || !written(path+"-journal").Equal(journal) {
		t.Error("the file was written")
	}
}

// countdown is a context that ends when it was looked at a number of times.
type countdown struct {
	context.Context
	mu     sync.Mutex
	left   int
	cancel context.CancelFunc
}

func newCountdown(parent context.Context, n int) *countdown {
	ctx, cancel := context.WithCancel(parent)
	return &countdown{Context: ctx, left: n, cancel: cancel}
}

func (c *countdown) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left <= 0 {
		c.cancel()
	}
	return c.Context.Done()
}

// TestCollectionInterruptedAnywhere ends collections at every point they look
// at their context: a head stays whole, and a dropped revision of which a part is
// left never passes for more than it is.
func TestCollectionInterruptedAnywhere(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	var dropped gitops.Hash
	for i := range 400 {
		var parents []gitops.Hash
		if i > 0 {
			parents = []gitops.Hash{dropped}
		}
		dropped = p.revision(fmt.Sprintf("revision %d", i), parents...)
	}
	receive(t, s, dropped, p)
	q := newPack()
	head := q.revision("kept")
	receive(t, s, head, q)
	collect(t, s)
	first := hashOf(blobType, []byte("revision 0"))
	partly := 0
	if l := lineage(t, s, dropped, nil, 1); len(l.Missing) > 0 || l.Commits != 400 {
		t.Fatal("the revision is not whole to begin with")
	}
	for n := 1; ; n++ {
		ctx := newCountdown(t.Context(), n)
		err := s.GC(ctx, nil)
		ctx.cancel()
		if err == nil {
			break
		}
		if gitops.ReasonOf(err) != "" {
			t.Fatalf("an interrupted collection is told as a failure: %v", err)
		}
		if !whole(t, s, head) {
			t.Fatal("the head lost something")
		}
		if has(t, s, first) || !has(t, s, dropped) {
			continue
		}
		partly++
		// What was walked before the collection is no proof after it.
		wantReason(t, s.Advance(t.Context(), "other", dropped), gitops.Incomplete)
	}
	if partly == 0 {
		t.Error("no collection was interrupted half-way: nothing was shown")
	}
	if has(t, s, dropped) {
		t.Error("the dropped revision is here")
	}
	if h, ok, err := s.Head(t.Context(), "fleet"); h != head || !ok || err != nil {
		t.Error(h, ok, err)
	}
}

// TestCollectionJudgesNothing: a tree that calls a file a directory is signed,
// may be, and stays; it is no reason to keep everything for ever.
func TestCollectionJudgesNothing(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	blob := p.add(blobType, []byte("x"))
	tree := p.add(treeType, entryOf("40000", "a", blob))
	head := p.add(commitType, commitOf(tree))
	unused := p.add(blobType, []byte("unused"))
	receive(t, s, head, p)
	sweep(t, s)
	if !has(t, s, tree) || has(t, s, unused) {
		t.Error("the tree went, or the unused file did not")
	}
}

// TestCollectionWaitsForAProvenHead: of a history with a hole, what is below the
// hole cannot be told from what nobody needs.
func TestCollectionWaitsForAProvenHead(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	first := p.revision("first")
	second := p.revision("second", first)
	head := p.revision("third", second)
	receive(t, s, head, p)
	collect(t, s)
	s = change(t, s, path, "UPDATE objects SET data = x'00' WHERE id = x'"+string(second)+"'")
	_, _, err := s.Object(t.Context(), second)
	wantReason(t, err, gitops.Corrupt)
	sweep(t, s)
	if !has(t, s, first) {
		t.Error("what is below the hole went")
	}
	q := newPack()
	q.add(commitType, commitOf(hashOf(treeType, entryOf("100644", "a.yaml", hashOf(blobType, []byte("second")))), first))
	receive(t, s, head, q)
}

// TestLargeCollectionInSteps has more rows than one step takes.
func TestLargeCollectionInSteps(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	for i := range 1500 {
		p.add(blobType, fmt.Append(nil, "unused ", i))
	}
	head := p.revision("kept")
	receive(t, s, head, p)
	sweep(t, s)
	if n := count(t, s, path, "objects"); n != 3 {
		t.Errorf("%d objects, want 3", n)
	}
}
