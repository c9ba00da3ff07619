// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

func TestOverHTTP(t *testing.T) {
	f := newFleet(t)
	seen := &requests{next: f.backend()}
	c := open(t, config(t, serve(t, seen).URL+"/fleet.git"))
	if s := c.Server(); s != (wire.Server{}) {
		t.Fatalf("known before anything was asked: %+v", s)
	}
	head := poll(t, c)
	if head != f.hash("main") {
		t.Fatal(head)
	}
	if got, want := seen.list(), []string{"GET refs", "POST git-upload-pack"}; !slices.Equal(got, want) {
		t.Fatalf("first poll: %q", got)
	}
	s := c.Server()
	if s.Protocol != "v2" || !s.Filter || !s.AnyWant || !s.Shallow || s.Name != "git v2, partial" {
		t.Fatalf("%+v", s)
	}
	seen.forget()
	poll(t, c)
	pack := fetch(t, c, wire.Request{Wants: []gitops.Hash{head}})
	if got := f.unpack(pack); !slices.Equal(got, f.objects(string(head))) {
		t.Fatalf("objects %q", got)
	}
	pack = fetch(t, c, wire.Request{Wants: []gitops.Hash{head}, Filter: "tree:0", Depth: 1})
	if got := f.unpack(pack); !slices.Equal(got, []string{string(head)}) {
		t.Fatalf("objects %q", got)
	}
	if got := seen.list(); len(got) != 3 || slices.Contains(got, "GET refs") {
		t.Fatalf("what the server can do was asked again: %q", got)
	}
}

