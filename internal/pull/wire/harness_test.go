// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const (
	refsType = "application/x-git-upload-pack-advertisement"
	packType = "application/x-git-upload-pack-result"
	someID   = "1111111111111111111111111111111111111111"
)

// backend is Git's own smart HTTP server, with the repository at /fleet.git.
func (f fleet) backend(env ...string) http.Handler {
	return &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env: append([]string{"GIT_PROJECT_ROOT=" + filepath.Dir(f.dir), "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}, env...),
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0),
	}
}

// requests remembers what was asked of a server.
type requests struct {
	mu   sync.Mutex
	seen []*http.Request
	next http.Handler
}

func (r *requests) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Clone(req.Context()))
	r.mu.Unlock()
	r.next.ServeHTTP(w, req)
}

// list are method and last part of the path of each request.
func (r *requests) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for _, req := range r.seen {
		out = append(out, req.Method+" "+req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:])
	}
	return out
}

func (r *requests) first() *http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[0]
}

func (r *requests) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

// config is a way to the repository at a URL.
func config(t testing.TB, raw string) wire.Config {
	t.Helper()
	place, err := wire.ParsePlace(raw, true)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Config{
		Place: place, Own: true, Agent: "git/2.0-edgeagent-test", Timeout: 30 * time.Second,
		Meter: wire.NewMeter(nil),
	}
}

func open(t testing.TB, cfg wire.Config) *wire.Client {
	t.Helper()
	c, err := wire.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var mainOnly = []string{"refs/heads/main"}

// poll asks for main and ends the conversation.
func poll(t testing.TB, c *wire.Client) gitops.Hash {
	t.Helper()
	defer c.End()
	refs, err := c.Refs(t.Context(), mainOnly)
	if err != nil {
		t.Fatal(err)
	}
	if len(refs.List) != 1 {
		t.Fatalf("refs %+v", refs)
	}
	return refs.List[0].ID
}

// fetch reads a pack to its end.
func fetch(t testing.TB, c *wire.Client, r wire.Request) []byte {
	t.Helper()
	pack, err := c.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(pack)
	if err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	return content
}

// pulled asks for refs, then for a pack, and returns the first error.
func pulled(t testing.TB, c *wire.Client) ([]byte, error) {
	t.Helper()
	defer c.End()
	if _, err := c.Refs(t.Context(), mainOnly); err != nil {
		return nil, err
	}
	pack, err := c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{someID}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = pack.Close() }()
	return io.ReadAll(pack)
}

// wantReason checks an error's reason, and that a person is told what to do
// and of which place it is.
func wantReason(t testing.TB, err error, want gitops.Reason) {
	t.Helper()
	if got := gitops.ReasonOf(err); got != want {
		t.Fatalf("reason %q, want %q: %v", got, want, err)
	}
	if !strings.Contains(err.Error(), "; ") {
		t.Errorf("no remedy in %q", err)
	}
}

func wantText(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %q", text, err)
		}
	}
}

func parsed(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
