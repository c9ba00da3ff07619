// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxRefusals is how many refusals of a source are kept.
const maxRefusals = 50

// Accept records that trust let a revision through. It may be called again for
// the same revision, with the digest once that is known; saying nothing new
// writes nothing. It does not ask whether the revision is newer: that is for
// verify.
//
// unchanged says that the revision renders to the digest that is applied
// already: applied moves to it in the same transaction, and healthy too if it
// has that digest. Otherwise a crash in between would leave a node that waits
// for an apply which never comes. Accept fails with Conflict when another digest
// is applied.
//
// The version of the trust file never falls, whatever is accepted later; a
// waiver for just this step is used up. Both are in the same transaction.
func (j *Journal) Accept(ctx context.Context, source string, at gitops.At, unchanged bool) error {
	doing := fmt.Sprintf("accept %s for source %s", at.Revision.Short(), source)
	if at.Revision == "" || unchanged && at.Digest == "" {
		return &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": it names no revision or no digest"}
	}
	at.At = j.moment(at.At)
	movedHealthy, from := false, gitops.Hash("")
	return j.editAnd(ctx, source, doing, func(r *sourceRow) error {
		if r.Accepted != nil {
			from = r.Accepted.Revision.Hash()
		}
		r.Refused = nil
		r.Accepted = again(r.Accepted, at)
		if !unchanged {
			return nil
		}
		if r.Applied == nil || r.Applied.Digest != at.Digest {
			return &gitops.Error{
				Reason:  gitops.Conflict,
				Message: doing + " as unchanged: another digest is applied",
			}
		}
		r.Applied = again(r.Applied, at)
		if r.Healthy != nil && r.Healthy.Digest == at.Digest {
			movedHealthy = r.Healthy.Revision != at.Revision
			r.Healthy = again(r.Healthy, at)
		}
		return nil
	}, func(ctx context.Context, tx *sql.Tx, r sourceRow) error {
		if err := learn(ctx, tx, source, gitops.Learned{TrustVersion: r.Accepted.TrustVersion}); err != nil {
			return err
		}
		if err := foundTrust(ctx, tx, source); err != nil {
			return err
		}
		if err := j.useWaiver(ctx, tx, source, from, r.Accepted.Revision.Hash()); err != nil {
			return err
		}
		if !movedHealthy {
			return nil
		}
		return addHealthy(ctx, tx, source, *r.Healthy, false)
	})
}

// again is the new moment, or the old one when it says the same: the time at
// which a revision got there does not move when that is said twice.
func again(old *gitops.At, at gitops.At) *gitops.At {
	if old == nil || old.Revision != at.Revision {
		return &at
	}
	same := *old
	if at.Digest != "" {
		same.Digest = at.Digest
	}
	if at.Signer != "" {
		same.Signer = at.Signer
	}
	if at.RefBinding != "" {
		same.TrustVersion, same.RefBinding = at.TrustVersion, at.RefBinding
	}
	return &same
}

// moment is t, or now when it is zero, as it can be stored.
func (j *Journal) moment(t time.Time) time.Time {
	if t.IsZero() {
		t = j.opts.Now()
	}
	return t.UTC().Truncate(time.Microsecond)
}

// Refuse records that trust turned a revision down. The same refusal again, as
// every poll of a refused head brings it, writes nothing.
func (j *Journal) Refuse(ctx context.Context, source string, refusal gitops.Refusal) error {
	doing := fmt.Sprintf("record the refusal of %s for source %s", refusal.Revision.Short(), source)
	refusal.At = j.moment(refusal.At)
	return j.editAnd(ctx, source, doing, func(r *sourceRow) error {
		old := r.Refused
		if old != nil && old.Revision == refusal.Revision && old.Commit == refusal.Commit && old.Reason == refusal.Reason {
			return nil
		}
		r.Refused = &refusal
		return nil
	}, func(ctx context.Context, tx *sql.Tx, _ sourceRow) error {
		text, err := json.Marshal(refusal)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO refusals (source, refusal) VALUES (?, ?)", source, string(text)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM refusals WHERE source = ?1 AND id <=
			(SELECT id FROM refusals WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`, source, maxRefusals)
		return err
	})
}

// Refusals lists the last refusals of a source, newest first.
func (j *Journal) Refusals(ctx context.Context, source string) ([]gitops.Refusal, error) {
	var out []gitops.Refusal
	err := j.read(ctx, "list the refusals of source "+source, func(ctx context.Context, q querier) error {
		return each(ctx, q, func(rows *sql.Rows) error {
			var r *gitops.Refusal
			if err := rows.Scan(asJSON(&r)); err != nil {
				return err
			}
			out = append(out, *r)
			return nil
		}, "SELECT refusal FROM refusals WHERE source = ? ORDER BY id DESC", source)
	})
	return out, err
}
