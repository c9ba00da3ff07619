// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// adverts answers with refs as a server of v0 writes them.
func adverts(lines ...string) http.HandlerFunc {
	return says(refsType, frame("# service=git-upload-pack\n")+"0000"+strings.Join(lines, ""))
}

// offers is what a server of v2 says first.
func offers() http.HandlerFunc {
	return says(refsType, frame("version 2\n")+frame("agent=x\n")+frame("ls-refs\n")+frame("fetch=shallow filter\n")+"0000")
}

func says(contentType, body string) http.HandlerFunc { return status(200, contentType, body) }

func status(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// v2 offers v2, and answers what is asked then as it is told.
func v2(refs, pack http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			offers()(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", packType)
		if strings.Contains(string(body), "command=ls-refs") {
			refs(w, r)
			return
		}
		pack(w, r)
	}
}

// v0 offers refs, and answers a request for a pack as it is told.
func v0(pack http.HandlerFunc) http.HandlerFunc {
	refs := adverts(frame(someID+" refs/heads/main\x00side-band-64k ofs-delta\n"), "0000")
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			refs(w, r)
			return
		}
		w.Header().Set("Content-Type", packType)
		pack(w, r)
	}
}

var goodRefs = says(packType, frame(someID+" refs/heads/main\n")+"0000")

// packing answers a request for a pack in v2.
func packing(body string) http.HandlerFunc {
	return v2(goodRefs, says(packType, frame("packfile\n")+body))
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

// working says that it is still at work on the pack, as Git does while it counts.
func working(every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", packType)
		_, _ = io.WriteString(w, frame("packfile\n"))
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, frame("\x01"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(every)
		}
	}
}

func stall(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else nobody notices that the client goes
		if first != "" {
			_, _ = io.WriteString(w, first)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// endlessly sends first, and then a text for ever.
func endlessly(first, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", refsType)
		}
		_, err := io.WriteString(w, first)
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, text)
		}
	}
}

// cut sends a part of an answer and closes the connection.
func cut(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, first)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestEveryFailureHasItsReason(t *testing.T) {
	quick := wire.Limits{Connect: time.Second, Idle: 300 * time.Millisecond, RateWindow: 10 * time.Second}
	slow := wire.Limits{Idle: 5 * time.Second, RateWindow: 300 * time.Millisecond, MinRate: 100_000}
	lasting := wire.Limits{Idle: 5 * time.Second, RateWindow: 10 * time.Second}
	cases := []struct {
		name    string
		handler http.HandlerFunc
		limits  wire.Limits
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
		{name: "418", handler: status(418, "text/plain", ""), reason: gitops.ServerError},
		{name: "500", handler: status(500, "text/plain", "oops"), reason: gitops.ServerError, text: `"oops"`},
		{name: "control characters are not printed", handler: status(500, "text/plain", "a\x1b[31mb\r\nc\x00d"), reason: gitops.ServerError, text: `"a [31mb c d"`},
		{name: "304 that was not asked for", handler: status(304, "text/plain", ""), reason: gitops.ServerError},
		{name: "206 that was not asked for", handler: status(206, refsType, ""), reason: gitops.ServerError},
		{name: "an error without end", handler: func(w http.ResponseWriter, r *http.Request) {
			status(404, "text/plain", "")(w, r)
			endlessly("", strings.Repeat("x", 60_000))(w, r)
		}, reason: gitops.NotGit},
		{name: "a header without end", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 100_000))
		}, reason: gitops.Unreachable},
		{name: "dumb HTTP", handler: says("text/plain", someID+"\trefs/heads/main\n"), reason: gitops.NotGit},
		{name: "no content type", handler: says("", ""), reason: gitops.NotGit},
		{name: "not pkt-lines", handler: says(refsType, "zzzz"), reason: gitops.NotGit},
		{name: "server too old", handler: adverts(frame(someID+" refs/heads/main\x00ofs-delta\n"), "0000"), reason: gitops.UnsupportedServer, text: "too old"},
		{name: "an error in the refs", handler: adverts(frame("ERR access denied\x1b[2J")), reason: gitops.ServerError, text: "access denied [2J"},
		{name: "refs cut", handler: adverts(frame(someID + " refs/heads/main\x00side-band-64k\n")), reason: gitops.Unreachable, text: "cut"},
		{name: "refs cut, v2", handler: v2(cut(frame(someID+" refs/heads/main\n")), nil), reason: gitops.Unreachable, text: "cut"},
		{name: "empty answer", handler: says(refsType, ""), reason: gitops.Unreachable, text: "cut"},
		{name: "empty answer, v2", handler: v2(says(packType, ""), nil), reason: gitops.Unreachable, text: "cut"},
		{name: "refs as a web page", handler: v2(says("text/html", "<html>"), nil), reason: gitops.CaptivePortal},
		{name: "endless refs", reason: gitops.TooLarge, text: "refs", handler: endlessly(
			frame("# service=git-upload-pack\n")+"0000"+frame(someID+" refs/heads/main\x00side-band-64k\n"), frame(someID+" refs/tags/a\n"))},
		{name: "endless refs, v2", handler: v2(endlessly("", frame(someID+" refs/tags/a\n")), nil), reason: gitops.TooLarge, text: "refs"},
		{name: "endless pack", handler: v2(goodRefs, endlessly(frame("packfile\n"), frame("\x01"+strings.Repeat("x", 60_000)))), reason: gitops.TooLarge, text: "pack"},
		{name: "endless progress", handler: v2(goodRefs, endlessly(frame("packfile\n"), frame("\x02"))), reason: gitops.TooLarge},
		{name: "no answer", handler: stall(""), limits: quick, reason: gitops.Timeout},
		{name: "no more bytes", handler: v2(goodRefs, stall(frame("packfile\n")+frame("\x01PACK"))), limits: quick, reason: gitops.Timeout, text: "no byte"},
		{name: "a byte now and then", handler: drip(20 * time.Millisecond), limits: slow, reason: gitops.TooSlow},
		{name: "never done", handler: drip(20 * time.Millisecond), limits: lasting, timeout: 400 * time.Millisecond, reason: gitops.Timeout, text: "400ms"},
		{name: "at work without end", handler: v2(goodRefs, working(20*time.Millisecond)), limits: slow, timeout: time.Second, reason: gitops.Timeout, text: "1s"},
		{name: "ref gone meanwhile", handler: v0(says(packType, frame("ERR upload-pack: not our ref "+someID))), reason: gitops.RefMissing},
		{name: "object not there, v2", handler: v2(goodRefs, says(packType, frame("ERR upload-pack: not our ref "+someID))), reason: gitops.RefMissing},
		{name: "an error in the pack", handler: packing(frame("\x01PACK") + frame("\x03out of memory\x07")), reason: gitops.ServerError, text: `"out of memory"`},
		{name: "an answer of another kind", handler: v0(says(packType, frame("hello"))), reason: gitops.ServerError},
		{name: "no pack", handler: packing("0000"), reason: gitops.ServerError, text: "has no pack"},
		{name: "pack cut", handler: packing(frame("\x01PACK")), reason: gitops.Unreachable, text: "cut"},
		{name: "pack cut off", handler: v2(goodRefs, cut(frame("packfile\n")+frame("\x01PACK"))), reason: gitops.Unreachable, text: "cut"},
		{name: "pack as a web page", handler: v2(goodRefs, says("text/html", "<html>")), reason: gitops.CaptivePortal},
		{name: "objects from elsewhere", handler: v2(goodRefs, says(packType, frame("packfile-uris\n")+frame("x")+"0001")), reason: gitops.UnsupportedServer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, serve(t, c.handler).URL+"/fleet.git")
			cfg.Limits = c.limits
			cfg.Limits.PackBytes = 2 << 20
			if c.timeout > 0 {
				cfg.Timeout = c.timeout
			}
			_, err := pulled(t, open(t, cfg))
			wantReason(t, err, c.reason)
			wantText(t, err, c.text, "http://"+cfg.Place.URL.Host+"/fleet.git")
			switch fault := wire.LinkFault(err); c.reason {
			case gitops.Unreachable, gitops.Timeout, gitops.TooSlow:
				if !fault {
					t.Errorf("not the link's fault: %v", err)
				}
			default:
				if fault {
					t.Errorf("the link's fault: %v", err)
				}
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
	_, err = open(t, config(t, "http://"+addr+"/fleet.git")).Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.Unreachable)
	wantText(t, err, "refused")
}

