// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"net/http"
	"net/url"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Client speaks with one place. Refs, Fetch and Get belong to one goroutine,
// one at a time; Server may be called from any.
type Client struct {
	cfg    Config
	remote remote
	http   *httpTransport // nil where the place has no files to get
}

// remote is how a kind of place is spoken with.
type remote interface {
	server() Server
	refs(ctx context.Context, prefixes []string) (Refs, error)
	fetch(ctx context.Context, r Request) (*Pack, error)
	end()
	close()
}

// Open checks a configuration. It sends nothing.
func Open(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if cfg.Place.URL == nil {
		return nil, badConfig("open a link: it has no URL")
	}
	c := &Client{cfg: cfg}
	switch cfg.Place.URL.Scheme {
	case "ssh":
		if cfg.Proxy != nil {
			return nil, badConfig("read the proxy for %s: a proxy is for https only", cfg.Place.Shown)
		}
		c.remote = newGit(cfg, &sshTransport{cfg: cfg})
	case "file":
		c.remote = &directory{cfg: cfg}
	default:
		c.http = newHTTPTransport(cfg)
		c.remote = newGit(cfg, c.http)
	}
	return c, nil
}

// Server says what is known of the other side: before the first answer, what
// the last process found, if that is kept.
func (c *Client) Server() Server { return c.remote.server() }

// Refs lists the refs whose names begin with one of the prefixes.
func (c *Client) Refs(ctx context.Context, prefixes []string) (Refs, error) {
	return c.remote.refs(ctx, prefixes)
}

// Fetch asks for a pack, which must be closed. What is read of it before an
// error is good; read to its end, the connection serves the next request.
func (c *Client) Fetch(ctx context.Context, r Request) (*Pack, error) {
	return c.remote.fetch(ctx, r)
}

// Get asks for a file on the same origin, over the same connections and with
// the same credentials, and follows redirects there. 200 is returned, and what
// else answers the header: 206, 304, 412 and 416; everything else is an error.
// The body must be closed, and its size is for the caller to bound.
func (c *Client) Get(ctx context.Context, target *url.URL, header http.Header) (*http.Response, error) {
	shown := url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path}
	doing := "get " + printable(shown.String(), 200)
	switch {
	case c.http == nil:
		return nil, badConfig("%s: only an http or https place has files to get", doing)
	case originOf(target) != c.cfg.Place.Origin():
		return nil, failed(gitops.RedirectRefused, "keep all files of a mirror on one host",
			"%s: it is not on the origin of %s", doing, c.cfg.Place.Shown)
	}
	g := guarded(ctx, c.cfg.Meter, c.cfg.Limits, c.cfg.Timeout)
	resp, err := c.http.get(g, doing, target, header)
	if err != nil {
		g.end()
		return nil, err
	}
	in := newAnswer(c.http.exchange(resp), g)
	resp.Body = &file{answer: in, told: &told{r: in, failed: func(err error) error {
		return linkFailed(g.ctx, doing, err, c.cfg.Now())
	}}}
	return resp, nil
}

// End ends a conversation: what one connection serves only once is closed.
func (c *Client) End() { c.remote.end() }

// Close closes every connection.
func (c *Client) Close() { c.remote.close() }

// LinkFault says that an error is the link's doing, not an answer: asking again
// may help.
func LinkFault(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.Unreachable, gitops.Timeout, gitops.TooSlow:
		return true
	}
	return false
}
