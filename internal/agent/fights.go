// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Another controller that changes an object back as often as it is repaired
// would keep both busy for ever. After five repairs in a minute the repair of
// that object backs off, from 2 s by three to 5 m, and the status names it.
const (
	fightRepairs = 5
	fightWithin  = time.Minute
	fightFirst   = 2 * time.Second
	fightMost    = 5 * time.Minute
)

// fights remembers the repairs of objects that are repaired often. It is not
// journalled: after a restart the fight shows again within a minute.
type fights map[gitops.ObjectKey]*fight

type fight struct {
	repairs []time.Time // the newest ones, at most fightRepairs
	wait    time.Duration
	next    time.Time
}

// due splits drift into what is repaired now and what has to wait because
// somebody fights for it.
func (f fights) due(drift []gitops.Change, now time.Time) (repair, waiting []gitops.Change) {
	for _, c := range drift {
		if one := f[c.Ref.Key()]; one != nil && now.Before(one.next) {
			waiting = append(waiting, c)
			continue
		}
		repair = append(repair, c)
	}
	return repair, waiting
}

// repaired counts what was written back, and forgets objects that were left in
// peace for longer than the longest wait.
func (f fights) repaired(changes []gitops.Change, now time.Time) {
	for _, c := range changes {
		if c.Action != gitops.Created && c.Action != gitops.Configured {
			continue
		}
		one := f[c.Ref.Key()]
		if one == nil {
			one = &fight{}
			f[c.Ref.Key()] = one
		}
		one.count(now)
	}
	for key, one := range f {
		if last := one.repairs[len(one.repairs)-1]; now.Sub(last) > 2*fightMost {
			delete(f, key)
		}
	}
}

func (f *fight) count(now time.Time) {
	f.repairs = append(f.repairs, now)
	if len(f.repairs) > fightRepairs {
		f.repairs = f.repairs[1:]
	}
	within := fightWithin + 2*f.wait // a repair that waited still counts as one of the fight
	if len(f.repairs) < fightRepairs || now.Sub(f.repairs[0]) > fightRepairs*within {
		return
	}
	if now.Sub(f.repairs[0]) > fightWithin && f.wait == 0 {
		return
	}
	f.wait = min(max(f.wait*3, fightFirst), fightMost)
	f.next = now.Add(f.wait)
}
