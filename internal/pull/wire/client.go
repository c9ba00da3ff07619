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
// the same credentials, and follows redirects there. Statuses 200, 206, 304,
// 412 and 416 are returned, everything else is an error.
func (c *Client) Get(ctx context.Context, target *url.URL, header http.Header) (*http.Response, error) {
	return nil, failed(gitops.UnsupportedServer, "use an https URL", "get a file from %s: files come over HTTP", c.cfg.Place.Shown)
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
