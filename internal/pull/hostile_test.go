// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

const (
	refsType = "application/x-git-upload-pack-advertisement"
	packType = "application/x-git-upload-pack-result"
)

func pkt(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// adverts answers with refs as a server writes them.
func adverts(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", refsType)
		_, _ = io.WriteString(w, pkt("# service=git-upload-pack\n")+"0000"+strings.Join(lines, ""))
	}
}

func status(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

const someID = "1111111111111111111111111111111111111111"

// answering sends refs that name someID, then what post says.
func answering(post http.HandlerFunc) http.HandlerFunc {
	refs := adverts(pkt(someID+" refs/heads/main\x00side-band-64k ofs-delta\n"), "0000")
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			refs(w, r)
			return
		}
		w.Header().Set("Content-Type", packType)
		post(w, r)
	}
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// drip sends a line byte by byte, until the client goes.
func drip(every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", refsType)
		_, _ = io.WriteString(w, "fff0")
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "0")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(every)
		}
	}
}

func stall(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, first)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func endlessRefs(w http.ResponseWriter, r *http.Request) {
	adverts(pkt(someID+" refs/heads/main\x00side-band-64k\n"))(w, r)
	for i := 0; r.Context().Err() == nil; i++ {
		if _, err := io.WriteString(w, pkt(fmt.Sprintf("%s refs/heads/b%d\n", someID, i))); err != nil {
			return
		}
	}
}

// endlessPack begins as a pack does: with one blob that does not end.
func endlessPack(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, pkt("NAK\n"))
	_, _ = io.WriteString(w, pkt("\x01PACK\x00\x00\x00\x02\x00\x00\x00\x01\xbf\xff\xff\xff\x01\x78\x9c"))
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, pkt("\x01"+strings.Repeat("x", 60_000))); err != nil {
			return
		}
	}
}

