// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"

	"golang.org/x/sys/unix"
)

const (
	defaultBallast = 4 << 20
	ballastRow     = 64 << 10
	// grown is how much of the rollback journal is allocated beforehand, as a
	// part of the ballast: with PERSIST the file keeps its size, and a write on a
	// full disk needs room in both files.
	grown = 4
)

// fillBallast allocates what is given up on a full disk: rows, because pages
// that are freed inside the database can be taken by nobody else, as a deleted
// file's could. Random bytes, because some file systems store zeros as nothing.
// Without room for it the journal works all the same: it is tried again in
// Retain.
func (j *Journal) fillBallast(ctx context.Context) error {
	missing, err := j.ballastMissing(ctx)
	if err != nil || missing == 0 || !j.roomForBallast() {
		return err
	}
	err = j.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO ballast (filler) VALUES (randomblob(?))")
		if err != nil {
			return err
		}
		defer insert.Close()
		for range missing {
			if _, err := insert.ExecContext(ctx, ballastRow); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		// Overwriting rows copies their old pages into the rollback journal, which
		// grows by them.
		err = j.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE ballast SET filler = randomblob(?) WHERE id % ? = 0", ballastRow, grown)
			return err
		})
	}
	if isFull(err) {
		return nil
	}
	return err
}

// ballastMissing is how many rows of the ballast are not there.
func (j *Journal) ballastMissing(ctx context.Context) (int64, error) {
	want := j.opts.Ballast / ballastRow
	if want <= 0 {
		return 0, nil
	}
	var have int64
	err := j.db.QueryRowContext(ctx, "SELECT count(*) FROM ballast").Scan(&have)
	return max(want-have, 0), err
}

// roomForBallast reports whether the disk could spare it four times over:
// nobody is helped when it is the ballast that fills the disk.
func (j *Journal) roomForBallast() bool {
	var fs unix.Statfs_t
	err := unix.Statfs(j.dir, &fs)
	return err != nil || int64(fs.Bavail)*int64(fs.Bsize) >= 4*j.opts.Ballast
}

// dropBallast frees the ballast's pages inside the database, for the write that
// just failed. Deleting needs little room: the freed pages are not journalled.
func (j *Journal) dropBallast(ctx context.Context) error {
	return j.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM ballast")
		return err
	})
}
