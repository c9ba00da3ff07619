// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"errors"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Healthy lists the revisions that were healthy and can be gone back to, newest
// in Git first. There is one for each digest, the newest of its revisions: a
// commit for another node is nothing to go back to. A rollback does not change
// the order, so that the entry after the one that is applied is always the next
// older one.
func (j *Journal) Healthy(ctx context.Context, source string) ([]gitops.At, error) {
	var out []gitops.At
	err := j.read(ctx, "list the healthy revisions of source "+source, func(ctx context.Context, q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var at gitops.At
			var micro int64
			if err := rows.Scan(&at.Revision, &at.Digest, &at.Signer, &micro); err != nil {
				return err
			}
			at.At = moment(micro)
			out = append(out, at)
			return nil
		}, "SELECT revision, digest, signer, at FROM healthy WHERE source = ? ORDER BY id DESC", source)
	})
	return out, err
}

// addHealthy puts a revision on top of the list. One that is in it already, or
// whose digest came back by a rollback, keeps its place.
func addHealthy(ctx context.Context, tx *sql.Tx, source string, at gitops.At, rollback bool) error {
	var listed gitops.Revision
	err := tx.QueryRowContext(ctx, "SELECT revision FROM healthy WHERE source = ? AND digest = ?", source, at.Digest).Scan(&listed)
	if err == nil && (listed == at.Revision || rollback) {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM healthy WHERE source = ? AND digest = ?", source, at.Digest); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO healthy (source, revision, digest, signer, at) VALUES (?, ?, ?, ?, ?)",
		source, at.Revision, at.Digest, at.Signer, at.At.UnixMicro())
	return err
}
