// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// bad puts a bad link before a server and returns the URL at its other end.
func bad(t testing.TB, url string, shape link.Shape) (*link.Proxy, string) {
	t.Helper()
	p, err := link.Start(strings.TrimPrefix(url, "http://"), shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, "http://" + p.Addr()
}

// incompressible is a repository of a folder with files of 4 kB, in trees of
// files, and a history of some commits.
func incompressible(t testing.TB, files int) (r *repo, first, head gitops.Hash) {
	t.Helper()
	r = newRepo(t)
	r.partial()
	r.write(".edgeagent/allowed_signers", "nobody\n")
	r.write("elsewhere/file", "x\n")
	first = r.commit("first")
	for n := range 30 {
		r.write("elsewhere/file", fmt.Sprintf("%d\n", n))
		r.commit(fmt.Sprintf("change %d: %x", n, rand.Int64()))
	}
	g := rand.New(rand.NewPCG(3, 4))
	for n := range files {
		r.write(fmt.Sprintf("node/%02d/f%04d", n/20, n), noise(g, 4096))
	}
	return r, first, r.commit("files")
}

// untilDone goes on as the agent does: a call that used its time up while
// something came, or that the link ended, is made again. It fails the test after
// so many calls in a row that brought nothing.
func untilDone(t testing.TB, do func() error) (calls int) {
	t.Helper()
	for vain := 0; ; calls++ {
		err := do()
		if err == nil {
			return calls + 1
		}
		if gitops.ReasonOf(err) == gitops.Fetching {
			vain = 0
			continue
		}
		if vain++; vain > 5 {
			t.Fatalf("after %d calls: %v", calls, err)
		}
	}
}

// syncFolder brings the head and one folder of it, over whatever link.
func syncFolder(t testing.TB, r *repo, s *pull.Source, folder string, known ...gitops.Hash) gitops.Hash {
	t.Helper()
	var head gitops.Hash
	untilDone(t, func() error {
		c, err := s.Commits(t.Context(), gitops.PollRequest{Known: known, Forced: true})
		head = c.Revision.Hash()
		return err
	})
	untilDone(t, func() error { return bringFolder(t, r, s, head, folder) })
	return head
}

func hasFolder(t testing.TB, r *repo, store *objects.Store, head gitops.Hash, folder string) {
	t.Helper()
	for _, id := range strings.Fields(r.git(r.bare, "rev-list", "--objects", "--no-object-names", string(head)+":"+folder)) {
		if _, _, err := store.Object(t.Context(), gitops.Hash(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutLinkFinishes cuts every connection after so many bytes.
func TestCutLinkFinishes(t *testing.T) {
	r, first, head := incompressible(t, 200)
	srv := r.serve()
	var uncut int64
	for _, cut := range []int64{0, 64 << 10, 32 << 10, 16 << 10, 8 << 10} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			proxy, url := bad(t, srv.URL, link.Shape{Cut: cut})
			cfg := config(url)
			cfg.Introduction = string(first)
			store := openStore(t, objects.Options{})
			s := newSource(t, cfg, store)
			if got := syncFolder(t, r, s, "node"); got != head {
				t.Fatalf("got %s, want %s", got, head)
			}
			hasFolder(t, r, store, head, "node")
			n := proxy.Counters()
			t.Logf("%d bytes, %d connections, %d cuts", n.Total(), n.Connections, n.Cuts)
			if cut == 0 {
				uncut = n.Total()
			}
			if cut >= 16<<10 && n.Total() > 2*uncut {
				t.Errorf("%d bytes, without cuts %d", n.Total(), uncut)
			}
			if cut > 0 && n.Cuts == 0 {
				t.Error("nothing was cut")
			}
		})
	}
}

// TestLackIsForgottenWithTheHead: what a large file did to the link is history
// once another head does not need it.
func TestLackIsForgottenWithTheHead(t *testing.T) {
	r, first, _ := fleet(t, 2, 0)
	small := r.id("main")
	r.write("clusters/n0001/large.bin", noise(rand.New(rand.NewPCG(1, 2)), 300_000))
	head := r.commit("large")
	proxy, url := bad(t, r.serve().URL, link.Shape{Cut: 16 << 10})
	cfg := config(url)
	cfg.Introduction = string(first)
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	untilDone(t, func() error { _, err := s.Commits(t.Context(), gitops.PollRequest{}); return err })
	lacks := func() {
		t.Helper()
		err := bringFolder(t, r, s, head, "clusters/n0001")
		for gitops.ReasonOf(err) == gitops.Fetching {
			err = bringFolder(t, r, s, head, "clusters/n0001")
		}
		wantReason(t, err, gitops.ObjectExceedsLink)
		mustPoll(t, s, small)
		if l := s.Link(); l.Reason != gitops.ObjectExceedsLink {
			t.Errorf("a poll that finds the same head hides what is missing: %+v", l)
		}
	}
	lacks()
	proxy.Set(link.Shape{})
	r.git(r.work, "rm", "-q", "clusters/n0001/large.bin")
	r.commit("small again")
	mustPoll(t, s, small)
	if l := s.Link(); l.Reason != "" || l.Failures != 0 {
		t.Errorf("another head does not need it: %+v", l)
	}
}
