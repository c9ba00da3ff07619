// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The names of refs.
const (
	headRef     = "head"
	retainedRef = "retained/"
	carriedRef  = "carried/"
)

// ref is a row of the refs.
type ref struct {
	source, name string
	id           id
	proven       bool
}

// querier is the database or a transaction on it. There is one connection:
// whoever holds a transaction must read through it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// refs lists the refs of a source, or of all with "".
func refs(ctx context.Context, q querier, source string) ([]ref, error) {
	doing := "read the refs of the object store"
	rows, err := q.QueryContext(ctx,
		"SELECT source, name, id, proven FROM refs WHERE ?1 = '' OR source = ?1 ORDER BY source, name", source)
	if err != nil {
		return nil, storeFailed(doing, err)
	}
	defer func() { _ = rows.Close() }()
	var out []ref
	for rows.Next() {
		var r ref
		var raw []byte
		if err := rows.Scan(&r.source, &r.name, &raw, &r.proven); err != nil {
			return nil, storeFailed(doing, err)
		}
		r.id = id(raw)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, storeFailed(doing, err)
	}
	return out, nil
}

func (s *Store) head(ctx context.Context, source string) (ref, bool, error) {
	all, err := refs(ctx, s.db, source)
	if err != nil {
		return ref{}, false, err
	}
	n := slices.IndexFunc(all, func(r ref) bool { return r.source == source && r.name == headRef })
	if n < 0 {
		return ref{}, false, nil
	}
	return all[n], true, nil
}

// Head is the source's head. It is false when there is none, and after damage:
// then its lineage has to be walked again.
func (s *Store) Head(ctx context.Context, source string) (head gitops.Hash, ok bool, err error) {
	defer s.quarantine(ctx, &err)
	r, ok, err := s.head(ctx, source)
	if err != nil || !ok || !r.proven {
		return "", false, err
	}
	return r.id.hash(), true, nil
}

// Advance moves the source's head to a tip whose Lineage was found whole. When
// it is there, nothing is written: an idle node does not wear its flash. A tip
// that was not walked since objects were last taken out is refused.
func (s *Store) Advance(ctx context.Context, source string, head gitops.Hash) (err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(head)
	if err != nil {
		return err
	}
	r, ok, err := s.head(ctx, source)
	if err != nil || ok && r.id == i && r.proven {
		return err
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	if !s.walked.holds(i) {
		return &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: fmt.Sprintf("move the head of source %s to %s: objects were removed since its history was looked at", source, head),
			Remedy:  "the next poll looks at it again",
		}
	}
	_, err = s.db.ExecContext(ctx,
		"INSERT OR REPLACE INTO refs (source, name, id, proven) VALUES (?, ?, ?, 1)", source, headRef, i[:])
	if err != nil {
		return storeFailed("move a ref of the object store", err)
	}
	return nil
}

// Heads lists what may be told to a server as present: the heads and retained
// revisions of all sources that are here, each once. What is below them may be
// missing in part.
func (s *Store) Heads(ctx context.Context) (heads []gitops.Hash, err error) {
	defer s.quarantine(ctx, &err)
	all, err := refs(ctx, s.db, "")
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if h := r.id.hash(); !strings.HasPrefix(r.name, carriedRef) && !slices.Contains(heads, h) {
			heads = append(heads, h)
		}
	}
	lost, err := s.Absent(ctx, heads)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(heads, func(h gitops.Hash) bool { return slices.Contains(lost, h) }), nil
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
	named := make(map[string]id, len(want))
	for _, i := range want {
		named[retainedRef+string(i.hash())] = i
	}
	return s.replaceRefs(ctx, source, retainedRef, named)
}

// Carry keeps named refs of a source (refs/edgeagent/*) beside its head, in
// place of those kept before. What they name must be here.
func (s *Store) Carry(ctx context.Context, source string, carried map[string]gitops.Hash) (err error) {
	defer s.quarantine(ctx, &err)
	named := make(map[string]id, len(carried))
	for name, h := range carried {
		i, err := parseID(h)
		if err != nil {
			return err
		}
		a, err := s.locate(ctx, i)
		if err != nil {
			return err
		}
		if !a.here() {
			return errors.Join(fmt.Errorf("keep ref %s", name), absent(i))
		}
		named[carriedRef+name] = i
	}
	return s.replaceRefs(ctx, source, carriedRef, named)
}

// Carried is what Carry kept.
func (s *Store) Carried(ctx context.Context, source string) (carried map[string]gitops.Hash, err error) {
	defer s.quarantine(ctx, &err)
	all, err := refs(ctx, s.db, source)
	if err != nil {
		return nil, err
	}
	carried = map[string]gitops.Hash{}
	for _, r := range all {
		if name, ok := strings.CutPrefix(r.name, carriedRef); ok && r.source == source {
			carried[name] = r.id.hash()
		}
	}
	return carried, nil
}

// replaceRefs makes named the only refs of a source with a prefix, of those
// whose object is here. Where nothing changes, SQLite writes nothing.
func (s *Store) replaceRefs(ctx context.Context, source, prefix string, named map[string]id) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	doing := "keep revisions of source " + source
	return s.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		have, err := refs(ctx, tx, source)
		if err != nil {
			return err
		}
		for _, r := range have {
			if r.source != source || !strings.HasPrefix(r.name, prefix) {
				continue
			}
			if i, ok := named[r.name]; ok && i == r.id {
				delete(named, r.name)
				continue
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM refs WHERE source = ? AND name = ?", source, r.name); err != nil {
				return storeFailed(doing, err)
			}
		}
		for name, i := range named {
			if _, err := tx.ExecContext(ctx,
				"INSERT INTO refs (source, name, id) SELECT ?, ?, id FROM objects WHERE id = ?", source, name, i[:]); err != nil {
				return storeFailed(doing, err)
			}
		}
		return nil
	})
}

// Remove forgets a source. Its objects go at the next collection.
func (s *Store) Remove(ctx context.Context, source string) (err error) {
	defer s.quarantine(ctx, &err)
	if _, err := s.db.ExecContext(ctx, "DELETE FROM refs WHERE source = ?", source); err != nil {
		return storeFailed("forget source "+source, err)
	}
	return nil
}
