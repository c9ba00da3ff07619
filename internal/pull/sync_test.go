// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// counted is a server that counts requests.
type counted struct {
	*httptest.Server
	requests atomic.Int64
}

func count(t testing.TB, h http.Handler) *counted {
	c := &counted{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// partial lets parts of the repository be asked for.
func (r *repo) partial() { r.git(r.bare, "config", "uploadpack.allowFilter", "true") }

// fleet is a repository of folders with three files each, and history commits on
// top, each of which changes one folder.
func fleet(t testing.TB, folders, history int) (r *repo, first, head gitops.Hash) {
	t.Helper()
	r = newRepo(t)
	r.partial()
	for n := range folders {
		for _, name := range []string{"a.yaml", "b.yaml", "deep/c.yaml"} {
			r.write(fmt.Sprintf("clusters/n%04d/%s", n, name), fmt.Sprintf("name: %s\nnode: %d\n", name, n))
		}
	}
	r.write(".edgeagent/allowed_signers", "nobody\n")
	first = r.commit("first")
	head = first
	for n := range history {
		r.write(fmt.Sprintf("clusters/n%04d/a.yaml", n%folders), fmt.Sprintf("version: %d\n", n))
		head = r.commit(fmt.Sprintf("change %d", n))
	}
	return r, first, head
}

func (r *repo) id(rev string) gitops.Hash { return gitops.Hash(r.git(r.bare, "rev-parse", rev)) }

// bringFolder asks for a folder as a renderer does: the trees on the way alone,
// then the folder with all that is below it, then what of that is missing.
func bringFolder(t testing.TB, r *repo, s *pull.Source, head gitops.Hash, folder string) error {
	t.Helper()
	way := strings.Split(folder, "/")
	for n := range way {
		at := strings.Join(way[:n+1], "/")
		m := gitops.MissingObject{ID: r.id(string(head) + ":" + at), Kind: gitops.TreeObject, Path: at, Depth: 1}
		if n == len(way)-1 {
			m.Depth = 0
		}
		if err := s.Objects(t.Context(), []gitops.MissingObject{m}); err != nil {
			return err
		}
	}
	var files []gitops.MissingObject
	for line := range strings.Lines(r.git(r.bare, "ls-tree", "-r", "-t", string(head)+":"+folder)) {
		meta, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		f := strings.Fields(meta)
		files = append(files, gitops.MissingObject{
			ID: gitops.Hash(f[2]), Kind: gitops.ObjectKind(f[1]), Path: folder + "/" + name, Depth: 1,
		})
	}
	return s.Objects(t.Context(), files)
}

// stored lists what is in a store that is open: nobody else may read its file.
func stored(t testing.TB, path string) []string {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(beside, file, 0o600); err != nil {
		t.Fatal(err)
	}
	ids, _ := contents(t, beside)
	var out []string
	for id := range ids {
		out = append(out, string(id))
	}
	slices.Sort(out)
	return out
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func TestFirstSyncBringsOnlyWhatTheNodeNeeds(t *testing.T) {
	r, first, head := fleet(t, 20, 12)
	since := r.id(string(head) + "~8")
	path := filepath.Join(t.TempDir(), "objects.db")
	store := openStoreAt(t, path, objects.Options{})
	cfg := config(r.serve().URL)
	cfg.Introduction = string(since)
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0007"); err != nil {
		t.Fatal(err)
	}
	want := []string{string(since), r.git(r.bare, "rev-parse", string(head)+":clusters")}
	commits := strings.Fields(r.git(r.bare, "rev-list", string(since)+".."+string(head)))
	for _, c := range append(commits, string(since)) {
		want = append(want, c, r.git(r.bare, "rev-parse", c+"^{tree}"))
	}
	for _, below := range []string{".edgeagent", "clusters/n0007"} {
		want = append(want, strings.Fields(r.git(r.bare, "rev-list", "--objects", "--no-object-names", string(head)+":"+below))...)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	got := stored(t, path)
	if !slices.Equal(got, want) {
		t.Errorf("the store has %d objects, want %d\ntoo many: %v\ntoo few: %v", len(got), len(want), without(got, want), without(want, got))
	}
	if here, err := store.Has(t.Context(), first); err != nil || here {
		t.Errorf("a commit from before trust began is here: %v, %v", here, err)
	}
}

// TestFirstSeenHeadComesAlone has no commit where trust begins.
func TestFirstSeenHeadComesAlone(t *testing.T) {
	r, _, head := fleet(t, 3, 5)
	path := filepath.Join(t.TempDir(), "objects.db")
	store := openStoreAt(t, path, objects.Options{})
	cfg := config(r.serve().URL)
	cfg.Introduction = "first-seen"
	s := newSource(t, cfg, store)
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	if got := stored(t, path); len(got) != 4 {
		t.Errorf("the store has %v, want the commit, its tree and two objects of .edgeagent", got)
	}
	// The next ones are connected with it.
	for n := range 3 {
		r.write("clusters/n0000/b.yaml", fmt.Sprint(n))
		r.commit("next")
	}
	if c := mustPoll(t, s, head); c.Revision.Hash() != r.id("main") {
		t.Fatal(c)
	}
	found, err := store.Lineage(t.Context(), r.id("main"), []gitops.Hash{head}, 10)
	if err != nil || found.Around || found.Commits != 4 || len(found.Missing) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestUpdateIsOneRequest(t *testing.T) {
	for _, bitmaps := range []bool{false, true} {
		t.Run(fmt.Sprintf("bitmaps=%v", bitmaps), func(t *testing.T) {
			r := newRepo(t)
			r.partial()
			for n := range 1000 {
				r.write(fmt.Sprintf("app/f%04d.yaml", n), fmt.Sprintf("name: %d\n%s", n, strings.Repeat("x: y\n", 20)))
			}
			first := r.commit("first")
			srv := count(t, r.backend())
			cfg := config(srv.URL)
			cfg.Introduction = string(first)
			s := newSource(t, cfg, openStore(t, objects.Options{}))
			mustPoll(t, s)
			if err := bringFolder(t, r, s, first, "app"); err != nil {
				t.Fatal(err)
			}
			if bitmaps {
				r.git(r.bare, "repack", "-adbq")
			}
			accepted := first
			for n := range 3 {
				r.write("app/f0500.yaml", fmt.Sprintf("line: %d\n", n))
				head := r.commit("one line")
				before := srv.requests.Load()
				mustPoll(t, s, accepted)
				if err := bringFolder(t, r, s, head, "app"); err != nil {
					t.Fatal(err)
				}
				l := s.Link()
				t.Logf("poll %+v, fetch %+v", l.Poll, l.Fetch)
				if n := srv.requests.Load() - before; n != 2 {
					t.Errorf("a poll and a change took %d requests, want 2", n)
				}
				if l.Fetch.In+l.Fetch.Out > 3000 || l.Poll.In+l.Poll.Out > 700 {
					t.Errorf("poll %+v, fetch %+v", l.Poll, l.Fetch)
				}
				accepted = head
			}
		})
	}
}

// TestChangeHereAndElsewhere gets deltas of trees that this node does not have:
// they are set aside, and the node does not need them.
func TestChangeHereAndElsewhere(t *testing.T) {
	r, first, _ := fleet(t, 20, 0)
	srv := count(t, r.backend())
	cfg := config(srv.URL)
	cfg.Introduction = string(first)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	if err := bringFolder(t, r, s, first, "clusters/n0007"); err != nil {
		t.Fatal(err)
	}
	accepted := first
	for n := range 3 {
		r.write("clusters/n0007/a.yaml", fmt.Sprintf("here: %d\n", n))
		r.write(fmt.Sprintf("clusters/n%04d/deep/c.yaml", n), "elsewhere\n")
		head := r.commit("both")
		before := srv.requests.Load()
		mustPoll(t, s, accepted)
		if err := bringFolder(t, r, s, head, "clusters/n0007"); err != nil {
			t.Fatal(err)
		}
		if n := srv.requests.Load() - before; n != 2 {
			t.Errorf("a poll and a change took %d requests, want 2", n)
		}
		hasFolder(t, r, store, head, "clusters/n0007")
		accepted = head
	}
	// What was set aside comes when it is asked for.
	if err := bringFolder(t, r, s, accepted, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	hasFolder(t, r, store, accepted, "clusters/n0001")
}

// TestMassChangeIsAskedForByName changes more than a small pack holds.
func TestMassChangeIsAskedForByName(t *testing.T) {
	r, first, _ := fleet(t, 500, 0)
	cfg := config(r.serve().URL)
	cfg.Introduction = string(first)
	path := filepath.Join(t.TempDir(), "objects.db")
	s := newSource(t, cfg, openStoreAt(t, path, objects.Options{}))
	mustPoll(t, s)
	if err := bringFolder(t, r, s, first, "clusters/n0007"); err != nil {
		t.Fatal(err)
	}
	before := len(stored(t, path))
	for n := range 500 {
		r.write(fmt.Sprintf("clusters/n%04d/b.yaml", n), fmt.Sprintf("new: %d\n", n))
	}
	head := r.commit("everywhere")
	mustPoll(t, s, first)
	if err := bringFolder(t, r, s, head, "clusters/n0007"); err != nil {
		t.Fatal(err)
	}
	// The commit, its root, clusters, n0007 and b.yaml.
	if n := len(stored(t, path)) - before; n != 5 {
		t.Errorf("%d new objects, want 5", n)
	}
	t.Logf("%+v", s.Link().Fetch)
}

func TestLargeChangeElsewhereIsLeftOut(t *testing.T) {
	r, first, _ := fleet(t, 5, 0)
	path := filepath.Join(t.TempDir(), "objects.db")
	cfg := config(r.serve().URL)
	cfg.Introduction = string(first)
	store := openStoreAt(t, path, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	r.write("clusters/n0001/large.bin", noise(rand.New(rand.NewPCG(1, 2)), 2<<20))
	head := r.commit("large")
	if c := mustPoll(t, s, first); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	if here, err := store.Has(t.Context(), r.id("main:clusters/n0001/large.bin")); err != nil || here {
		t.Errorf("a large file of another node is here: %v, %v", here, err)
	}
}

// TestBranchAroundTheIntroduction merges a branch that left the history before
// trust began: whether its commits are older is seen in the whole history.
func TestBranchAroundTheIntroduction(t *testing.T) {
	r, first, _ := fleet(t, 3, 2)
	r.git(r.work, "branch", "side")
	r.write("x", "1")
	start := r.commit("introduction")
	r.git(r.work, "checkout", "-q", "side")
	r.write("y", "1")
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "-m", "side")
	r.git(r.work, "checkout", "-q", "main")
	r.git(r.work, "merge", "-q", "--no-ff", "-m", "merge", "side")
	head := r.commit("after")
	cfg := config(r.serve().URL)
	cfg.Introduction = string(start)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	for _, tip := range []gitops.Hash{head, start} {
		found, err := store.Lineage(t.Context(), tip, nil, 10)
		if err != nil || len(found.Missing) > 0 {
			t.Errorf("%s: %+v, %v", tip, found, err)
		}
	}
	for _, pair := range [][2]gitops.Hash{{first, head}, {start, head}, {first, start}} {
		if ok, err := store.Ancestor(t.Context(), pair[0], pair[1]); err != nil || !ok {
			t.Errorf("%v: %v, %v", pair, ok, err)
		}
	}
}

// TestUnrelatedHistoryIsBrought has a head that the trust rules will refuse: by
// its commits, which must be here for that.
func TestUnrelatedHistoryIsBrought(t *testing.T) {
	r, first, last := fleet(t, 3, 3)
	cfg := config(r.serve().URL)
	cfg.Introduction = string(first)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	r.git(r.work, "checkout", "-q", "--orphan", "other")
	r.write("z", "1")
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "-m", "unrelated")
	r.write("z", "2")
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "-m", "unrelated too")
	r.git(r.work, "push", "-q", "-f", "o", "HEAD:main")
	if c := mustPoll(t, s, last); c.Revision.Hash() != r.id("main") {
		t.Fatal(c)
	}
	found, err := store.Lineage(t.Context(), r.id("main"), nil, 10)
	if err != nil || found.Commits != 2 || len(found.Missing) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestIntroductionThatNobodyHas is for the trust rules to name, not a failure of
// the link.
func TestIntroductionThatNobodyHas(t *testing.T) {
	r, _, head := fleet(t, 3, 2)
	srv := count(t, r.backend())
	cfg := config(srv.URL)
	cfg.Introduction = strings.Repeat("d", 40)
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	for n := range 3 {
		before := srv.requests.Load()
		if c := mustPoll(t, s); c.Revision.Hash() != head {
			t.Fatal(c)
		}
		if n > 0 && srv.requests.Load()-before != 1 {
			t.Errorf("%d requests for a poll that finds nothing new", srv.requests.Load()-before)
		}
	}
}

// TestIntroductionThatWasMovedBack is a change of the configuration: what was
// judged before is no bound any more.
func TestIntroductionThatWasMovedBack(t *testing.T) {
	r, first, head := fleet(t, 3, 6)
	store := openStore(t, objects.Options{})
	cfg := config(r.serve().URL)
	cfg.Introduction = string(r.id("main~2"))
	mustPoll(t, newSource(t, cfg, store))
	cfg.Introduction = string(first)
	mustPoll(t, newSource(t, cfg, store), head)
	found, err := store.Lineage(t.Context(), head, []gitops.Hash{first}, 10)
	if err != nil || found.Around || len(found.Missing) > 0 || found.Commits != 7 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestServerWithoutFilters sends whole trees, but no history from before trust
// began.
func TestServerWithoutFilters(t *testing.T) {
	r, first, head := fleet(t, 5, 5)
	r.git(r.bare, "config", "uploadpack.allowFilter", "false")
	store := openStore(t, objects.Options{})
	cfg := config(r.serve().URL)
	cfg.Introduction = string(r.id("main~1"))
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0004"); err != nil {
		t.Fatal(err)
	}
	if got := s.Link().Client; got != "git v2" {
		t.Errorf("client %q", got)
	}
	if here, err := store.Has(t.Context(), first); err != nil || here {
		t.Errorf("the first commit is here: %v, %v", here, err)
	}
}

// onlyV0 is a server that does not know protocol v2 while old is set.
func onlyV0(t testing.TB, r *repo, old *atomic.Bool) *httptest.Server {
	backend := r.backend()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if old.Load() {
			req.Header.Del("Git-Protocol")
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// TestServerThatKnowsOnlyV0 sends all of its history.
func TestServerThatKnowsOnlyV0(t *testing.T) {
	r, first, head := fleet(t, 5, 5)
	var old atomic.Bool
	old.Store(true)
	store := openStore(t, objects.Options{})
	cfg := config(onlyV0(t, r, &old).URL)
	cfg.Introduction = string(first)
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	readsBack(t, r, store, head)
	if got := s.Link().Client; got != "git v0, full history" {
		t.Errorf("client %q", got)
	}
	r.write("clusters/n0000/a.yaml", "new\n")
	next := r.commit("next")
	mustPoll(t, s, head)
	readsBack(t, r, store, next)
}

// TestV0AfterV2 has a store with parts only, and a server that can send nothing
// but what its refs name.
func TestV0AfterV2(t *testing.T) {
	r, first, head := fleet(t, 5, 5)
	var old atomic.Bool
	store := openStore(t, objects.Options{})
	cfg := config(onlyV0(t, r, &old).URL)
	cfg.Introduction = string(first)
	mustPoll(t, newSource(t, cfg, store))
	old.Store(true)
	s := newSource(t, cfg, store)
	mustPoll(t, s, head)
	if err := bringFolder(t, r, s, head, "clusters/n0003"); err != nil {
		t.Fatal(err)
	}
}
