// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

// transport leaves bodies as they come.
var transport = &http.Transport{DisableCompression: true}

// plain is a client without anything around it.
type plain struct{}

func (plain) Get(ctx context.Context, target *url.URL, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	return transport.RoundTrip(req)
}

// place is a static host that does what a test tells it.
type place struct {
	t        *testing.T
	list     string
	file     []byte
	tag      string
	cut      int  // bytes of a body, 0 all
	noRanges bool // like a host that has never heard of them
	answer   http.HandlerFunc
	requests []string // "Range If-Range" of those for the file
	url      string
}

const oneBundle = "[bundle]\nversion=1\nmode=all\nheuristic=creationToken\n[bundle \"1\"]\nuri=1.bundle\ncreationToken=1\n"

// newPlace has one bundle whose pack is n bytes of noise.
func newPlace(t *testing.T, n int) *place {
	p := &place{t: t, list: oneBundle, tag: `"v1"`, file: fakeBundle(n, 1)}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

// fakeBundle has a good header and checksum; its objects are nobody's concern here.
func fakeBundle(n int, seed byte) []byte {
	pack := []byte("PACK")
	for i := range n {
		pack = append(pack, seed*byte(i)+byte(i>>8))
	}
	sum := sha1.Sum(pack)
	text := []byte("# v2 git bundle\n" + idA + " refs/heads/main\n\n")
	return append(append(text, pack...), sum[:]...)
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/list" {
		w.Header().Set("ETag", p.tag)
		http.ServeContent(w, r, "", modified, strings.NewReader(p.list))
		return
	}
	p.requests = append(p.requests, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	if p.answer != nil {
		p.answer(w, r)
		return
	}
	if p.tag != "" {
		w.Header().Set("ETag", p.tag)
	}
	if p.noRanges {
		r.Header.Del("Range")
	}
	if p.cut > 0 {
		w = &cutter{w, p.cut}
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(p.file))
}

// cutter ends the connection after so many bytes of body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) <= c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func (p *place) mirror(dir string) *bundle.Mirror {
	p.t.Helper()
	list, err := url.Parse(p.url + "/list")
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := bundle.NewMirror(bundle.MirrorConfig{Client: plain{}, List: list, Shown: "the mirror", Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// modified is when the files of a place were changed.
var modified = time.Unix(1_700_000_000, 0)

var entry = bundle.Entry{ID: "1", URI: "1.bundle", CreationToken: 1}

// packOf reads a bundle to its end.
func packOf(t *testing.T, b *bundle.Bundle, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	pack, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(pack)
}

func (p *place) pack() string { return string(p.file[bytes.Index(p.file, []byte("PACK")):]) }

func TestPollAsksWhetherTheListChanged(t *testing.T) {
	p := newPlace(t, 10)
	dir := t.TempDir()
	m := p.mirror(dir)
	want := bundle.List{Mode: "all", Heuristic: "creationToken", Bundles: []bundle.Entry{entry}}
	for i, unchanged := range []bool{false, true, true, false} {
		if i == 3 {
			p.tag = `"v2"`
		}
		got, err := m.Poll(t.Context())
		if diff := cmp.Diff(bundle.Polled{List: want, Unchanged: unchanged}, got); err != nil || diff != "" {
			t.Errorf("poll %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
	p.list = "milk\neggs\n"
	p.tag = `"v3"`
	for range 2 { // a bad list is not remembered as the one that is known
		_, err := m.Poll(t.Context())
		wantReason(t, err, gitops.NotGit)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("a poll wrote %v", entries)
	}
}

func TestListsThatAPollRefuses(t *testing.T) {
	p := newPlace(t, 10)
	for name, test := range map[string]struct {
		list string
		want gitops.Reason
	}{
		"other host": {strings.Replace(oneBundle, "1.bundle", "https://other.example.com/1.bundle", 1), gitops.RedirectRefused},
		"endless":    {strings.Repeat("#\n", 1<<20), gitops.TooLarge},
		"empty":      {"", gitops.NotGit},
	} {
		t.Run(name, func(t *testing.T) {
			p.list = test.list
			_, err := p.mirror(t.TempDir()).Poll(t.Context())
			wantReason(t, err, test.want)
			if !strings.Contains(err.Error(), "the mirror") {
				t.Errorf("which mirror: %v", err)
			}
		})
	}
}

// A link that cuts every connection brings the file, each byte once, and a
// restart in between changes nothing.
func TestDownloadIsResumedToTheByte(t *testing.T) {
	p := newPlace(t, 100_000)
	dir := filepath.Join(t.TempDir(), "mirrors")
	p.cut = 30_000
	b, err := p.mirror(dir).Open(t.Context(), entry)
	if got := packOf(t, b, err); got != p.pack() {
		t.Error("the pack is another one")
	}
	if diff := cmp.Diff([]string{"", `bytes=30000- "v1"`, `bytes=60000- "v1"`, `bytes=90000- "v1"`}, p.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	// It is there now, and asked for no more.
	if got := packOf(t, mustOpen(t, p.mirror(dir)), nil); got != p.pack() || len(p.requests) != 4 {
		t.Errorf("%d requests", len(p.requests))
	}
	if b.Header.Refs[0].Name != "refs/heads/main" {
		t.Errorf("header %+v", b.Header)
	}
}

func mustOpen(t *testing.T, m *bundle.Mirror) *bundle.Bundle {
	t.Helper()
	b, err := m.Open(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDownloadGoesOnAfterARestart(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(p *place, dir string)
		want      string // of the next request
	}{
		"as it was":          {func(*place, string) {}, `bytes=30000- "v1"`},
		"another version":    {func(p *place, _ string) { p.file, p.tag = fakeBundle(90_000, 3), `"v2"` }, `bytes=30000- "v1"`},
		"shorter, no tag":    {func(p *place, _ string) { p.file, p.tag = fakeBundle(1000, 3), "" }, `bytes=30000- "v1"`},
		"state lost":         {func(_ *place, dir string) { removeAll(t, dir, "*.state") }, ""},
		"part lost":          {func(_ *place, dir string) { removeAll(t, dir, "*.part") }, ""},
		"state is nonsense":  {func(_ *place, dir string) { overwrite(t, dir, "*.state", "{") }, ""},
		"part is longer":     {func(_ *place, dir string) { overwrite(t, dir, "*.part", strings.Repeat("x", 200_000)) }, ""},
		"part is whole":      {func(p *place, dir string) { overwrite(t, dir, "*.part", string(p.file)) }, "none"},
		"no ranges any more": {func(p *place, _ string) { p.noRanges = true }, `bytes=30000- "v1"`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 100_000)
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			p.answer = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					cancel() // the agent is stopped
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("ETag", p.tag)
				http.ServeContent(&cutter{w, 30_000}, r, "", modified, bytes.NewReader(p.file))
			}
			if _, err := p.mirror(dir).Open(ctx, entry); err == nil {
				t.Fatal("the link was not cut")
			}
			p.answer, p.requests = nil, nil
			test.meanwhile(p, dir)
			b, err := p.mirror(dir).Open(t.Context(), entry)
			if got := packOf(t, b, err); got != p.pack() {
				t.Error("the pack is another one")
			}
			if first := append(p.requests, "none")[0]; first != test.want {
				t.Errorf("the first request was for %q, want %q", first, test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
				t.Errorf("%v was left", left)
			}
		})
	}
}

func removeAll(t *testing.T, dir, pattern string) {
	t.Helper()
	for _, name := range glob(t, dir, pattern) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func overwrite(t *testing.T, dir, pattern, text string) {
	t.Helper()
	for _, name := range glob(t, dir, pattern) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return names
}

// A server without ranges on a link that cuts never brings the whole: that ends
// after one more try, and not with the agent.
func TestDownloadWithoutRangesEnds(t *testing.T) {
	p := newPlace(t, 100_000)
	p.noRanges, p.cut = true, 30_000
	_, err := p.mirror(t.TempDir()).Open(t.Context(), entry)
	if err == nil || len(p.requests) != 2 {
		t.Errorf("%d requests: %v", len(p.requests), err)
	}
}

func TestDownloadsThatAreRefused(t *testing.T) {
	big := strconv.Itoa(2 << 20)
	tests := map[string]struct {
		answer http.HandlerFunc
		want   gitops.Reason
	}{
		"no bundle":      {write("hello, this is a file\n"), gitops.NotGit},
		"web page":       {write("<html>", "Content-Type", "text/html; charset=utf-8"), gitops.CaptivePortal},
		"other encoding": {write("x", "Content-Encoding", "gzip"), gitops.ServerError},
		"said too large": {write("", "Content-Length", big), gitops.TooLarge},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for range 3 << 20 / 1024 {
				_, _ = w.Write(make([]byte, 1024))
			}
		}, gitops.TooLarge},
		"damaged":      {func(w http.ResponseWriter, _ *http.Request) { b := fakeBundle(100, 1); b[100]++; _, _ = w.Write(b) }, gitops.Corrupt},
		"cut and over": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(fakeBundle(100, 1)[:150]) }, gitops.Corrupt},
		"no pack":      {write("# v2 git bundle\n" + idA + " refs/heads/main\n\nhello"), gitops.Corrupt},
		"range unasked": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
		}, gitops.ServerError},
		"dies at once": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, ""},
		"412": {status(http.StatusPreconditionFailed), gitops.ServerError},
		"304": {status(http.StatusNotModified), gitops.ServerError},
		"416": {status(http.StatusRequestedRangeNotSatisfiable), gitops.ServerError},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 100)
			p.answer = test.answer
			dir := t.TempDir()
			m := p.mirror(dir)
			_, err := m.Open(t.Context(), entry)
			if test.want != "" {
				wantReason(t, err, test.want)
				if name == "no pack" && !strings.Contains(err.Error(), "no pack follows") {
					t.Errorf("not said: %v", err)
				}
			} else if err == nil || gitops.ReasonOf(err) != "" {
				t.Errorf("want the link's own error: %v", err)
			}
			if len(p.requests) != 1 {
				t.Errorf("%d requests", len(p.requests))
			}
			p.answer = nil // the next good one works
			b, err := m.Open(t.Context(), entry)
			if packOf(t, b, err) != p.pack() {
				t.Error("the pack is another one")
			}
		})
	}
}

