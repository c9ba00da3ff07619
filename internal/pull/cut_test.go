// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// cutFull makes every cut test as large as it can be: minutes instead of
// seconds.
const cutFull = "PULL_TEST_CUTS"

// cutCases are how many bytes a connection lives for, and how much is fetched
// through such connections.
func cutCases() []struct{ n, size int } {
	cases := []struct{ n, size int }{
		{2 << 10, 200_000}, {4 << 10, 500_000}, {8 << 10, 1_500_000}, {16 << 10, 5_000_000}, {32 << 10, 5_000_000}, {64 << 10, 5_000_000},
	}
	if os.Getenv(cutFull) != "" {
		for i := range cases {
			cases[i].size = 5_000_000
		}
	}
	return cases
}

// leaves is a repository of so many bytes that do not compress, in files and
// folders that fit through a connection of n bytes.
func leaves(t *testing.T, n, size int) (*repo, gitops.Hash) {
	t.Helper()
	r := filtered(t)
	random := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	file := min(n/4, 4000)
	const wide = 16
	for i := 0; i*file < size; i++ {
		r.write(fmt.Sprintf("%x/%x/%x/%x", i/wide/wide/wide, i/wide/wide%wide, i/wide%wide, i%wide), noise(random, file))
	}
	head := r.commit("leaves")
	r.git(r.bare, "repack", "-a", "-d", "-q")
	return r, head
}

