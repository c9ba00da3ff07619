// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// listed is what is remembered of a static mirror: which refs its newest bundle
// has, so that a poll that finds the same list need not read it again.
type listed struct {
	Newest string                 `json:"newest"`
	Refs   map[string]gitops.Hash `json:"refs"`
}

// staticTip polls a static mirror: one conditional request. The refs are in the
// newest bundle.
func (f *fetch) staticTip() (choice, error) {
	chain, err := f.chain()
	if err != nil {
		return choice{}, err
	}
	on, err := f.refsOf(chain[0])
	if err != nil {
		return choice{}, err
	}
	c, err := f.s.cfg.Ref.choose(on)
	if err != nil {
		return c, f.s.cfg.Ref.missing(on, err)
	}
	if f.s.cfg.Ref.Commit == "" {
		c.carried = beside(on, f.s.cfg.carried())
	}
	return c, nil
}

// chain is the list of bundles, newest first. It is asked for once in a call.
func (f *fetch) chain() ([]bundle.Entry, error) {
	if f.list != nil {
		return f.list, nil
	}
	polled, err := f.p.static.Poll(f.link)
	if err != nil {
		return nil, err
	}
	if f.list = polled.List.Newest(); len(f.list) == 0 {
		return nil, failed(gitops.RefMissing, "publish the repository to it", "poll %s: its list has no bundle", f.p.shown)
	}
	return f.list, nil
}

// refsOf are the refs of a bundle, read from its header once.
func (f *fetch) refsOf(e bundle.Entry) (refs, error) {
	wanted := append(f.s.cfg.Ref.prefixes(), f.s.cfg.carried()...)
	id := fmt.Sprintf("%s %d %s", e.URI, e.CreationToken, strings.Join(wanted, " "))
	if known, ok := f.s.listed(f.p); ok && known.Newest == id {
		return known.Refs, nil
	}
	f.pollEnds() // a bundle is no part of the question
	b, err := f.p.static.Open(f.link, e)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close() }()
	on := refs{}
	for _, r := range b.Header.Refs {
		if slices.ContainsFunc(wanted, func(p string) bool { return strings.HasPrefix(r.Name, p) }) {
			on[r.Name] = r.ID
		}
	}
	f.s.list(f.p, listed{Newest: id, Refs: on})
	return on, nil
}

func (s *Source) listed(p *place) (listed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.memory.Lists[p.shown]
	return l, ok
}

func (s *Source) list(p *place, l listed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory.Lists == nil {
		s.memory.Lists = map[string]listed{}
	}
	s.memory.Lists[p.shown] = l
}

// bundles stores bundles until done: first the newest ones, back to the one whose
// prerequisites are here, then all of them. What a prerequisite claims may be
// missing in a store that holds only what its node needs.
func (f *fetch) bundles(done func() (bool, error)) error {
	chain, err := f.chain()
	if err != nil {
		return err
	}
	for _, all := range []bool{false, true} {
		taken, err := f.take(chain, all)
		if err != nil {
			return err
		}
		whole, err := done()
		if err != nil {
			return err
		}
		if whole {
			return f.discard(chain[:taken])
		}
		if taken == len(chain) {
			break
		}
	}
	return failed(gitops.Incomplete, "publish the repository anew, with a full bundle",
		"fetch from %s: its %d bundles do not hold what is needed", f.p.shown, len(chain))
}

// take downloads bundles, newest first, and stores them oldest first: the deltas
// of the newer ones are of the older ones' objects.
func (f *fetch) take(chain []bundle.Entry, all bool) (taken int, err error) {
	for taken < len(chain) {
		b, err := f.p.static.Open(f.link, chain[taken])
		if err != nil {
			return taken, err
		}
		needs := b.Header.Prerequisites
		_ = b.Close()
		taken++
		absent, err := f.s.store.Absent(f.ctx, needs)
		if err != nil {
			return taken, err
		}
		if len(absent) == 0 && !all {
			break
		}
	}
	for n := taken - 1; n >= 0; n-- {
		if err := f.receive(chain[n]); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

func (f *fetch) receive(e bundle.Entry) error {
	b, err := f.p.static.Open(f.link, e)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	got, err := f.s.store.Receive(f.ctx, objects.Arrival{Pack: b, Keep: f.keep(), Progress: f.s.pulse.beat})
	f.progress = f.progress || got.New > 0
	f.note()
	return err
}

// discard removes the files of bundles whose objects are stored.
func (f *fetch) discard(stored []bundle.Entry) error {
	for _, e := range stored {
		if err := f.p.static.Discard(e); err != nil {
			return err
		}
	}
	return nil
}