func TestAPackThatIsNotReadToItsEnd(t *testing.T) {
	f := newFleet(t)
	c := open(t, config(t, serve(t, f.backend()).URL+"/fleet.git"))
	pack, err := c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{f.hash("main")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	if poll(t, c) != f.hash("main") {
		t.Fatal("the next request was harmed")
	}
}

func TestLongRequestsAreCompressed(t *testing.T) {
	f := newFleet(t)
	seen := &requests{next: f.backend()}
	cfg := config(t, serve(t, seen).URL+"/fleet.git")
	c := open(t, cfg)
	var wants []gitops.Hash
	for _, id := range f.objects("main") {
		wants = append(wants, gitops.Hash(id))
	}
	poll(t, c)
	_, before := cfg.Meter.Bytes()
	if got := f.unpack(fetch(t, c, wire.Request{Wants: wants})); len(got) != len(wants) {
		t.Fatalf("%d objects, want %d", len(got), len(wants))
	}
	_, after := cfg.Meter.Bytes()
	if plain := int64(len(wants)) * 50; after-before >= plain*3/4 {
		t.Errorf("%d wants took %d bytes", len(wants), after-before)
	}
}

func TestAbilitiesAreKeptOverRestarts(t *testing.T) {
	f := newFleet(t)
	seen := &requests{next: f.backend()}
	cfg := config(t, serve(t, seen).URL+"/fleet.git")
	cfg.Cache = filepath.Join(t.TempDir(), "abilities.json")
	poll(t, open(t, cfg))
	info, err := os.Stat(cfg.Cache)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	seen.forget()
	again := open(t, cfg)
	if s := again.Server(); s.Protocol != "v2" || !s.Filter {
		t.Fatalf("%+v", s)
	}
	poll(t, again)
	if got := seen.list(); !slices.Equal(got, []string{"POST git-upload-pack"}) {
		t.Fatalf("after a restart: %q", got)
	}
	later, err := os.Stat(cfg.Cache)
	if err != nil || !os.SameFile(info, later) || !info.ModTime().Equal(later.ModTime()) {
		t.Error("the file was written though nothing changed")
	}
	other := cfg
	other.Place = config(t, serve(t, seen).URL+"/fleet.git").Place
	if s := open(t, other).Server(); s.Protocol != "" {
		t.Errorf("abilities of another place are used: %+v", s)
	}
	if err := os.WriteFile(cfg.Cache, []byte(`{"url":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := open(t, cfg).Server(); s.Protocol != "" {
		t.Errorf("a broken file is used: %+v", s)
	}
}

// TestWhereItMovedToIsKept: a redirect is paid for once.
func TestWhereItMovedToIsKept(t *testing.T) {
	f := newFleet(t)
	backend := f.backend()
	seen := &requests{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/old"); ok {
			http.Redirect(w, r, rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		backend.ServeHTTP(w, r)
	})}
	cfg := config(t, serve(t, seen).URL+"/old/fleet.git")
	cfg.Cache = filepath.Join(t.TempDir(), "abilities.json")
	poll(t, open(t, cfg))
	seen.forget()
	poll(t, open(t, cfg))
	if got := seen.list(); !slices.Equal(got, []string{"POST git-upload-pack"}) {
		t.Errorf("after a restart: %q", got)
	}
}

// TestAServerOfV0IsLookedAtWithoutAWrite: each poll asks it for v2 again.
func TestAServerOfV0IsLookedAtWithoutAWrite(t *testing.T) {
	f := newFleet(t)
	v0 := f.backend()
	seen := &requests{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Git-Protocol")
		v0.ServeHTTP(w, r)
	})}
	cfg := config(t, serve(t, seen).URL+"/fleet.git")
	cfg.Cache = filepath.Join(t.TempDir(), "abilities.json")
	c := open(t, cfg)
	poll(t, c)
	before, err := os.Stat(cfg.Cache)
	if err != nil {
		t.Fatal(err)
	}
	poll(t, c)
	after, err := os.Stat(cfg.Cache)
	if err != nil || !os.SameFile(before, after) {
		t.Error("the file was written though nothing changed", err)
	}
	if got := seen.list(); !slices.Equal(got, []string{"GET refs", "GET refs"}) {
		t.Errorf("asked %q", got)
	}
	if s := open(t, cfg).Server(); s.Protocol != "v0" {
		t.Errorf("after a restart: %+v", s)
	}
}

// TestServerThatChanges covers an update, or another setting, between two polls.
func TestServerThatChanges(t *testing.T) {
	f := newFleet(t)
	v0 := f.backend()
	seen := &requests{next: f.backend()}
	old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Git-Protocol")
		v0.ServeHTTP(w, r)
	})
	c := open(t, config(t, serve(t, seen).URL+"/fleet.git"))
	poll(t, c)
	seen.next = old
	if poll(t, c) != f.hash("main") {
		t.Fatal("no refs of the older server")
	}
	if s := c.Server(); s.Protocol != "v0" || s.Filter || s.AnyWant || s.Name != "git v0, full history" {
		t.Fatalf("%+v", s)
	}
	seen.forget()
	if got := f.unpack(fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}, Filter: "tree:0", Depth: 1})); !slices.Equal(got, f.objects("main")) {
		t.Fatalf("objects %q", got)
	}
	if got := seen.list(); !slices.Equal(got, []string{"POST git-upload-pack"}) {
		t.Fatalf("a fetch in v0: %q", got)
	}
	seen.next = f.backend()
	poll(t, c)
	if s := c.Server(); s.Protocol != "v2" {
		t.Fatalf("the newer server is not noticed: %+v", s)
	}
	seen.next = old
	if got := f.unpack(fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}})); !slices.Equal(got, f.objects("main")) {
		t.Fatalf("objects %q", got)
	}
}

// TestFailuresAreNotAskedAgain keeps requests to a server that is in trouble few.
func TestFailuresAreNotAskedAgain(t *testing.T) {
	f := newFleet(t)
	for name, c := range map[string]struct {
		code int
		want []string
	}{
		"refused":  {401, []string{"POST git-upload-pack"}},
		"too many": {429, []string{"POST git-upload-pack"}},
		"gone":     {404, []string{"POST git-upload-pack", "GET refs"}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &requests{next: f.backend()}
			cl := open(t, config(t, serve(t, seen).URL+"/fleet.git"))
			poll(t, cl)
			seen.forget()
			seen.next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "31536000")
				w.WriteHeader(c.code)
			})
			if _, err := cl.Refs(t.Context(), mainOnly); err == nil {
				t.Fatal("no error")
			}
			if got := seen.list(); !slices.Equal(got, c.want) {
				t.Errorf("asked %q, want %q", got, c.want)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	f := newFleet(t)
	c := open(t, config(t, "file://"+f.dir))
	if poll(t, c) != f.hash("main") || c.Server().Protocol != "directory" {
		t.Fatalf("%+v", c.Server())
	}
	refs, err := c.Refs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := refs.List, f.refs(nil); !sameRefs(got, want) {
		t.Errorf("refs %+v\nwant %+v", got, want)
	}
	if got := f.unpack(fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}})); !slices.Equal(got, f.objects("main")) {
		t.Errorf("objects %q", got)
	}
	if got := f.unpack(fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}, Haves: []gitops.Hash{f.hash("main~1"), someID}})); !slices.Equal(got, f.objects("main", "^main~1")) {
		t.Errorf("objects %q", got)
	}
	pack, err := c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{f.hash("main")}})
	if err != nil {
		t.Fatal(err)
	}
	_ = pack.Close() // unread, and nobody writes it any more
	_, err = c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{someID}})
	wantReason(t, err, gitops.RefMissing)
	_, err = open(t, config(t, "file:///nonexistent")).Refs(t.Context(), nil)
	wantReason(t, err, gitops.NotGit)
}

func sameRefs(got, want []wire.Ref) bool {
	byName := func(a, b wire.Ref) int { return strings.Compare(a.Name, b.Name) }
	got, want = slices.Clone(got), slices.Clone(want)
	want = slices.DeleteFunc(want, func(r wire.Ref) bool { return r.Name == "HEAD" }) // a symbolic ref
	slices.SortFunc(got, byName)
	slices.SortFunc(want, byName)
	return slices.Equal(got, want)
}
