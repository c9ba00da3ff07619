// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxSeen bounds the memory for links that were found whole already:
// neighbouring trees of a history name nearly the same objects.
const maxSeen = 100_000

// checkClosed checks that everything the objects after seq name is in the
// store with the right type. What was in the store before names nothing that
// is missing, so this is all that has to be looked at, without walking history.
func (s *Store) checkClosed(ctx context.Context, tx *sql.Tx, seq int64, progress func()) error {
	rows, err := tx.QueryContext(ctx,
		"SELECT id, kind, size, data FROM objects WHERE seq > ? AND kind <> ? ORDER BY seq",
		seq, int(plumbing.BlobObject))
	if err != nil {
		return storeFailed("check a pack", err)
	}
	defer func() { _ = rows.Close() }()
	seen := map[link]struct{}{}
	for rows.Next() {
		var raw, data []byte
		var t plumbing.ObjectType
		var size int64
		if err := rows.Scan(&raw, &t, &size, &data); err != nil {
			return storeFailed("check a pack", err)
		}
		i := id(raw)
		content, err := s.unpack(i, t, size, data)
		if err != nil {
			return err
		}
		named, err := links(t, content)
		if err != nil {
			return malformed(i, t, err)
		}
		if err := checkLinks(ctx, tx, i, t, named, seen); err != nil {
			return err
		}
		progress()
	}
	if err := rows.Err(); err != nil {
		return storeFailed("check a pack", err)
	}
	return nil
}

func checkLinks(ctx context.Context, q querier, from id, t plumbing.ObjectType, named []link, seen map[link]struct{}) error {
	for _, l := range named {
		if _, ok := seen[l]; ok {
			continue
		}
		got, err := kind(ctx, q, l.id)
		if err != nil {
			return err
		}
		if err := checkLink(from, t, l, got); err != nil {
			return err
		}
		if len(seen) >= maxSeen {
			clear(seen)
		}
		seen[l] = struct{}{}
	}
	return nil
}

func checkLink(from id, t plumbing.ObjectType, l link, got plumbing.ObjectType) error {
	switch got {
	case l.kind:
		return nil
	case plumbing.InvalidObject:
		return &gitops.Error{
			Reason: gitops.Incomplete,
			Message: fmt.Sprintf("check %s %s: the %s %s that it names is not there",
				t, from.hash(), l.kind, l.id.hash()),
			Remedy: "the server's repository may be shallow or damaged: check it with git fsck",
		}
	default:
		return corrupt("check %s %s: it names %s as a %s, but that is a %s", t, from.hash(), l.id.hash(), l.kind, got)
	}
}

func malformed(i id, t plumbing.ObjectType, err error) error {
	return corrupt("read %s %s: it has %v", t, i.hash(), err)
}

// walk visits everything that roots reach and returns it. Every commit, tree
// and tag is read and hashed; of blobs only the presence is looked at.
func (s *Store) walk(ctx context.Context, q querier, roots []id, progress func()) (map[id]struct{}, error) {
	reached := map[id]struct{}{}
	stack := make([]link, 0, len(roots))
	for _, r := range roots {
		t, err := kind(ctx, q, r)
		if err != nil {
			return nil, err
		}
		if t == plumbing.InvalidObject {
			return nil, checkLink(r, plumbing.AnyObject, link{r, plumbing.CommitObject}, t)
		}
		stack = append(stack, link{r, t})
		reached[r] = struct{}{}
	}
	for len(stack) > 0 {
		l := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("walk the object store: %w", err)
		}
		named, err := s.follow(ctx, q, l, reached)
		if err != nil {
			return nil, err
		}
		stack = append(stack, named...)
		progress()
	}
	return reached, nil
}

// follow reads one object and returns what it names and was not reached yet.
func (s *Store) follow(ctx context.Context, q querier, l link, reached map[id]struct{}) ([]link, error) {
	if l.kind == plumbing.BlobObject {
		return nil, nil
	}
	t, content, err := s.read(ctx, q, l.id)
	if err != nil {
		return nil, err
	}
	named, err := links(t, content)
	if err != nil {
		return nil, malformed(l.id, t, err)
	}
	fresh := named[:0]
	for _, n := range named {
		if _, ok := reached[n.id]; ok {
			continue
		}
		got, err := kind(ctx, q, n.id)
		if err != nil {
			return nil, err
		}
		if err := checkLink(l.id, t, n, got); err != nil {
			return nil, err
		}
		reached[n.id] = struct{}{}
		fresh = append(fresh, n)
	}
	return fresh, nil
}

// suspected reports whether something is or may be missing.
func suspected(ctx context.Context, q querier) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, "SELECT 1 FROM suspects LIMIT 1").Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, storeFailed("read the object store", err)
	}
	return true, nil
}

// Complete reports whether an object is there with everything it reaches.
// That follows from its presence, except after damage and while a collection
// is unfinished: then it is walked.
func (s *Store) Complete(ctx context.Context, h gitops.Hash) (whole bool, err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(h)
	if err != nil {
		return false, err
	}
	return s.complete(ctx, s.db, i)
}

func (s *Store) complete(ctx context.Context, q querier, i id) (bool, error) {
	t, err := kind(ctx, q, i)
	if err != nil || t == plumbing.InvalidObject {
		return false, err
	}
	lost, err := suspected(ctx, q)
	if err != nil || !lost {
		return err == nil, err
	}
	_, err = s.walk(ctx, q, []id{i}, func() {})
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.Corrupt:
		return false, nil
	}
	return err == nil, err
}
