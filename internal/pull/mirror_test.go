// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// nowhere is a URL where nobody answers.
func nowhere(t testing.TB) string {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	return srv.URL + "/r.git"
}

func TestMirrorsAreTriedInOrderAndTheLastGoodOneFirst(t *testing.T) {
	r, head := small(t, 2)
	var up atomic.Bool
	backend := r.backend()
	own := count(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	mirror := count(t, backend)
	clock := noon()
	cfg := config(own.URL)
	cfg.Now, cfg.RuntimeDir = clock.Now, t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: nowhere(t)}, {URL: mirror.URL + "/r.git"}}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	if c := mustPoll(t, s); c.Revision.Hash() != head || c.URL != cfg.Mirrors[1].URL {
		t.Fatal(c)
	}
	if l := s.Link(); !l.Mirror || l.URL != cfg.Mirrors[1].URL || l.Failures != 0 {
		t.Errorf("%+v", l)
	}
	// The own URL is back, but asked only after a while; a restart changes nothing.
	up.Store(true)
	before := own.requests.Load()
	s = newSource(t, cfg, store)
	if c := mustPoll(t, s); c.URL != cfg.Mirrors[1].URL || own.requests.Load() != before {
		t.Errorf("%s was asked", c.URL)
	}
	clock.now = clock.now.Add(11 * time.Minute)
	if c := mustPoll(t, s); c.URL != cfg.URL {
		t.Errorf("%s was asked", c.URL)
	}
	if s.Link().Mirror {
		t.Error("the own URL is called a mirror")
	}
}

// behind is a copy of the repository as it was some commits ago.
func (r *repo) behind(name string, n string) string {
	r.git(r.root, "clone", "-q", "--bare", r.bare, name)
	r.git(filepath.Join(r.root, name), "update-ref", "refs/heads/main", "main"+n)
	return name
}

func TestMirrorThatIsBehindIsPassedOver(t *testing.T) {
	r, first, head := fleet(t, 3, 4)
	url := r.serve().URL
	late := url + "/" + r.behind("late.git", "~2")
	cfg := config(url)
	cfg.Introduction = string(first)
	store := openStore(t, objects.Options{})
	mustPoll(t, newSource(t, cfg, store))
	dead := nowhere(t)

	cfg.URL, cfg.Mirrors = dead, []pull.Mirror{{URL: late}, {URL: url + "/r.git"}}
	if c := mustPoll(t, newSource(t, cfg, store), head); c.Revision.Hash() != head || c.URL != cfg.Mirrors[1].URL {
		t.Error(c)
	}
	cfg.Mirrors = cfg.Mirrors[:1]
	_, err := newSource(t, cfg, store).Commits(t.Context(), gitops.PollRequest{Known: []gitops.Hash{head}})
	wantReason(t, err, gitops.Unreachable) // the URL is what should have answered
	if !strings.Contains(err.Error(), "older than the accepted") {
		t.Error(err)
	}
	// Into an empty store it is brought first; then it is known to be behind.
	cfg.URL = late
	cfg.Mirrors = nil
	if c := mustPoll(t, newSource(t, cfg, store), head); c.Revision.Hash() != r.id("main~2") {
		t.Errorf("the source's own URL is for the trust rules to judge: %s", c.Revision)
	}
}

// TestChangeOfMirrorLosesNothing has a link to the URL that dies on the way.
func TestChangeOfMirrorLosesNothing(t *testing.T) {
	r, first, head := incompressible(t, 100)
	srv := r.serve()
	full, fullURL := bad(t, srv.URL, link.Shape{})
	proxy, url := bad(t, srv.URL, link.Shape{Cut: 250 << 10})
	cfg := config(url)
	cfg.Introduction = string(first)
	cfg.Mirrors = []pull.Mirror{{URL: fullURL + "/r.git"}}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	proxy.Set(link.Shape{Cut: 250 << 10, OnCut: func() { proxy.Set(link.Shape{Cut: 1}) }})
	proxy.Sever() // the next connection is the one that is cut, and the last one
	untilDone(t, func() error { return bringFolder(t, r, s, head, "node") })
	hasFolder(t, r, store, head, "node")
	n := full.Counters().Total()
	t.Logf("%d bytes of 420,000 came from the mirror", n)
	if n == 0 || n > 300_000 {
		t.Errorf("%d bytes came from the mirror", n)
	}
}

// static is a host of files that tells their versions apart by content: two may
// be written in one second.
func static(dir string) http.Handler {
	files := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if text, err := os.ReadFile(filepath.Join(dir, filepath.Base(req.URL.Path))); err == nil {
			w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(text)))
		}
		files.ServeHTTP(w, req)
	})
}

