// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Advance moves an attempt to a phase and records everything that belongs to
// the move, in one transaction:
//
//   - Applied: applied moves to the attempt's revision.
//   - Healthy: healthy moves to it, and its failures are forgotten.
//   - Pruned: the inventory becomes exact (without Exact the source goes on
//     owning the union), and deletions use up the permission to prune.
//   - Failed: the revision and its digest are remembered as failed, if the
//     outcome says so. An attempt that was Interrupted or Superseded never is.
//
// Items are recorded at any phase, at Failed too: objects that were written
// before the failure are ours all the same.
//
// A move that gitops.Phase.MayMove does not allow is a Conflict. After an error
// it is unknown whether the move is on disk: read State again.
func (j *Journal) Advance(ctx context.Context, id int64, to gitops.Phase, o gitops.Outcome) error {
	now := j.moment(time.Time{})
	_, err := j.change(ctx, id, "move to "+string(to), func(ctx context.Context, tx *sql.Tx, a gitops.Attempt) error {
		return j.move(ctx, tx, a, to, o, now)
	})
	return err
}

// move is the one place where a phase changes.
func (j *Journal) move(ctx context.Context, tx *sql.Tx, a gitops.Attempt, to gitops.Phase, o gitops.Outcome, now time.Time) error {
	if !a.Phase.MayMove(to) {
		return &gitops.Error{
			Reason:  gitops.Conflict,
			Message: fmt.Sprintf("move attempt %d of source %s to %s: it is %s, which may move to %v only", a.ID, a.Source, to, a.Phase, a.Phase.Next()),
		}
	}
	ended := int64(0)
	if to.Closed() {
		ended = now.UnixMicro()
	}
	left := a.HealthLeft
	if o.HealthLeft > 0 {
		left = o.HealthLeft
	}
	if _, err := tx.ExecContext(ctx, "UPDATE attempts SET phase = ?, ended = ?, reason = ?, message = ?, health_left = ? WHERE id = ?",
		to, ended, o.Reason, o.Message, int64(left), a.ID); err != nil {
		return err
	}
	if err := j.enter(ctx, tx, a.ID, to, now, o.Changes); err != nil {
		return err
	}
	if to == gitops.PhasePruned && o.Exact {
		if err := replaceInventory(ctx, tx, a.Source, a.ID, o.Inventory); err != nil {
			return err
		}
	} else if err := recordItems(ctx, tx, a.Source, a.ID, o.Inventory); err != nil {
		return err
	}
	switch to {
	case gitops.PhaseApplied, gitops.PhaseHealthy:
		return moveState(ctx, tx, a, to, now)
	case gitops.PhasePruned:
		return spendPermission(ctx, tx, a.Source, o.Changes)
	case gitops.PhaseFailed:
		return fail(ctx, tx, a, o)
	}
	return nil
}

// moveState moves applied, and healthy with it. When a newer revision with the
// same digest was accepted while the attempt waited for health, applied names
// that one already, and healthy follows applied: it must not fall behind.
func moveState(ctx context.Context, tx *sql.Tx, a gitops.Attempt, to gitops.Phase, now time.Time) error {
	row, err := readSource(ctx, tx, a.Source)
	if err != nil {
		return err
	}
	at := gitops.At{Revision: a.Revision, Digest: a.Digest, Signer: a.Signer, At: now}
	if to == gitops.PhaseApplied {
		row.Applied = &at
		return writeSource(ctx, tx, a.Source, row)
	}
	if row.Applied != nil && row.Applied.Digest == a.Digest {
		at.Revision, at.Signer = row.Applied.Revision, row.Applied.Signer
	} else {
		row.Applied = &at
	}
	row.Healthy = &at
	if err := writeSource(ctx, tx, a.Source, row); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM failures WHERE source = ? AND (revision IN (?, ?) OR digest = ?)",
		a.Source, a.Revision, at.Revision, a.Digest); err != nil {
		return err
	}
	return addHealthy(ctx, tx, a.Source, at, a.Cause == gitops.CauseRollback || a.Cause == gitops.CausePrune || a.Undoes != 0)
}

func spendPermission(ctx context.Context, tx *sql.Tx, source string, changes []gitops.Change) error {
	for _, c := range changes {
		if c.Action == gitops.Deleted {
			_, err := tx.ExecContext(ctx, "UPDATE sources SET allow_prune = 0 WHERE name = ?", source)
			return err
		}
	}
	return nil
}

func fail(ctx context.Context, tx *sql.Tx, a gitops.Attempt, o gitops.Outcome) error {
	// Of an attempt that was resumed, nobody knows what its earlier life wrote.
	if o.Untouched && a.Resumes == 0 && a.Phase == gitops.PhaseIntent {
		if err := forgetAnnounced(ctx, tx, a.Source, a.ID); err != nil {
			return err
		}
	}
	if !o.Remember || o.Reason == gitops.Interrupted || o.Reason == gitops.Superseded {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO failures (attempt, source, revision, digest) VALUES (?, ?, ?, ?)",
		a.ID, a.Source, a.Revision, a.Digest)
	return err
}
