// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
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
func credentials(t *testing.T, password string) pull.Auth {
	t.Helper()
	dir := t.TempDir()
	a := pull.Auth{UsernameFile: filepath.Join(dir, "user"), PasswordFile: filepath.Join(dir, "password")}
	for path, content := range map[string]string{a.UsernameFile: "node\n", a.PasswordFile: password + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestCredentialsAreReadAtEachPollAndNeverShown(t *testing.T) {
	r, head := small(t, 1)
	srv := httptest.NewServer(guarded(r.backend()))
	defer srv.Close()
	cfg := config(srv.URL)
	cfg.Auth = credentials(t, "wrong-"+token)
	cfg.RuntimeDir = t.TempDir()
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	_, err := s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.Auth)
	state, readErr := os.ReadFile(filepath.Join(cfg.RuntimeDir, "pull-fleet.json"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	for _, text := range []string{err.Error(), s.Link().Message, string(state)} {
		if strings.Contains(text, token) || strings.Contains(text, "Basic bm9kZ") {
			t.Errorf("the password is in %q", text)
		}
	}
	if err := os.WriteFile(cfg.Auth.PasswordFile, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
}

func TestSecretsThatOthersCanReadAreRefused(t *testing.T) {
	seen := &witness{next: http.NotFoundHandler()}
	srv := httptest.NewServer(seen)
	defer srv.Close()
	cases := map[string]struct {
		auth   func(pull.Auth) pull.Auth
		file   func(pull.Auth) string
		remedy string
	}{
		"password":            {file: func(a pull.Auth) string { return a.PasswordFile }, remedy: "chmod 600"},
		"token as a username": {auth: func(a pull.Auth) pull.Auth { a.PasswordFile = ""; return a }, file: func(a pull.Auth) string { return a.UsernameFile }, remedy: "chmod 600"},
		"missing":             {auth: func(a pull.Auth) pull.Auth { a.PasswordFile += "x"; return a }, remedy: "check the path"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := config(srv.URL)
			cfg.Auth = credentials(t, token)
			if c.auth != nil {
				cfg.Auth = c.auth(cfg.Auth)
			}
			if c.file != nil {
				if err := os.Chmod(c.file(cfg.Auth), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
			wantReason(t, err, gitops.Auth)
			if !strings.Contains(err.Error(), c.remedy) {
				t.Error(err)
			}
			if got := seen.requests(); len(got) > 0 {
				t.Errorf("requests were sent: %q", got)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	r, head := small(t, 1)
	elsewhere := &witness{next: r.backend()}
	other := httptest.NewServer(elsewhere)
	defer other.Close()
	backend := guarded(r.backend())
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
			status(200, refsType, "")(w, req)
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
	for path, want := range map[string]gitops.Reason{
		"moved": "", "moved/moved/moved": "", "moved/moved/moved/moved": gitops.RedirectRefused,
		"away": gitops.RedirectRefused, "name": gitops.RedirectRefused, "scheme": gitops.RedirectRefused,
		"file": gitops.RedirectRefused, "nowhere": gitops.ServerError, "loop": gitops.RedirectRefused,
		"login": gitops.RedirectRefused, "post": gitops.RedirectRefused, "post-here": gitops.RedirectRefused, "moved/away": gitops.RedirectRefused,
	} {
		t.Run(path, func(t *testing.T) {
			cfg := config(srv.URL + "/" + path)
			cfg.Auth = credentials(t, token)
			c, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
			if want != "" {
				wantReason(t, err, want)
			} else if err != nil || c.Revision.Hash() != head {
				t.Fatal(c, err)
			}
			if got := elsewhere.requests(); len(got) > 0 {
				t.Fatalf("another origin was asked: %q", got)
			}
		})
	}
}

func TestMirrors(t *testing.T) {
	r, head := small(t, 1)
	primary := &witness{next: status(500, "text/plain", "down")}
	up := false
	var mu sync.Mutex
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		isUp := up
		mu.Unlock()
		if isUp || strings.HasPrefix(req.URL.Path, "/mirror/") {
			req.URL.Path = strings.TrimPrefix(req.URL.Path, "/mirror")
			guarded(r.backend()).ServeHTTP(w, req)
			return
		}
		primary.ServeHTTP(w, req)
	}))
	defer first.Close()
	elsewhere := &witness{next: r.backend()}
	second := httptest.NewServer(elsewhere)
	defer second.Close()

	now := time.Now()
	cfg := config(first.URL)
	cfg.Auth = credentials(t, token)
	cfg.Mirrors = []pull.Mirror{{URL: second.URL + "/r.git", Type: "git"}}
	cfg.Now = func() time.Time { return now }
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	if c := mustPoll(t, s); c.Revision.Hash() != head || c.URL != second.URL+"/r.git" || s.Link().URL != c.URL {
		t.Fatalf("%+v, link %+v", c, s.Link())
	}
	for _, request := range elsewhere.requests() {
		if strings.Contains(request, token) {
			t.Errorf("the mirror was sent the password: %q", request)
		}
	}
	// The mirror that answered is asked first, until the URL's turn comes.
	asked := len(primary.requests())
	mustPoll(t, s)
	if n := len(primary.requests()); n != asked {
		t.Errorf("the URL that was down was asked %d times more", n-asked)
	}
	mu.Lock()
	up = true
	mu.Unlock()
	now = now.Add(11 * time.Minute)
	if c := mustPoll(t, s); c.URL != first.URL+"/r.git" {
		t.Errorf("the URL is back, and %s was asked", c.URL)
	}
	second.Close()
	if c := mustPoll(t, s); c.URL != first.URL+"/r.git" {
		t.Error(c)
	}

	t.Run("on the same origin they get the credentials", func(t *testing.T) {
		cfg := config(first.URL)
		cfg.URL = first.URL + "/none.git"
		cfg.Auth = credentials(t, token)
		cfg.Mirrors = []pull.Mirror{{URL: first.URL + "/mirror/r.git"}}
		if c := mustPoll(t, newSource(t, cfg, openStore(t, objects.Options{}))); c.Revision.Hash() != head {
			t.Fatal(c)
		}
	})
	t.Run("when all fail the first one's reason counts", func(t *testing.T) {
		cfg := config(first.URL)
		cfg.Mirrors = []pull.Mirror{{URL: second.URL + "/r.git"}}
		_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.Auth)
		if !strings.Contains(err.Error(), "refused") {
			t.Errorf("the mirror's failure is not in %q", err)
		}
	})
}

func TestProxy(t *testing.T) {
	r, head := small(t, 1)
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		asked = append(asked, req.URL.Host)
		mu.Unlock()
		r.backend().ServeHTTP(w, req)
	}))
	defer proxy.Close()
	cfg := config("http://git.example.com")
	cfg.Proxy = proxy.URL
	if c := mustPoll(t, newSource(t, cfg, openStore(t, objects.Options{}))); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 2 || asked[0] != "git.example.com" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func containsToken(s string) bool { return strings.Contains(s, token) }
