// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

// exportFilter says that the bundle leaves trees out: of all commits but the
// last it has the root trees only. Git refuses to make a clone of it; Import
// does not ask for more.
const exportFilter = "tree:0"

// Export writes a bundle from which a node without a link can run rev: all
// commits back to where trust begins, and the whole tree of rev, whichever part
// of it this node uses. What is missing of it is fetched first.
func (s *Source) Export(ctx context.Context, rev gitops.Revision, w io.Writer) error {
	at := rev.Hash()
	carried, err := s.store.Carried(ctx, s.cfg.Source)
	if err != nil {
		return err
	}
	statements, _, err := s.store.Statements(ctx, slices.Sorted(maps.Values(carried)), 1)
	if err != nil {
		return err
	}
	whole := []gitops.Hash{at}
	if err := s.wholeTree(ctx, rev, whole); err != nil {
		return err
	}
	name, tip, err := s.refOf(ctx, rev)
	if err != nil {
		return err
	}
	tips, until, err := s.history(ctx, tip, at)
	if err != nil {
		return err
	}
	ids, err := s.store.Reach(ctx, tips, until, whole)
	if err != nil {
		return err
	}
	ids = with(ids, statements)
	header := bundle.Header{Version: 3, Filter: exportFilter, Refs: []bundle.Ref{{Name: name, ID: tip}}}
	for _, ref := range slices.Sorted(maps.Keys(carried)) {
		header.Refs = append(header.Refs, bundle.Ref{Name: ref, ID: carried[ref]})
	}
	if err := header.Write(w); err != nil {
		return err
	}
	return s.store.Pack(ctx, w, ids)
}

// with adds what is not in a list yet.
func with(ids, more []gitops.Hash) []gitops.Hash {
	in := make(map[gitops.Hash]bool, len(ids))
	for _, id := range ids {
		in[id] = true
	}
	for _, id := range more {
		if !in[id] {
			in[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// history is what of the commits goes into an export: those since trust began, or
// all of them where a path goes around that, so that the neighbour can see which
// are older. Where trust begins with the first head that is seen, it is this one.
func (s *Source) history(ctx context.Context, tip, at gitops.Hash) (tips, until []gitops.Hash, err error) {
	start := gitops.Hash(s.cfg.Introduction)
	if !start.Valid() {
		return []gitops.Hash{tip}, []gitops.Hash{at}, nil
	}
	found, err := s.store.Lineage(ctx, tip, []gitops.Hash{start}, 1)
	if err != nil || !found.Around {
		return []gitops.Hash{tip}, []gitops.Hash{start}, err
	}
	return []gitops.Hash{tip, start}, nil, nil
}

// refOf is the name under which the revision is exported, and the object that
// the name stands for: a tag where the source follows tags.
func (s *Source) refOf(ctx context.Context, rev gitops.Revision) (string, gitops.Hash, error) {
	if s.cfg.Ref.Commit != "" {
		return "HEAD", rev.Hash(), nil
	}
	if s.cfg.Ref.Branch != "" {
		return headPrefix + rev.Ref(), rev.Hash(), nil
	}
	head, ok, err := s.store.Head(ctx, s.cfg.Source)
	if err != nil {
		return "", "", err
	}
	if ok {
		at, err := s.peel(ctx, head)
		if err != nil {
			return "", "", err
		}
		if at == rev.Hash() {
			return tagPrefix + rev.Ref(), head, nil
		}
	}
	return "", "", failed(gitops.Incomplete, "export again when the newest revision is applied",
		"export %s: the store does not name the tag that it was accepted under", rev.Short())
}

// wholeTree fetches what is missing of an export, and names it where it cannot.
func (s *Source) wholeTree(ctx context.Context, rev gitops.Revision, whole []gitops.Hash) error {
	below := func() ([]gitops.MissingObject, error) { return s.store.Below(ctx, whole, mostAtOnce) }
	missing, err := below()
	if err != nil || len(missing) == 0 {
		return err
	}
	if err = s.affordable(); err == nil {
		err = s.each(ctx, func(f *fetch) error {
			if f.p.static == nil {
				return f.complete(below)
			}
			return f.bundles(func() (bool, error) {
				missing, err := below()
				return len(missing) == 0, err
			})
		})
	}
	s.mu.Lock()
	s.remember()
	s.mu.Unlock()
	switch gitops.ReasonOf(err) {
	case gitops.StoreFailed, gitops.Fetching, "":
		return err
	}
	if missing, e := below(); e == nil && len(missing) > 0 {
		return failed(gitops.Incomplete, "export again when the link is back",
			"export %s: %d objects of its tree are missing at least, e.g. %s: %v", rev.Short(), len(missing), described(missing[0]), err)
	}
	return err
}
