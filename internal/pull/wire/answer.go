// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const maxRedirects = 3

// maxErrorBody is how much of an answer that is no use is read at all.
const maxErrorBody = 8 << 10

// drain reads the little that may be left, so that the connection can be used
// again, and no more.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxErrorBody)
	_ = body.Close()
}

// checkType refuses an answer that is not Git's before anything is parsed.
func checkType(doing string, resp *http.Response, want string) error {
	got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch got {
	case want:
		return nil
	case "text/html", "application/xhtml+xml":
		return failed(gitops.CaptivePortal, "log in to the network, or check the URL",
			"%s: a web page came back instead of Git", doing)
	}
	return failed(gitops.NotGit, "check the URL: it must name a Git repository that is served over smart HTTP",
		"%s: the answer is of type %q, not %s", doing, printable(got, 80), want)
}

// statusFailed gives an HTTP status its reason.
func statusFailed(doing string, resp *http.Response, who login, now time.Time) error {
	e := statusError(doing, resp, who)
	after := retryAfter(resp, now)
	if after > 0 {
		e.Message += fmt.Sprintf("; it asks to be left alone for %s", after)
	}
	e.Err = httpStatus{resp.StatusCode, after}
	return e
}

func statusError(doing string, resp *http.Response, who login) *gitops.Error {
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said := excerpt(resp, who); said != "" {
		status += fmt.Sprintf(" (%q)", said)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNetworkAuthenticationRequired:
		return failed(gitops.CaptivePortal, "log in to the network", "%s: the answer is %s", doing, status)
	case code == http.StatusProxyAuthRequired:
		return failed(gitops.Auth, "use a proxy that knows the node by its address", "%s: the proxy's answer is %s", doing, status)
	case code == http.StatusUnauthorized && who == login{}:
		return failed(gitops.Auth, "set usernameFile and passwordFile", "%s: the answer is %s", doing, status)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return failed(gitops.Auth, "check what usernameFile and passwordFile hold, and the account's rights",
			"%s: the answer is %s", doing, status)
	case code == http.StatusNotFound || code == http.StatusGone:
		return failed(gitops.NotGit, "check the URL; some servers say this where credentials are missing",
			"%s: the answer is %s", doing, status)
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return failed(gitops.ServerError, "poll less often, or use a mirror", "%s: the answer is %s", doing, status)
	}
	return failed(gitops.ServerError, "look at the server's log", "%s: the answer is %s", doing, status)
}

// excerpt is the beginning of a plain-text answer. A server may repeat the
// request: what we sent as credentials is taken out.
func excerpt(resp *http.Response, who login) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "text/plain" {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	text := string(body)
	for _, secret := range []string{
		base64.StdEncoding.EncodeToString([]byte(who.username + ":" + who.password)), who.password, who.username,
	} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return printable(text, 160)
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
	case originOf(from) != originOf(to):
		return nil, failed(gitops.RedirectRefused, remedy, "%s: it was redirected to %s", doing,
			printable(to.Scheme+"://"+to.Host, 100))
	case hops+1 > maxRedirects:
		return nil, failed(gitops.RedirectRefused, remedy, "%s: it was redirected more than %d times", doing, maxRedirects)
	}
	to.User = nil
	return to, nil
}