func write(text string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, text)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// What comes after a range must be the rest, of this file.
func TestRangesThatAreRefused(t *testing.T) {
	for _, span := range []string{"", "bytes", "bytes 0-99/100054", "bytes 30001-100053/100054", "bytes 30000-29999/100054", "bytes 30000-100054/100054", "bytes 30000-99/*", "bytes 30000-2097151/2097152"} {
		t.Run(span, func(t *testing.T) {
			p := newPlace(t, 100_000)
			p.answer = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", p.tag)
				if r.Header.Get("Range") == "" {
					http.ServeContent(&cutter{w, 30_000}, r, "", modified, bytes.NewReader(p.file))
					return
				}
				w.Header().Set("Content-Range", span)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(p.file[:100])
			}
			_, err := p.mirror(t.TempDir()).Open(t.Context(), entry)
			want := gitops.ServerError
			if strings.HasSuffix(span, "/2097152") {
				want = gitops.TooLarge
			}
			wantReason(t, err, want)
		})
	}
}

func TestOldDownloadsGo(t *testing.T) {
	p := newPlace(t, 1000)
	dir := t.TempDir()
	m := p.mirror(dir)
	packOf(t, mustOpen(t, m), nil)
	if _, err := m.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	glob(t, dir, "*.bundle") // the list still has it
	p.list, p.tag = strings.ReplaceAll(oneBundle, "1.bundle", "2.bundle"), `"v2"`
	if _, err := m.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%v was left", entries)
	}
	packOf(t, mustOpen(t, m), nil)
	if err := errors.Join(m.Discard(entry), m.Discard(entry)); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%v was left after its objects were stored", entries)
	}
}

