// SPDX-License-Identifier: Apache-2.0

package reconcile

import "time"

// patience is how long a wait for health goes on. Time in which the API server
// gave no answer does not count: k3s takes minutes to come back on a small
// node, and only then the pods start. But it is bounded: one outage may last as
// long as the timeout, and all of them together may double it.
type patience struct {
	timeout time.Duration
	until   time.Time // when the time is over, while there are answers
	most    time.Time // when it is over in any case
	lost    time.Time // when the first look without an answer began
}

func newPatience(now time.Time, timeout time.Duration) patience {
	return patience{timeout: timeout, until: now.Add(timeout), most: now.Add(2 * timeout)}
}

// looked notes when a look began and ended, and whether it had an answer.
func (p *patience) looked(began, ended time.Time, answered bool) {
	switch {
	case !answered && p.lost.IsZero():
		p.lost = began
	case answered && !p.lost.IsZero():
		p.until = p.until.Add(ended.Sub(p.lost))
		p.lost = time.Time{}
	}
}

// end is when to give up.
func (p *patience) end() time.Time {
	end := p.until
	if !p.lost.IsZero() {
		end = p.lost.Add(p.timeout)
	}
	if end.After(p.most) {
		return p.most
	}
	return end
}
