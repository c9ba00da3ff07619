// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	headRef     = "head"
	retainedRef = "retained/"
)

// Advance moves the source's head to an object that is complete already. When
// it is there, nothing is written: an idle node does not wear its flash.
func (s *Store) Advance(ctx context.Context, source string, head gitops.Hash) (err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(head)
	if err != nil {
		return err
	}
	return setRef(ctx, s.db, source, headRef, i)
}

func setRef(ctx context.Context, q querier, source, name string, i id) error {
	var n int
	err := q.QueryRowContext(ctx,
		"SELECT count(*) FROM refs WHERE source = ? AND name = ? AND id = ?", source, name, i[:]).Scan(&n)
	if err != nil {
		return storeFailed("read a ref of the object store", err)
	}
	if n == 1 {
		return nil
	}
	_, err = q.ExecContext(ctx,
		"INSERT OR REPLACE INTO refs (source, name, id) VALUES (?, ?, ?)", source, name, i[:])
	if err != nil {
		return storeFailed("move a ref of the object store", err)
	}
	return nil
}

// Heads lists what may be told to a server as present: the heads and retained
// revisions of all sources, each once and complete.
func (s *Store) Heads(ctx context.Context) (heads []gitops.Hash, err error) {
	defer s.quarantine(ctx, &err)
	roots, err := roots(ctx, s.db)
	if err != nil {
		return nil, err
	}
	for _, i := range roots {
		ok, err := s.complete(ctx, s.db, i)
		if err != nil {
			return nil, err
		}
		if ok {
			heads = append(heads, i.hash())
		}
	}
	return heads, nil
}

func roots(ctx context.Context, q querier) ([]id, error) {
	rows, err := q.QueryContext(ctx, "SELECT DISTINCT id FROM refs ORDER BY id")
	if err != nil {
		return nil, storeFailed("read the refs of the object store", err)
	}
	defer func() { _ = rows.Close() }()
	var out []id
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, storeFailed("read the refs of the object store", err)
		}
		out = append(out, id(raw))
	}
	if err := rows.Err(); err != nil {
		return nil, storeFailed("read the refs of the object store", err)
	}
	return out, nil
}

// Retain names the revisions of a source that must stay readable, in place of
// those named before. One that is not in the store is left out: after the file
// was lost, the journal still names what only an earlier file held.
func (s *Store) Retain(ctx context.Context, source string, revisions []gitops.Hash) (err error) {
	defer s.quarantine(ctx, &err)
	want, err := parseIDs(revisions)
	if err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return storeFailed("retain revisions", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := retain(ctx, tx, source, want); err != nil {
		return err
	}
	// Where nothing changed, SQLite writes nothing.
	if err := tx.Commit(); err != nil {
		return storeFailed("retain revisions", err)
	}
	return nil
}

func parseIDs(hashes []gitops.Hash) ([]id, error) {
	out := make([]id, 0, len(hashes))
	for _, h := range hashes {
		i, err := parseID(h)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

func retain(ctx context.Context, tx *sql.Tx, source string, want []id) error {
	have, err := retained(ctx, tx, source)
	if err != nil {
		return err
	}
	for _, i := range have {
		if slices.Contains(want, i) {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM refs WHERE source = ? AND name = ?",
			source, retainedRef+string(i.hash())); err != nil {
			return storeFailed("retain revisions", err)
		}
	}
	for _, i := range want {
		if slices.Contains(have, i) {
			continue
		}
		if _, err := tx.ExecContext(ctx,
			"INSERT OR IGNORE INTO refs (source, name, id) SELECT ?, ?, id FROM objects WHERE id = ?",
			source, retainedRef+string(i.hash()), i[:]); err != nil {
			return storeFailed("retain revisions", err)
		}
	}
	return nil
}

func retained(ctx context.Context, tx *sql.Tx, source string) ([]id, error) {
	rows, err := tx.QueryContext(ctx, "SELECT id FROM refs WHERE source = ? AND name <> ?", source, headRef)
	if err != nil {
		return nil, storeFailed("read the retained revisions", err)
	}
	defer func() { _ = rows.Close() }()
	var out []id
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, storeFailed("read the retained revisions", err)
		}
		out = append(out, id(raw))
	}
	if err := rows.Err(); err != nil {
		return nil, storeFailed("read the retained revisions", err)
	}
	return out, nil
}

// Remove forgets a source. Its objects go at the next collection.
func (s *Store) Remove(ctx context.Context, source string) (err error) {
	defer s.quarantine(ctx, &err)
	if _, err := s.db.ExecContext(ctx, "DELETE FROM refs WHERE source = ?", source); err != nil {
		return storeFailed("forget source "+source, err)
	}
	return nil
}
