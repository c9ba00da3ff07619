// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// tip asks the place what the ref names now.
func (f *fetch) tip() (choice, error) {
	if f.p.static != nil {
		return f.staticTip()
	}
	server := f.p.client.Server()
	always, late := f.s.cfg.Carry, f.s.cfg.CarryNew
	if f.s.unstated {
		always, late = nil, f.s.cfg.carried()
	}
	prefixes := append(f.s.cfg.Ref.prefixes(), always...)
	byID := f.s.cfg.Ref.Commit != ""
	if byID && server.AnyCommit && len(prefixes) == 0 {
		return f.s.cfg.Ref.choose(nil)
	}
	if byID && !server.AnyCommit {
		prefixes = append(prefixes, headPrefix, tagPrefix)
	}
	list, err := f.refs(prefixes)
	if err != nil {
		return choice{}, err
	}
	on := refs{}
	for _, r := range list.List {
		on[r.Name] = r.ID
	}
	c, err := f.s.cfg.Ref.choose(on)
	if err != nil {
		return c, f.explain(err)
	}
	f.p.near = nil
	c.wants = []gitops.Hash{c.tip}
	if byID && !f.p.client.Server().AnyCommit {
		c.wants = everything(on, c.tip)
	}
	c.carried = beside(on, always)
	if err := f.besideNew(c, late); err != nil {
		return c, err
	}
	if !list.Shallow {
		return c, nil
	}
	here := false
	if f.s.store != nil { // a probe has none
		here, err = f.head(c)
	}
	if err == nil && !here {
		err = failed(gitops.Incomplete, "use a repository with its whole history",
			"fetch from %s: its repository is shallow", f.p.shown)
	}
	return c, err
}

// refs asks once more where the link was cut in the answer: a connection that
// was used before may have had few bytes left.
func (f *fetch) refs(prefixes []string) (wire.Refs, error) {
	for again := enoughCuts - 1; ; again-- {
		before := f.mark()
		list, err := f.p.client.Refs(f.link, prefixes)
		if err == nil || again == 0 || !wire.LinkFault(err) || f.link.Err() != nil || f.mark() == before {
			return list, err
		}
	}
}

// marks are the bytes that the meter stood at.
type marks struct{ in, out int64 }

func (f *fetch) mark() marks {
	in, out := f.s.ledger.meter.Bytes()
	return marks{in, out}
}

// explain says which refs there are, where the one that is wanted is not. All
// are asked for once, not with each poll: a forge has many.
func (f *fetch) explain(err error) error {
	if f.p.near != nil {
		return f.p.near
	}
	list, e := f.refs([]string{headPrefix, tagPrefix})
	if e != nil {
		return err
	}
	all := refs{}
	for _, r := range list.List {
		all[r.Name] = r.ID
	}
	f.p.near = f.s.cfg.Ref.missing(all, err)
	return f.p.near
}

// everything is what to ask for when a commit is looked for that no ref names,
// and that may not be asked for: what all refs name.
func everything(on refs, tip gitops.Hash) []gitops.Hash {
	var all []gitops.Hash
	for name, id := range on {
		if id == tip {
			return []gitops.Hash{tip}
		}
		if strings.HasPrefix(name, headPrefix) || strings.HasPrefix(name, tagPrefix) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// besideNew adds the refs that only a new head needs. While the head is the one
// that was settled, those that came with it are kept and not asked for.
func (f *fetch) besideNew(c choice, late []string) error {
	if len(late) == 0 {
		return nil
	}
	kept, err := f.s.store.Carried(f.ctx, f.s.cfg.Source)
	if err != nil {
		return err
	}
	settled := f.settled(c)
	for name, id := range beside(kept, late) {
		if settled || f.s.about(name) {
			c.carried[name] = id
		}
	}
	if settled {
		return nil
	}
	list, err := f.refs(late)
	for _, r := range list.List {
		c.carried[r.Name] = r.ID
	}
	return err
}

// settled reports whether the ref names the newest commit that the node has
// used, and nothing more is to be found out about it.
func (f *fetch) settled(c choice) bool {
	if !f.s.settled || len(f.s.known) == 0 {
		return false
	}
	at, err := f.s.peel(f.ctx, c.tip)
	return err == nil && at == f.s.known[0]
}

// about reports whether a ref is about a commit that the node uses: a host that
// takes it back must not take the commit back with it.
func (s *Source) about(name string) bool {
	return slices.ContainsFunc(s.known, func(id gitops.Hash) bool { return strings.Contains(name, "/"+string(id)+"/") })
}

// beside are the refs that are kept beside the head: those that begin with one
// of prefixes.
func beside(on refs, prefixes []string) map[string]gitops.Hash {
	out := map[string]gitops.Hash{}
	for name, id := range on {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			out[name] = id
		}
	}
	return out
}
