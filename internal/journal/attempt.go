// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxAttempts bounds one answer of Attempts.
const maxAttempts = 1000

// Attempts lists the attempts of a source, newest first. A limit of 0 or less,
// or over 1000, means 1000.
func (j *Journal) Attempts(ctx context.Context, source string, limit int) ([]gitops.Attempt, error) {
	if limit <= 0 || limit > maxAttempts {
		limit = maxAttempts
	}
	var out []gitops.Attempt
	err := j.read(ctx, "list the attempts of source "+source, func(ctx context.Context, q querier) (err error) {
		out, err = j.attempts(ctx, q, "WHERE source = ? ORDER BY id DESC LIMIT ?", source, limit)
		return err
	})
	return out, err
}

// Attempt reads one attempt, or fails with NotFound.
func (j *Journal) Attempt(ctx context.Context, id int64) (gitops.Attempt, error) {
	var out gitops.Attempt
	err := j.read(ctx, fmt.Sprintf("read attempt %d", id), func(ctx context.Context, q querier) (err error) {
		out, err = j.theAttempt(ctx, q, id)
		return err
	})
	return out, err
}

// Plan reads the plan that an attempt was begun with, for taking it up again:
// what it was to write, and what was unhealthy before it, cannot be observed any
// more once it has begun. The plan's Inventory and the Items of its changes are
// not kept: see Owned.
func (j *Journal) Plan(ctx context.Context, id int64) (gitops.Plan, error) {
	var plan gitops.Plan
	doing := fmt.Sprintf("read the plan of attempt %d", id)
	err := j.read(ctx, doing, func(ctx context.Context, q querier) error {
		a, err := j.theAttempt(ctx, q, id)
		if err != nil {
			return err
		}
		var packed []byte
		if err := q.QueryRowContext(ctx, "SELECT plan FROM attempts WHERE id = ?", id).Scan(&packed); err != nil {
			return err
		}
		if err := j.unpack(packed, &plan); err != nil {
			return err
		}
		plan.Manifests, err = j.readManifests(ctx, q, a.Source, a.Digest)
		plan.Manifests.Revision = a.Revision
		return err
	})
	return plan, err
}

// Resume counts that an attempt is taken up after a restart. The count is on
// disk when it returns: call it before anything else is done for the attempt, so
// that an attempt which brings the node down cannot do so for ever.
func (j *Journal) Resume(ctx context.Context, id int64) (gitops.Attempt, error) {
	return j.change(ctx, id, "resume", func(ctx context.Context, tx *sql.Tx, a gitops.Attempt) error {
		_, err := tx.ExecContext(ctx, "UPDATE attempts SET resumes = resumes + 1 WHERE id = ?", id)
		return err
	})
}

// SetHealthLeft records how much of an attempt's health timeout remains.
func (j *Journal) SetHealthLeft(ctx context.Context, id int64, left time.Duration) error {
	_, err := j.change(ctx, id, "record the health time of", func(ctx context.Context, tx *sql.Tx, a gitops.Attempt) error {
		_, err := tx.ExecContext(ctx, "UPDATE attempts SET health_left = ? WHERE id = ?", int64(left), id)
		return err
	})
	return err
}

// change alters an attempt that must be open, in one transaction, and returns
// what became of it.
func (j *Journal) change(ctx context.Context, id int64, verb string,
	fn func(ctx context.Context, tx *sql.Tx, a gitops.Attempt) error,
) (gitops.Attempt, error) {
	var after gitops.Attempt
	doing := fmt.Sprintf("%s attempt %d", verb, id)
	err := j.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		a, err := j.theAttempt(ctx, tx, id)
		if err != nil {
			return err
		}
		if a.Phase.Closed() {
			return &gitops.Error{
				Reason:  gitops.Conflict,
				Message: fmt.Sprintf("%s of source %s: it is closed (%s)", doing, a.Source, a.Phase),
			}
		}
		if err := fn(ctx, tx, a); err != nil {
			return err
		}
		after, err = j.theAttempt(ctx, tx, id)
		return err
	})
	return after, err
}

func (j *Journal) theAttempt(ctx context.Context, q querier, id int64) (gitops.Attempt, error) {
	a, err := j.oneAttempt(ctx, q, "WHERE id = ?", id)
	if err != nil {
		return gitops.Attempt{}, err
	}
	if a == nil {
		return gitops.Attempt{}, &gitops.Error{
			Reason:  gitops.NotFoundHere,
			Message: fmt.Sprintf("find attempt %d: the journal has no such attempt", id),
			Remedy:  "list the attempts that are kept with `edgeagent history`",
		}
	}
	return *a, nil
}

// oneAttempt is the first attempt of a query, nil when there is none.
func (j *Journal) oneAttempt(ctx context.Context, q querier, where string, args ...any) (*gitops.Attempt, error) {
	found, err := j.attempts(ctx, q, where, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func (j *Journal) attempts(ctx context.Context, q querier, where string, args ...any) ([]gitops.Attempt, error) {
	var out []gitops.Attempt
	err := each(ctx, q, func(rows *sql.Rows) error {
		var a gitops.Attempt
		var started, ended int64
		if err := rows.Scan(&a.ID, &a.Source, &a.Revision, &a.Digest, &a.Cause, &a.Phase, &a.Undoes, &a.Resumes,
			&a.Signer, &a.HealthLeft, &started, &ended, &a.Reason, &a.Message); err != nil {
			return err
		}
		a.Started = moment(started)
		if ended != 0 {
			a.Ended = moment(ended)
		}
		out = append(out, a)
		return nil
	}, `SELECT id, source, revision, digest, cause, phase, undoes, resumes, signer, health_left,
		started, ended, reason, message FROM attempts `+where, args...)
	if err != nil {
		return nil, err
	}
	// Not inside the loop above: there is one connection, and it is busy there.
	for i := range out {
		if err := j.readPhases(ctx, q, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (j *Journal) readPhases(ctx context.Context, q querier, a *gitops.Attempt) error {
	a.Reached = map[gitops.Phase]time.Time{}
	return each(ctx, q, func(rows *sql.Rows) error {
		var phase gitops.Phase
		var at int64
		var packed []byte
		if err := rows.Scan(&phase, &at, &packed); err != nil {
			return err
		}
		a.Reached[phase] = moment(at)
		if packed == nil {
			return nil
		}
		var changes []gitops.Change
		if err := j.unpack(packed, &changes); err != nil {
			return err
		}
		a.Changes = append(a.Changes, changes...)
		return nil
	}, "SELECT phase, at, changes FROM attempt_phases WHERE attempt = ? ORDER BY rowid", a.ID)
}

// enter records that an attempt reached a phase, and what was changed on the way.
func (j *Journal) enter(ctx context.Context, tx *sql.Tx, id int64, phase gitops.Phase, at time.Time, changes []gitops.Change) error {
	var packed []byte
	if len(changes) > 0 {
		var err error
		if packed, err = j.pack(changes); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO attempt_phases (attempt, phase, at, changes) VALUES (?, ?, ?, ?)",
		id, phase, at.UnixMicro(), packed)
	return err
}

func (j *Journal) pack(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return j.vault.compress(text), nil
}

func (j *Journal) unpack(packed []byte, to any) error {
	text, err := j.vault.decompress(packed)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return errors.Join(errors.New("a row of the journal does not unpack"), err)
	}
	return nil
}

func moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
