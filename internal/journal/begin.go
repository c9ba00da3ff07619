// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Begin records an attempt at phase Intent: the target, its manifests and the
// union of the old and the new inventory, in one transaction. Nothing may be
// written to the cluster before it returned. A crash right after it leaves an
// open attempt that owns more than there is, which is harmless; the other order
// would leave objects that nobody owns.
//
// While another attempt of the source is open, Begin fails with Conflict, unless
// that one is superseded: it is then closed in the same transaction, as Failed,
// or as Pruned when it was Healthy already. What it had still to prune stays
// owned and falls to the new attempt.
func (j *Journal) Begin(ctx context.Context, b gitops.BeginRequest) (gitops.Attempt, error) {
	doing := fmt.Sprintf("begin an attempt at %s of source %s", b.Revision.Short(), b.Source)
	target := b.Plan.Manifests
	if b.Source == "" || b.Revision == "" || target.Digest == "" {
		return gitops.Attempt{}, &gitops.Error{Reason: gitops.BadRequest, Message: doing + ": source, revision or digest is missing"}
	}
	b.Plan.Source = b.Source
	announced := announcement(b.Plan)
	bare := b.Plan
	bare.Manifests = gitops.Manifests{}
	packed, err := j.pack(bare)
	if err != nil {
		return gitops.Attempt{}, fmt.Errorf("%s: %w", doing, err)
	}
	now := j.moment(time.Time{})
	var begun gitops.Attempt
	err = j.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		if err := j.makeRoom(ctx, tx, b, doing, now); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO sources (name) VALUES (?) ON CONFLICT DO NOTHING", b.Source); err != nil {
			return err
		}
		if err := j.storeManifests(ctx, tx, b.Source, target); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `INSERT INTO attempts
			(source, revision, digest, cause, phase, undoes, signer, health_left, started, plan)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, b.Source, b.Revision, target.Digest, b.Cause,
			gitops.PhaseIntent, b.Undoes, b.Signer, int64(b.HealthTimeout), now.UnixMicro(), packed)
		if err != nil {
			return err
		}
		id, err := done.LastInsertId()
		if err != nil {
			return err
		}
		if err := j.enter(ctx, tx, id, gitops.PhaseIntent, now, nil); err != nil {
			return err
		}
		if err := announce(ctx, tx, b.Source, id, announced, target); err != nil {
			return err
		}
		begun, err = j.theAttempt(ctx, tx, id)
		return err
	})
	return begun, err
}

// makeRoom closes the attempt that is open, if the new one may supersede it.
func (j *Journal) makeRoom(ctx context.Context, tx *sql.Tx, b gitops.BeginRequest, doing string, now time.Time) error {
	open, err := j.oneAttempt(ctx, tx, "WHERE source = ? AND ended = 0", b.Source)
	if err != nil || open == nil {
		return err
	}
	if b.Supersedes != open.ID {
		return &gitops.Error{
			Reason:  gitops.Conflict,
			Message: fmt.Sprintf("%s: attempt %d is open (%s)", doing, open.ID, open.Phase),
			Remedy:  "resume or close that attempt first",
		}
	}
	to := gitops.PhaseFailed
	if !open.Phase.MayMove(to) {
		to = gitops.PhasePruned
	}
	return j.move(ctx, tx, *open, to, gitops.Outcome{
		Reason:  gitops.Superseded,
		Message: "superseded by " + b.Revision.Short(),
	}, now)
}

// announcement is every object that a plan may write: its inventory, and what
// it applies should the inventory lack it.
func announcement(p gitops.Plan) gitops.Inventory {
	var applied gitops.Inventory
	for _, c := range p.Apply {
		item := c.Item
		item.Ref = c.Ref
		applied = append(applied, item)
	}
	return p.Inventory.Union(applied)
}
