// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Result is what a phase of an attempt brought.
type Result struct {
	// Changes is what was done to the cluster on the way to the phase.
	Changes []gitops.Change
	// Inventory holds what was applied: digest, UID and fields of each object. It
	// is recorded at any phase, at Failed too: objects that were written before
	// the failure are ours all the same.
	Inventory gitops.Inventory
	// Exact says, at Pruned, that Inventory is everything that the source owns.
	// Without it the source goes on owning the union.
	Exact bool
	// Reason and Message say why the attempt failed.
	Reason  gitops.Reason
	Message string
	// HostFault says, at Failed, that the revision is not to blame: it is not
	// remembered as failed and may be tried again.
	HostFault bool
	// Untouched says, at Failed, that nothing was written to the cluster: what
	// the attempt announced is forgotten again. It is ignored for an attempt that
	// was resumed, because nobody knows what its earlier life wrote.
	Untouched bool
}

// Advance moves an attempt to a phase and records everything that belongs to
// the move, in one transaction:
//
//   - Applied: applied moves to the attempt's revision.
//   - Healthy: healthy moves to it, and its failures are forgotten.
//   - Pruned: the inventory becomes exact, and a permission to prune is used up.
//   - Failed: the revision and its digest are remembered as failed, unless the
//     host is to blame or the attempt was Interrupted or Superseded.
//
// A move that gitops.Phase.MayMove does not allow is a Conflict. After an error
// it is unknown whether the move is on disk: read State again.
func (j *Journal) Advance(ctx context.Context, id int64, to gitops.Phase, r Result) error {
	now := j.moment(time.Time{})
	_, err := j.change(ctx, id, "move to "+string(to), func(ctx context.Context, tx *sql.Tx, a gitops.Attempt) error {
		return j.move(ctx, tx, a, to, r, now)
	})
	return err
}

// move is the one place where a phase changes.
func (j *Journal) move(ctx context.Context, tx *sql.Tx, a gitops.Attempt, to gitops.Phase, r Result, now time.Time) error {
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
	if _, err := tx.ExecContext(ctx, "UPDATE attempts SET phase = ?, ended = ?, reason = ?, message = ? WHERE id = ?",
		to, ended, r.Reason, r.Message, a.ID); err != nil {
		return err
	}
	if err := j.enter(ctx, tx, a.ID, to, now, r.Changes); err != nil {
		return err
	}
	if to == gitops.PhasePruned && r.Exact {
		if err := replaceInventory(ctx, tx, a.Source, a.ID, r.Inventory); err != nil {
			return err
		}
	} else if err := recordItems(ctx, tx, a.Source, a.ID, r.Inventory); err != nil {
		return err
	}
	switch to {
	case gitops.PhaseApplied, gitops.PhaseHealthy:
		return moveState(ctx, tx, a, to, now)
	case gitops.PhasePruned:
		return spendPermission(ctx, tx, a.Source, r.Changes)
	case gitops.PhaseFailed:
		return fail(ctx, tx, a, r)
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
	return addHealthy(ctx, tx, a.Source, at, a.Cause == gitops.CauseRollback || a.Undoes != 0)
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

func fail(ctx context.Context, tx *sql.Tx, a gitops.Attempt, r Result) error {
	if r.Untouched && a.Resumes == 0 && a.Phase == gitops.PhaseIntent {
		if err := forgetAnnounced(ctx, tx, a.Source, a.ID); err != nil {
			return err
		}
	}
	if r.HostFault || r.Reason == gitops.Interrupted || r.Reason == gitops.Superseded {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO failures (attempt, source, revision, digest) VALUES (?, ?, ?, ?)",
		a.ID, a.Source, a.Revision, a.Digest)
	return err
}
