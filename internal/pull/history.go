// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"errors"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const (
	// aloneFilter brings of a commit itself and its root tree, of a tree that is
	// named by its id itself and what it lists.
	aloneFilter = "tree:1"
	// itselfFilter brings a commit or a tree and nothing below.
	itselfFilter = "tree:0"

	// fewObjects and fewBytes are how large a pack of all that changed may be.
	// What changed elsewhere in the repository is in it too; beyond that, what
	// this node needs costs less by its ids. See docs/link.md for the measurement.
	fewObjects = 400
	fewBytes   = 64 << 10
)

var errTooMuch = errors.New("more changed than this node needs")

// history brings the commits of a tip from a Git server.
func (f *fetch) history(c choice) error {
	here, err := f.s.store.Has(f.ctx, c.tip)
	if err != nil {
		return err
	}
	if !here {
		if err := f.first(c); err != nil {
			return err
		}
	}
	return f.connect(c.tip)
}

// first brings the tip, and in the same answer as much as may come with it.
func (f *fetch) first(c choice) error {
	if f.p.client.Server().Protocol == "v0" {
		return f.wholeHistory(c)
	}
	haves, err := f.haves()
	if err != nil {
		return err
	}
	if len(haves) > 0 && f.batch.alone == 0 {
		err := f.changes(c, haves)
		if err == nil || !errors.Is(err, errTooMuch) {
			return err
		}
	}
	return f.commitsOnly(c, haves)
}

// haves are the commits that a server may build on: this source's. Where there
// are none, those of other sources may be of the same repository.
func (f *fetch) haves() ([]gitops.Hash, error) {
	ids := f.s.known
	head, ok, err := f.s.store.Head(f.ctx, f.s.cfg.Source)
	if err != nil {
		return nil, err
	}
	if ok {
		ids = append([]gitops.Hash{head}, ids...)
	}
	return f.present(ids)
}

// present are those of ids that are in the store, each once.
func (f *fetch) present(ids []gitops.Hash) ([]gitops.Hash, error) {
	absent, err := f.s.store.Absent(f.ctx, ids)
	if err != nil {
		return nil, err
	}
	skip := map[gitops.Hash]bool{}
	for _, id := range absent {
		skip[id] = true
	}
	var out []gitops.Hash
	for _, id := range ids {
		if !skip[id] {
			out = append(out, id)
			skip[id] = true
		}
	}
	return out, nil
}

// changes brings all that changed since the haves, as deltas: a line in a large
// directory is half a kilobyte. errTooMuch says that it is too much.
func (f *fetch) changes(c choice, haves []gitops.Hash) error {
	few := func(n int) error {
		if n > fewObjects {
			return errTooMuch
		}
		return nil
	}
	got, err := f.ask(wire.Request{Wants: []gitops.Hash{c.tip}, Haves: haves, Filter: wire.WholeTrees}, few, fewBytes)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooMuch):
		return errTooMuch
	case gitops.ReasonOf(err) == gitops.ServerError:
		return errTooMuch // a server may refuse deep filters
	case wire.LinkFault(err) && got.New > 0:
		f.batch.cut(got.New)
		return errTooMuch // what came is kept; the rest is asked for by name
	}
	return err
}

// commitsOnly brings commits and their root trees, down to where trust begins.
func (f *fetch) commitsOnly(c choice, haves []gitops.Hash) error {
	r := wire.Request{Wants: []gitops.Hash{c.tip}, Haves: haves, Filter: aloneFilter}
	start := gitops.Hash(f.s.cfg.Introduction)
	switch {
	case len(haves) > 0:
	case start.Valid():
		// The introduction comes first: the trees above are deltas of its trees.
		if err := f.introduction(start); err != nil {
			return err
		}
		others, err := f.s.store.Heads(f.ctx)
		if err != nil {
			return err
		}
		if r.Haves, err = f.present(append([]gitops.Hash{start}, others...)); err != nil {
			return err
		}
	case f.p.client.Server().Shallow:
		r.Depth = 1
	}
	return f.untilHere(c.tip, r)
}

// introduction brings the commit where trust begins. One that the server does
// not have is no failure here: the trust rules say what it means.
func (f *fetch) introduction(start gitops.Hash) error {
	here, err := f.s.store.Has(f.ctx, start)
	if err != nil || here || !f.p.client.Server().Shallow {
		return err
	}
	err = f.untilHere(start, wire.Request{Wants: []gitops.Hash{start}, Filter: aloneFilter, Depth: 1})
	switch gitops.ReasonOf(err) {
	case gitops.RefMissing, gitops.ServerError:
		return nil
	}
	return err
}

// untilHere asks for one commit with what comes along, again while the link is
// cut, and at last for the commit alone.
func (f *fetch) untilHere(id gitops.Hash, r wire.Request) error {
	for {
		here, err := f.s.store.Has(f.ctx, id)
		if err != nil || here {
			return err
		}
		if f.batch.alone > 0 && f.p.client.Server().Shallow {
			r = wire.Request{Wants: []gitops.Hash{id}, Filter: itselfFilter, Depth: 1}
		}
		before := f.mark()
		got, err := f.ask(r, nil, 0)
		if err == nil {
			if here, e := f.s.store.Has(f.ctx, id); e != nil || here {
				return e
			}
			return f.unanswered(gitops.MissingObject{ID: id, Kind: gitops.CommitObject}, nil)
		}
		if err := f.interrupted(err, got, []gitops.MissingObject{{ID: id, Kind: gitops.CommitObject}}, before); err != nil {
			return err
		}
	}
}

// wholeHistory asks a server that knows no better for all that the tip reaches.
// Haves claim what may not be here: where something is missing after that, all
// of it is asked for.
func (f *fetch) wholeHistory(c choice) error {
	haves, err := f.haves()
	if err != nil {
		return err
	}
	if others, err := f.s.store.Heads(f.ctx); err != nil {
		return err
	} else if len(haves) == 0 {
		haves = others
	}
	_, err = f.ask(wire.Request{Wants: c.wants, Haves: haves}, nil, 0)
	if err == nil && c.full == "" {
		here, err := f.s.store.Has(f.ctx, c.tip)
		if err != nil {
			return err
		}
		if !here {
			return failed(gitops.RefMissing, "check the commit id, or push it to a branch",
				"find commit %s: no branch or tag of %s reaches it", c.tip, f.p.shown)
		}
	}
	return err
}
