// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// fetch is one call's work at one place.
type fetch struct {
	s    *Source
	p    *place
	ctx  context.Context // of the call: for the store
	cut  context.CancelCauseFunc
	open context.Context // ends with the day's budget
	link context.Context // ends with that or with the time
	stop []func()

	began    time.Time
	bytes    int64 // of packs
	lacking  int   // objects that are known to be missing, at least
	progress bool  // something came that is kept
	asked    bool  // the question of a poll was answered
	batch    batch
	unread   []gitops.Hash  // statements that did not come whole this time
	wants    []gitops.Hash  // what the tip is among, for a server that gives only that
	again    bool           // all of it was asked for
	shallow  bool           // the server itself has no whole history
	older    []gitops.Hash  // commits that the server took for known
	list     []bundle.Entry // of a static mirror, newest first
}

func (s *Source) newFetch(ctx context.Context, p *place) *fetch {
	f := &fetch{s: s, p: p, ctx: ctx, began: time.Now(), batch: s.recallBatch()}
	budget, cut := context.WithCancelCause(ctx)
	link, stop := context.WithTimeoutCause(budget, s.cfg.Timeout, failed(gitops.Timeout,
		"raise timeout, or use a nearer mirror", "it was not done in %s", s.cfg.Timeout))
	f.open, f.link, f.cut = budget, link, cut
	f.stop = []func(){stop, func() { cut(context.Canceled) }}
	s.cut.Store(&f.cut)
	p.came = func() { f.progress = true }
	return f
}

// end closes the conversation. The client keeps the connection for a while.
func (f *fetch) end() {
	f.s.cut.Store(nil)
	f.p.came = nil
	f.p.client.End()
	for _, stop := range f.stop {
		stop()
	}
	f.s.keepBatch(f.batch)
}

// spent reports that the call's time is over.
func (f *fetch) spent() error {
	if f.link.Err() == nil {
		return nil
	}
	if f.ctx.Err() != nil {
		return fmt.Errorf("fetch from %s: %w", f.p.shown, context.Cause(f.ctx))
	}
	return context.Cause(f.link)
}

// verdict says what a call came to. What the link cut short is no failure while
// something comes: it goes on in the next call.
func (f *fetch) verdict(err error) error {
	if err == nil || f.ctx.Err() != nil || !f.progress || !wire.LinkFault(err) {
		return err
	}
	left := ""
	if f.lacking > 0 {
		left = fmt.Sprintf(", %d objects missing at least", f.lacking)
	}
	return &gitops.Error{Reason: gitops.Fetching, Message: fmt.Sprintf("fetching from %s: %s so far%s", f.p.shown, size(f.s.fetched()), left)}
}

// fetched is how many bytes the fetch took that is under way.
func (s *Source) fetched() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.bookFetch(&s.memory, s.cfg.Now())
	return s.memory.Fetch.In + s.memory.Fetch.Out
}

// ask sends a request and stores what comes. What is received is valid beside
// an error, too. announced is asked with the number of objects in the pack, and
// after within bytes (0 = any number) errTooMuch ends it.
func (f *fetch) ask(r wire.Request, announced func(objects int) error, within int64) (objects.Received, error) {
	if err := errors.Join(f.spent(), f.s.affordable()); err != nil {
		return objects.Received{}, unjoin(err)
	}
	f.s.underWay(len(r.Wants))
	defer f.s.underWay(0)
	link := f.link
	if f.p.client.Server().Protocol == "v0" {
		link = f.open // it cannot go on in the next call: the client's own limits hold
	}
	body, err := f.p.client.Fetch(link, r)
	if err != nil {
		return objects.Received{}, err
	}
	defer func() { _ = body.Close() }()
	f.shallow = f.shallow || len(body.Shallow) > 0 && r.Depth == 0
	got, err := f.s.store.Receive(f.ctx, objects.Arrival{
		Pack: upTo(arriving{body, f.s}, within), Announced: announced, Keep: f.keep(), Progress: f.s.pulse.beat,
	})
	f.bytes += got.Bytes
	f.progress = f.progress || got.New > 0
	f.s.underWay(0)
	f.note()
	if err == nil && f.bytes > f.s.cfg.MaxFetch {
		return got, failed(gitops.TooLarge, "use a smaller repository for this source, or a mirror that holds only what the node needs",
			"fetch from %s: more than %d bytes came in one call", f.p.shown, f.s.cfg.MaxFetch)
	}
	return got, err
}

// arriving tells that a pack comes, also where no link is in between, and ends it
// with the day's budget: what was read ahead must not cost another half megabyte.
type arriving struct {
	io.Reader
	s *Source
}

func (a arriving) Read(p []byte) (int, error) {
	if err := a.s.affordable(); err != nil {
		return 0, err
	}
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.s.pulse.beat()
	}
	return n, err
}

// upTo ends a pack with errTooMuch after n bytes.
func upTo(r io.Reader, n int64) io.Reader {
	if n <= 0 {
		return r
	}
	return io.MultiReader(io.LimitReader(r, n), tooMuch{})
}

