// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const (
	firstBackoff = 5 * time.Second
	mostBackoff  = 15 * time.Minute
	// soon is when a fetch goes on that used its time up and is not done.
	soon = 500 * time.Millisecond
)

// begin notes the poll before it starts, so that a process that dies in it
// does not poll at once when it is back.
func (s *Source) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.memory.LastPoll = now
	s.memory.NextPoll = now.Add(jittered(s.cfg.Interval))
	s.remember()
}

// polled notes how a poll ended.
func (s *Source) polled(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	m := &s.memory
	reason := gitops.ReasonOf(err)
	switch {
	case err == nil:
		m.Failures, m.Reason, m.Message = 0, "", ""
		m.LastSuccess = now
		m.NextPoll = now.Add(jittered(s.cfg.Interval))
	case errors.Is(err, context.Canceled):
		// The agent stops: that says nothing about the link.
	case reason == gitops.Fetching:
		m.Failures, m.Reason, m.Message = 0, reason, err.Error()
		m.NextPoll = now.Add(soon)
	case reason == gitops.BudgetSpent:
		// Nothing failed. A fleet that waits for midnight must not poll together.
		m.Reason, m.Message = reason, err.Error()
		m.NextPoll = now.Add(tomorrow(now) + jittered(s.cfg.Interval))
	default:
		m.Failures++
		m.Reason, m.Message = reason, err.Error()
		m.NextPoll = now.Add(max(backoff(m.Failures), min(wire.RetryAfter(err), mostBackoff)))
	}
	s.remember()
}

// brought notes how a call of Objects ended. Its failures are counted apart from
// those of polls: a poll goes well on a link that a large object never passes.
func (s *Source) brought(first gitops.Hash, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	m := &s.memory
	reason := gitops.ReasonOf(err)
	switch {
	case err == nil:
		m.Lack = lack{}
	case errors.Is(err, context.Canceled):
	case reason == gitops.Fetching:
		m.Lack = lack{At: s.at, Reason: reason, Message: err.Error()}
		m.NextPoll = now.Add(soon)
	case reason == gitops.BudgetSpent:
		m.Lack = lack{At: s.at, Reason: reason, Message: err.Error()}
		m.NextPoll = now.Add(tomorrow(now) + jittered(s.cfg.Interval))
	default:
		n := m.Lack.Failures + 1
		m.Lack = lack{At: s.at, Failures: n, Until: now.Add(backoff(n)), ID: first, Reason: reason, Message: err.Error()}
		if e, ok := errors.AsType[*gitops.Error](err); ok {
			m.Lack.Message, m.Lack.Remedy = e.Message, e.Remedy
		}
	}
	s.remember()
}

// settle notes the tip that was found. What another one lacked is history: that
// its objects are asked for again, and then come, is not certain.
func (s *Source) settle(tip gitops.Hash) {
	s.at = tip
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory.Lack.At != tip {
		s.memory.Lack = lack{}
	}
}

// forgive drops what a call could not bring: a bundle may have had it.
func (s *Source) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.Lack = lack{}
}

// held is the failure of a moment ago, where the same objects are asked for
// again before it is time: cycles come more often than a link recovers.
func (s *Source) held(first gitops.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.memory.Lack
	if l.Failures == 0 || l.ID != first || s.forced.Load() || !s.cfg.Now().Before(l.Until) {
		return nil
	}
	return failed(l.Reason, l.Remedy, "%s", l.Message)
}

// remember writes the memory down. The lock is held.
func (s *Source) remember() {
	s.ledger.bookFetch(&s.memory, s.cfg.Now())
	s.memory.keep(s.cfg.memoryFile())
}

// jittered is the interval, up to a tenth shorter or longer: a fleet that was
// switched on together must not poll together.
func jittered(interval time.Duration) time.Duration {
	return interval - interval/10 + rand.N(interval/5+1)
}

// backoff is a random wait below a bound that doubles with each failure.
func backoff(failures int) time.Duration {
	return time.Second + rand.N(backoffBound(failures)-time.Second+1)
}

func backoffBound(failures int) time.Duration {
	bound := firstBackoff
	for range min(max(failures, 1)-1, 10) {
		bound *= 2
	}
	return min(bound, mostBackoff)
}
