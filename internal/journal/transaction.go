// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"errors"
)

// querier is what reading needs of a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

var errClosed = errors.New("the journal is closed")

// take waits for the turn, and opens the database again when an I/O error made
// us close it.
func (j *Journal) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := errClosed
	if !j.closed {
		err = j.reopen(ctx)
	}
	if err != nil {
		j.giveUp()
	}
	return err
}

func (j *Journal) giveUp() { <-j.turn }

// reopen is the only answer to an I/O error: after a failed fsync the kernel
// may have dropped pages that SQLite's cache believes to be on disk, so the
// handle is thrown away and the file is read anew, with its journal played back.
func (j *Journal) reopen(ctx context.Context) error {
	if j.db != nil {
		return nil
	}
	db, err := openDatabase(ctx, j.file(), j.opts.vfs)
	if err != nil {
		return err
	}
	if err := quickCheck(ctx, db); err != nil {
		db.Close()
		return err
	}
	j.db = db
	return nil
}

// read runs fn, which must only read. Nobody writes meanwhile, so that several
// queries see one state.
func (j *Journal) read(ctx context.Context, doing string, fn func(ctx context.Context, q querier) error) error {
	if err := j.take(ctx); err != nil {
		return j.failed(doing, err)
	}
	defer j.giveUp()
	if err := fn(ctx, j.db); err != nil {
		j.dropAfterIOError(err)
		return j.failed(doing, err)
	}
	return nil
}

// write runs fn in one transaction. A write that has begun is carried through
// even when ctx ends: whoever shuts us down gets a definite answer. fn may run
// twice and must touch nothing but tx and its results.
func (j *Journal) write(ctx context.Context, doing string, fn func(ctx context.Context, tx *sql.Tx) error) error {
	return j.writeIf(ctx, doing, nil, fn)
}

// writeIf is write, but only when needed says so, which may only read. What is
// decided and what is written see one state.
func (j *Journal) writeIf(ctx context.Context, doing string,
	needed func(ctx context.Context, q querier) (bool, error), fn func(ctx context.Context, tx *sql.Tx) error,
) error {
	if err := j.take(ctx); err != nil {
		return j.failed(doing, err)
	}
	defer j.giveUp()
	ctx = context.WithoutCancel(ctx)
	if needed != nil {
		ok, err := needed(ctx, j.db)
		if err != nil {
			j.dropAfterIOError(err)
			return j.failed(doing, err)
		}
		if !ok {
			return nil
		}
	}
	err := j.transact(ctx, fn)
	if isFull(err) && j.dropBallast(ctx) == nil {
		err = j.transact(ctx, fn)
	}
	if err != nil {
		j.dropAfterIOError(err)
		return j.failed(doing, err)
	}
	return nil
}

func (j *Journal) transact(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no-op after Commit
	if !j.dirty {
		if _, err := tx.ExecContext(ctx, "UPDATE meta SET value = '0' WHERE name = 'clean'"); err != nil {
			return err
		}
	}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := j.writeLink(ctx, tx); err != nil {
		return err
	}
	now, text, err := j.nextSlot(ctx, tx, 0)
	if err != nil {
		return err
	}
	j.at("commit")
	if err := tx.Commit(); err != nil {
		return err
	}
	j.dirty = true
	clear(j.link)
	j.at("committed")
	j.saveSlot(now, text)
	return nil
}

func (j *Journal) at(point string) {
	if j.opts.hook != nil {
		j.opts.hook(point)
	}
}

// dropAfterIOError throws the connection away, so that the next use reads the
// disk again. Whether the failed commit is there is then seen, not guessed.
func (j *Journal) dropAfterIOError(err error) {
	if isIOError(err) && j.db != nil {
		_ = j.db.Close() // it failed already; its locks end with it
		j.db = nil
	}
}
