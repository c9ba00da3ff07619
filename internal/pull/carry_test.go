// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// approved makes a statement about a commit.
func (r *repo) approved(name string, commit gitops.Hash) (ref string, tag gitops.Hash) {
	ref = "refs/edgeagent/approvals/" + name
	r.state(ref, commit)
	return ref, r.id(ref)
}

func holds(t testing.TB, store *objects.Store, ref string, tag gitops.Hash) {
	t.Helper()
	carried, err := store.Carried(t.Context(), "fleet")
	if err != nil || carried[ref] != tag {
		t.Fatalf("carried %v, %v", carried, err)
	}
	if kind, _, err := store.Object(t.Context(), tag); err != nil || kind != gitops.TagObject {
		t.Fatalf("%s is a %q, %v", tag, kind, err)
	}
}

// TestStatementsComeAlone: what a tag is about is the whole fleet's tree, and all
// commits before it.
func TestStatementsComeAlone(t *testing.T) {
	r, first, head := fleet(t, 100, 40)
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Carry = string(first), []string{"refs/edgeagent/"}
	bare := newSource(t, cfg, openStore(t, objects.Options{}))
	mustPoll(t, bare)
	ref, tag := r.approved("one", r.id("main~1"))
	// One of a commit that is in no history of the head.
	r.git(r.work, "checkout", "-q", "--orphan", "elsewhere")
	r.git(r.work, "commit", "-q", "-m", "elsewhere")
	r.git(r.work, "push", "-q", "o", "elsewhere")
	other, away := r.approved("two", r.id("elsewhere"))
	for name, known := range map[string][]gitops.Hash{"first sync": nil, "later": {head}} {
		path := filepath.Join(t.TempDir(), "objects.db")
		store := openStoreAt(t, path, objects.Options{})
		if known != nil {
			quiet := cfg
			quiet.Carry = nil
			mustPoll(t, newSource(t, quiet, store))
		}
		s := newSource(t, cfg, store)
		c := mustPoll(t, s, known...)
		holds(t, store, ref, tag)
		holds(t, store, other, away)
		cost := s.Link().BytesIn
		if known == nil {
			cost -= bare.Link().BytesIn
		}
		if cost > 3000 {
			t.Errorf("%s: two statements cost %d bytes", name, cost)
		}
		// They go along with an export, alone as they are.
		there := openStore(t, objects.Options{})
		mustImport(t, isolated(t, first, there), export(t, s, c.Revision))
		holds(t, there, ref, tag)
		holds(t, there, other, away)
	}
}

// TestStatementsComeByEveryWay has a server that is old, one on this machine, and
// a static host.
func TestStatementsComeByEveryWay(t *testing.T) {
	for _, way := range []string{"v0", "directory", "static"} {
		t.Run(way, func(t *testing.T) {
			r, first, _ := fleet(t, 3, 3)
			var old atomic.Bool
			old.Store(true)
			dir := t.TempDir()
			cfg := config(onlyV0(t, r, &old).URL)
			cfg.Introduction, cfg.Carry = string(first), []string{"refs/edgeagent/"}
			switch way {
			case "directory":
				cfg.URL = "file://" + r.bare
			case "static":
				cfg.URL, cfg.StateDir = nowhere(t), t.TempDir()
				cfg.Mirrors = []pull.Mirror{{URL: count(t, static(dir)).URL + "/list", Type: "bundles"}}
			}
			store := openStore(t, objects.Options{})
			s := newSource(t, cfg, store)
			for n := range 3 {
				ref, tag := r.approved(fmt.Sprint(n), r.id("main~1"))
				r.publish(dir)
				mustPoll(t, s)
				holds(t, store, ref, tag)
			}
		})
	}
}

// TestManyRefsOfAStaticMirror: the branch comes after them in the bundle.
func TestManyRefsOfAStaticMirror(t *testing.T) {
	r, first, head := fleet(t, 2, 1)
	var refs bytes.Buffer
	for n := range 3000 {
		fmt.Fprintf(&refs, "%s refs/edgeagent/%0100d\n", head, n)
	}
	list, err := os.OpenFile(filepath.Join(r.bare, "packed-refs"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := refs.WriteTo(list); err != nil || list.Close() != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r.publish(dir)
	host := count(t, static(dir))
	cfg := config("")
	cfg.URL, cfg.Introduction, cfg.Carry = nowhere(t), string(first), []string{"refs/edgeagent/"}
	cfg.StateDir, cfg.RuntimeDir = t.TempDir(), t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: host.URL + "/list", Type: "bundles"}}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	before := s.Link()
	// What is remembered has a limit; what was spent is not lost with it.
	if after := newSource(t, cfg, store).Link(); after.BytesIn != before.BytesIn || after.BytesIn == 0 {
		t.Errorf("after a restart %d bytes came, before %d", after.BytesIn, before.BytesIn)
	}
}
