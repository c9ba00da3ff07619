// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// GC removes what nothing needs any more, in small steps, and gives the space
// back. It keeps the commits and tags that heads, retained revisions and carried
// refs reach, each with its root tree and what is below .edgeagent; of those
// refs themselves, all trees and files that are here; and what came since the
// last collection, which a fetch that is not over may have brought. While a head
// is not proven, what it needs is not known, and nothing is removed.
//
// What a collection that is killed has taken was reached by no ref: every head
// is as proven as before.
//
// Progress is called with every object that is looked at, nil for nobody.
func (s *Store) GC(ctx context.Context, progress func()) (err error) {
	defer s.quarantine(ctx, &err)
	all, err := refs(ctx, s.db, "")
	if err != nil {
		return err
	}
	for _, r := range all {
		if !r.proven {
			return nil
		}
	}
	young, err := s.young(ctx)
	if err != nil {
		return err
	}
	return s.collect(ctx, collection{upTo: young, progress: progress})
}

// collection says what one collection may take.
type collection struct {
	upTo     int64         // no object that came after it
	keep     []gitops.Hash // nor what these need: as a retained revision does
	progress func()
}

func (s *Store) collect(ctx context.Context, c collection) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	if c.progress == nil {
		c.progress = func() {}
	}
	reached, err := s.reached(ctx, c)
	if err != nil {
		return fmt.Errorf("collect unused objects: %w", err)
	}
	swept, err := s.sweep(ctx, c.upTo, reached)
	if err != nil {
		return err
	}
	if err := s.age(ctx); err != nil || !swept {
		return err
	}
	return s.shrink(ctx)
}

// reached marks the rows that stay.
func (s *Store) reached(ctx context.Context, c collection) (*marks, error) {
	roots, err := parseIDs(c.keep)
	if err != nil {
		return nil, err
	}
	all, err := refs(ctx, s.db, "")
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		roots = append(roots, r.id)
	}
	k := keeping{s: s, progress: c.progress}
	k.below = descent{s: s, lenient: true, found: func(_ link, seq int64) { k.keep(seq) }}
	history := ancestry{s: s, lenient: true, commit: k.commit}
	for _, i := range roots {
		p, err := s.peel(ctx, i)
		if err != nil {
			return nil, err
		}
		for _, tag := range p.tags {
			k.keep(tag.seq)
		}
		if p.at.kind == plumbing.CommitObject {
			if err := history.walk(ctx, p.target.id); err != nil {
				return nil, err
			}
		}
		if err := k.below.walk(ctx, i); err != nil {
			return nil, err
		}
	}
	return &k.rows, nil
}

// keeping is what a collection found to be needed.
type keeping struct {
	s        *Store
	progress func()
	rows     marks
	roots    marks // the root trees that were looked at
	below    descent
}

func (k *keeping) keep(seq int64) {
	k.rows.add(seq)
	k.progress()
}

func (k *keeping) commit(ctx context.Context, _ id, seq int64, h history) error {
	k.keep(seq)
	tree, err := k.s.locate(ctx, h.tree)
	if err != nil || tree.kind != plumbing.TreeObject || !k.roots.add(tree.seq) {
		return err
	}
	k.keep(tree.seq)
	return k.below.trust(ctx, h.tree)
}

// young is the newest object that the last collection saw.
func (s *Store) young(ctx context.Context) (int64, error) {
	var seq int64
	if err := s.db.QueryRowContext(ctx, "SELECT young FROM collections").Scan(&seq); err != nil {
		return 0, storeFailed("collect unused objects", err)
	}
	return seq, nil
}

// age lets the next collection take what is here now. Where nothing came,
// SQLite writes nothing.
func (s *Store) age(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "UPDATE collections SET young = (SELECT coalesce(max(seq), 0) FROM objects)")
	if err != nil {
		return storeFailed("end a collection", err)
	}
	return nil
}
