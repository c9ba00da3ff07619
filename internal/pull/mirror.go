// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// agentName is what servers are told. Some answer Git only to a name that
// begins with git/. The version is left out: it would be paid for with every
// poll, eleven kilobytes a day.
const agentName = "git/edgeagent"

// returnAfter is how long a mirror is preferred before the source's own URL is
// tried first again.
const returnAfter = 10 * time.Minute

// place is one that has the repository: a Git server, or a static host.
type place struct {
	n      int // 0 = the source's own URL
	shown  string
	client *wire.Client
	static *bundle.Mirror // nil for a Git server
	came   func()         // bytes of a bundle came
	// near is what was said of a ref that is missing: all names are asked for once.
	near error
}

func (p *place) clientName() string {
	if p.static != nil {
		return "static bundles"
	}
	return p.client.Server().Name
}

// open makes the places, in the order they are tried. Credentials go to the
// origin of the first, whichever path on it a mirror has.
func (s *Source) open() ([]*place, error) {
	proxy, err := wire.ParseProxy(s.cfg.Proxy)
	if err != nil {
		return nil, err
	}
	var out []*place
	var own string
	for n, m := range append([]Mirror{{URL: s.cfg.URL}}, s.cfg.Mirrors...) {
		at, err := wire.ParsePlace(m.URL, s.cfg.Insecure)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			own = at.Origin()
		}
		auth, belongs := m.Auth, true
		if auth == (Auth{}) {
			auth, belongs = s.cfg.Auth, at.Origin() == own
		}
		client, err := wire.Open(wire.Config{
			Place: at, Own: belongs, Auth: auth, Proxy: proxy, Limits: s.cfg.Limits,
			Timeout: s.cfg.Timeout, IdleConn: 2 * s.cfg.Interval, Meter: s.ledger.meter,
			Agent: agentName, Now: s.cfg.Now, Cache: s.cfg.abilitiesFile(at),
		})
		if err != nil {
			return nil, err
		}
		p := &place{n: n, shown: at.Shown, client: client}
		switch m.Type {
		case "", "git":
		case "bundles":
			if err := s.openStatic(p, at); err != nil {
				return nil, err
			}
		default:
			return nil, badConfig("read the mirrors of %s: type %q is not known; use git or bundles", s.cfg.Source, m.Type)
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *Source) openStatic(p *place, at wire.Place) error {
	if at.URL.Scheme != "https" && at.URL.Scheme != "http" {
		return badConfig("read the mirrors of %s: the list of bundles %s must be an https URL", s.cfg.Source, at.Shown)
	}
	if s.cfg.StateDir == "" {
		return badConfig("read the mirrors of %s: a mirror of bundles needs a state directory", s.cfg.Source)
	}
	var err error
	p.static, err = bundle.NewMirror(bundle.MirrorConfig{
		Client: p.client, List: at.URL, Shown: at.Shown, MaxBytes: s.cfg.MaxFetch,
		Dir: filepath.Join(s.cfg.StateDir, "mirrors", s.cfg.Source+"-"+fingerprint(at)),
		Progress: func(more bool) {
			s.pulse.beat()
			if more && p.came != nil {
				p.came()
			}
		},
	})
	return err
}

func (c Config) abilitiesFile(at wire.Place) string {
	if c.RuntimeDir == "" {
		return ""
	}
	return filepath.Join(c.RuntimeDir, "server-"+c.Source+"-"+fingerprint(at)+".json")
}

// fingerprint stands for a URL in the name of a file.
func fingerprint(at wire.Place) string {
	sum := sha256.Sum256([]byte(at.Shown))
	return hex.EncodeToString(sum[:6])
}

// order is that in which the places are tried: the last good one first, also
// after a restart, until it is time to see whether the source's own URL is back.
func (s *Source) order() []*place {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*place, 0, len(s.places))
	if s.cfg.Now().Sub(s.memory.Since) < returnAfter {
		for _, p := range s.places[1:] {
			if p.shown == s.memory.Preferred && len(out) == 0 {
				out = append(out, p)
			}
		}
	}
	for _, p := range s.places {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// prefer remembers the place that answered.
func (s *Source) prefer(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if p.shown != s.memory.Preferred || now.Sub(s.memory.Since) >= returnAfter {
		s.memory.Preferred, s.memory.Since = p.shown, now
	}
	s.answered = p
}

// close closes the connections to all places.
func (s *Source) close() {
	for _, p := range s.places {
		p.client.Close()
	}
}
