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
	// past is not asked about keys of commits that were let through before. A
	// key that expires must not take back what it signed while it was valid;
	// a revocation does.
	again bool
}

func newMoment(clock, floor time.Time) moment {
	if clock.Before(floor) {
		return moment{now: floor, slow: true}
	}
	return moment{now: clock}
}

// past reports whether a key that is valid until end has expired.
func (m moment) past(end time.Time) bool {
	return !m.again && !end.IsZero() && m.now.After(end)
}

// early reports whether a key that is valid from start on is not valid yet.
func (m moment) early(start time.Time) bool {
	return !m.again && !m.slow && m.now.Before(start)
}