func TestMirrorNeedsItsConfig(t *testing.T) {
	at := &url.URL{Scheme: "https", Host: "cdn.example.com", Path: "/list"}
	for i, cfg := range []bundle.MirrorConfig{{}, {Client: plain{}, Dir: "d", MaxBytes: 1}, {Client: plain{}, List: at, MaxBytes: 1}, {Client: plain{}, List: at, Dir: "d"}} {
		if _, err := bundle.NewMirror(cfg); err == nil {
			t.Errorf("config %d was taken", i)
		}
	}
}

// TestProgressIsTold, and apart from it what came for the second time.
func TestProgressIsTold(t *testing.T) {
	p := newPlace(t, 100_000)
	list, _ := url.Parse(p.url + "/list")
	told, more := 0, 0
	m, err := bundle.NewMirror(bundle.MirrorConfig{Client: plain{}, List: list, Dir: t.TempDir(), MaxBytes: 1 << 20, Progress: func(is bool) {
		told++
		if is {
			more++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.noRanges, p.cut = true, 80_000
	for n := range 3 {
		if _, err := m.Open(t.Context(), entry); err == nil {
			t.Fatal("it came whole")
		}
		if n > 0 && (told < 2 || more > 0) {
			t.Errorf("the same bytes again: told %d times, %d times that they are more", told, more)
		}
		told, more = 0, 0
	}
	p.cut = 0
	packOf(t, mustOpen(t, m), nil)
	if told < 2 || more == 0 || more == told {
		t.Errorf("told %d times, %d times that it is more", told, more)
	}
}

// TestBundlesTogetherAreBounded: a list can name a thousand.
func TestBundlesTogetherAreBounded(t *testing.T) {
	p := newPlace(t, 400_000)
	dir := t.TempDir()
	m := p.mirror(dir)
	entries := []bundle.Entry{{URI: "1.bundle"}, {URI: "2.bundle"}, {URI: "3.bundle"}}
	for n, e := range entries {
		b, err := m.Open(t.Context(), e)
		if n < 2 {
			packOf(t, b, err)
			continue
		}
		wantReason(t, err, gitops.TooLarge)
	}
	if err := m.Discard(entries[0]); err != nil {
		t.Fatal(err)
	}
	b, err := m.Open(t.Context(), entries[2])
	packOf(t, b, err)
}

// TestBundleOfNoVersionAndNoLength comes from a server that says neither.
func TestBundleOfNoVersionAndNoLength(t *testing.T) {
	p := newPlace(t, 100_000)
	p.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(p.file)
	}
	packOf(t, mustOpen(t, p.mirror(t.TempDir())), nil)
}

// A server that cannot say which version it has is believed as long as the
// length is the same; the checksum says the rest.
func TestAnotherFileWithoutValidators(t *testing.T) {
	for name, next := range map[string][]byte{"longer": fakeBundle(100_001, 3), "as long": fakeBundle(100_000, 3)} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 100_000)
			files := [][]byte{p.file, next, next, next}
			p.answer = func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Range")
				file := files[0]
				if len(files) > 1 {
					files = files[1:]
					w = &cutter{w, 70_000}
				}
				http.ServeContent(w, r, "1.bundle", time.Time{}, bytes.NewReader(file))
			}
			p.file = next
			m := p.mirror(t.TempDir())
			_, err := m.Open(t.Context(), entry)
			want := gitops.Corrupt // half of each
			if name == "longer" {
				want = "" // begun anew, and cut again
			}
			if gitops.ReasonOf(err) != want || err == nil {
				t.Errorf("reason %q, want %q: %v", gitops.ReasonOf(err), want, err)
			}
			b, err := m.Open(t.Context(), entry)
			if packOf(t, b, err) != p.pack() {
				t.Error("the pack is another one")
			}
		})
	}
}

// 304 answers a condition: without one it says nothing.
func TestUnchangedWithoutACondition(t *testing.T) {
	srv := httptest.NewServer(status(http.StatusNotModified))
	t.Cleanup(srv.Close)
	_, err := (&place{t: t, url: srv.URL}).mirror(t.TempDir()).Poll(t.Context())
	wantReason(t, err, gitops.ServerError)
}

// A weak tag does not promise the same bytes: the time has to.
func TestWeakTagsAreNoRangeValidators(t *testing.T) {
	p := newPlace(t, 100_000)
	p.tag, p.cut = `W/"v1"`, 60_000
	b, err := p.mirror(t.TempDir()).Open(t.Context(), entry)
	if packOf(t, b, err) != p.pack() {
		t.Error("the pack is another one")
	}
	if want := "bytes=60000- " + modified.UTC().Format(http.TimeFormat); len(p.requests) != 2 || p.requests[1] != want {
		t.Errorf("requests %q, want %q", p.requests, want)
	}
}
