// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// transport carries requests to a Git server, and its answers back.
type transport interface {
	// greet brings what the server says first, when it is asked for v2.
	greet(g *guard, doing string) (exchange, error)
	// ready says that a request can be sent, if the server's abilities are known.
	ready() bool
	ask(g *guard, doing string, v2 bool, body []byte) (exchange, error)
	// explain says what the server did when its answer ended too early, if not
	// the link is to blame.
	explain(doing string) error
	end()
	close()
}

// exchange is an answer on its way. It is done with once, and then tells the
// transport whether the whole answer was read.
type exchange struct {
	io.Reader
	done func(whole bool)
}

// nothing is a prefix that no ref has.
const nothing = "\x00"

// git speaks Git's protocol over a transport. What the server can do is asked
// once, and again when an answer does not fit.
type git struct {
	cfg       Config
	transport transport

	mu  sync.Mutex
	can *abilities
}

func newGit(cfg Config, t transport) *git {
	g := &git{cfg: cfg, transport: t}
	g.recall()
	return g
}

func (s *git) abilities() *abilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.can
}

func (s *git) learn(a *abilities) {
	s.mu.Lock()
	s.can = a
	s.mu.Unlock()
	s.keep()
}

func (s *git) server() Server {
	a := s.abilities()
	switch {
	case a == nil:
		return Server{}
	case a.protocol == 0:
		any := slices.Contains(a.said, "allow-any-sha1-in-want")
		return Server{Protocol: "v0", AnyWant: any, Name: "git v0, full history",
			AnyCommit: any || slices.Contains(a.said, "allow-reachable-sha1-in-want")}
	case a.filter:
		return Server{Protocol: "v2", Filter: true, AnyWant: true, AnyCommit: true, Shallow: a.shallow,
			WantRef: a.refInWant, Name: "git v2, partial"}
	}
	return Server{Protocol: "v2", AnyWant: true, AnyCommit: true, Shallow: a.shallow, WantRef: a.refInWant, Name: "git v2"}
}

func (s *git) refs(ctx context.Context, prefixes []string) (Refs, error) {
	doing := "ask " + s.cfg.Place.Shown + " for its refs"
	g := guarded(ctx, s.cfg.Meter, s.cfg.Limits, s.cfg.Timeout)
	defer g.end()
	if a := s.abilities(); a != nil && a.protocol != 0 && s.transport.ready() {
		refs, err := s.lsRefs(g, doing, prefixes)
		if err == nil || !misfit(err) {
			return refs, err
		}
	}
	// Of a v0 server this is the poll, and the look whether it has learned v2.
	refs, err := s.greet(g, doing, prefixes)
	if err != nil || refs != nil {
		return deref(refs), err
	}
	return s.lsRefs(g, doing, prefixes)
}

func deref(refs *Refs) Refs {
	if refs == nil {
		return Refs{}
	}
	return *refs
}

// greet learns what the server can do. Refs are those of a v0 server.
func (s *git) greet(g *guard, doing string, prefixes []string) (*Refs, error) {
	x, err := s.transport.greet(g, doing)
	if err != nil {
		return nil, err
	}
	in := newAnswer(x, g)
	a, refs, err := readAbilities(in, prefixes, s.cfg.Limits.RefBytes)
	if err != nil {
		err = s.tell(doing, in, err)
		in.finish(false)
		return nil, err
	}
	in.finish(true)
	s.learn(&a)
	return refs, nil
}

func (s *git) lsRefs(g *guard, doing string, prefixes []string) (Refs, error) {
	body, err := lsRefsRequest(prefixes)
	if err != nil {
		return Refs{}, err
	}
	x, err := s.transport.ask(g, doing, true, body)
	if err != nil {
		return Refs{}, err
	}
	in := newAnswer(x, g)
	refs, err := readLsRefs(in, prefixes, s.cfg.Limits.RefBytes)
	if err != nil {
		err = s.tell(doing, in, err)
	}
	in.finish(err == nil)
	return refs, err
}