type tooMuch struct{}

func (tooMuch) Read([]byte) (int, error) { return 0, errTooMuch }

// unjoin is the first of joined errors, with its reason.
func unjoin(err error) error {
	if e, ok := errors.AsType[*gitops.Error](err); ok {
		return e
	}
	return err
}

// note writes down what moved: a process that is killed must find what it has
// spent.
func (f *fetch) note() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.remember()
}

// keep are the revisions that survive when unused objects must make room.
func (f *fetch) keep() []gitops.Hash { return f.s.known }

// until is where the walk over commits may end: what is below is trusted, or was
// judged before. That the node used a commit does not say that all before it is
// here: the store may have been lost, or a row of it. So the first walk of a
// process, and the one after damage, goes to where trust begins; and where that
// is not here (it was changed), nothing that was judged before is a bound.
func (f *fetch) until() ([]gitops.Hash, error) {
	start := gitops.Hash(f.s.cfg.Introduction)
	if !start.Valid() {
		return slices.Clone(f.s.known), nil
	}
	_, proven, err := f.s.store.Head(f.ctx, f.s.cfg.Source)
	if err != nil || !proven || f.s.walked == "" {
		return []gitops.Hash{start}, err
	}
	here, err := f.s.store.Has(f.ctx, start)
	if err != nil || !here {
		return []gitops.Hash{start}, err
	}
	return append([]gitops.Hash{start}, f.s.known...), nil
}

// here reports whether the head is where the ref is, so that there is nothing
// to do. In each process its commits are walked once all the same: what is said
// to be connected may not be to where trust begins now, and an introduction that
// nobody has is looked for once for each head.
func (f *fetch) here(c choice) (bool, error) {
	is, err := f.head(c)
	return is && f.s.walked == c.tip, err
}

// head reports whether the store's head is where the ref is.
func (f *fetch) head(c choice) (bool, error) {
	head, ok, err := f.s.store.Head(f.ctx, f.s.cfg.Source)
	return ok && head == c.tip, err
}

// commits finds what the ref names at this place, and brings its commits.
func (f *fetch) commits() (gitops.Commit, error) {
	c, err := f.tip()
	f.wants = c.wants
	f.pollEnds()
	if err != nil {
		return gitops.Commit{}, err
	}
	here, err := f.here(c)
	if err != nil {
		return gitops.Commit{}, err
	}
	if err := f.behind(c); err != nil {
		return gitops.Commit{}, err
	}
	if !here {
		if err := f.bringTip(c); err != nil {
			return gitops.Commit{}, err
		}
		if err := f.behind(c); err != nil {
			return gitops.Commit{}, err
		}
	}
	if err := f.carry(c); err != nil {
		return gitops.Commit{}, err
	}
	return f.s.found(f.ctx, c, f.p)
}

// pollEnds books what the question cost apart from what its answer costs.
func (f *fetch) pollEnds() {
	if f.asked {
		return
	}
	f.asked = true
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.bookPoll(&s.memory, s.cfg.Now())
	if s.memory.Reason != gitops.Fetching {
		s.ledger.open = false
	}
}

// behind refuses a mirror that shows an older commit than the accepted one: it
// is late. The source's own URL may: the trust rules say what that means.
func (f *fetch) behind(c choice) error {
	if f.p.n == 0 || len(f.s.known) == 0 || c.tip == f.s.known[0] || f.s.cfg.Ref.Commit != "" {
		return nil
	}
	here, err := f.s.store.Absent(f.ctx, []gitops.Hash{c.tip, f.s.known[0]})
	if err != nil || len(here) > 0 {
		return err
	}
	at, err := f.s.peel(f.ctx, c.tip)
	if err != nil {
		return err
	}
	old, err := f.s.store.Ancestor(f.ctx, at, f.s.known[0])
	if err != nil || !old || at == f.s.known[0] {
		return err
	}
	return failed(gitops.MirrorBehind, "wait for its next update, or look at what updates it",
		"poll %s: it shows %s, which is older than the accepted %s", f.p.shown, c.tip.Short(), f.s.known[0].Short())
}

// peel is the commit that a tip stands for, as far as that is here.
func (s *Source) peel(ctx context.Context, tip gitops.Hash) (gitops.Hash, error) {
	kind, content, err := s.store.Object(ctx, tip)
	if err != nil {
		return "", err
	}
	if kind == gitops.TagObject {
		tip, _ = tagged(content)
	}
	return tip, nil
}

// bringTip brings the commits of a tip, from a Git server or out of bundles.
func (f *fetch) bringTip(c choice) error {
	whole, err := f.connected(c.tip)
	switch {
	case err != nil || whole:
	case f.p.static != nil:
		err = f.bundles(func() (bool, error) { return f.connected(c.tip) })
	default:
		err = f.history(c)
	}
	if err == nil {
		f.s.walked = c.tip
	}
	return err
}
