// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// remote is one place that has the repository: a conversation of refs, then at
// most one pack, then end.
type remote interface {
	refs(ctx context.Context) (advertisement, error)
	pack(ctx context.Context, wants, haves []gitops.Hash, ad advertisement) (io.ReadCloser, error)
	end()
}

// wire is what remotes share with their source.
type wire struct {
	meter  *meter
	limits Limits
	agent  string
	now    func() time.Time
}

// remotes makes one remote for each place. Credentials go to the origin of
// the first, whichever path on it a mirror has.
func remotes(cfg Config, w wire) ([]remote, []place, error) {
	places, err := cfg.places()
	if err != nil {
		return nil, nil, err
	}
	proxy, err := parseProxy(cfg.Proxy)
	if err != nil {
		return nil, nil, err
	}
	var out []remote
	for _, p := range places {
		auth := cfg.Auth
		own := p.origin() == places[0].origin()
		if !own {
			auth = Auth{CAFile: cfg.Auth.CAFile, KnownHostsFile: cfg.Auth.KnownHostsFile}
		}
		switch p.url.Scheme {
		case "ssh":
			if proxy != nil {
				return nil, nil, badConfig("read the proxy for %s: a proxy is for https only", p.shown)
			}
			out = append(out, &sshRemote{wire: w, place: p, auth: auth})
		case "file":
			out = append(out, &fileRemote{place: p})
		default:
			out = append(out, &httpRemote{wire: w, place: p, auth: auth, own: own, proxy: proxy})
		}
	}
	return out, places, nil
}

func parseProxy(raw string) (*url.URL, error) {
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

// reader reads a pack and gives its errors their reasons. It says when the
// network part is over, so that storing the pack is not held against the link.
type reader struct {
	io.ReadCloser
	ctx   context.Context
	doing string
	now   func() time.Time
	done  func()
	moved func() // called with every read that brought something
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 {
		r.moved()
	}
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		err = linkFailed(r.ctx, r.doing, err, r.now())
	}
	r.done()
	return n, err
}

// joined reads from one value and closes another.
type joined struct {
	io.Reader
	io.Closer
}
