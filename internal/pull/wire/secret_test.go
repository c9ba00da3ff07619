// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const token = "canary-3f9d1c"

// witness remembers what credentials came to it.
type witness struct {
	mu   sync.Mutex
	seen []string
	next http.Handler
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	_, password, _ := r.BasicAuth()
	w.seen = append(w.seen, r.Method+" "+password+r.Header.Get("Cookie"))
	w.mu.Unlock()
	w.next.ServeHTTP(rw, r)
}

func (w *witness) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.seen...)
}

// guarded lets in only who knows the token.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "node" || password != token {
			// It repeats what it was sent, as some proxies do.
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, "no: "+user+" "+password+" "+r.Header.Get("Authorization"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// credentials writes the files of a login.
func credentials(t testing.TB, password string) wire.Auth {
	t.Helper()
	dir := t.TempDir()
	a := wire.Auth{UsernameFile: filepath.Join(dir, "user"), PasswordFile: filepath.Join(dir, "password")}
	for path, content := range map[string]string{a.UsernameFile: "node\n", a.PasswordFile: password + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestCredentialsAreReadAtEachRequestAndNeverShown(t *testing.T) {
	f := newFleet(t)
	cfg := config(t, serve(t, guarded(f.backend())).URL+"/fleet.git")
	cfg.Auth = credentials(t, "wrong-"+token)
	cfg.Cache = filepath.Join(t.TempDir(), "abilities.json")
	c := open(t, cfg)
	_, err := c.Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.Auth)
	wantText(t, err, "***")
	if containsToken(err.Error()) {
		t.Errorf("the password is in %q", err)
	}
	if err := os.WriteFile(cfg.Auth.PasswordFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(t, c)
	kept, err := os.ReadFile(cfg.Cache)
	if err != nil || containsToken(string(kept)) {
		t.Errorf("kept: %s, %v", kept, err)
	}
}

func containsToken(s string) bool {
	return strings.Contains(s, token) || strings.Contains(s, "bm9kZTp") // node: in base64
}

func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	seen := &witness{next: http.NotFoundHandler()}
	url := serve(t, seen).URL
	cases := map[string]struct {
		auth   func(wire.Auth) wire.Auth
		file   func(wire.Auth) string
		remedy string
	}{
		"password":            {file: func(a wire.Auth) string { return a.PasswordFile }, remedy: "chmod 600"},
		"token as a username": {auth: func(a wire.Auth) wire.Auth { a.PasswordFile = ""; return a }, file: func(a wire.Auth) string { return a.UsernameFile }, remedy: "chmod 600"},
		"missing":             {auth: func(a wire.Auth) wire.Auth { a.PasswordFile += "x"; return a }, remedy: "check the path"},
		"larger than any":     {auth: func(a wire.Auth) wire.Auth { a.UsernameFile = "/dev/zero"; return a }, remedy: "larger"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, url+"/fleet.git")
			cfg.Auth = credentials(t, token)
			if c.auth != nil {
				cfg.Auth = c.auth(cfg.Auth)
			}
			if c.file != nil {
				if err := os.Chmod(c.file(cfg.Auth), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			_, err := open(t, cfg).Refs(t.Context(), mainOnly)
			wantReason(t, err, gitops.Auth)
			wantText(t, err, c.remedy)
			if got := seen.requests(); len(got) > 0 {
				t.Errorf("requests were sent: %q", got)
			}
		})
	}
}

func TestMirrorsElsewhereGetNoCredentials(t *testing.T) {
	f := newFleet(t)
	seen := &witness{next: f.backend()}
	cfg := config(t, serve(t, seen).URL+"/fleet.git")
	cfg.Auth, cfg.Own = credentials(t, token), false
	poll(t, open(t, cfg))
	for _, request := range seen.requests() {
		if strings.Contains(request, token) {
			t.Errorf("it was sent the password: %q", request)
		}
	}
}

func TestRedirects(t *testing.T) {
	f := newFleet(t)
	elsewhere := &witness{next: f.backend()}
	other := serve(t, elsewhere)
	backend := guarded(f.backend())
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
		query := "?" + req.URL.RawQuery
		switch first {
		case "moved": // as forges do when .git is left out or a group is renamed
			http.Redirect(w, req, "/"+rest+query, http.StatusMovedPermanently)
		case "away":
			http.Redirect(w, req, other.URL+"/"+rest+query, http.StatusFound)
		case "name":
			http.Redirect(w, req, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)+"/"+rest+query, http.StatusTemporaryRedirect)
		case "scheme":
			http.Redirect(w, req, strings.Replace(srv.URL, "http:", "https:", 1)+"/"+rest+query, http.StatusFound)
		case "file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		case "nowhere":
			w.WriteHeader(302)
		case "login":
			http.Redirect(w, req, "/session/new", http.StatusFound)
		case "loop":
			http.Redirect(w, req, req.URL.String(), http.StatusFound)
		case "session":
			says(refsType, "")(w, req)
		case "post", "post-here":
			if req.Method == http.MethodPost {
				to := map[string]string{"post": other.URL + "/", "post-here": "/"}[first]
				http.Redirect(w, req, to+rest, http.StatusTemporaryRedirect)
				return
			}
			req.URL.Path = "/" + rest
			backend.ServeHTTP(w, req)
		default:
			backend.ServeHTTP(w, req)
		}
	}))
	defer srv.Close()
	defer srv.CloseClientConnections()
	for path, want := range map[string]gitops.Reason{
		"moved": "", "moved/moved/moved": "", "moved/moved/moved/moved": gitops.RedirectRefused,
		"away": gitops.RedirectRefused, "name": gitops.RedirectRefused, "scheme": gitops.RedirectRefused,
		"file": gitops.RedirectRefused, "nowhere": gitops.ServerError, "loop": gitops.RedirectRefused,
		"login": gitops.RedirectRefused, "post": gitops.RedirectRefused, "post-here": gitops.RedirectRefused, "moved/away": gitops.RedirectRefused,
	} {
		t.Run(path, func(t *testing.T) {
			cfg := config(t, srv.URL+"/"+path+"/fleet.git")
			cfg.Auth = credentials(t, token)
			cfg.Cache = filepath.Join(t.TempDir(), "abilities.json")
			c := open(t, cfg)
			_, err := c.Refs(t.Context(), mainOnly)
			if want != "" {
				wantReason(t, err, want)
			} else if err != nil {
				t.Fatal(err)
			} else {
				fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}})
				poll(t, open(t, cfg)) // where it moved to is kept
			}
			if got := elsewhere.requests(); len(got) > 0 {
				t.Fatalf("another origin was asked: %q", got)
			}
		})
	}
}

func TestProxy(t *testing.T) {
	f := newFleet(t)
	var mu sync.Mutex
	var asked []string
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		asked = append(asked, req.URL.Host)
		mu.Unlock()
		f.backend().ServeHTTP(w, req)
	}))
	cfg := config(t, "http://git.example.com/fleet.git")
	var err error
	if cfg.Proxy, err = wire.ParseProxy(proxy.URL); err != nil {
		t.Fatal(err)
	}
	poll(t, open(t, cfg))
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(asked, []string{"git.example.com", "git.example.com"}) {
		t.Errorf("the proxy was asked for %q", asked)
	}
	cfg.Proxy = parsed(t, "http://node:"+token+"@127.0.0.1:1")
	_, err = open(t, cfg).Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.Unreachable)
	if containsToken(err.Error()) {
		t.Errorf("the proxy's password is in %q", err)
	}
	cfg.Place = config(t, "ssh://git@git.example.com/fleet.git").Place
	if _, err := wire.Open(cfg); gitops.ReasonOf(err) != gitops.BadRequest {
		t.Errorf("SSH over an HTTP proxy: %v", err)
	}
}
