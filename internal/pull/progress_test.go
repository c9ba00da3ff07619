// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestTransferReportsThatItIsAlive(t *testing.T) {
	r, _ := small(t, 3)
	full := openStore(t, objects.Options{})
	mustPoll(t, newSource(t, config(r.serve().URL), full))
	tests := map[string]struct {
		cfg   pull.Config
		store *objects.Store
		fails gitops.Reason
	}{
		"refs, and nothing new":   {cfg: config(r.serve().URL), store: full},
		"pack out of a directory": {cfg: config("file://" + r.root), store: openStore(t, objects.Options{MaxPack: 10}), fails: gitops.TooLarge},
		"everything":              {cfg: config(r.serve().URL), store: openStore(t, objects.Options{})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var calls, busy atomic.Int64
			test.cfg.Progress = func() {
				if busy.Add(1) != 1 {
					t.Error("called twice at once")
				}
				calls.Add(1)
				busy.Add(-1)
			}
			began := time.Now()
			_, err := newSource(t, test.cfg, test.store).Commits(t.Context(), gitops.PollRequest{})
			if gitops.ReasonOf(err) != test.fails {
				t.Fatal(err)
			}
			if n, most := calls.Load(), int64(time.Since(began).Seconds())+1; n < 1 || n > most {
				t.Errorf("called %d times in %s", n, time.Since(began))
			}
		})
	}
}

func TestFetchIntoAFullStoreMakesRoomInTheSameCall(t *testing.T) {
	r := newRepo(t)
	r.partial()
	orphan := func(name string, size int) (gitops.Hash, gitops.MissingObject) {
		r.git(r.work, "checkout", "-q", "--orphan", name)
		r.write("file", noise(rand.New(rand.NewPCG(uint64(len(name)), 0)), size))
		r.git(r.work, "add", "-A")
		r.git(r.work, "commit", "-q", "-m", name)
		r.git(r.work, "push", "-q", "-f", "o", "HEAD:main")
		return r.id("main"), gitops.MissingObject{ID: r.id("main:file"), Kind: gitops.BlobObject, Path: "file"}
	}
	store := openStore(t, objects.Options{MaxBytes: 4 << 20})
	s := newSource(t, config(r.serve().URL), store)
	first, file := orphan("a", 2<<20)
	mustPoll(t, s)
	if err := s.Objects(t.Context(), []gitops.MissingObject{file}); err != nil {
		t.Fatal(err)
	}
	// What the node uses makes no room.
	_, large := orphan("ccc", 3<<20)
	mustPoll(t, s, first)
	wantReason(t, s.Objects(t.Context(), []gitops.MissingObject{large}), gitops.TooLarge)
	if here, err := store.Has(t.Context(), file.ID); err != nil || !here {
		t.Fatalf("what the node uses is gone: %v, %v", here, err)
	}
	mustPoll(t, newSource(t, config(r.serve().URL), store))
	s = newSource(t, config(r.serve().URL), store)
	mustPoll(t, s)
	if err := s.Objects(t.Context(), []gitops.MissingObject{large}); err != nil {
		t.Fatal(err)
	}
	if here, err := store.Has(t.Context(), file.ID); err != nil || here {
		t.Errorf("the unused file is there: %v, %v", here, err)
	}
}