func cutLink(t *testing.T, srv *httptest.Server, shape link.Shape) *link.Proxy {
	t.Helper()
	p, err := link.Start(srv.Listener.Addr().String(), shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// cutConfig is a link on which the silence after a cut never lasts.
func cutConfig(address string, introduction gitops.Hash) pull.Config {
	cfg := config("http://" + address)
	cfg.Introduction = string(introduction)
	cfg.Timeout = 5 * time.Second
	return cfg
}

// finishes pulls again and again, as the agent does after each failure, and
// counts the calls that failed.
func finishes(t *testing.T, s *pull.Source, store *objects.Store, head gitops.Hash) (failures int) {
	t.Helper()
	for range 10_000 {
		got, err := pullWhole(t.Context(), s, store)
		if err == nil {
			if got != head {
				t.Fatalf("it is at %s, want %s", got, head)
			}
			return failures
		}
		if reason := gitops.ReasonOf(err); reason != gitops.Unreachable {
			t.Fatal(reason, err)
		}
		failures++
	}
	t.Fatal("it never finishes")
	return 0
}

// TestEveryConnectionIsCut fetches through connections that live for n bytes,
// both ways together. It always finishes, and what is sent twice has a bound.
func TestEveryConnectionIsCut(t *testing.T) {
	for _, c := range cutCases() {
		t.Run(fmt.Sprintf("%d kB", c.n>>10), func(t *testing.T) {
			t.Parallel()
			r, head := leaves(t, c.n, c.size)
			path := cutLink(t, r.serve(), link.Shape{})
			store := openStore(t, objects.Options{})
			finishes(t, newSource(t, cutConfig(path.Addr(), head), store), store, head)
			whole := path.Counters()

			path.Forget()
			path.Set(link.Shape{Cut: int64(c.n)})
			path.Sever()
			store = openStore(t, objects.Options{})
			failures := finishes(t, newSource(t, cutConfig(path.Addr(), head), store), store, head)
			holdsHead(t, r, store, head)
			cut := path.Counters()
			ratio := float64(cut.Total()) / float64(whole.Total())
			t.Logf("%d bytes uncut; cut every %d: %d bytes (%.2f times), %d connections, %d polls failed",
				whole.Total(), c.n, cut.Total(), ratio, cut.Connections, failures)
			if cut.Cuts == 0 {
				t.Error("nothing was cut")
			}
			if c.n >= 16<<10 && ratio > 2 {
				t.Errorf("%.2f times the bytes, want 2 at most", ratio)
			}
		})
	}
}

// TestKilledAtEveryCut is the same with kill -9 of the process at each cut.
func TestKilledAtEveryCut(t *testing.T) {
	for _, c := range cutCases() {
		t.Run(fmt.Sprintf("%d kB", c.n>>10), func(t *testing.T) {
			t.Parallel()
			size := c.size
			if os.Getenv(cutFull) == "" {
				size = min(size, 20*c.n)
			}
			r, head := leaves(t, c.n, size)
			srv := r.serve()
			killsAtEveryCut(t, r, head, "http", srv, link.Shape{Cut: int64(c.n)}, func(o *order) {})
		})
	}
	t.Run("16 kB over TLS", func(t *testing.T) {
		t.Parallel()
		r, head := leaves(t, 16<<10, 500_000)
		authority, caFile := newAuthorityFile(t)
		pair, err := authority.ServerFor(time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour), net.IPv4(127, 0, 0, 1))
		srv := tlsServer(t, r.backend(), pair, err)
		killsAtEveryCut(t, r, head, "https", srv, link.Shape{Cut: 16 << 10, FromTLS: true}, func(o *order) { o.Auth.CAFile = caFile })
	})
}

func killsAtEveryCut(t *testing.T, r *repo, head gitops.Hash, scheme string, srv *httptest.Server, shape link.Shape, change func(*order)) {
	t.Helper()
	cuts := make(chan struct{}, 1)
	shape.OnCut = func() {
		select {
		case cuts <- struct{}{}:
		default:
		}
	}
	path := cutLink(t, srv, shape)
	o := newOrder(t, scheme+"://"+path.Addr(), head)
	change(&o)
	kills := 0
	for range 3000 {
		p := newPuller(t, o)
		over := make(chan struct{})
		go func() {
			select {
			case <-cuts:
				_ = p.cmd.Process.Kill()
			case <-over:
			}
		}()
		got, alive := p.pull()
		close(over)
		if !alive {
			p.kill()
			kills++
			continue
		}
		if got.Text == "" && got.Head == head {
			p.stop()
			holdsHead(t, r, openStoreAt(t, o.Store, o.Options), head)
			t.Logf("%d kills, %d connections, %d bytes", kills, path.Counters().Connections, path.Counters().Total())
			if kills == 0 {
				t.Error("nothing was killed")
			}
			return
		}
		if got.Reason != gitops.Unreachable {
			t.Fatalf("%+v", got)
		}
		p.kill()
	}
	t.Fatal("it never finishes")
}

// TestObjectThatDoesNotFit is a file larger than any connection: over Git it
// never comes, and the message says which file.
func TestObjectThatDoesNotFit(t *testing.T) {
	r := filtered(t)
	r.write("app/firmware.bin", noise(rand.New(rand.NewPCG(1, 2)), 1<<20))
	head := r.commit("firmware")
	blob := r.git(r.bare, "rev-parse", "main:app/firmware.bin")
	path := cutLink(t, r.serve(), link.Shape{Cut: 16 << 10})
	store := openStore(t, objects.Options{})
	s := newSource(t, cutConfig(path.Addr(), head), store)
	var err error
	for range 50 {
		if _, err = pullWhole(t.Context(), s, store); gitops.ReasonOf(err) != gitops.Unreachable {
			break
		}
	}
	wantReason(t, err, gitops.ObjectExceedsLink)
	for _, text := range []string{blob[:7], "app/firmware.bin"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %q", text, err)
		}
	}
	// A static mirror brings it, through connections that live no longer: a file
	// goes on where it was cut.
	files := t.TempDir()
	if _, err := bundle.Publish(t.Context(), bundle.PublishOptions{Repo: r.bare, Dir: files}); err != nil {
		t.Fatal(err)
	}
	mirror := cutLink(t, serveFiles(t, files), link.Shape{Cut: 16 << 10})
	cfg := cutConfig(path.Addr(), head)
	cfg.StateDir = t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: "http://" + mirror.Addr() + "/list", Type: "bundles"}}
	withMirror := openStore(t, objects.Options{})
	insists(t, newSource(t, cfg, withMirror), withMirror, head)
	holdsHead(t, r, withMirror, head)
	t.Logf("%d bytes through the mirror in %d connections", mirror.Counters().Total(), mirror.Counters().Connections)
	if total := mirror.Counters().Total(); total > 5<<18 {
		t.Errorf("%d bytes through the mirror for a file of 1 MB", total)
	}
	// A better link brings it too, when a person asks: the verdict is about this one.
	path.Set(link.Shape{})
	if _, err := s.Commits(t.Context(), gitops.PollRequest{Forced: true}); err != nil {
		t.Fatal(err)
	}
	missing, err := store.Below(t.Context(), []gitops.Hash{head}, 10)
	if err != nil || len(missing) == 0 {
		t.Fatal(missing, err)
	}
	if err := s.Objects(t.Context(), missing); err != nil {
		t.Fatal(err)
	}
	holdsHead(t, r, store, head)
}

// insists pulls as finishes does, and goes on where the reason is the object
// that does not fit: the mirror is asked next.
func insists(t *testing.T, s *pull.Source, store *objects.Store, head gitops.Hash) {
	t.Helper()
	var err error
	for range 500 {
		var got gitops.Hash
		if got, err = pullWhole(t.Context(), s, store); err == nil && got == head {
			return
		}
		if reason := gitops.ReasonOf(err); reason != gitops.Unreachable && reason != gitops.ObjectExceedsLink {
			break
		}
	}
	t.Fatal(err)
}

// serveFiles is a static host.
func serveFiles(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info, err := os.Stat(filepath.Join(dir, filepath.Base(r.URL.Path))); err == nil {
			w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}
