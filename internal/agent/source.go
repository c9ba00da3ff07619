// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// aliveEvery is how often an idle source shows that it is alive.
const aliveEvery = 20 * time.Second

// wakeAfter is how long a change in the cluster may wait for others to be seen
// with it.
const wakeAfter = 100 * time.Millisecond

// Waits between cycles while the cluster or the journal is out of reach.
const (
	awayFirst = time.Second
	awayMost  = time.Minute
)

// source is one source's loop. Everything below the line is touched by its own
// goroutine only; others read what it published.
type source struct {
	cfg   SourceConfig
	agent *Agent
	log   *slog.Logger
	now   func() time.Time

	orders    chan order
	wakes     chan struct{} // one is enough: a cycle looks at everything
	published atomic.Pointer[published]
	alive     atomic.Int64
	reloads   atomic.Int64 // how often the key files were read again

	// ——
	view     view
	head     verify.Commit // the accepted commit, verified by this process
	rendered renderedOnce
	onTheWay onTheWay
	kept     gitops.Manifests // that were read from the journal last
	fights   fights
	underway underway
	away     int // cycles in a row without cluster or journal
	pollNow  bool
	forced   bool // a person asked: the next poll need not spare bytes
	asked    bool // the last poll was such a one
	retryNow bool // a failed revision is due whenever its time would come
	retryAt  time.Time
	fullPass time.Time // when every object is sent again
	reloaded int64     // of reloads, those that decisions were made anew after
	judged   ground
	unasked  bool // the cluster could not be asked what it holds
	seen     sighting
	began    time.Time
}

// underway is what this process knows of the open attempt that it works on, over
// all cycles that it takes. A configuration that is reloaded hands it on.
type underway struct {
	attempt int64         // 0 when there is none
	left    time.Duration // of the time that it may take to become healthy
	touched bool          // the cluster was written to
}

// order is what a person asked for, carried out between two steps of the loop.
type order struct {
	do    func(ctx context.Context) error
	reply chan error
}

func newSource(a *Agent, cfg SourceConfig) *source {
	s := &source{
		cfg: cfg, agent: a, now: a.cfg.Now,
		log:    a.cfg.Log.With("source", cfg.Name),
		orders: make(chan order), wakes: make(chan struct{}, 1),
		fights: fights{},
	}
	s.began = s.now()
	s.fullPass = s.began.Add(fullEvery)
	s.touch()
	s.publish(gitops.SourceState{Source: cfg.Name})
	return s
}

func (s *source) journal() Journal { return s.agent.cfg.Journal }
func (s *source) cluster() Cluster { return s.agent.cfg.Cluster }
func (s *source) touch()           { s.alive.Store(s.now().UnixNano()) }

// run cycles until ctx ends: at every interval, when Git is due, when a failed
// revision is due, and when a person asks.
func (s *source) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.settle(ctx)
		s.idle(ctx, s.nextCycle())
	}
}

// settle runs cycles until one has nothing more to do at once: a failed
// attempt is followed by its rollback without waiting for the interval.
func (s *source) settle(ctx context.Context) {
	again := true
	for again && ctx.Err() == nil {
		s.touch()
		if again = s.cycle(ctx); again {
			s.publishNow(ctx) // the last one is published below, as at rest
		}
	}
	s.view.cycles++
	s.view.rest()
	s.publishNow(ctx)
}

// idle waits until the next cycle is due or an order came in.
func (s *source) idle(ctx context.Context, until time.Time) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	due := time.NewTimer(until.Sub(s.now()))
	defer due.Stop()
	for {
		s.touch()
		select {
		case <-ctx.Done():
			return
		case <-due.C:
			return
		case o := <-s.orders:
			s.obey(ctx, o)
			return
		case <-s.wakes:
			// What comes in bursts is looked at once.
			until = earliest(until, s.now().Add(wakeAfter))
			due.Reset(until.Sub(s.now()))
		case <-tick.C:
		}
	}
}

// nudge has the loop look at everything soon.
func (s *source) nudge() {
	select {
	case s.wakes <- struct{}{}:
	default: // it is awake already
	}
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// obey carries an order out and answers after it is journalled.
func (s *source) obey(ctx context.Context, o order) {
	o.reply <- o.do(ctx)
}

// ask hands an order to the loop and waits for its answer.
func (s *source) ask(ctx context.Context, do func(ctx context.Context) error) error {
	o := order{do: do, reply: make(chan error, 1)}
	select {
	case s.orders <- o:
	case <-ctx.Done():
		return busy(s.cfg.Name, ctx.Err())
	}
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		return busy(s.cfg.Name, ctx.Err())
	}
}

func busy(name string, cause error) error {
	return &gitops.Error{
		Reason:  gitops.Conflict,
		Message: "source " + name + " is in the middle of a step and did not take the order in time",
		Remedy:  "try again in a moment",
		Err:     cause,
	}
}

// nextCycle is when the loop has something to do again.
func (s *source) nextCycle() time.Time {
	now := s.now()
	if s.away > 0 {
		wait := min(awayFirst<<min(s.away-1, 10), awayMost)
		return now.Add(wait/2 + rand.N(wait/2))
	}
	next := now.Add(s.cfg.Interval)
	if s.view.suspended {
		return next
	}
	if poll := s.cfg.Git.NextPoll(); poll.Before(next) {
		next = poll
	}
	if !s.retryAt.IsZero() && s.retryAt.Before(next) {
		next = s.retryAt
	}
	for _, c := range s.view.fighting {
		if f := s.fights[c.Ref.Key()]; f != nil {
			next = earliest(next, f.next)
		}
	}
	if next.Before(now) {
		return now
	}
	return next
}
