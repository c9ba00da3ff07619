// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxWaivers is how many waivers of a source are kept.
const maxWaivers = 50

// Learned is what signed statements told about a source.
func (j *Journal) Learned(ctx context.Context, source string) (gitops.Learned, error) {
	var known gitops.Learned
	err := j.read(ctx, "read what was learned of source "+source, func(ctx context.Context, q querier) (err error) {
		known, err = readLearned(ctx, q, source)
		return err
	})
	return known, err
}

// Learn adds to what is known about a source. Nothing is ever taken away, and
// what is known already writes nothing. More revoked keys than the slots can
// keep are refused, all of them: a part of a list would look like the list.
func (j *Journal) Learn(ctx context.Context, source string, more gitops.Learned) error {
	doing := "record what was learned of source " + source
	if source == "" {
		return &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": the source has no name"}
	}
	revokes := false
	return j.writeIf(ctx, doing, func(ctx context.Context, q querier) (bool, error) {
		known, err := readLearned(ctx, q, source)
		after := known.And(more)
		revokes = len(after.Revoked) > len(known.Revoked)
		return !reflect.DeepEqual(known, after), err
	}, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO sources (name) VALUES (?) ON CONFLICT DO NOTHING", source); err != nil {
			return err
		}
		if err := learn(ctx, tx, source, more); err != nil || !revokes {
			return err
		}
		_, _, err := j.nextSlot(ctx, tx, slotRoom)
		return err
	})
}

// Waive records that root lets a source make a step that does not descend. One
// that was given before and not used is void.
func (j *Journal) Waive(ctx context.Context, source string, w gitops.Waiver) error {
	doing := fmt.Sprintf("waive the ancestry of %s for source %s", w.To.Short(), source)
	if !w.To.Valid() || w.Reason == "" {
		return &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": it names no commit or no reason"}
	}
	w.At = j.moment(w.At)
	return j.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		text, err := json.Marshal(w)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO waivers (source, waiver) VALUES (?, ?)", source, string(text)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM waivers WHERE source = ?1 AND id <=
			(SELECT id FROM waivers WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, source, maxWaivers)
		return err
	})
}

// Waivers lists the waivers of a source, newest first.
func (j *Journal) Waivers(ctx context.Context, source string) ([]gitops.Waiver, error) {
	var out []gitops.Waiver
	err := j.read(ctx, "list the waivers of source "+source, func(ctx context.Context, q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var w *gitops.Waiver
			if err := rows.Scan(asJSON(&w)); err != nil {
				return err
			}
			out = append(out, *w)
			return nil
		}, "SELECT waiver FROM waivers WHERE source = ? ORDER BY id DESC", source)
	})
	return out, err
}

func readLearned(ctx context.Context, q querier, source string) (gitops.Learned, error) {
	var known *gitops.Learned
	err := q.QueryRowContext(ctx, "SELECT learned FROM trust WHERE source = ?", source).Scan(asJSON(&known))
	if errors.Is(err, sql.ErrNoRows) {
		return gitops.Learned{}, nil
	}
	if err != nil || known == nil {
		return gitops.Learned{}, err
	}
	return *known, nil
}

// learn adds to what is known, within somebody's transaction.
func learn(ctx context.Context, tx *sql.Tx, source string, more gitops.Learned) error {
	known, err := readLearned(ctx, tx, source)
	if err != nil {
		return err
	}
	after := known.And(more)
	if reflect.DeepEqual(known, after) {
		return nil
	}
	text, err := json.Marshal(after)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO trust (source, learned) VALUES (?, ?)
		ON CONFLICT (source) DO UPDATE SET learned = excluded.learned`, source, string(text))
	return err
}

// newestWaiver is the only one that may still be used.
func newestWaiver(ctx context.Context, q querier, source string) (id int64, w *gitops.Waiver, err error) {
	err = q.QueryRowContext(ctx, "SELECT id, waiver FROM waivers WHERE source = ? ORDER BY id DESC LIMIT 1", source).Scan(&id, asJSON(&w))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	return id, w, err
}

// useWaiver notes that a commit was accepted because of a waiver, so that it is
// good for once.
func (j *Journal) useWaiver(ctx context.Context, tx *sql.Tx, source string, from, to gitops.Hash) error {
	id, w, err := newestWaiver(ctx, tx, source)
	if err != nil || !w.Waives(from, to) {
		return err
	}
	w.Used = j.moment(w.Used)
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE waivers SET waiver = ? WHERE id = ?", string(text), id)
	return err
}
