// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// What one pull from a hostile server may cost.
const (
	mostMemory = 64 << 20 // over what the process has at rest
	mostDisk   = 8 << 20
)

// hostileCase is a server that must not do harm.
type hostileCase struct {
	name    string
	serve   http.Handler
	reasons []gitops.Reason // one of them; "" is no failure
	text    string          // in the message
	change  func(*order)
	absent  string // never in the message
}

// quick are limits under which silence and slowness end in moments.
func quick(o *order) {
	o.Limits = pull.Limits{Connect: time.Second, Idle: 300 * time.Millisecond, RateWindow: 10 * time.Second}
}

// demanding wants more bytes a second than a dripping server sends.
func demanding(o *order) {
	o.Limits = pull.Limits{Idle: 5 * time.Second, RateWindow: 300 * time.Millisecond, MinRate: 100_000}
}

// tight are limits that an endless answer reaches soon.
func tight(o *order) {
	o.Limits.RefBytes, o.Limits.PackBytes, o.MaxFetch, o.Options.MaxPack = 1<<20, 2<<20, 2<<20, 2<<20
}

func is(reasons ...gitops.Reason) []gitops.Reason { return reasons }

// world is the repository that a hostile server pretends to have, and that a
// good one has.
type world struct {
	t           *testing.T
	repo        *repo
	first, head gitops.Hash
	scene       scene
}

func newWorld(t *testing.T) world {
	t.Helper()
	r := filtered(t)
	w := world{t: t, repo: r, first: r.commit("introduction")}
	r.write("app/version.yaml", "version: 1\n")
	w.head = r.commit("head")
	raw := func(kind, name string) []byte {
		cmd := exec.Command("git", "cat-file", kind, name)
		cmd.Dir = r.bare
		content, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	first := string(w.first)
	w.scene = scene{parent: w.first, blob: []byte("a: b\n"), below: [][]byte{
		object(commitEntry, raw("commit", first)), object(treeEntry, raw("tree", first+"^{tree}")),
	}}
	w.scene.blobID = objectID(blobEntry, w.scene.blob)
	w.scene = w.scene.withTree(treeLine("100644", "a.yaml", w.scene.blobID))
	return w
}

// run pulls from each hostile server in a process of its own, then lets a good
// one take over the address: the same process must reach its head.
func (w world) run(cases []hostileCase) {
	w.t.Helper()
	good := w.repo.backend()
	for _, c := range cases {
		w.t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := &turncoat{}
			server.be(c.serve)
			srv := httptest.NewServer(server)
			defer srv.Close()
			defer srv.CloseClientConnections()
			o := newOrder(t, srv.URL, w.first)
			if c.change != nil {
				c.change(&o)
			}
			p := newPuller(t, o)
			c.check(t, o, p)
			server.be(good)
			recovers(t, w.repo, o, p, w.head)
		})
	}
}

// TestSoundSceneIsPulled shows that what the cases spoil is good without it.
func TestSoundSceneIsPulled(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(sending(w.scene, w.scene.pack()))
	defer srv.Close()
	p := newPuller(t, newOrder(t, srv.URL, w.first))
	if got, _ := p.pull(); got.Text != "" || got.Head != w.scene.commitID {
		t.Fatalf("%+v", got)
	}
	p.stop()
}

func newOrder(t *testing.T, url string, introduction gitops.Hash) order {
	t.Helper()
	dir := t.TempDir()
	return order{
		URL: url + "/r.git", Introduction: introduction, Timeout: 10 * time.Second,
		Store: filepath.Join(dir, "objects.db"), RuntimeDir: dir, StateDir: dir,
	}
}

// check pulls from the hostile server.
func (c hostileCase) check(t *testing.T, o order, p *puller) {
	t.Helper()
	got, alive := p.pull()
	switch {
	case !alive:
		t.Fatal("the process died")
	case got.Stuck:
		t.Fatalf("its limits did not end the pull: %s: %s", got.Reason, got.Text)
	case !slices.Contains(c.reasons, got.Reason):
		t.Fatalf("reason %q, want one of %q: %s", got.Reason, c.reasons, got.Text)
	case !strings.Contains(got.Text, c.text):
		t.Errorf("%q is not in %q", c.text, got.Text)
	case got.Reason != "" && !strings.Contains(got.Text, "; "):
		t.Errorf("no remedy in %q", got.Text)
	case c.absent != "" && strings.Contains(got.Text, c.absent):
		t.Errorf("%q is in %q", c.absent, got.Text)
	}
	if got.Idle <= 0 || got.Peak-got.Idle > mostMemory {
		t.Errorf("memory: %d bytes at rest, %d at most", got.Idle, got.Peak)
	}
	if used := diskUsed(t, filepath.Dir(o.Store)); used > mostDisk {
		t.Errorf("%d bytes are on the disk", used)
	}
	t.Logf("%s: %s (%d kB of memory over rest)", got.Reason, got.Text, (got.Peak-got.Idle)/1000)
}

// recovers pulls again, from a good server, and reads everything back.
func recovers(t *testing.T, r *repo, o order, p *puller, head gitops.Hash) {
	t.Helper()
	got, alive := p.pull()
	if !alive || got.Reason != "" || got.Text != "" || got.Head != head {
		t.Fatalf("from a good server came %+v, want %s", got, head)
	}
	p.stop()
	holdsHead(t, r, openStoreAt(t, o.Store, o.Options), head)
}

// holdsHead compares the commits of a head, and every object of its tree, with
// what Git says. What is of older trees only is not asked for.
func holdsHead(t *testing.T, r *repo, store *objects.Store, head gitops.Hash) {
	t.Helper()
	list := r.git(r.bare, "rev-list", string(head)) + "\n" +
		r.git(r.bare, "rev-list", "--objects", "--no-object-names", string(head)+"^{tree}")
	for _, id := range strings.Fields(list) {
		kind, content, err := store.Object(t.Context(), gitops.Hash(id))
		if err != nil {
			t.Fatal(err)
		}
		if want := r.git(r.bare, "cat-file", "-t", id); string(kind) != want {
			t.Fatalf("%s is a %s, want %s", id, kind, want)
		}
		if want := r.git(r.bare, "cat-file", "-s", id); fmt.Sprint(len(content)) != want {
			t.Fatalf("%s has %d bytes, want %s", id, len(content), want)
		}
	}
}

func diskUsed(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
