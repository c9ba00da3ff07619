// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
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

// old is a server without protocol v2.
func old(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Git-Protocol")
		h.ServeHTTP(w, r)
	})
}

// filtered is a repository of which parts can be asked for.
func filtered(t *testing.T) *repo {
	t.Helper()
	r := newRepo(t)
	r.git(r.bare, "config", "uploadpack.allowFilter", "true")
	r.git(r.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
	r.write("app/deploy.yaml", strings.Repeat("a: b\n", 100))
	return r
}

// TestServerChangesItsProtocol updates a server, and takes the update back: what
// was kept of its abilities is wrong each time, and the head is reached each time.
func TestServerChangesItsProtocol(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("the process lives on %t", kept), func(t *testing.T) {
			r := filtered(t)
			first := r.commit("introduction")
			server := &turncoat{}
			srv := httptest.NewServer(server)
			defer srv.Close()
			o := newOrder(t, srv.URL, first)
			p := newPuller(t, o)
			for n := range 6 {
				r.write("app/version.yaml", fmt.Sprintf("version: %d\n", n))
				head := r.commit(fmt.Sprintf("commit %d", n))
				server.be(r.backend())
				if n%2 == 1 {
					server.be(old(r.backend()))
				}
				if !kept {
					p.stop()
					p = newPuller(t, o)
				}
				if got, _ := p.pull(); got.Text != "" || got.Head != head {
					t.Fatalf("commit %d: %+v, want %s", n, got, head)
				}
			}
			p.stop()
		})
	}
}

// TestKeptAbilitiesThatLie are what somebody wrote into the runtime directory:
// it costs a request more, nothing else.
func TestKeptAbilitiesThatLie(t *testing.T) {
	r := filtered(t)
	first := r.commit("introduction")
	srv := r.serve()
	o := newOrder(t, srv.URL, first)
	p := newPuller(t, o)
	if got, _ := p.pull(); got.Text != "" {
		t.Fatalf("%+v", got)
	}
	p.stop()
	for _, lie := range []string{"", "{", "null", `{"format":1,"protocol":0,"said":["side-band-64k"]}`, "\x00\x01", strings.Repeat("[", 100_000)} {
		files, err := filepath.Glob(filepath.Join(o.RuntimeDir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		lied := 0
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() && !strings.Contains(f, "objects.db") {
				lied++
				if err := os.WriteFile(f, []byte(lie), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if lied == 0 {
			t.Fatalf("nothing is kept in %v", files)
		}
		r.write("lie", lie)
		head := r.commit("next")
		p := newPuller(t, o)
		if got, _ := p.pull(); got.Text != "" || got.Head != head {
			t.Fatalf("with %.20q in %d files: %+v", lie, lied, got)
		}
		p.stop()
	}
}

// answers keeps what a server said to each request of one pull, in order.
type answers struct {
	backend http.Handler
	list    []*httptest.ResponseRecorder
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	a.backend.ServeHTTP(rec, r)
	a.list = append(a.list, rec)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	_, _ = w.Write(rec.Body.Bytes())
}

// TestTruncatedAtEveryByte ends each answer of a server at each of its bytes:
// once by a cut, once as if it were its end. Unless everything had come by then
// it is a failure with a reason, and the answer that is whole brings everything.
func TestTruncatedAtEveryByte(t *testing.T) {
	r := filtered(t)
	head := r.commit("only")
	rec := &answers{backend: r.backend()}
	srv := httptest.NewServer(rec)
	store := openStore(t, objects.Options{})
	if _, err := pullWhole(t.Context(), newSource(t, turnConfig(srv.URL, head), store), store); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	for which, whole := range rec.list {
		t.Run(fmt.Sprintf("answer %d", which), func(t *testing.T) {
			t.Parallel()
			truncated(t, r, whole, which, head)
		})
	}
}

func turnConfig(url string, introduction gitops.Hash) pull.Config {
	cfg := config(url)
	cfg.Introduction = string(introduction)
	return cfg
}

// truncation is how one pull's answers are cut short.
type truncation struct {
	at   int
	cut  bool
	seen atomic.Int64 // requests
}

// truncated is TestTruncatedAtEveryByte for one of the answers.
func truncated(t *testing.T, r *repo, whole *httptest.ResponseRecorder, which int, head gitops.Hash) {
	t.Helper()
	good, body := r.backend(), whole.Body.Bytes()
	var now atomic.Pointer[truncation]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		this := now.Load()
		if int(this.seen.Add(1)) <= which || this.at == len(body) {
			good.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		_, _ = w.Write(body[:this.at])
		if this.cut {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	for at := range len(body) + 1 {
		now.Store(&truncation{at: at, cut: at%2 == 0})
		store, err := objects.Open(filepath.Join(t.TempDir(), "objects.db"), objects.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := pullWhole(t.Context(), newSource(t, turnConfig(srv.URL, head), store), store)
		typed := is(gitops.Unreachable, gitops.Corrupt, gitops.ServerError, gitops.NotGit, gitops.ObjectExceedsLink, gitops.Incomplete)
		switch {
		case err == nil && got == head:
			holdsHead(t, r, store, head)
		case at == len(body) || !slices.Contains(typed, gitops.ReasonOf(err)):
			t.Fatalf("byte %d of %d: %s, %v", at, len(body), got, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
