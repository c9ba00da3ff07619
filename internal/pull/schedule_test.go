// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestScheduleSurvivesRestarts(t *testing.T) {
	r, _ := small(t, 1)
	up := true
	backend := r.backend()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !up {
			w.WriteHeader(404)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	defer srv.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg := config(srv.URL)
	cfg.RuntimeDir = t.TempDir()
	cfg.Now = func() time.Time { return now }
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	if !s.NextPoll().IsZero() {
		t.Errorf("a new source waits until %s", s.NextPoll())
	}
	mustPoll(t, s)
	first := s.NextPoll()
	if wait := first.Sub(now); wait < 54*time.Second || wait > 66*time.Second {
		t.Errorf("the next poll is in %s, want a minute ±10 %%", wait)
	}
	link := s.Link()
	s = newSource(t, cfg, store)
	if !s.NextPoll().Equal(first) {
		t.Errorf("after a restart: %s, want %s", s.NextPoll(), first)
	}
	if again := s.Link(); again.BytesIn != link.BytesIn || again.BytesOut != link.BytesOut || !again.LastSuccess.Equal(now) || again.BytesIn == 0 {
		t.Errorf("after a restart: %+v, want %+v", again, link)
	}
	// Failures count on over restarts; each wait is below its bound.
	up = false
	for n, bound := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900} {
		_, err := s.Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.NotGit)
		if wait := s.NextPoll().Sub(now); wait < time.Second || wait > bound*time.Second {
			t.Errorf("after %d failures the next poll is in %s", n+1, wait)
		}
		if s.Link().Failures != n+1 {
			t.Errorf("%d failures, want %d", s.Link().Failures, n+1)
		}
		s = newSource(t, cfg, store)
	}
	up = true
	mustPoll(t, s)
	if s.Link().Failures != 0 {
		t.Error("a success does not reset the failures")
	}
	// The clock was set back by years: nobody waits for years.
	now = now.AddDate(-3, 0, 0)
	if wait := newSource(t, cfg, store).NextPoll().Sub(now); wait > 15*time.Minute {
		t.Errorf("after the clock was set back: %s", wait)
	}
}

func TestBrokenStateFileIsIgnored(t *testing.T) {
	cfg := config("http://127.0.0.1:1")
	cfg.RuntimeDir = t.TempDir()
	path := filepath.Join(cfg.RuntimeDir, "pull-fleet.json")
	for _, content := range []string{"", "{", `{"failures":-1}`, `{"failures":"x"}`, "\x00\x00"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newSource(t, cfg, openStore(t, objects.Options{}))
		if !s.NextPoll().IsZero() || s.Link().Failures != 0 {
			t.Errorf("%q: %+v", content, s.Link())
		}
	}
}

// TestKilledPollCountsAsAPoll has a state file as a kill in a poll leaves it.
func TestKilledPollCountsAsAPoll(t *testing.T) {
	r, _ := small(t, 1)
	cfg := config("")
	cfg.RuntimeDir = t.TempDir()
	var inside pull.Config
	store := openStore(t, objects.Options{})
	backend := r.backend()
	var next time.Time
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if next.IsZero() {
			s, err := pull.New(inside, store)
			if err != nil {
				t.Error(err)
				return
			}
			next = s.NextPoll()
		}
		backend.ServeHTTP(w, req)
	}))
	defer srv.Close()
	cfg.URL = srv.URL + "/r.git"
	inside = cfg
	before := time.Now()
	mustPoll(t, newSource(t, cfg, store))
	if next.Before(before.Add(54 * time.Second)) {
		t.Errorf("after a kill in a poll the next one is at %s, the poll was at %s", next, before)
	}
}

func TestShutdownIsNotAFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	s := newSource(t, config(srv.URL), openStore(t, objects.Options{}))
	_, err := s.Commits(ctx, gitops.PollRequest{})
	if !errors.Is(err, context.Canceled) || gitops.ReasonOf(err) != "" {
		t.Errorf("%v", err)
	}
	if l := s.Link(); l.Failures != 0 || l.Reason != "" {
		t.Errorf("%+v", l)
	}
}

// token is a password that must never be seen again.
const token = "s3cr3t-canary"