func (s *git) fetch(ctx context.Context, r Request) (*Pack, error) {
	doing := "fetch from " + s.cfg.Place.Shown
	g := guarded(ctx, s.cfg.Meter, s.cfg.Limits, s.cfg.Timeout)
	if s.abilities() != nil && s.transport.ready() {
		pack, err := s.pack(g, doing, r)
		if err == nil || !misfit(err) {
			return pack, err
		}
		g = guarded(ctx, s.cfg.Meter, s.cfg.Limits, s.cfg.Timeout)
	}
	if _, err := s.greet(g, doing, []string{nothing}); err != nil {
		g.end()
		return nil, err
	}
	return s.pack(g, doing, r)
}

// pack asks for a pack. The guard ends with it, or with the error.
func (s *git) pack(g *guard, doing string, r Request) (*Pack, error) {
	can := *s.abilities()
	make := fetchRequest
	if can.protocol == 0 {
		make = v0Request
	}
	agent := s.cfg.Agent
	if _, ok := s.transport.(*httpTransport); ok {
		agent = "" // a header says it
	}
	body, err := make(r, can, agent)
	if err != nil {
		g.end()
		return nil, named(doing, err)
	}
	x, err := s.transport.ask(g, doing, can.protocol == 2, body)
	if err != nil {
		g.end()
		return nil, err
	}
	in := newAnswer(x, g)
	pack, err := newPack(in, can, s.cfg.Limits.PackBytes)
	if err == nil {
		err = pack.answers(r)
	}
	if err != nil {
		err = s.tell(doing, in, err)
		in.finish(false)
		g.end()
		return nil, err
	}
	pack.packets.counts = g.works
	whole := &told{r: pack.r, failed: func(err error) error { return s.tell(doing, in, err) }}
	pack.r = whole
	pack.close = func() error {
		in.finish(whole.over)
		g.end()
		return nil
	}
	return pack, nil
}

// told gives the errors of a pack their reasons.
type told struct {
	r      io.Reader
	failed func(error) error
	over   bool // read to its end
	err    error
}

func (t *told) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.r.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		t.over = true
	default:
		err = t.failed(err)
	}
	t.err = err
	return n, err
}

// tell gives an error its reason, and says of which place it is.
func (s *git) tell(doing string, in *answer, err error) error {
	if in.guard.ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
		in.guard.resume()
		said := s.transport.explain(doing)
		in.guard.pause()
		if said != nil {
			return said
		}
	}
	empty := in.got == 0 && errors.Is(err, io.ErrUnexpectedEOF)
	err = named(doing, linkFailed(in.guard.ctx, doing, err, s.cfg.Now()))
	if e, ok := errors.AsType[*gitops.Error](err); ok && empty && e.Err == nil {
		e.Err = errEmpty
	}
	return err
}

// named says what was done with which place, where an error does not.
func named(doing string, err error) error {
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok || strings.HasPrefix(e.Message, doing) {
		return err
	}
	return failed(e.Reason, e.Remedy, "%s: %s", doing, e.Message)
}

// errEmpty is the cause where an answer ended before its first byte: so does
// one of a server that was asked in a protocol it no longer speaks.
var errEmpty = errors.New("empty answer")

// misfit says that an answer may not fit because the server is not what it was
// when it was asked for its abilities.
func misfit(err error) bool {
	if s, ok := errors.AsType[httpStatus](err); ok && (s.code >= 500 || s.code == http.StatusTooManyRequests) {
		return false
	}
	switch gitops.ReasonOf(err) {
	case gitops.NotGit, gitops.RedirectRefused, gitops.UnsupportedServer, gitops.ServerError:
		return true
	}
	return errors.Is(err, errEmpty)
}

func (s *git) end()   { s.transport.end() }
func (s *git) close() { s.transport.close() }
