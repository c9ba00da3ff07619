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

// State reads everything about a source, all of one moment. One that was never
// seen has an empty state. Failed is the newest remembered failure of what is
// accepted, by revision or by digest.
func (j *Journal) State(ctx context.Context, source string) (gitops.SourceState, error) {
	s := gitops.SourceState{Source: source}
	err := j.read(ctx, "read the state of source "+source, func(ctx context.Context, q querier) error {
		row, err := readSource(ctx, q, source)
		if err != nil {
			return err
		}
		s.Accepted, s.Applied, s.Healthy = row.Accepted, row.Applied, row.Healthy
		s.Refused, s.Hold, s.Suspended = row.Refused, row.Hold, row.Suspended
		s.ClusterUID, s.Introduction = row.ClusterUID, row.Introduction
		s.OnRemove, s.AllowPrune = row.OnRemove, row.AllowPrune
		if s.Learned, err = readLearned(ctx, q, source); err != nil {
			return err
		}
		if s.TrustLost, err = isLost(ctx, q, source); err != nil {
			return err
		}
		if _, s.Waiver, err = newestWaiver(ctx, q, source); err != nil {
			return err
		}
		if s.Open, err = j.oneAttempt(ctx, q, "WHERE source = ? AND ended = 0", source); err != nil {
			return err
		}
		if row.Accepted == nil {
			return nil
		}
		s.Failed, err = j.failure(ctx, q, source, row.Accepted.Revision, row.Accepted.Digest)
		return err
	})
	return s, err
}

// Sources lists the sources that the journal knows, by name. One that is not
// configured any more is listed until Remove.
func (j *Journal) Sources(ctx context.Context) ([]string, error) {
	var names []string
	err := j.read(ctx, "list the sources", func(ctx context.Context, q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
			return nil
		}, "SELECT name FROM sources ORDER BY name")
	})
	return names, err
}

// Remove forgets a source with its history, inventory and manifests. Its
// objects must have been deleted or released before: nobody knows them after.
func (j *Journal) Remove(ctx context.Context, source string) error {
	doing := "remove source " + source
	return j.writeIf(ctx, doing, func(ctx context.Context, q querier) (bool, error) {
		var there bool
		err := q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sources WHERE name = ?)", source).Scan(&there)
		return there, err
	}, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sources WHERE name = ?", source); err != nil {
			return err
		}
		if err := setFound(ctx, tx, source); err != nil {
			return err
		}
		return dropUnusedObjects(ctx, tx)
	})
}

// sourceRow is a row of sources.
type sourceRow struct {
	Accepted, Applied, Healthy *gitops.At
	Refused                    *gitops.Refusal
	Hold                       *gitops.Hold
	Suspended                  *gitops.Suspension
	ClusterUID                 string
	Introduction               gitops.Hash
	OnRemove                   string
	AllowPrune                 int
}

func readSource(ctx context.Context, q querier, name string) (sourceRow, error) {
	var r sourceRow
	err := q.QueryRowContext(ctx, `SELECT accepted, applied, healthy, refused, hold, suspended,
		cluster_uid, introduction, on_remove, allow_prune FROM sources WHERE name = ?`, name).Scan(
		asJSON(&r.Accepted), asJSON(&r.Applied), asJSON(&r.Healthy), asJSON(&r.Refused), asJSON(&r.Hold),
		asJSON(&r.Suspended), &r.ClusterUID, &r.Introduction, &r.OnRemove, &r.AllowPrune)
	if errors.Is(err, sql.ErrNoRows) {
		return sourceRow{}, nil
	}
	return r, err
}

func writeSource(ctx context.Context, tx *sql.Tx, name string, r sourceRow) error {
	var columns [6]any
	for i, v := range []any{r.Accepted, r.Applied, r.Healthy, r.Refused, r.Hold, r.Suspended} {
		if reflect.ValueOf(v).IsNil() {
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		columns[i] = string(text)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO sources
		(name, accepted, applied, healthy, refused, hold, suspended, cluster_uid, introduction, on_remove, allow_prune)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET accepted = excluded.accepted, applied = excluded.applied,
		healthy = excluded.healthy, refused = excluded.refused, hold = excluded.hold,
		suspended = excluded.suspended, cluster_uid = excluded.cluster_uid,
		introduction = excluded.introduction, on_remove = excluded.on_remove, allow_prune = excluded.allow_prune`,
		name, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5],
		r.ClusterUID, r.Introduction, r.OnRemove, r.AllowPrune)
	return err
}

// edit changes a source's row by change, and writes only when that made a
// difference: what is said again costs nothing.
func (j *Journal) edit(ctx context.Context, source, doing string, change func(*sourceRow) error) error {
	return j.editAnd(ctx, source, doing, change, nil)
}

// editAnd is edit with more to do in the same transaction when there was a
// difference.
func (j *Journal) editAnd(ctx context.Context, source, doing string, change func(*sourceRow) error,
	also func(ctx context.Context, tx *sql.Tx, r sourceRow) error,
) error {
	if source == "" {
		return &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": the source has no name"}
	}
	var after sourceRow
	return j.writeIf(ctx, doing, func(ctx context.Context, q querier) (bool, error) {
		before, err := readSource(ctx, q, source)
		if err != nil {
			return false, err
		}
		after = before
		if err := change(&after); err != nil {
			return false, err
		}
		return !reflect.DeepEqual(before, after), nil
	}, func(ctx context.Context, tx *sql.Tx) error {
		if err := writeSource(ctx, tx, source, after); err != nil || also == nil {
			return err
		}
		return also(ctx, tx, after)
	})
}

// asJSON scans a nullable JSON column into a pointer.
func asJSON[T any](to **T) sql.Scanner { return jsonColumn[T]{to} }

type jsonColumn[T any] struct{ to **T }

func (c jsonColumn[T]) Scan(column any) error {
	*c.to = nil
	switch text := column.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(text), c.to)
	default:
		return fmt.Errorf("expected JSON text, not %T", column)
	}
}

func readMeta(ctx context.Context, q querier, name string) (string, error) {
	var value string
	err := q.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func setMeta(ctx context.Context, tx *sql.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// each calls fn with every row of a query.
func each(ctx context.Context, q querier, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
