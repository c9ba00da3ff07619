// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// Source polls one repository. Commits, Objects, Import, Export and Retain belong
// to one goroutine; Link and NextPoll may be called from any.
type Source struct {
	cfg    Config
	store  *objects.Store
	places []*place
	pulse  *pulse

	// known is what the last poll was told of: the node has what they need.
	known []gitops.Hash
	// settled: of the first of them nothing more is to be found out.
	settled bool
	// unstated: no statement counts until the head moves.
	unstated bool
	// junk are refs' objects that are no statements.
	junk map[gitops.Hash]bool
	// walked is the head whose commits this process has walked last.
	walked gitops.Hash
	// at is the tip that was found last.
	at gitops.Hash
	// forced says that a person asked for the last poll.
	forced atomic.Bool
	// cut ends the call that is running, nil when none is.
	cut atomic.Pointer[context.CancelCauseFunc]

	mu        sync.Mutex
	memory    memory
	ledger    ledger
	answered  *place
	collected time.Time // when unused objects were last removed
}

// New checks a source's configuration and recalls its backoff. It sends nothing.
func New(cfg Config, store *objects.Store) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Ref.validate(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, store: store, pulse: &pulse{call: cfg.Progress}, collected: cfg.Now().Add(firstCollection - collectEvery)}
	s.ledger.meter = wire.NewMeter(s.moved)
	var err error
	if s.places, err = s.open(); err != nil {
		return nil, err
	}
	longest := max(mostBackoff, cfg.Interval+cfg.Interval/5)
	s.memory = recall(cfg.memoryFile(), cfg.Now(), longest)
	s.memory.recover(cfg.Spent)
	return s, nil
}

// moved is called with every read and write on the link: somebody wants to know
// that it is alive, and the day's budget ends in the middle of an answer too.
func (s *Source) moved() {
	s.pulse.beat()
	if s.cfg.BudgetPerDay <= 0 || s.left() > 0 {
		return
	}
	if cut := s.cut.Load(); cut != nil {
		(*cut)(s.affordable())
	}
}

// NextPoll is when the source wants to be polled. Commits polls at any time.
func (s *Source) NextPoll() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.NextPoll
}

// Link says how the link has been.
func (s *Source) Link() gitops.LinkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory
	in, out := s.ledger.meter.Bytes()
	moving := gitops.LinkBytes{In: in - s.ledger.in, Out: out - s.ledger.out}
	today := dayOf(s.cfg.Now())
	l := gitops.LinkStatus{
		LastSuccess: m.LastSuccess, NextPoll: m.NextPoll,
		Failures: max(m.Failures, m.Lack.Failures), Reason: m.Reason, Message: m.Message,
		BytesIn: m.BytesIn + moving.In, BytesOut: m.BytesOut + moving.Out,
		Poll: m.Poll, Fetch: m.Fetch,
		Today:  gitops.LinkDay{Date: today, LinkBytes: sum(m.Days[today], moving)},
		Budget: s.cfg.BudgetPerDay,
	}
	if l.Reason == "" {
		l.Reason, l.Message = m.Lack.Reason, m.Lack.Message
	}
	if p := s.answered; p != nil {
		l.URL, l.Mirror, l.Client = p.shown, p.n > 0, p.clientName()
	}
	return l
}

// Commits polls: it finds what the ref names now and, when that is new, fetches
// what is missing of its commits. When it returns, they are in the store, back
// to where trust begins, with their root trees and their .edgeagent trees.
// Known are commits that the node has used, the accepted one first.
//
// An error with the reason Fetching is no failure: the time was used up, what
// came is kept, and the next call goes on.
func (s *Source) Commits(ctx context.Context, r gitops.PollRequest) (gitops.Commit, error) {
	s.known = valid(r.Known)
	s.forced.Store(r.Forced)
	s.settled, s.unstated = r.Settled, r.Settled && r.Unstated
	if err := s.affordable(); err != nil {
		s.polled(err)
		return gitops.Commit{}, err
	}
	s.begin()
	commit, err := s.poll(ctx)
	s.polled(err)
	return commit, err
}

