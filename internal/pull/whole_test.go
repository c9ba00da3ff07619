// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// change runs a statement on a store that is closed.
func change(t testing.TB, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// connected fails the test when commits between the head and the introduction
// are missing: the trust rules walk over all of them after a restart.
func connected(t testing.TB, store *objects.Store, head, first gitops.Hash) {
	t.Helper()
	found, err := store.Lineage(t.Context(), head, []gitops.Hash{first}, 10)
	if err != nil || len(found.Missing) > 0 || found.Around {
		t.Errorf("not connected: %+v, %v", found, err)
	}
}

// TestWhatTheNodeUsedProvesNothing: a commit is known, and one far below it is
// not here any more.
func TestWhatTheNodeUsedProvesNothing(t *testing.T) {
	for name, loss := range map[string]string{
		"damaged":                   "UPDATE objects SET data = x'00' WHERE id = x'",
		"gone, and nobody knows it": "DELETE FROM objects WHERE id = x'",
	} {
		t.Run(name, func(t *testing.T) {
			r, first, head := fleet(t, 2, 6)
			cfg := config(r.serve().URL)
			cfg.Introduction = string(first)
			path := filepath.Join(t.TempDir(), "objects.db")
			store := openStoreAt(t, path, objects.Options{})
			mustPoll(t, newSource(t, cfg, store))
			_ = store.Close()
			lost := r.id("main~3")
			change(t, path, loss+string(lost)+"'")
			store = openStoreAt(t, path, objects.Options{})
			if _, _, err := store.Object(t.Context(), lost); err == nil {
				t.Fatal("nothing was lost")
			}
			s := newSource(t, cfg, store)
			c := mustPoll(t, s, head)
			connected(t, store, head, first)
			if err := s.Export(t.Context(), c.Revision, &bytes.Buffer{}); err != nil {
				t.Error(err)
			}
			// From now on nothing is looked for in vain.
			before := s.Link().BytesIn
			mustPoll(t, s, head)
			if n := s.Link().BytesIn - before; n > 1000 {
				t.Errorf("a poll cost %d bytes", n)
			}
		})
	}
}

// TestStoreIsLostAndTheLinkIsBad has a node whose journal knows the head, and a
// link that lets the newest commits through first.
func TestStoreIsLostAndTheLinkIsBad(t *testing.T) {
	r, first, head := incompressible(t, 1)
	_, url := bad(t, r.serve().URL, link.Shape{Cut: 2500})
	cfg := config(url)
	cfg.Introduction = string(first)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	untilDone(t, func() error {
		_, err := s.Commits(t.Context(), gitops.PollRequest{Known: []gitops.Hash{r.id("main~2"), head}})
		return err
	})
	connected(t, store, head, first)
}

func TestCommitWhoseIntroductionWasMovedBack(t *testing.T) {
	r, first, head := fleet(t, 2, 6)
	srv := count(t, r.backend())
	cfg := config(srv.URL)
	cfg.Ref = pull.Ref{Commit: string(head)}
	cfg.Introduction = string(r.id("main~2"))
	store := openStore(t, objects.Options{})
	mustPoll(t, newSource(t, cfg, store))
	cfg.Introduction = string(first)
	mustPoll(t, newSource(t, cfg, store), head)
	connected(t, store, head, first)
	// It is all here: neither the next poll nor a restart needs the link.
	before := srv.requests.Load()
	for range 2 {
		s := newSource(t, cfg, store)
		mustPoll(t, s, head)
		mustPoll(t, s, head)
	}
	if srv.requests.Load() != before {
		t.Error("a commit that is here was asked for again")
	}
}