func containsToken(s string) bool { return strings.Contains(s, token) }

func TestConfigIsChecked(t *testing.T) {
	good := config("http://127.0.0.1")
	cases := map[string]func(*pull.Config){
		"no scheme":            func(c *pull.Config) { c.URL = "example.com/r.git" },
		"ext":                  func(c *pull.Config) { c.URL = "ext::sh -c id" },
		"git":                  func(c *pull.Config) { c.URL = "git://example.com/r.git" },
		"http":                 func(c *pull.Config) { c.Insecure = false },
		"file":                 func(c *pull.Config) { c.URL, c.Insecure = "file:///r.git", false },
		"file with a host":     func(c *pull.Config) { c.URL = "file://host/r.git" },
		"password in URL":      func(c *pull.Config) { c.URL = "https://u:" + token + "@example.com/r.git" },
		"user in URL":          func(c *pull.Config) { c.URL = "https://" + token + "@example.com/r.git" },
		"password for ssh":     func(c *pull.Config) { c.URL = "ssh://git:" + token + "@example.com/r.git" },
		"not a URL":            func(c *pull.Config) { c.URL = "https://u:" + token + "@exa mple.com/%zz" },
		"query":                func(c *pull.Config) { c.URL = "https://example.com/r.git?token=" + token },
		"no ref":               func(c *pull.Config) { c.Ref = pull.Ref{} },
		"two refs":             func(c *pull.Config) { c.Ref.Tag = "x" },
		"short commit":         func(c *pull.Config) { c.Ref = pull.Ref{Commit: "abc123"} },
		"bad range":            func(c *pull.Config) { c.Ref = pull.Ref{Semver: "newest"} },
		"mirror of a new type": func(c *pull.Config) { c.Mirrors = []pull.Mirror{{URL: c.URL, Type: "torrent"}} },
		"bundles over ssh": func(c *pull.Config) {
			c.StateDir, c.Mirrors = "/var/lib/x", []pull.Mirror{{URL: "ssh://git@example.com/list", Type: "bundles"}}
		},
		"bundles without a place for them": func(c *pull.Config) { c.Mirrors = []pull.Mirror{{URL: c.URL, Type: "bundles"}} },
		"mirror over git":                  func(c *pull.Config) { c.Mirrors = []pull.Mirror{{URL: "git://example.com/r.git"}} },
		"proxy without host":               func(c *pull.Config) { c.Proxy = "example.com:3128" },
		"proxy scheme":                     func(c *pull.Config) { c.Proxy = "ftp://example.com" },
		"proxy for ssh":                    func(c *pull.Config) { c.URL, c.Proxy = "ssh://git@example.com/r.git", "http://example.com" },
	}
	store := openStore(t, objects.Options{})
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			_, err := pull.New(cfg, store)
			if gitops.ReasonOf(err) != gitops.BadRequest {
				t.Fatal(err)
			}
			if s := err.Error(); len(s) == 0 || containsToken(s) {
				t.Errorf("the password is in %q", s)
			}
		})
	}
	for _, url := range []string{"https://example.com/r.git", "ssh://git@example.com:2222/r.git", "git@example.com:group/r.git", "file:///srv/r.git"} {
		cfg := good
		cfg.URL = url
		if _, err := pull.New(cfg, store); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestServerIsLeftAloneAsLongAsItAsks, and no longer than after any failure.
func TestServerIsLeftAloneAsLongAsItAsks(t *testing.T) {
	for after, want := range map[string]time.Duration{"600": 10 * time.Minute, "31536000": 15 * time.Minute} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		defer srv.Close()
		clock := noon()
		cfg := config(srv.URL)
		cfg.Now = clock.Now
		for range 2 {
			s := newSource(t, cfg, openStore(t, objects.Options{}))
			_, err := s.Commits(t.Context(), gitops.PollRequest{})
			wantReason(t, err, gitops.ServerError)
			if got := s.NextPoll().Sub(clock.now); got != want {
				t.Errorf("Retry-After: %s: the next poll is in %s, want %s", after, got, want)
			}
			cfg.Mirrors = []pull.Mirror{{URL: cfg.URL}}
		}
	}
}
