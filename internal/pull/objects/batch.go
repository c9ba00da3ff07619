// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	// batchObjects and batchBytes end a batch: each costs a sync of the disk, and
	// is what a process that dies loses.
	batchObjects = 256
	batchBytes   = 1 << 20
)

// row is an object on its way into the file.
type row struct {
	id   id
	kind plumbing.ObjectType
	size int64
	data []byte
}

// batch collects objects, and stores them in one transaction when they are
// enough.
type batch struct {
	s       *Store
	arrival Arrival
	began   int64 // the newest row when the pack began to come

	rows   []row
	place  map[id]int
	bytes  int
	failed bool // nothing more is stored after that

	stored, news int
}

func (s *Store) newBatch(ctx context.Context, a Arrival) (*batch, error) {
	b := &batch{s: s, arrival: a, place: map[id]int{}}
	if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM objects").Scan(&b.began); err != nil {
		return nil, storeFailed("begin to store a pack", err)
	}
	return b, nil
}

// add takes an object in. One that is in the store already costs no write.
func (b *batch) add(ctx context.Context, i id, t plumbing.ObjectType, content []byte) error {
	if _, again := b.place[i]; again {
		return nil
	}
	a, err := b.s.locate(ctx, i)
	if err != nil {
		return err
	}
	if a.here() {
		b.stored++
		return nil
	}
	b.place[i] = len(b.rows)
	b.rows = append(b.rows, row{i, t, int64(len(content)), b.s.squeeze(content)})
	b.bytes += len(content)
	if len(b.rows) < batchObjects && b.bytes < batchBytes {
		return nil
	}
	return b.flush(ctx)
}

// find is an object of the batch.
func (b *batch) find(i id) (object, bool, error) {
	n, ok := b.place[i]
	if !ok {
		return object{}, false, nil
	}
	r := b.rows[n]
	content, err := b.s.unpack(i, r.kind, r.size, r.data)
	return object{kind: r.kind, content: content}, true, err
}

// flush stores the batch. When the file is full, room is made: first of what no
// fetch can be waiting for, then of everything that is not needed and was there
// before this pack.
func (b *batch) flush(ctx context.Context) error {
	if len(b.rows) == 0 || b.failed {
		return nil
	}
	// A context that ended is no reason to lose what is here.
	ctx = context.WithoutCancel(ctx)
	err := b.store(ctx)
	for _, upTo := range []func(context.Context) (int64, error){b.s.young, b.before} {
		if !isFull(err) {
			break
		}
		if failed := b.makeRoom(ctx, upTo); failed != nil {
			err = errors.Join(b.s.explainFull(err), failed)
			break
		}
		err = b.store(ctx)
	}
	if err != nil {
		b.failed = true
		return b.s.explainFull(err)
	}
	clear(b.place)
	b.rows, b.bytes = b.rows[:0], 0
	return nil
}

func (b *batch) makeRoom(ctx context.Context, upTo func(context.Context) (int64, error)) error {
	seq, err := upTo(ctx)
	if err != nil {
		return err
	}
	return b.s.collect(ctx, collection{upTo: seq, keep: b.arrival.Keep, progress: b.arrival.Progress})
}

func (b *batch) before(context.Context) (int64, error) { return b.began, nil }

func (b *batch) store(ctx context.Context) error {
	var news int64
	err := b.s.write(ctx, "store a pack", func(ctx context.Context, tx *sql.Tx) (err error) {
		news, err = b.insert(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	b.stored += len(b.rows)
	b.news += int(news)
	return nil
}

func (b *batch) insert(ctx context.Context, tx *sql.Tx) (news int64, err error) {
	insert, err := tx.PrepareContext(ctx,
		"INSERT INTO objects (id, kind, size, data) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
	if err != nil {
		return 0, storeFailed("store a pack", err)
	}
	defer func() { _ = insert.Close() }()
	for _, r := range b.rows {
		done, err := insert.ExecContext(ctx, r.id[:], int(r.kind), r.size, nonNil(r.data))
		if err != nil {
			return 0, storeFailed("store object "+string(r.id.hash()), err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, storeFailed("store object "+string(r.id.hash()), err)
		}
		news += n
	}
	return news, nil
}

// nonNil keeps the driver from writing an empty object as NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
