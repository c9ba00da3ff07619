// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"maps"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// carry brings the statements that are kept beside the head, and keeps them.
func (f *fetch) carry(c choice) error {
	if len(f.s.cfg.carried()) == 0 {
		return nil
	}
	maps.DeleteFunc(c.carried, func(_ string, id gitops.Hash) bool { return f.s.junk[id] })
	tips := slices.Compact(slices.Sorted(maps.Values(c.carried)))
	if err := f.readable(tips); err != nil {
		return err
	}
	maps.DeleteFunc(c.carried, func(_ string, id gitops.Hash) bool {
		return f.s.junk[id] || slices.Contains(f.unread, id)
	})
	return f.s.store.Carry(f.ctx, f.s.cfg.Source, c.carried)
}

// maxJunk bounds how many objects are remembered as no statements.
const maxJunk = 4096

// readable brings statements. Whoever may push such refs could stop the node
// with one that is none: it is found by halves, and not asked for again in the
// life of the process. What cannot be read says nothing.
func (f *fetch) readable(tips []gitops.Hash) error {
	err := f.statements(tips)
	switch gitops.ReasonOf(err) {
	case gitops.Corrupt, gitops.Incomplete, gitops.TooLarge, gitops.RefMissing, gitops.ObjectExceedsLink:
	default:
		return err
	}
	if len(tips) > 1 {
		half := len(tips) / 2
		if err := f.readable(tips[:half]); err != nil {
			return err
		}
		return f.readable(tips[half:])
	}
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.ObjectExceedsLink:
		// An answer that was cut or damaged says nothing about the statement: it
		// is left out this time, and asked for with the next poll.
		f.unread = append(f.unread, tips[0])
		return nil
	}
	if f.s.junk == nil || len(f.s.junk) >= maxJunk {
		f.s.junk = map[gitops.Hash]bool{}
	}
	f.s.junk[tips[0]] = true
	return nil
}

// statements brings what is missing of them. What a tag is about does not come
// along: of a commit that would be its whole tree.
func (f *fetch) statements(tips []gitops.Hash) error {
	missing := func() ([]gitops.MissingObject, error) {
		_, missing, err := f.s.store.Statements(f.ctx, tips, mostAtOnce)
		return missing, err
	}
	list, err := missing()
	if err != nil || len(list) == 0 {
		return err
	}
	if f.p.static != nil {
		return f.bundles(func() (bool, error) {
			list, err := missing()
			return len(list) == 0, err
		})
	}
	if server := f.p.client.Server(); server.Protocol == "v0" && !server.AnyWant {
		if err := f.named(tips); err != nil {
			return err
		}
	}
	return f.complete(missing)
}

// named asks a server for refs that gives nothing but what they name. With haves:
// what is asked for without them is all of the history.
func (f *fetch) named(tips []gitops.Hash) error {
	absent, err := f.s.store.Absent(f.ctx, tips)
	if err != nil || len(absent) == 0 {
		return err
	}
	haves, err := f.besides()
	if err != nil {
		return err
	}
	f.wants = slices.Concat(f.wants, tips)
	_, err = f.ask(wire.Request{Wants: absent, Haves: haves}, nil, 0)
	return err
}

// besides are the commits that a server may take for known when it sends
// statements: else those that they are about would come along.
func (f *fetch) besides() ([]gitops.Hash, error) {
	haves, err := f.haves()
	if err != nil {
		return nil, err
	}
	return f.present(slices.Concat(haves, f.wants))
}
