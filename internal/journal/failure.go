// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// FailedBefore is the newest remembered failure of that revision or of that
// digest, nil when there is none. The digest may be "" while it is not known.
func (j *Journal) FailedBefore(ctx context.Context, source string, revision gitops.Revision, digest string) (*gitops.Attempt, error) {
	var found *gitops.Attempt
	err := j.read(ctx, "look for failures of "+revision.Short(), func(ctx context.Context, q querier) (err error) {
		found, err = j.failure(ctx, q, source, revision, digest)
		return err
	})
	return found, err
}

// Forget forgets all failures of a source: its revisions may be tried again.
// The attempts themselves stay in the history.
func (j *Journal) Forget(ctx context.Context, source string) error {
	return j.writeIf(ctx, "forget the failures of source "+source, func(ctx context.Context, q querier) (bool, error) {
		var there bool
		err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM failures WHERE source = ?)", source).Scan(&there)
		return there, err
	}, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM failures WHERE source = ?", source)
		return err
	})
}

func (j *Journal) failure(ctx context.Context, q querier, source string, revision gitops.Revision, digest string) (*gitops.Attempt, error) {
	return j.oneAttempt(ctx, q, `WHERE id = (SELECT max(attempt) FROM failures
		WHERE source = ? AND (revision = ? OR digest = ?))`, source, revision, digest)
}
