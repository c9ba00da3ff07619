// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// static serves one file as a static host does: with an ETag, and by ranges.
func static(content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/mirror/list":
			w.Header().Set("ETag", `"one"`)
			http.ServeContent(w, r, "list", time.Time{}, bytes.NewReader(content))
		case "/mirror/moved":
			http.Redirect(w, r, "/mirror/list", http.StatusFound)
		case "/mirror/away":
			http.Redirect(w, r, "http://localhost:1/list", http.StatusFound)
		case "/mirror/stall":
			stall("some")(w, r)
		case "/mirror/cut":
			w.Header().Set("Content-Length", "1000")
			cut("some")(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func TestGet(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
	seen := &witness{next: static(content)}
	url := serve(t, seen).URL
	cfg := config(t, url+"/mirror/list")
	cfg.Auth = credentials(t, token)
	cfg.Limits.Idle = 300 * time.Millisecond
	c := open(t, cfg)
	cases := []struct {
		name, target string
		header       http.Header
		status       int
		body         string
		reason       gitops.Reason
		text         string
	}{
		{name: "a file", target: url + "/mirror/list", status: 200, body: string(content)},
		{name: "a redirect on the origin", target: url + "/mirror/moved", status: 200, body: string(content)},
		{name: "nothing new", target: url + "/mirror/list", header: http.Header{"If-None-Match": {`"one"`}}, status: 304},
		{name: "something new", target: url + "/mirror/list", header: http.Header{"If-None-Match": {`"two"`}}, status: 200, body: string(content)},
		{name: "a range", target: url + "/mirror/list", header: http.Header{"Range": {"bytes=990-"}, "If-Range": {`"one"`}}, status: 206, body: "0123456789"},
		{name: "a range of another file", target: url + "/mirror/list", header: http.Header{"Range": {"bytes=990-"}, "If-Range": {`"two"`}}, status: 200, body: string(content)},
		{name: "a range behind the end", target: url + "/mirror/list", header: http.Header{"Range": {"bytes=2000-"}}, status: 416, body: "invalid range: failed to overlap\n"},
		{name: "another file than was begun", target: url + "/mirror/list", header: http.Header{"If-Match": {`"two"`}}, status: 412},
		{name: "no file", target: url + "/mirror/none", reason: gitops.NotGit},
		{name: "another origin", target: "http://localhost:1/list", reason: gitops.RedirectRefused, text: "localhost:1"},
		{name: "another scheme", target: strings.Replace(url, "http:", "https:", 1) + "/mirror/list", reason: gitops.RedirectRefused},
		{name: "a redirect elsewhere", target: url + "/mirror/away", reason: gitops.RedirectRefused, text: "localhost:1"},
		{name: "no more bytes", target: url + "/mirror/stall", status: 200, body: "some", reason: gitops.Timeout},
		{name: "cut", target: url + "/mirror/cut", status: 200, body: "some", reason: gitops.Unreachable, text: "cut"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			resp, err := c.Get(t.Context(), parsed(t, k.target), k.header)
			if k.status == 0 {
				wantReason(t, err, k.reason)
				wantText(t, err, k.text, k.target[strings.LastIndex(k.target, "/"):])
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != k.status || string(body) != k.body {
				t.Errorf("status %d, want %d; body %q", resp.StatusCode, k.status, body)
			}
			if k.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantReason(t, err, k.reason)
			wantText(t, err, k.text)
		})
	}
	for _, request := range seen.requests() {
		if !strings.Contains(request, token) {
			t.Errorf("a request without credentials: %q", request)
		}
	}
}

// TestPollOfAFile is what a fleet does each minute: it has to be small.
func TestPollOfAFile(t *testing.T) {
	url, connections := counted(t, static([]byte("list")))
	cfg := config(t, url+"/mirror/list")
	c := open(t, cfg)
	for range 3 {
		in, out := cfg.Meter.Bytes()
		resp, err := c.Get(t.Context(), cfg.Place.URL, http.Header{"If-None-Match": {`"one"`}})
		if err != nil || resp.StatusCode != 304 {
			t.Fatal(resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		in2, out2 := cfg.Meter.Bytes()
		t.Logf("%d in, %d out", in2-in, out2-out)
		if n := in2 - in + out2 - out; n > 300 {
			t.Errorf("%d bytes", n)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestOnlyHTTPHasFiles(t *testing.T) {
	for _, raw := range []string{"file:///x", "ssh://git@localhost/x"} {
		c := open(t, config(t, raw))
		if _, err := c.Get(t.Context(), parsed(t, raw), nil); gitops.ReasonOf(err) != gitops.BadRequest {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct{ raw, shown, path, origin string }{
		{"https://Git.example.com/a/b.git", "https://Git.example.com/a/b.git", "/a/b.git", "https://git.example.com:443"},
		{"https://git.example.com:8443/a", "https://git.example.com:8443/a", "/a", "https://git.example.com:8443"},
		{"ssh://me@git.example.com/a", "ssh://git.example.com/a", "/a", "ssh://git.example.com:22"},
		{"git@git.example.com:a/b.git", "ssh://git.example.com/a/b.git", "a/b.git", "ssh://git.example.com:22"},
		{"ssh://git.example.com/~me/a", "ssh://git.example.com/~me/a", "~me/a", "ssh://git.example.com:22"},
		{"http://h/a", "http://h/a", "/a", "http://h:80"},
		{"file:///srv/a", "file:///srv/a", "/srv/a", "file://:"},
	} {
		p, err := wire.ParsePlace(c.raw, true)
		if err != nil || p.Shown != c.shown || p.Path != c.path || p.Origin() != c.origin {
			t.Errorf("%s: %+v, origin %s, %v", c.raw, p, p.Origin(), err)
		}
	}
	for _, raw := range []string{
		"", "git.example.com", "/srv/a", "ftp://h/a", "https:///a", "file://h/a", "file://", "https://h/a?x=" + token, "https://h/a#" + token,
		"https://me:" + token + "@h/a", "https://" + token + "@h/a", "ssh://me:" + token + "@h/a", "https://h:" + token + "/a", "a/b:c", "h::c",
	} {
		_, err := wire.ParsePlace(raw, true)
		if gitops.ReasonOf(err) != gitops.BadRequest || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, raw := range []string{"http://h/a", "file:///a"} {
		if _, err := wire.ParsePlace(raw, false); gitops.ReasonOf(err) != gitops.BadRequest {
			t.Errorf("%s without insecure: %v", raw, err)
		}
	}
	for _, raw := range []string{"x", "ftp://h", "http://%zz" + token} {
		if _, err := wire.ParseProxy(raw); gitops.ReasonOf(err) != gitops.BadRequest || strings.Contains(err.Error(), token) {
			t.Errorf("proxy %s: %v", raw, err)
		}
	}
}
