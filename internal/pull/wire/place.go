// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func badConfig(format string, args ...any) error {
	return &gitops.Error{Reason: gitops.BadRequest, Message: fmt.Sprintf(format, args...)}
}

// Place is a parsed URL of a repository, and how it is shown.
type Place struct {
	URL   *url.URL
	Shown string // without user or password
	Path  string // on the server; relative to the home directory in user@host:path
}

// Origin is where credentials belong to: scheme, host and port.
func (p Place) Origin() string { return originOf(p.URL) }

func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "ssh": "22"}[u.Scheme]
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// ParsePlace reads a URL, or the scp-like user@host:path. Its errors do not
// repeat the text: it may hold a password. Insecure allows http and file.
func ParsePlace(raw string, insecure bool) (Place, error) {
	scpLike := !strings.Contains(raw, "://")
	if scpLike {
		host, path, ok := strings.Cut(raw, ":")
		if !ok || host == "" || strings.Contains(host, "/") || strings.HasPrefix(path, ":") {
			return Place{}, badConfig("read the URL of a repository: it has no scheme; write https://… or ssh://…")
		}
		raw = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Place{}, badConfig("read the URL of a repository: it is not a URL")
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	p := Place{URL: u, Shown: shown.String(), Path: u.Path}
	if scpLike || strings.HasPrefix(u.Path, "/~") {
		p.Path = strings.TrimPrefix(u.Path, "/")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "ssh" && u.Scheme != "http" && u.Scheme != "file":
		return Place{}, badConfig("read the URL %s: the scheme must be https or ssh", p.Shown)
	case (u.Scheme == "http" || u.Scheme == "file") && !insecure:
		return Place{}, badConfig("read the URL %s: %s needs insecure: true", p.Shown, u.Scheme)
	case u.Scheme == "file" && (u.Host != "" || u.Path == ""), u.Scheme != "file" && u.Host == "":
		return Place{}, badConfig("read the URL %s: the host or the path does not fit the scheme", p.Shown)
	case u.RawQuery != "" || u.Fragment != "":
		return Place{}, badConfig("read the URL %s: it must not have a query or a fragment", p.Shown)
	}
	if _, password := u.User.Password(); password || (u.User != nil && u.Scheme != "ssh") {
		return Place{}, badConfig("read the URL %s: it must not hold credentials; use usernameFile and passwordFile", p.Shown)
	}
	return p, nil
}

// ParseProxy reads the URL of a proxy, "" = none. It may hold a password.
func ParseProxy(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, badConfig("read the proxy: it is not a URL with a host")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, badConfig("read the proxy: the scheme must be http, https or socks5")
}
