// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	refsType    = "application/x-git-upload-pack-advertisement"
	requestType = "application/x-git-upload-pack-request"
	packType    = "application/x-git-upload-pack-result"

	maxRedirects  = 3
	maxRetryAfter = 5 * time.Second
)

// httpRemote speaks smart HTTP, protocol v0.
type httpRemote struct {
	wire
	place
	auth  Auth
	own   bool // the origin that the credentials belong to
	proxy *url.URL

	base   *url.URL // where this conversation goes on, after redirects
	client *retryablehttp.Client
	files  [sha256.Size]byte // of the TLS files that client was made from
}

// connect returns a client for the TLS files as they are now. It stays the
// same while they do, so that a poll need not shake hands again.
func (h *httpRemote) connect() (*retryablehttp.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	stamp := sha256.New()
	if h.auth.CAFile != "" {
		pem, err := readFile("caFile", h.auth.CAFile)
		if err != nil {
			return nil, err
		}
		// For our own server the file says whom to trust, alone. A mirror
		// elsewhere may have a public certificate.
		pool := x509.NewCertPool()
		if !h.own {
			if system, err := x509.SystemCertPool(); err == nil {
				pool = system
			}
		}
		// x509's own reader skips what it cannot parse: an authority with a
		// broken line would be missing without a word.
		certs, err := cryptoutils.LoadCertificatesFromPEM(bytes.NewReader(pem))
		if err != nil || len(certs) == 0 {
			return nil, failed(gitops.TLS, "put PEM certificates into it", "read caFile %s: no certificate in it, or one that is broken", h.auth.CAFile)
		}
		for _, cert := range certs {
			pool.AddCert(cert)
		}
		config.RootCAs = pool
		stamp.Write(pem)
	}
	if h.auth.ClientCertFile != "" {
		cert, err := readFile("clientCertFile", h.auth.ClientCertFile)
		if err != nil {
			return nil, err
		}
		key, err := readSecret("clientKeyFile", h.auth.ClientKeyFile)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, failed(gitops.TLS, "check that certificate and key belong together",
				"read clientCertFile %s: %v", h.auth.ClientCertFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
		stamp.Write(cert)
		stamp.Write(key)
	}
	files := [sha256.Size]byte(stamp.Sum(nil))
	if h.client != nil && files == h.files {
		return h.client, nil
	}
	if h.client != nil {
		h.client.HTTPClient.CloseIdleConnections()
	}
	h.client, h.files = h.newClient(config), files
	return h.client, nil
}

func (h *httpRemote) newClient(config *tls.Config) *retryablehttp.Client {
	transport := &http.Transport{
		DialContext:            h.meter.dialer(h.limits.Connect),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    h.limits.Connect,
		ResponseHeaderTimeout:  h.limits.Idle,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	if h.proxy != nil {
		transport.Proxy = http.ProxyURL(h.proxy)
	}
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: transport,
			// Followed here, the request would carry its credentials along.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     2,
		RetryWaitMin: 250 * time.Millisecond,
		RetryWaitMax: 2 * time.Second,
		CheckRetry:   h.retryable,
		Backoff: func(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
			return min(retryablehttp.DefaultBackoff(least, most, attempt, resp), maxRetryAfter)
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// retryable leaves alone what the next second will not change.
func (h *httpRemote) retryable(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err != nil && tlsFailed("", err, h.now()) != nil {
		return false, nil
	}
	if resp != nil && resp.StatusCode == http.StatusNetworkAuthenticationRequired {
		return false, nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

func (h *httpRemote) refs(ctx context.Context) (advertisement, error) {
	doing := "ask " + h.shown + " for its refs"
	target := h.url.JoinPath("info/refs")
	target.RawQuery = "service=git-upload-pack"
	resp, err := h.do(ctx, doing, http.MethodGet, target, nil)
	if err != nil {
		return advertisement{}, err
	}
	defer drain(resp.Body)
	if err := checkType(doing, resp, refsType); err != nil {
		return advertisement{}, err
	}
	final := *resp.Request.URL
	path, ok := strings.CutSuffix(final.Path, "/info/refs")
	if !ok {
		return advertisement{}, failed(gitops.RedirectRefused, "put the right URL into the configuration",
			"%s: it was redirected to a path that is no repository", doing)
	}
	final.Path, final.RawPath, final.RawQuery = path, "", ""
	h.base = &final
	ad, err := readAdvertisement(resp.Body, true, h.limits.RefBytes)
	if err != nil {
		return advertisement{}, linkFailed(ctx, doing, err, h.now())
	}
	return ad, nil
}

func (h *httpRemote) pack(ctx context.Context, wants, haves []gitops.Hash, ad advertisement) (io.ReadCloser, error) {
	doing := "fetch from " + h.shown
	body, err := request(wants, haves, ad, h.agent)
	if err != nil {
		return nil, err
	}
	resp, err := h.do(ctx, doing, http.MethodPost, h.base.JoinPath("git-upload-pack"), body)
	if err != nil {
		return nil, err
	}
	if err := checkType(doing, resp, packType); err != nil {
		drain(resp.Body)
		return nil, err
	}
	// Read to its end, the connection serves the next poll too.
	return joined{newPackReader(resp.Body, func() { drain(resp.Body) }), resp.Body}, nil
}

func (h *httpRemote) end() {}

// do sends a request and follows redirects that stay on the origin: a path may
// move, credentials may not.
func (h *httpRemote) do(ctx context.Context, doing, method string, target *url.URL, body []byte) (*http.Response, error) {
	client, err := h.connect()
	if err != nil {
		return nil, err
	}
	who, err := h.auth.login()
	if err != nil {
		return nil, err
	}
	for hops := 0; ; hops++ {
		req, err := h.newRequest(ctx, method, target, body, who)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, linkFailed(ctx, doing, err, h.now())
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		if resp.StatusCode < 300 || resp.StatusCode > 399 {
			err := statusFailed(doing, resp, who)
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

func (h *httpRemote) newRequest(ctx context.Context, method string, target *url.URL, body []byte, who login) (*retryablehttp.Request, error) {
	var content any
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, method, target.String(), content)
	if err != nil {
		return nil, fmt.Errorf("make a request for %s: %v", h.shown, err)
	}
	req.Header.Set("User-Agent", h.agent)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", requestType)
		req.Header.Set("Accept", packType)
	} else {
		req.Header.Set("Accept", "*/*")
		req.Header.Set("Cache-Control", "no-cache")
	}
	if who != (login{}) {
		req.SetBasicAuth(who.username, who.password)
	}
	return req, nil
}

// redirected is where an answer sends us, if we may go there.
func redirected(doing string, resp *http.Response, method string, hops int) (*url.URL, error) {
	const remedy = "put the right URL into the configuration; a captive portal answers like this too"
	from := resp.Request.URL
	to, err := resp.Location()
	switch {
	case errors.Is(err, http.ErrNoLocation):
		return nil, failed(gitops.ServerError, remedy, "%s: the answer is %d without a place to go", doing, resp.StatusCode)
	case err != nil:
		return nil, failed(gitops.RedirectRefused, remedy, "%s: it was redirected to what is not a URL", doing)
	case method != http.MethodGet:
		return nil, failed(gitops.RedirectRefused, remedy, "%s: the request for a pack was redirected", doing)
	case (place{url: from}).origin() != (place{url: to}).origin():
		return nil, failed(gitops.RedirectRefused, remedy, "%s: it was redirected to %s", doing,
			printable(to.Scheme+"://"+to.Host, 100))
	case hops+1 > maxRedirects:
		return nil, failed(gitops.RedirectRefused, remedy, "%s: it was redirected more than %d times", doing, maxRedirects)
	}
	to.User = nil
	return to, nil
}
