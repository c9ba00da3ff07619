// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

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

func TestCollectionKeepsHeadsAndRetainedRevisions(t *testing.T) {
	s, path := open(t, objects.Options{})
	// Five histories without a common commit: each new head drops the last.
	var heads []gitops.Hash
	for i := range 5 {
		p := newPack()
		heads = append(heads, p.revision(text(uint64(i), 200_000)))
		receive(t, s, heads[i], p)
	}
	other := newPack()
	foreign := other.revision("of another source")
	if err := s.Receive(t.Context(), objects.Arrival{Source: "other", Head: foreign, Pack: bytes.NewReader(other.bytes())}); err != nil {
		t.Fatal(err)
	}
	unknown := gitops.Hash(strings.Repeat("d", 40))
	if err := s.Retain(t.Context(), "fleet", []gitops.Hash{heads[1], unknown}); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.GC(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, false, true} {
		if ok, err := s.Complete(t.Context(), heads[i]); ok != want || err != nil {
			t.Errorf("head %d: %v, %v", i, ok, err)
		}
	}
	if ok, err := s.Complete(t.Context(), foreign); !ok || err != nil {
		t.Errorf("of another source: %v, %v", ok, err)
	}
	after, err := os.Stat(path)
	if err != nil || after.Size() > before.Size()-500_000 {
		t.Errorf("%d bytes before, %d after: %v", before.Size(), after.Size(), err)
	}
	if err := s.Retain(t.Context(), "fleet", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if err := s.GC(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, path, "suspects"); n != 0 {
		t.Error("the collection is not over")
	}
	s = openAt(t, path, objects.Options{})
	if n := count(t, s, path, "objects"); n != 3 {
		t.Errorf("%d objects, want the last head's 3", n)
	}
}

func TestNothingToDoWritesNothing(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	head := p.revision("x")
	receive(t, s, head, p)
	if err := s.Retain(t.Context(), "fleet", []gitops.Hash{head}); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Retain(t.Context(), "fleet", []gitops.Hash{head}); err != nil {
			t.Fatal(err)
		}
		if err := s.Advance(t.Context(), "fleet", head); err != nil {
			t.Fatal(err)
		}
		if err := s.GC(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.Stat(path)
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("the file was written", err)
	}
}

// TestInterruptedCollection has the file as a kill in a collection leaves it:
// the mark is there, and of a dropped revision the commit but not the tree.
func TestInterruptedCollection(t *testing.T) {
	s, path := open(t, objects.Options{})
	p, q := newPack(), newPack()
	dropped, head := p.revision("dropped"), q.revision("kept")
	receive(t, s, dropped, p)
	receive(t, s, head, q)
	tree := hashOf(treeType, entryOf("100644", "a.yaml", hashOf(blobType, []byte("dropped"))))
	s = change(t, s, path,
		"INSERT INTO suspects (id) VALUES (zeroblob(20))",
		fmt.Sprintf("DELETE FROM objects WHERE id = x'%s'", tree))
	if ok, err := s.Complete(t.Context(), dropped); ok || err != nil {
		t.Fatalf("a revision without its tree is complete: %v, %v", ok, err)
	}
	if ok, err := s.Complete(t.Context(), head); !ok || err != nil {
		t.Fatalf("the head: %v, %v", ok, err)
	}
	// It comes back, as after a force push.
	receive(t, s, dropped, p)
	if ok, err := s.Complete(t.Context(), dropped); !ok || err != nil {
		t.Fatalf("after it was fetched again: %v, %v", ok, err)
	}
	if err := s.GC(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, path, "suspects"); n != 0 {
		t.Error("the collection is not over")
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
// at their context. A dropped revision of which only a part is left must never
// pass for a complete one.
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
	first := hashOf(blobType, []byte("revision 0"))
	partly := 0
	for n := 1; ; n += 5 {
		ctx := newCountdown(t.Context(), n)
		err := s.GC(ctx, nil)
		ctx.cancel()
		if err == nil {
			break
		}
		if gitops.ReasonOf(err) != "" {
			t.Fatalf("an interrupted collection is told as a failure: %v", err)
		}
		here, err := s.Has(t.Context(), dropped)
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.Has(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if !here || part {
			continue
		}
		partly++
		if ok, err := s.Complete(t.Context(), dropped); ok || err != nil {
			t.Fatalf("a revision without its first blob is complete: %v, %v", ok, err)
		}
	}
	if partly == 0 {
		t.Error("no collection was interrupted half-way: nothing was shown")
	}
	if here, err := s.Has(t.Context(), dropped); here || err != nil {
		t.Error(here, err)
	}
	if ok, err := s.Complete(t.Context(), head); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestCollectionStopsWhereSomethingIsMissing(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	head := p.revision("x")
	receive(t, s, head, p)
	tree := hashOf(treeType, entryOf("100644", "a.yaml", hashOf(blobType, []byte("x"))))
	s = change(t, s, path, fmt.Sprintf("DELETE FROM objects WHERE id = x'%s'", tree))
	wantReason(t, s.GC(t.Context(), nil), gitops.Incomplete)
	if n := count(t, s, path, "objects"); n != 2 {
		t.Errorf("%d objects, want the 2 that are left", n)
	}
}