// poll tries the URL and its mirrors until one answers.
func (s *Source) poll(ctx context.Context) (gitops.Commit, error) {
	if c := gitops.Hash(s.cfg.Ref.Commit); c != "" {
		// A commit id never names anything else: once it is here, it is known.
		f := &fetch{s: s, ctx: ctx}
		found := choice{short: commitRef, tip: c}
		here, err := f.here(found)
		if err == nil && !here {
			here, err = f.connected(c)
		}
		if err != nil {
			return gitops.Commit{}, err
		}
		if here {
			s.walked = c
			return s.found(ctx, found, s.places[0])
		}
	}
	var commit gitops.Commit
	err := s.each(ctx, func(f *fetch) (err error) {
		commit, err = f.commits()
		return err
	})
	return commit, err
}

// each tries the places, the last good one first, until one does what is asked
// for.
func (s *Source) each(ctx context.Context, do func(*fetch) error) error {
	var errs []error
	for _, p := range s.order() {
		f := s.newFetch(ctx, p)
		err := f.verdict(do(f))
		f.end()
		if err == nil {
			s.prefer(p)
			return nil
		}
		errs = append(errs, err)
		if gitops.ReasonOf(err) == gitops.Fetching {
			s.prefer(p) // it goes on there
		}
		if ctx.Err() != nil || final(err) {
			return err
		}
	}
	return combine(errs)
}

// final is what another place does not change.
func final(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.StoreFailed, gitops.Fetching, gitops.BudgetSpent:
		return true
	}
	return false
}

// found makes the commit out of a tip that is in the store, and remembers it.
func (s *Source) found(ctx context.Context, c choice, p *place) (gitops.Commit, error) {
	commit := gitops.Commit{FullRef: c.full, URL: p.shown}
	target := c.tip
	kind, content, err := s.store.Object(ctx, c.tip)
	if err != nil {
		return gitops.Commit{}, err
	}
	if kind == gitops.TagObject && strings.HasPrefix(c.full, tagPrefix) {
		commit.Tag = c.tip
		target, kind = tagged(content)
	}
	if kind != gitops.CommitObject {
		return gitops.Commit{}, failed(gitops.MalformedTag, "let it name a commit",
			"read %s from %s: it names a %s, not a commit", c.short, p.shown, kind)
	}
	commit.Revision = gitops.NewRevision(c.short, target)
	if err := s.store.Advance(ctx, s.cfg.Source, c.tip); err != nil {
		return gitops.Commit{}, err
	}
	s.settle(c.tip)
	return commit, nil
}

// tagged is what a tag object names. The store has checked its grammar.
func tagged(content []byte) (gitops.Hash, gitops.ObjectKind) {
	lines := strings.SplitN(string(content), "\n", 3)
	return gitops.Hash(strings.TrimPrefix(lines[0], "object ")),
		gitops.ObjectKind(strings.TrimPrefix(lines[1], "type "))
}

// Objects brings objects that are missing, each with as much below it as it
// says. When it returns, each of them is in the store; of what is below them,
// what the link let through.
func (s *Source) Objects(ctx context.Context, missing []gitops.MissingObject) error {
	absent, err := s.absent(ctx, missing)
	if err != nil || len(absent) == 0 {
		return err
	}
	if err := s.held(absent[0].ID); err != nil {
		return err
	}
	if err = s.affordable(); err == nil {
		err = s.each(ctx, func(f *fetch) error { return f.content(missing) })
	}
	if left, e := s.absent(ctx, missing); e == nil && len(left) > 0 {
		absent = left
	}
	s.brought(absent[0].ID, err)
	return err
}

// absent are those that are not in the store.
func (s *Source) absent(ctx context.Context, missing []gitops.MissingObject) ([]gitops.MissingObject, error) {
	ids := make([]gitops.Hash, 0, len(missing))
	for _, m := range missing {
		ids = append(ids, m.ID)
	}
	left, err := s.store.Absent(ctx, ids)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	still := make(map[gitops.Hash]bool, len(left))
	for _, id := range left {
		still[id] = true
	}
	var out []gitops.MissingObject
	for _, m := range missing {
		if still[m.ID] {
			out = append(out, m)
			delete(still, m.ID)
		}
	}
	return out, nil
}

// pulse tells somebody, at most once a second, that a call is alive.
type pulse struct {
	call func()

	mu   sync.Mutex
	last time.Time
}

// beat may be called from any goroutine.
func (p *pulse) beat() {
	if p.call == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last) >= time.Second {
		p.last = now
		p.call()
	}
}
