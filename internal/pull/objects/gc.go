// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// sweepStep is how many objects one transaction looks at, so that a reader
	// waits for milliseconds.
	sweepStep = 512
	// vacuumStep is how many pages one step gives back to the file system.
	vacuumStep = 256
)

// GC removes what no head and no retained revision reaches, in small steps,
// and gives the space back. Killed in the middle it leaves objects whose links
// are gone; a mark in the file says so until a collection has ended.
// Progress is called with every object that is looked at, nil for nobody.
func (s *Store) GC(ctx context.Context, progress func()) (err error) {
	defer s.quarantine(ctx, &err)
	if progress == nil {
		progress = func() {}
	}
	return s.collect(ctx, nil, progress)
}

// collect is GC that spares what more reaches, too.
func (s *Store) collect(ctx context.Context, more []gitops.Hash, progress func()) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	keep, err := roots(ctx, s.db)
	if err != nil {
		return err
	}
	spared, err := parseIDs(more)
	if err != nil {
		return err
	}
	for _, i := range spared {
		whole, err := s.complete(ctx, s.db, i)
		if err != nil {
			return err
		}
		if whole && !slices.Contains(keep, i) {
			keep = append(keep, i)
		}
	}
	reached, err := s.walk(ctx, s.db, keep, progress)
	if err != nil {
		return fmt.Errorf("collect unused objects: %w", err)
	}
	swept, err := s.sweep(ctx, reached)
	if err != nil {
		return err
	}
	lost, err := suspected(ctx, s.db)
	if err != nil {
		return err
	}
	if lost {
		// Everything that is left was reached, and the walk found it whole.
		if _, err := s.db.ExecContext(ctx, "DELETE FROM suspects"); err != nil {
			return storeFailed("end a collection", err)
		}
	}
	if !swept {
		return nil
	}
	return s.shrink(ctx)
}

func (s *Store) sweep(ctx context.Context, reached map[id]struct{}) (swept bool, err error) {
	for last := int64(0); ; {
		dead, next, err := s.unreached(ctx, last, reached)
		if err != nil {
			return swept, err
		}
		if next == last {
			return swept, nil
		}
		last = next
		if len(dead) == 0 {
			continue
		}
		swept = true
		if err := s.drop(ctx, dead); err != nil {
			return swept, err
		}
	}
}

// unreached looks at the next objects after seq, and says where it stopped.
func (s *Store) unreached(ctx context.Context, seq int64, reached map[id]struct{}) (dead []int64, last int64, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT seq, id FROM objects WHERE seq > ? ORDER BY seq LIMIT ?", seq, sweepStep)
	if err != nil {
		return nil, seq, storeFailed("collect unused objects", err)
	}
	defer func() { _ = rows.Close() }()
	last = seq
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&last, &raw); err != nil {
			return nil, seq, storeFailed("collect unused objects", err)
		}
		if _, ok := reached[id(raw)]; !ok {
			dead = append(dead, last)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, seq, storeFailed("collect unused objects", err)
	}
	return dead, last, nil
}

func (s *Store) drop(ctx context.Context, dead []int64) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return storeFailed("collect unused objects", err)
	}
	defer func() { _ = tx.Rollback() }()
	collecting := plumbing.ZeroHash
	if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO suspects (id) VALUES (?)", collecting[:]); err != nil {
		return storeFailed("collect unused objects", err)
	}
	for _, seq := range dead {
		if _, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE seq = ?", seq); err != nil {
			return storeFailed("collect unused objects", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return storeFailed("collect unused objects", err)
	}
	return nil
}

// shrink gives free pages back to the file system.
func (s *Store) shrink(ctx context.Context) error {
	for before := int64(-1); ; {
		var free int64
		if err := s.db.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return storeFailed("shrink the object store", err)
		}
		if free == 0 || free == before {
			return nil
		}
		before = free
		if err := s.vacuum(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("shrink the object store: %w", err)
		}
	}
}

// vacuum frees one page for each row that it steps over: rows must be read.
func (s *Store) vacuum(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumStep))
	if err != nil {
		return storeFailed("shrink the object store", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		return storeFailed("shrink the object store", err)
	}
	return nil
}
