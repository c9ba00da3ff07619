// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// keptDays is for how many days the bytes on the wire are kept.
const keptDays = 35

// linkDays is what the next write takes along: source, then date.
type linkDays map[string]map[string]gitops.LinkDay

// SetLink notes how many bytes a source's link has moved on a day. Counting
// is no reason to write: it goes to disk within the next write of anything, in
// the same transaction, and is lost when the process ends before that. The
// bytes of a day only grow; fewer are ignored.
func (j *Journal) SetLink(ctx context.Context, source string, day gitops.LinkDay) error {
	doing := fmt.Sprintf("note the bytes of source %s on %q", source, day.Date)
	if _, err := time.Parse(time.DateOnly, day.Date); err != nil || source == "" || day.In < 0 || day.Out < 0 {
		return &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": it names no source or no day, or fewer bytes than none"}
	}
	if err := j.take(ctx); err != nil {
		return j.failed(doing, err)
	}
	defer j.giveUp()
	days := j.link[source]
	if days == nil {
		days = map[string]gitops.LinkDay{}
		j.link[source] = days
	}
	day.In, day.Out = max(day.In, days[day.Date].In), max(day.Out, days[day.Date].Out)
	days[day.Date] = day
	return nil
}

// Link lists the days of a source's link that are on disk, newest first.
func (j *Journal) Link(ctx context.Context, source string) ([]gitops.LinkDay, error) {
	var out []gitops.LinkDay
	err := j.read(ctx, "list the bytes of source "+source, func(ctx context.Context, q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var d gitops.LinkDay
			if err := rows.Scan(&d.Date, &d.In, &d.Out); err != nil {
				return err
			}
			out = append(out, d)
			return nil
		}, "SELECT date, bytes_in, bytes_out FROM link_days WHERE source = ? ORDER BY date DESC", source)
	})
	return out, err
}

// writeLink takes along what was noted. A source without a row was removed, or
// was never configured: its bytes are nobody's.
func (j *Journal) writeLink(ctx context.Context, tx *sql.Tx) error {
	for source, days := range j.link {
		for _, d := range days {
			if _, err := tx.ExecContext(ctx, `INSERT INTO link_days (source, date, bytes_in, bytes_out)
				SELECT name, ?2, ?3, ?4 FROM sources WHERE name = ?1
				ON CONFLICT (source, date) DO UPDATE SET
				bytes_in = max(bytes_in, excluded.bytes_in), bytes_out = max(bytes_out, excluded.bytes_out)`,
				source, d.Date, d.In, d.Out); err != nil {
				return err
			}
		}
	}
	if len(j.link) == 0 {
		return nil
	}
	oldest := j.opts.Now().UTC().AddDate(0, 0, -keptDays).Format(time.DateOnly)
	_, err := tx.ExecContext(ctx, "DELETE FROM link_days WHERE date <= ?", oldest)
	return err
}