// TestRetryAfter: a short wait is waited for, a long one is the caller's.
func TestRetryAfter(t *testing.T) {
	f := newFleet(t)
	for said, want := range map[string]time.Duration{
		"0":                             0,
		"120":                           2 * time.Minute,
		"31536000":                      time.Hour,
		"9999999999999":                 time.Hour,
		"Wed, 03 Feb 2100 04:05:06 GMT": time.Hour,
	} {
		t.Run(said, func(t *testing.T) {
			first := true
			seen := &requests{}
			seen.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if first {
					first = false
					w.Header().Set("Retry-After", said)
					w.WriteHeader(503)
					return
				}
				f.backend().ServeHTTP(w, r)
			})
			c := open(t, config(t, serve(t, seen).URL+"/fleet.git"))
			_, err := c.Refs(t.Context(), mainOnly)
			if want == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, gitops.ServerError)
			if got := wire.RetryAfter(err); got != want || len(seen.list()) != 1 {
				t.Errorf("wait %s, want %s, after %q", got, want, seen.list())
			}
			poll(t, c)
		})
	}
}

// TestAStopIsNotAFailure: a shutdown says nothing of the link, a deadline does.
func TestAStopIsNotAFailure(t *testing.T) {
	cfg := config(t, serve(t, stall("")).URL+"/fleet.git")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open(t, cfg).Refs(ctx, mainOnly)
	if !errors.Is(err, context.Canceled) || gitops.ReasonOf(err) != "" {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = open(t, cfg).Refs(ctx, mainOnly)
	wantReason(t, err, gitops.Timeout)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	mine := &gitops.Error{Reason: gitops.BudgetSpent, Message: "the day's bytes are used up", Remedy: "wait"}
	cause, end := context.WithCancelCause(t.Context())
	end(mine)
	_, err = open(t, cfg).Refs(cause, mainOnly)
	wantReason(t, err, gitops.BudgetSpent)
}

// TestSlowCallersAreNotTheLinks: who reads a pack late is not idle.
func TestSlowCallersAreNotTheLinks(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	cfg := config(t, serve(t, f.backend()).URL+"/fleet.git")
	cfg.Timeout = 1500 * time.Millisecond
	cfg.Limits = wire.Limits{Idle: time.Second, RateWindow: 700 * time.Millisecond}
	pack, err := open(t, cfg).Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{f.hash("main")}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pack.Close() }()
	first := make([]byte, 1)
	if _, err := pack.Read(first); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // as a slow disk would
	rest, err := io.ReadAll(pack)
	if err != nil {
		t.Fatal(err)
	}
	f.unpack(append(first, rest...))
}
