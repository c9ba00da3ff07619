// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// keptDays is how many days are remembered. A clock that is set late, from the
// day of its making to today, must find today's bytes again.
const keptDays = 8

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ledger books the bytes that a meter counted: to the day, to all time, and to
// what they were for. Its place is inside the lock of a source.
type ledger struct {
	meter *wire.Meter
	in    int64 // booked already
	out   int64
	// open says that what is fetched belongs to the fetch that was begun.
	open bool
}

// book books what moved since the last time.
func (l *ledger) book(m *memory, now time.Time) gitops.LinkBytes {
	in, out := l.meter.Bytes()
	moved := gitops.LinkBytes{In: in - l.in, Out: out - l.out}
	l.in, l.out = in, out
	if moved == (gitops.LinkBytes{}) {
		return moved
	}
	m.BytesIn += moved.In
	m.BytesOut += moved.Out
	if m.Days == nil {
		m.Days = map[string]gitops.LinkBytes{}
	}
	today := dayOf(now)
	m.Days[today] = sum(m.Days[today], moved)
	for dates := slices.Sorted(maps.Keys(m.Days)); len(dates) > keptDays; dates = dates[1:] {
		if dates[0] == today {
			break // an earlier clock: the days after it are as good
		}
		delete(m.Days, dates[0])
	}
	return moved
}

func (l *ledger) bookPoll(m *memory, now time.Time) { m.Poll = l.book(m, now) }

func (l *ledger) bookFetch(m *memory, now time.Time) {
	moved := l.book(m, now)
	if moved == (gitops.LinkBytes{}) {
		return
	}
	if !l.open {
		m.Fetch, l.open = gitops.LinkBytes{}, true
	}
	m.Fetch = sum(m.Fetch, moved)
}

func sum(a, b gitops.LinkBytes) gitops.LinkBytes {
	return gitops.LinkBytes{In: a.In + b.In, Out: a.Out + b.Out}
}

// recover takes the days of the journal where they say more: the runtime
// directory is lost with each boot, the journal is written now and then.
func (m *memory) recover(spent []gitops.LinkDay) {
	for _, d := range spent {
		have := m.Days[d.Date]
		if d.In+d.Out <= have.In+have.Out {
			continue
		}
		if m.Days == nil {
			m.Days = map[string]gitops.LinkBytes{}
		}
		m.Days[d.Date] = d.LinkBytes
		m.BytesIn += d.In - have.In
		m.BytesOut += d.Out - have.Out
	}
}

// left is how many bytes may still move today.
func (s *Source) left() int64 {
	if s.cfg.BudgetPerDay <= 0 || s.forced.Load() {
		return math.MaxInt64
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in, out := s.ledger.meter.Bytes()
	today := s.memory.Days[dayOf(s.cfg.Now())]
	return s.cfg.BudgetPerDay - today.In - today.Out - (in - s.ledger.in) - (out - s.ledger.out)
}

// affordable is an error when the day's bytes are used up.
func (s *Source) affordable() error {
	if s.left() > 0 {
		return nil
	}
	return failed(gitops.BudgetSpent, "run edgeagent sync to go on now, or raise link.budgetPerDay",
		"%s: the %s that may move on %s are used up; polls and fetches go on at %s", s.cfg.Source,
		size(s.cfg.BudgetPerDay), dayOf(s.cfg.Now()), midnight(s.cfg.Now()).Format(time.RFC3339))
}

// midnight is when the day ends and a new budget begins.
func midnight(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}

// tomorrow is how long the day lasts, by a clock that may be set meanwhile.
func tomorrow(now time.Time) time.Duration { return midnight(now).Sub(now) }

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}
