// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	refsType    = "application/x-git-upload-pack-advertisement"
	requestType = "application/x-git-upload-pack-request"
	packType    = "application/x-git-upload-pack-result"

	// smallRequest is what Git's own client leaves uncompressed.
	smallRequest = 1024
	// forgetful is how long connections are not kept in a network that forgets them.
	forgetful = 24 * time.Hour
)

// httpTransport speaks smart HTTP.
type httpTransport struct {
	cfg Config

	base      *url.URL // where requests go, after redirects
	client    *retryablehttp.Client
	transport *http.Transport
	files     [sha256.Size]byte // of the TLS files that client was made from
	forgot    time.Time         // when a kept connection was last found silently dead
}

func newHTTPTransport(cfg Config) *httpTransport {
	return &httpTransport{cfg: cfg, base: cfg.Place.URL}
}

// connect makes a client for the TLS files as they are now. It stays the same
// while they do, so that a poll need not shake hands again.
func (t *httpTransport) connect() error {
	config, files, err := tlsConfig(t.cfg.Auth, t.cfg.Own)
	if err != nil {
		return err
	}
	if t.client != nil && files == t.files {
		return nil
	}
	t.close()
	l := t.cfg.Limits
	t.transport = &http.Transport{
		DialContext:            t.cfg.Meter.dialer(l.Connect),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    l.Connect,
		ResponseHeaderTimeout:  l.Idle,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        t.cfg.IdleConn,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // packs and bundles are compressed, refs are few
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 512 << 10},
	}
	if t.cfg.Proxy != nil {
		t.transport.Proxy = http.ProxyURL(t.cfg.Proxy)
	}
	t.client, t.files = &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: t.transport,
			// Followed here, the request would carry its credentials along.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     2,
		RetryWaitMin: 250 * time.Millisecond,
		RetryWaitMax: 2 * time.Second,
		CheckRetry:   t.retryable,
		Backoff:      retryablehttp.DefaultBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}, files
	return nil
}

func (t *httpTransport) ready() bool          { return true }
func (t *httpTransport) explain(string) error { return nil }

// greet asks for the abilities; a server that knows only v0 sends its refs.
func (t *httpTransport) greet(g *guard, doing string) (exchange, error) {
	target := t.cfg.Place.URL.JoinPath("info/refs")
	target.RawQuery = "service=git-upload-pack"
	resp, err := t.do(g, doing, http.MethodGet, target, http.Header{
		"Git-Protocol": {"version=2"}, "Cache-Control": {"no-cache"},
	}, nil)
	if err != nil {
		return exchange{}, err
	}
	if err := checkType(doing, resp, refsType); err != nil {
		drain(resp.Body)
		return exchange{}, err
	}
	final := *resp.Request.URL
	path, ok := strings.CutSuffix(final.Path, "/info/refs")
	if !ok {
		drain(resp.Body)
		return exchange{}, failed(gitops.RedirectRefused, "put the right URL into the configuration",
			"%s: it was redirected to a path that is no repository", doing)
	}
	final.Path, final.RawPath, final.RawQuery = path, "", ""
	t.base = &final
	return t.exchange(resp), nil
}

// ask sends a request. It changes nothing on the server, so it may be sent twice.
func (t *httpTransport) ask(g *guard, doing string, v2 bool, body []byte) (exchange, error) {
	header := http.Header{"Content-Type": {requestType}, "Idempotency-Key": nil}
	if v2 {
		header.Set("Git-Protocol", "version=2")
	}
	if small := compressed(body); small != nil {
		body = small
		header.Set("Content-Encoding", "gzip")
	}
	resp, err := t.do(g, doing, http.MethodPost, t.base.JoinPath("git-upload-pack"), header, body)
	if err != nil {
		return exchange{}, err
	}
	if err := checkType(doing, resp, packType); err != nil {
		drain(resp.Body)
		return exchange{}, err
	}
	return t.exchange(resp), nil
}

// compressed is a long request made shorter, nil where that does not help.
func compressed(body []byte) []byte {
	if len(body) < smallRequest {
		return nil
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	if _, err := zip.Write(body); err != nil || zip.Close() != nil || buf.Len() >= len(body) {
		return nil
	}
	return buf.Bytes()
}

// get asks for a file.
func (t *httpTransport) get(g *guard, doing string, target *url.URL, header http.Header) (*http.Response, error) {
	return t.do(g, doing, http.MethodGet, target, header.Clone(), nil)
}

// exchange reads an answer. Read to its end, the connection serves the next
// request too. Else nobody knows whether it still lives: HTTP/2 would keep it.
func (t *httpTransport) exchange(resp *http.Response) exchange {
	return exchange{Reader: bufio.NewReaderSize(resp.Body, 32<<10), done: func(whole bool) {
		if whole {
			drain(resp.Body)
			return
		}
		_ = resp.Body.Close()
		t.transport.CloseIdleConnections()
	}}
}

func (t *httpTransport) end() {
	if t.transport != nil && t.cfg.Now().Sub(t.forgot) < forgetful {
		t.transport.CloseIdleConnections()
	}
}

func (t *httpTransport) close() {
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
}

// do sends a request and follows redirects that stay on the origin: a path may
// move, credentials may not.
func (t *httpTransport) do(g *guard, doing, method string, target *url.URL, header http.Header, body []byte) (*http.Response, error) {
	if err := t.connect(); err != nil {
		return nil, err
	}
	who, err := t.cfg.Auth.login()
	if err != nil {
		return nil, err
	}
	for hops := 0; ; hops++ {
		a := &attempt{guard: g}
		req, err := t.newRequest(a, method, target, header, body, who)
		if err != nil {
			return nil, err
		}
		resp, err := t.client.Do(req)
		if err != nil {
			// A dead connection of HTTP/2 would be used again for ever.
			t.transport.CloseIdleConnections()
			return nil, linkFailed(g.ctx, doing, err, t.cfg.Now())
		}
		if a.stale.Load() {
			t.forgot = t.cfg.Now()
		}
		if useful(method, resp.StatusCode, header) {
			return resp, nil
		}
		if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.StatusCode == http.StatusNotModified {
			err := statusFailed(doing, resp, who, t.cfg.Now())
			drain(resp.Body)
			return nil, err
		}
		target, err = redirected(doing, resp, method, hops)
		drain(resp.Body)
		if err != nil {
			return nil, err
		}
	}
}

// useful says that a status is an answer. All but 200 only answer a header
// that the caller set.
func useful(method string, code int, header http.Header) bool {
	switch code {
	case http.StatusOK:
		return true
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return method == http.MethodGet && header.Get("Range") != ""
	case http.StatusNotModified:
		return header.Get("If-None-Match") != "" || header.Get("If-Modified-Since") != ""
	case http.StatusPreconditionFailed:
		return header.Get("If-Match") != "" || header.Get("If-Unmodified-Since") != ""
	}
	return false
}

func (t *httpTransport) newRequest(a *attempt, method string, target *url.URL, header http.Header, body []byte, who login) (*retryablehttp.Request, error) {
	var content any
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := retryablehttp.NewRequestWithContext(a.traced(), method, target.String(), content)
	if err != nil {
		return nil, fmt.Errorf("make a request for %s: %v", t.cfg.Place.Shown, err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.Header.Set("User-Agent", t.cfg.Agent)
	if who != (login{}) {
		req.SetBasicAuth(who.username, who.password)
	}
	return req, nil
}
