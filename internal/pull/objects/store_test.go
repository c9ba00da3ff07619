// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestOpen(t *testing.T) {
	t.Run("is private", func(t *testing.T) {
		s, path := open(t, objects.Options{})
		p := newPack()
		receive(t, s, p.revision("x"), p)
		for _, name := range []string{path, path + "-journal"} {
			info, err := os.Stat(name)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	})
	t.Run("again writes nothing", func(t *testing.T) {
		s, path := open(t, objects.Options{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		s = openAt(t, path, objects.Options{})
		if _, err := s.Heads(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Error("the file was written", err)
		}
	})
	t.Run("twice is refused", func(t *testing.T) {
		_, path := open(t, objects.Options{})
		_, err := objects.Open(path, objects.Options{})
		wantReason(t, err, gitops.StoreFailed)
		if !strings.Contains(err.Error(), "another process") {
			t.Error(err)
		}
	})
	t.Run("newer format is refused and kept", func(t *testing.T) {
		s, path := open(t, objects.Options{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[63] = 99 // user_version, in SQLite's header
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = objects.Open(path, objects.Options{})
		wantReason(t, err, gitops.StoreFailed)
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, b) {
			t.Error("the file was changed", err)
		}
	})
	t.Run("missing directory", func(t *testing.T) {
		_, err := objects.Open(filepath.Join(t.TempDir(), "none", "objects.db"), objects.Options{})
		wantReason(t, err, gitops.StoreFailed)
	})
	t.Run("unreadable file is moved aside", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "objects.db")
		junk := bytes.Repeat([]byte("junk"), 4096)
		if err := os.WriteFile(path, junk, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, path, objects.Options{})
		if s.MovedAside() != path+".corrupt" {
			t.Errorf("moved aside to %q", s.MovedAside())
		}
		if b, err := os.ReadFile(path + ".corrupt"); err != nil || !bytes.Equal(b, junk) {
			t.Error("the old file is not there", err)
		}
		p := newPack()
		receive(t, s, p.revision("x"), p)
	})
	t.Run("a path with odd characters", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a b?c#d%41[x]*.db")
		openAt(t, path, objects.Options{})
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedFileIsReplacedAtTheNextOpen overwrites pages behind the store's
// back: SQLite notices when it reads them.
func TestDamagedFileIsReplacedAtTheNextOpen(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	var head gitops.Hash
	for i := range 200 {
		head = p.revision(fmt.Sprintf("revision %d", i))
	}
	receive(t, s, head, p)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	// Every page but the first, which holds the schema.
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(info.Size())-4096), 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, objects.Options{})
	_, _, err = s.Object(t.Context(), head)
	wantReason(t, err, gitops.Corrupt)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, objects.Options{})
	if s.MovedAside() == "" {
		t.Fatal("the damaged file was opened again")
	}
	receive(t, s, head, p)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = openAt(t, path, objects.Options{}); s.MovedAside() != "" {
		t.Error("the new file was moved aside too")
	}
	if !whole(t, s, head) {
		t.Error("the head is not whole")
	}
}

func TestDamagedObjectIsFetchedAgain(t *testing.T) {
	for _, damage := range []string{
		"UPDATE objects SET data = zeroblob(length(data)) WHERE kind = %d",
		"UPDATE objects SET data = x'00', size = 1 WHERE kind = %d",
		"UPDATE objects SET kind = 4 WHERE kind = %d",
	} {
		for _, kind := range []int{blobType, treeType, commitType} {
			query := fmt.Sprintf(damage, kind)
			t.Run(query, func(t *testing.T) {
				s, path := open(t, objects.Options{})
				p := newPack()
				content := strings.Repeat("x: 1\n", 50)
				head := p.revision(content)
				receive(t, s, head, p)
				blob := hashOf(blobType, []byte(content))
				tree := hashOf(treeType, entryOf("100644", "a.yaml", blob))
				bad := map[int]gitops.Hash{blobType: blob, treeType: tree, commitType: head}[kind]

				s = change(t, s, path, query)
				_, _, err := s.Object(t.Context(), bad)
				wantReason(t, err, gitops.Corrupt)
				_, _, err = s.Object(t.Context(), bad)
				wantReason(t, err, gitops.Incomplete)
				if h, ok, err := s.Head(t.Context(), "fleet"); ok || err != nil {
					t.Fatalf("still proven: %v, %v, %v", h, ok, err)
				}
				if whole(t, s, head) {
					t.Fatal("whole without " + bad)
				}
				// No collection takes what a head that is not proven may need.
				collect(t, s)
				collect(t, s)
				receive(t, s, head, p)
				if !whole(t, s, head) {
					t.Fatal("not whole after the fetch")
				}
				if h, ok, err := s.Head(t.Context(), "fleet"); h != head || !ok || err != nil {
					t.Fatal(h, ok, err)
				}
				if n := count(t, s, path, "objects"); n != 3 {
					t.Errorf("%d objects", n)
				}
			})
		}
	}
}

func TestHeadAfterDamageIsProvenAnew(t *testing.T) {
	s, path := open(t, objects.Options{})
	a, b := newPack(), newPack()
	headA, headB := a.revision("of a"), b.revision("of b")
	receive(t, s, headA, a)
	arrive(t, s, b)
	advance(t, s, "other", headB)
	if err := s.Retain(t.Context(), "other", []gitops.Hash{headB}); err != nil {
		t.Fatal(err)
	}
	bad := hashOf(blobType, []byte("of b"))
	s = change(t, s, path, "UPDATE objects SET data = x'00' WHERE id = x'"+string(bad)+"'")
	_, _, err := s.Object(t.Context(), bad)
	wantReason(t, err, gitops.Corrupt)
	for _, source := range []string{"fleet", "other"} {
		if _, ok, err := s.Head(t.Context(), source); ok || err != nil {
			t.Errorf("%s: %v, %v", source, ok, err)
		}
	}
	if lost := below(t, s, headB, 9); len(lost) != 1 || lost[0].ID != bad || lost[0].Path != "a.yaml" {
		t.Errorf("missing: %v", lost)
	}
	// What was walked before the damage was found is no proof after it.
	s = change(t, s, path, "UPDATE objects SET data = x'00' WHERE id = x'"+string(headA)+"'")
	lineage(t, s, headB, nil, 9)
	_, _, err = s.Object(t.Context(), headA)
	wantReason(t, err, gitops.Corrupt)
	wantReason(t, s.Advance(t.Context(), "other", headB), gitops.Incomplete)
	arrive(t, s, a)
	advance(t, s, "fleet", headA)
	if _, ok, err := s.Head(t.Context(), "fleet"); !ok || err != nil {
		t.Error(ok, err)
	}
	if heads, err := s.Heads(t.Context()); len(heads) != 2 || err != nil {
		t.Errorf("heads %v, %v", heads, err)
	}
}

func TestObjectOverALoweredLimitIsNotRead(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	content := strings.Repeat("x", 5000)
	head := p.revision(content)
	receive(t, s, head, p)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, objects.Options{MaxObject: 1000})
	_, _, err := s.Object(t.Context(), hashOf(blobType, []byte(content)))
	wantReason(t, err, gitops.TooLarge)
}
