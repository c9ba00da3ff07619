// SPDX-License-Identifier: Apache-2.0

package verify

import "time"

// moment is when keys are judged. It never comes from a commit: whoever holds
// an expired key can write any date into one.
type moment struct {
	now time.Time
	// slow is set when the clock is behind the floor and so known to be wrong:
	// a key is then never refused as not yet valid.
	slow bool
	// fast is set when the clock is so far ahead that it cannot be right:
	// nothing new is let through by it.
	fast bool
	// loose is set when the clock follows no other, where the source asks for one
	// that does: nothing new is let through by it either.
	loose bool
	// past is not asked about keys of commits that were let through before. A
	// key that expires must not take back what it signed while it was valid;
	// a revocation does.
	again bool
}

// tooFast is how far the clock may be ahead of a time that has certainly
// passed. No release is that old.
const tooFast = 10 * 365 * 24 * time.Hour

func newMoment(clock, floor time.Time) moment {
	if clock.Before(floor) {
		return moment{now: floor, slow: true}
	}
	return moment{now: clock, fast: !floor.IsZero() && clock.Sub(floor) > tooFast}
}

// untrusted reports whether nothing new is let through by the clock.
func (m moment) untrusted() bool { return m.fast || m.loose }

// notBefore raises the moment to a time that has certainly passed.
func (m moment) notBefore(floor time.Time) moment {
	if floor.Before(m.now) {
		m.fast = m.fast && m.now.Sub(floor) > tooFast
		return m
	}
	m.now, m.slow, m.fast = floor, true, false
	return m
}

// past reports whether a key that is valid until end has expired.
func (m moment) past(end time.Time) bool {
	return !m.again && !end.IsZero() && m.now.After(end)
}

// early reports whether a key that is valid from start on is not valid yet.
func (m moment) early(start time.Time) bool {
	return !m.again && !m.slow && m.now.Before(start)
}
