// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	// sweepStep is how many objects one transaction looks at, so that a reader
	// waits for milliseconds.
	sweepStep = 512
	// vacuumStep is how many pages one step gives back to the file system.
	vacuumStep = 256
)

// sweep takes the rows up to a seq that are not reached.
func (s *Store) sweep(ctx context.Context, upTo int64, reached *marks) (swept bool, err error) {
	defer func() {
		if swept {
			s.walked.forget()
		}
	}()
	for last := int64(0); ; {
		dead, next, err := s.unreached(ctx, last, upTo, reached)
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
func (s *Store) unreached(ctx context.Context, seq, upTo int64, reached *marks) (dead []int64, last int64, err error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT seq FROM objects WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", seq, upTo, sweepStep)
	if err != nil {
		return nil, seq, storeFailed("collect unused objects", err)
	}
	defer func() { _ = rows.Close() }()
	last = seq
	for rows.Next() {
		if err := rows.Scan(&last); err != nil {
			return nil, seq, storeFailed("collect unused objects", err)
		}
		if !reached.has(last) {
			dead = append(dead, last)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, seq, storeFailed("collect unused objects", err)
	}
	return dead, last, nil
}

func (s *Store) drop(ctx context.Context, dead []int64) error {
	doing := "collect unused objects"
	return s.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		for _, seq := range dead {
			if _, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE seq = ?", seq); err != nil {
				return storeFailed(doing, err)
			}
		}
		return nil
	})
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
