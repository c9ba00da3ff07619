// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Config is one source's link.
type Config struct {
	Source  string // its name: the key of its refs and of its state
	URL     string // https, ssh; http and file only when Insecure
	Mirrors []Mirror
	Ref     Ref
	Auth    Auth
	// Insecure allows http and file URLs.
	Insecure bool
	Interval time.Duration
	// Timeout bounds the network part of a poll, for each URL that is tried.
	Timeout time.Duration
	// Proxy is for http and https; the environment's proxies are not used.
	Proxy string
	// RuntimeDir keeps backoff and counters over restarts, "" = nowhere.
	RuntimeDir string
	Version    string
	Now        func() time.Time
	Limits     Limits
	// Progress is called, at most once a second and never twice at once, while
	// bytes move or objects are stored: a long transfer is alive, not hung. It
	// must not block. nil = nobody asks.
	Progress func()
}

// Mirror is another place that has the same repository.
type Mirror struct{ URL, Type string }

// Ref says which commit is wanted. Exactly one field is set.
type Ref struct{ Branch, Tag, Semver, Commit string }

// Auth names the files that hold credentials. They are read at each use, so
// that a rotated one is taken up. They are sent to the origin of URL only.
type Auth struct {
	UsernameFile, PasswordFile    string
	SSHKeyFile, KnownHostsFile    string
	CAFile                        string
	ClientCertFile, ClientKeyFile string
}

// Limits on what a server may do. A zero field takes its default.
type Limits struct {
	Connect    time.Duration // to connect, and for the TLS or SSH handshake: 10 s
	Idle       time.Duration // without a byte: 20 s
	RateWindow time.Duration // in which MinRate is measured: 30 s
	MinRate    int64         // bytes a second: 100
	RefBytes   int64         // of the list of refs: 8 MiB
}

func (l Limits) withDefaults() Limits {
	setDuration := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	setDuration(&l.Connect, 10*time.Second)
	setDuration(&l.Idle, 20*time.Second)
	setDuration(&l.RateWindow, 30*time.Second)
	if l.MinRate <= 0 {
		l.MinRate = 100
	}
	if l.RefBytes <= 0 {
		l.RefBytes = 8 << 20
	}
	return l
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = time.Minute
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

func badConfig(format string, args ...any) error {
	return &gitops.Error{Reason: gitops.BadRequest, Message: fmt.Sprintf(format, args...)}
}

// place is a parsed URL of a repository, and how it is shown.
type place struct {
	url   *url.URL
	shown string
	path  string // on the server; relative to the home directory in user@host:path
}

// origin is where credentials belong to.
func (p place) origin() string {
	port := p.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "ssh": "22"}[p.url.Scheme]
	}
	return strings.ToLower(p.url.Scheme + "://" + p.url.Hostname() + ":" + port)
}

// parsePlace reads a URL, or the scp-like user@host:path. Its errors do not
// repeat the text: it may hold a password.
func parsePlace(raw string, insecure bool) (place, error) {
	scpLike := !strings.Contains(raw, "://")
	if scpLike {
		host, path, ok := strings.Cut(raw, ":")
		if !ok || host == "" || strings.Contains(host, "/") || strings.HasPrefix(path, ":") {
			return place{}, badConfig("read the URL of a repository: it has no scheme; write https://… or ssh://…")
		}
		raw = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return place{}, badConfig("read the URL of a repository: it is not a URL")
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	p := place{url: u, shown: shown.String(), path: u.Path}
	if scpLike || strings.HasPrefix(u.Path, "/~") {
		p.path = strings.TrimPrefix(u.Path, "/")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "ssh" && u.Scheme != "http" && u.Scheme != "file":
		return place{}, badConfig("read the URL %s: the scheme must be https or ssh", p.shown)
	case (u.Scheme == "http" || u.Scheme == "file") && !insecure:
		return place{}, badConfig("read the URL %s: %s needs insecure: true", p.shown, u.Scheme)
	case u.Scheme == "file" && (u.Host != "" || u.Path == ""), u.Scheme != "file" && u.Host == "":
		return place{}, badConfig("read the URL %s: the host or the path does not fit the scheme", p.shown)
	case u.RawQuery != "" || u.Fragment != "":
		return place{}, badConfig("read the URL %s: it must not have a query or a fragment", p.shown)
	}
	if _, password := u.User.Password(); password || (u.User != nil && u.Scheme != "ssh") {
		return place{}, badConfig("read the URL %s: it must not hold credentials; use usernameFile and passwordFile", p.shown)
	}
	return p, nil
}

// places are the URL and its mirrors, in the order they are tried.
func (c Config) places() ([]place, error) {
	first, err := parsePlace(c.URL, c.Insecure)
	if err != nil {
		return nil, err
	}
	out := []place{first}
	for _, m := range c.Mirrors {
		if m.Type != "" && m.Type != "git" {
			return nil, badConfig("read the mirrors of %s: type %q is not supported by this version", first.shown, m.Type)
		}
		p, err := parsePlace(m.URL, c.Insecure)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (r Ref) validate() error {
	set := 0
	for _, s := range []string{r.Branch, r.Tag, r.Semver, r.Commit} {
		if s != "" {
			set++
		}
	}
	if set != 1 {
		return badConfig("read the ref of a source: exactly one of branch, tag, semver and commit must be set")
	}
	if r.Commit != "" && !gitops.Hash(r.Commit).Valid() {
		return badConfig("read the ref of a source: commit %q is not a full, lower-case commit id", r.Commit)
	}
	if r.Semver != "" {
		if _, err := semver.NewConstraint(r.Semver); err != nil {
			return badConfig("read the ref of a source: semver %q: %v", r.Semver, err)
		}
	}
	return nil
}