// publish writes the repository as a static host has it.
func (r *repo) publish(dir string) {
	r.t.Helper()
	if _, err := bundle.Publish(r.t.Context(), bundle.PublishOptions{Repo: r.bare, Dir: dir, Refs: []string{"main"}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestStaticMirror(t *testing.T) {
	r, first, head := fleet(t, 5, 5)
	dir := t.TempDir()
	r.publish(dir)
	host := count(t, static(dir))
	cfg := config("")
	cfg.URL = nowhere(t)
	cfg.Introduction, cfg.StateDir, cfg.RuntimeDir = string(first), t.TempDir(), t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: host.URL + "/list", Type: "bundles"}}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	if c := mustPoll(t, s); c.Revision.Hash() != head || c.URL != cfg.Mirrors[0].URL {
		t.Fatal(c)
	}
	if err := bringFolder(t, r, s, head, "clusters/n0003"); err != nil {
		t.Fatal(err)
	}
	if l := s.Link(); l.Client != "static bundles" || !l.Mirror {
		t.Errorf("%+v", l)
	}
	// Nothing new: one conditional request, also after a restart.
	for range 2 {
		before := host.requests.Load()
		mustPoll(t, s, head)
		if n := host.requests.Load() - before; n != 1 {
			t.Errorf("a poll took %d requests", n)
		}
		s = newSource(t, cfg, store)
	}
	for n := range 3 {
		r.write("clusters/n0003/a.yaml", strings.Repeat("new\n", n+1))
		next := r.commit("next")
		r.publish(dir)
		if c := mustPoll(t, s, head); c.Revision.Hash() != next {
			t.Fatal(c)
		}
		if err := bringFolder(t, r, s, next, "clusters/n0003"); err != nil {
			t.Fatal(err)
		}
		head = next
	}
}

// TestStaticMirrorAfterGit has a store with parts only: what the newest bundle
// builds on is claimed by its prerequisites, and not here.
func TestStaticMirrorAfterGit(t *testing.T) {
	r, first, head := fleet(t, 5, 5)
	dir := t.TempDir()
	r.publish(dir)
	var up atomic.Bool
	up.Store(true)
	backend := r.backend()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	defer srv.Close()
	host := count(t, static(dir))
	cfg := config(srv.URL)
	cfg.Introduction, cfg.StateDir = string(first), t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: host.URL + "/list", Type: "bundles"}}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	up.Store(false)
	r.write("clusters/n0002/a.yaml", "changed\n")
	next := r.commit("elsewhere")
	r.publish(dir)
	if c := mustPoll(t, s, head); c.Revision.Hash() != next {
		t.Fatal(c)
	}
	if err := bringFolder(t, r, s, next, "clusters/n0002"); err != nil {
		t.Fatal(err)
	}
}

// TestObjectThatExceedsTheLink is cut in the middle each time it comes, and
// arrives from a static mirror, which goes on where the link was cut.
func TestObjectThatExceedsTheLink(t *testing.T) {
	r, first, _ := fleet(t, 2, 0)
	r.write("clusters/n0001/large.bin", noise(rand.New(rand.NewPCG(1, 2)), 300_000))
	head := r.commit("large")
	dir := t.TempDir()
	r.publish(dir)
	srv := r.serve()
	host := httptest.NewServer(static(dir))
	defer host.Close()
	proxy, url := bad(t, srv.URL, link.Shape{Cut: 16 << 10})
	cfg := config(url)
	cfg.Introduction, cfg.StateDir = string(first), t.TempDir()
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	untilDone(t, func() error { _, err := s.Commits(t.Context(), gitops.PollRequest{}); return err })
	err := bringFolder(t, r, s, head, "clusters/n0001")
	for gitops.ReasonOf(err) == gitops.Fetching {
		err = bringFolder(t, r, s, head, "clusters/n0001")
	}
	wantReason(t, err, gitops.ObjectExceedsLink)
	if !strings.Contains(err.Error(), "clusters/n0001/large.bin") {
		t.Errorf("the file is not named: %v", err)
	}
	if n := proxy.Counters().Total(); n > 200_000 {
		t.Errorf("%d bytes were spent on it", n)
	}
	if l := s.Link(); l.Reason != gitops.ObjectExceedsLink || l.Failures == 0 {
		t.Errorf("%+v", l)
	}
	// It is not tried again at once.
	before := proxy.Counters().Total()
	wantReason(t, bringFolder(t, r, s, head, "clusters/n0001"), gitops.ObjectExceedsLink)
	if proxy.Counters().Total() != before {
		t.Error("it was asked for again at once")
	}
	_, hostURL := bad(t, host.URL, link.Shape{Cut: 16 << 10})
	cfg.Mirrors = []pull.Mirror{{URL: hostURL + "/list", Type: "bundles"}}
	s = newSource(t, cfg, store)
	untilDone(t, func() error { return bringFolder(t, r, s, head, "clusters/n0001") })
	hasFolder(t, r, store, head, "clusters/n0001")
}

