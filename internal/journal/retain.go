// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	keptHealthy  = 10                  // revisions to go back to, per source
	keptFor      = 30 * 24 * time.Hour // attempts in the history
	keptAttempts = 500                 // … but never more per source
	// keptManifests is of how many attempts the manifests are kept, healthy or
	// not (an open one is always the newest): it bounds what a source that keeps failing can fill the disk with.
	keptManifests = 20
	// vacuumStep is how many free pages are given back to the file system at a
	// time; fewer are kept for the next write.
	vacuumStep = 256
)

// Retain drops what need not be kept: healthy revisions beyond the ten newest,
// attempts older than 30 days, manifests that nothing names any more. What a
// source stands on always stays: accepted, applied, healthy, hold, the open
// attempt, remembered failures of the accepted revision, failed attempts whose
// objects are not undone. It also gives free pages back, a little at a time, and
// restores the ballast once the disk has room. With nothing to drop it writes
// nothing. Call it after an attempt closed, and now and then.
func (j *Journal) Retain(ctx context.Context) error {
	old := j.opts.Now().Add(-keptFor).UnixMicro()
	err := j.writeIf(ctx, "drop what need not be kept", func(ctx context.Context, q querier) (bool, error) {
		for _, s := range retention(old) {
			var there bool
			if err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 "+s.from+")", s.args...).Scan(&there); err != nil || there {
				return there, err
			}
		}
		return false, nil
	}, func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range retention(old) {
			if _, err := tx.ExecContext(ctx, "DELETE "+s.from, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return j.tidy(ctx)
}

// selection is what follows SELECT or DELETE.
type selection struct {
	from string
	args []any
}

// retention selects what is dropped, in the order in which it must go: each
// makes the next one find more.
func retention(old int64) []selection {
	return []selection{
		{`FROM healthy WHERE id NOT IN (SELECT h.id FROM healthy h WHERE h.source = healthy.source ORDER BY h.id DESC LIMIT ?)
			AND NOT EXISTS (SELECT 1 FROM sources s WHERE s.name = healthy.source AND healthy.digest IN
				(s.applied ->> 'digest', s.healthy ->> 'digest', s.hold ->> 'digest'))`, []any{keptHealthy}},
		{`FROM failures WHERE attempt IN (SELECT id FROM attempts WHERE ended < ?)
			AND NOT EXISTS (SELECT 1 FROM sources s WHERE s.name = failures.source AND
				(failures.revision = s.accepted ->> 'revision' OR failures.digest = s.accepted ->> 'digest'))`, []any{old}},
		{`FROM attempts WHERE ended != 0
			AND (ended < ?1 OR id <= (SELECT a.id FROM attempts a WHERE a.source = attempts.source ORDER BY a.id DESC LIMIT 1 OFFSET ?2))
			AND id NOT IN (SELECT attempt FROM failures)
			AND NOT (phase = ?3 AND id IN (SELECT entered FROM inventory i WHERE i.source = attempts.source))
			AND id NOT IN (SELECT max(a.id) FROM attempts a JOIN healthy h ON h.source = a.source AND h.digest = a.digest
				WHERE a.phase IN (?4, ?5) GROUP BY h.id)`,
			[]any{old, keptAttempts, gitops.PhaseFailed, gitops.PhaseHealthy, gitops.PhasePruned}},
		{`FROM manifests WHERE digest NOT IN (SELECT a.digest FROM attempts a WHERE a.source = manifests.source ORDER BY a.id DESC LIMIT ?)
			AND NOT EXISTS (SELECT 1 FROM healthy h WHERE h.source = manifests.source AND h.digest = manifests.digest)
			AND NOT EXISTS (SELECT 1 FROM sources s WHERE s.name = manifests.source AND manifests.digest IN
				(s.applied ->> 'digest', s.healthy ->> 'digest', s.hold ->> 'digest'))`, []any{keptManifests}},
		{`FROM objects WHERE id NOT IN (SELECT object FROM manifest_objects)`, nil},
	}
}

// tidy restores the ballast and shortens the file.
func (j *Journal) tidy(ctx context.Context) error {
	const doing = "tidy the journal"
	if err := j.take(ctx); err != nil {
		return j.failed(doing, err)
	}
	defer j.giveUp()
	ctx = context.WithoutCancel(ctx)
	err := j.fillBallast(ctx)
	if err == nil {
		var missing int64
		// Pages that the ballast freed are not given to others.
		if missing, err = j.ballastMissing(ctx); err == nil && missing == 0 {
			err = j.shrink(ctx)
		}
	}
	if err != nil {
		j.dropAfterIOError(err)
		return j.failed(doing, err)
	}
	return nil
}

// shrink gives pages back when many are free. It is a small step, because each
// page that is moved is written twice.
func (j *Journal) shrink(ctx context.Context) error {
	var free int
	if err := j.db.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil || free < 2*vacuumStep {
		return err
	}
	return j.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The pages are freed as the rows are read.
		return each(ctx, tx, func(*sql.Rows) error { return nil }, "PRAGMA incremental_vacuum(256)")
	})
}