func TestEveryFailureHasItsReason(t *testing.T) {
	quick := pull.Limits{Connect: time.Second, Idle: 300 * time.Millisecond, RateWindow: 10 * time.Second}
	slow := pull.Limits{Idle: 5 * time.Second, RateWindow: 300 * time.Millisecond, MinRate: 100_000}
	lasting := pull.Limits{Idle: 5 * time.Second, RateWindow: 10 * time.Second}
	cases := []struct {
		name    string
		handler http.HandlerFunc
		limits  pull.Limits
		timeout time.Duration
		reason  gitops.Reason
		text    string
	}{
		{name: "a web page", handler: status(200, "text/html; charset=utf-8", "<html>"), reason: gitops.CaptivePortal},
		{name: "511", handler: status(511, "text/html", "<html>"), reason: gitops.CaptivePortal},
		{name: "401", handler: status(401, "text/plain", "no"), reason: gitops.Auth, text: "usernameFile"},
		{name: "403", handler: status(403, "text/plain", "no"), reason: gitops.Auth},
		{name: "407", handler: status(407, "text/plain", "no"), reason: gitops.Auth, text: "proxy"},
		{name: "404", handler: status(404, "text/html", "<html>"), reason: gitops.NotGit},
		{name: "410", handler: status(410, "text/html", "<html>"), reason: gitops.NotGit},
		{name: "500", handler: status(500, "text/plain", "oops"), reason: gitops.ServerError, text: `"oops"`},
		{name: "control characters are not printed", handler: status(500, "text/plain", "a\x1b[31mb\r\nc\x00d"), reason: gitops.ServerError, text: `"a [31mb c d"`},
		{name: "418", handler: status(418, "text/plain", ""), reason: gitops.ServerError},
		{name: "304", handler: status(304, "text/plain", ""), reason: gitops.ServerError},
		{name: "an error without end", handler: func(w http.ResponseWriter, r *http.Request) {
			status(404, "text/plain", "")(w, r)
			endlessPack(w, r)
		}, reason: gitops.NotGit},
		{name: "dumb HTTP", handler: status(200, "text/plain", someID+"\trefs/heads/main\n"), reason: gitops.NotGit},
		{name: "no content type", handler: status(200, "", ""), reason: gitops.NotGit},
		{name: "not the service", handler: status(200, refsType, pkt("# service=git-receive-pack\n")), reason: gitops.NotGit},
		{name: "service without a flush", handler: status(200, refsType, pkt("# service=git-upload-pack\n")+pkt("x\n")), reason: gitops.NotGit},
		{name: "not pkt-lines", handler: status(200, refsType, "zzzz"), reason: gitops.NotGit},
		{name: "not a ref", handler: adverts(pkt("hello\x00side-band-64k\n")), reason: gitops.NotGit},
		{name: "SHA-256", handler: adverts(pkt(strings.Repeat("a", 64) + " refs/heads/main\x00object-format=sha256\n")), reason: gitops.UnsupportedServer, text: "SHA-256"},
		{name: "server too old", handler: adverts(pkt(someID+" refs/heads/main\x00ofs-delta\n"), "0000"), reason: gitops.UnsupportedServer, text: "too old"},
		{name: "an error in the refs", handler: adverts(pkt("ERR access denied\x1b[2J")), reason: gitops.ServerError, text: "access denied [2J"},
		{name: "refs cut", handler: adverts(pkt(someID + " refs/heads/main\x00side-band-64k\n")), reason: gitops.Unreachable, text: "cut"},
		{name: "empty answer", handler: status(200, refsType, ""), reason: gitops.Unreachable, text: "cut"},
		{name: "endless refs", handler: endlessRefs, reason: gitops.TooLarge, text: "refs"},
		{name: "endless pack", handler: answering(endlessPack), reason: gitops.TooLarge},
		{name: "no answer", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, limits: quick, reason: gitops.Timeout},
		{name: "no more bytes", handler: answering(stall(pkt("NAK\n") + pkt("\x01PACK"))), limits: quick, reason: gitops.Timeout, text: "no byte"},
		{name: "a byte now and then", handler: drip(20 * time.Millisecond), limits: slow, reason: gitops.TooSlow},
		{name: "never done", handler: drip(20 * time.Millisecond), limits: lasting, timeout: 400 * time.Millisecond, reason: gitops.Timeout, text: "400ms"},
		{name: "ref gone meanwhile", handler: answering(says(pkt("ERR upload-pack: not our ref " + someID))), reason: gitops.RefMissing},
		{name: "an error in the pack", handler: answering(says(pkt("NAK\n") + pkt("\x01PACK") + pkt("\x03out of memory\x07"))), reason: gitops.ServerError, text: `"out of memory"`},
		{name: "an answer of another kind", handler: answering(says(pkt("hello"))), reason: gitops.ServerError},
		{name: "an acknowledgement inside the pack", handler: answering(says(pkt("NAK\n") + pkt("\x01PACK") + pkt("NAK\n"))), reason: gitops.ServerError},
		{name: "no pack", handler: answering(says(pkt("NAK\n") + "0000")), reason: gitops.ServerError, text: "has no pack"},
		{name: "pack cut", handler: answering(says(pkt("NAK\n") + pkt("\x01PACK"))), reason: gitops.Unreachable, text: "cut"},
		{name: "a pack that is none", handler: answering(says(pkt("NAK\n") + pkt("\x01junk") + "0000")), reason: gitops.Corrupt},
		{name: "pack as a web page", handler: answering(func(w http.ResponseWriter, r *http.Request) {
			status(200, "text/html", "<html>")(w, r)
		}), reason: gitops.CaptivePortal},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(c.handler)
			defer srv.Close()
			defer srv.CloseClientConnections()
			cfg := config(srv.URL)
			cfg.Limits = c.limits
			if c.timeout > 0 {
				cfg.Timeout = c.timeout
			}
			s := newSource(t, cfg, openStore(t, objects.Options{MaxPack: 2 << 20}))
			_, err := s.Commits(t.Context(), gitops.PollRequest{})
			wantReason(t, err, c.reason)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q is not in %q", c.text, err)
			}
			link := s.Link()
			if link.Reason != c.reason || link.Failures != 1 || link.Message != err.Error() {
				t.Errorf("link: %+v", link)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	s := newSource(t, config("http://"+addr), openStore(t, objects.Options{}))
	_, err = s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.Unreachable)
	if !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

func TestStoreFailureIsNotTheLinks(t *testing.T) {
	r, _ := small(t, 1)
	store := openStore(t, objects.Options{})
	s := newSource(t, config(r.serve().URL), store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.StoreFailed)
}

func TestShallowServerIsRefused(t *testing.T) {
	r, _ := small(t, 5)
	first := r.id("main~4")
	r.git(r.root, "clone", "-q", "--bare", "--depth", "2", "file://"+r.bare, "shallow.git")
	for _, old := range []bool{false, true} {
		var v0 atomic.Bool
		v0.Store(old)
		cfg := config(onlyV0(t, r, &v0).URL)
		cfg.URL = strings.Replace(cfg.URL, "/r.git", "/shallow.git", 1)
		cfg.Introduction = string(first)
		_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.Incomplete)
		if !strings.Contains(err.Error(), "its repository is shallow") {
			t.Error(err)
		}
	}
}

func TestObjectOverTheLimit(t *testing.T) {
	r := newRepo(t)
	r.partial()
	r.write("big", strings.Repeat("x", 100_000))
	r.commit("big")
	s := newSource(t, config(r.serve().URL), openStore(t, objects.Options{MaxObject: 50_000}))
	mustPoll(t, s)
	err := s.Objects(t.Context(), []gitops.MissingObject{{ID: r.id("main:big"), Kind: gitops.BlobObject, Path: "big"}})
	wantReason(t, err, gitops.TooLarge)
}

func TestProbeOfAShallowRepository(t *testing.T) {
	r, _ := small(t, 3)
	r.git(r.root, "clone", "-q", "--bare", "--depth", "1", "file://"+r.bare, "shallow.git")
	cfg := config("")
	cfg.URL = "file://" + r.root + "/shallow.git"
	found, err := pull.Probe(t.Context(), cfg)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	wantReason(t, found[0].Err, gitops.Incomplete)
}