// TestTimeIsUpWhileSomethingComes is a slow link: no failure, and it goes on soon.
func TestTimeIsUpWhileSomethingComes(t *testing.T) {
	r, first, head := incompressible(t, 60)
	proxy, url := bad(t, r.serve().URL, link.Shape{})
	cfg := config(url)
	cfg.Introduction, cfg.Timeout = string(first), 400*time.Millisecond
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	proxy.Set(link.Shape{Drip: 2000, Tick: 10 * time.Millisecond})
	fetching := 0
	for {
		err := bringFolder(t, r, s, head, "node")
		if err == nil {
			break
		}
		if gitops.ReasonOf(err) != gitops.Fetching {
			t.Fatal(err)
		}
		fetching++
		l := s.Link()
		if l.Failures != 0 || l.Reason != gitops.Fetching || !strings.Contains(l.Message, "so far") {
			t.Fatalf("%+v", l)
		}
		if wait := time.Until(s.NextPoll()); wait > time.Second {
			t.Fatalf("it goes on in %s", wait)
		}
	}
	if fetching == 0 {
		t.Error("nothing was interrupted")
	}
	hasFolder(t, r, store, head, "node")
	if l := s.Link(); l.Reason != "" {
		t.Errorf("%+v", l)
	}
}

// TestStaticHostThatCannotGoOn begins each download anew, on a link that never
// lets it end: it must not be asked without a pause.
func TestStaticHostThatCannotGoOn(t *testing.T) {
	r, first, _ := incompressible(t, 60)
	dir := t.TempDir()
	r.publish(dir)
	files := static(dir)
	for _, nameless := range []bool{false, true} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.Header.Del("Range")
			if nameless && req.URL.Path != "/list" {
				text, _ := os.ReadFile(filepath.Join(dir, filepath.Base(req.URL.Path)))
				w.(http.Flusher).Flush() // so that no length is sent
				_, _ = w.Write(text)
				return
			}
			files.ServeHTTP(w, req)
		}))
		defer srv.Close()
		proxy, url := bad(t, srv.URL, link.Shape{Cut: 64 << 10})
		cfg := config("")
		cfg.URL, cfg.Introduction, cfg.StateDir = nowhere(t), string(first), t.TempDir()
		cfg.Mirrors = []pull.Mirror{{URL: url + "/list", Type: "bundles"}}
		s := newSource(t, cfg, openStore(t, objects.Options{}))
		goes := 0
		for range 8 {
			if _, err := s.Commits(t.Context(), gitops.PollRequest{}); gitops.ReasonOf(err) == gitops.Fetching {
				goes++
			}
		}
		if goes > 4 || s.Link().Failures == 0 {
			t.Errorf("%d of 8 calls were to be gone on with: %+v", goes, s.Link())
		}
		proxy.Set(link.Shape{})
		mustPoll(t, s)
		if l := s.Link(); l.Poll.In > 2000 || l.Fetch.In < 100_000 {
			t.Errorf("a bundle is counted as the question: %+v", l)
		}
	}
}

// TestPreferredMirrorAfterTheClockWasSetBack: it was preferred in a year to come.
func TestPreferredMirrorAfterTheClockWasSetBack(t *testing.T) {
	r, _ := small(t, 1)
	own, mirror := count(t, r.backend()), count(t, r.backend())
	clock := noon()
	cfg := config(own.URL)
	cfg.RuntimeDir, cfg.Now = t.TempDir(), clock.Now
	cfg.Mirrors = []pull.Mirror{{URL: mirror.URL + "/r.git"}}
	up := cfg.URL
	cfg.URL = nowhere(t)
	store := openStore(t, objects.Options{})
	mustPoll(t, newSource(t, cfg, store))
	clock.now = clock.now.AddDate(-3, 0, 0)
	cfg.URL = up
	mustPoll(t, newSource(t, cfg, store))
	if own.requests.Load() == 0 {
		t.Error("the source's own URL is not tried any more")
	}
}
