// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// SetHold keeps a source on a revision, or releases it when hold is nil.
func (j *Journal) SetHold(ctx context.Context, source string, hold *gitops.Hold) error {
	return j.edit(ctx, source, "set the hold of source "+source, func(r *sourceRow) error {
		if hold == nil {
			r.Hold = nil
			return nil
		}
		h := *hold
		h.At = j.moment(h.At)
		r.Hold = &h
		return nil
	})
}

// Suspend stops a source, or lets it go on when suspension is nil.
func (j *Journal) Suspend(ctx context.Context, source string, suspension *gitops.Suspension) error {
	return j.edit(ctx, source, "suspend source "+source, func(r *sourceRow) error {
		if suspension == nil {
			r.Suspended = nil
			return nil
		}
		s := *suspension
		s.At = j.moment(s.At)
		r.Suspended = &s
		return nil
	})
}

// AllowPrune lets the next prune of a source delete up to n objects although a
// guard would stop it; 0 takes the permission back. The attempt that reaches
// Pruned with deletions uses it up, in that transaction: a permission is for
// what a person looked at, never for the next mass deletion.
func (j *Journal) AllowPrune(ctx context.Context, source string, n int) error {
	if n < 0 {
		return &gitops.Error{Reason: gitops.BadRequest, Message: fmt.Sprintf("allow source %s to prune %d objects: it is less than none", source, n)}
	}
	return j.edit(ctx, source, "allow source "+source+" to prune", func(r *sourceRow) error {
		r.AllowPrune = n
		return nil
	})
}

// Configure records what becomes of a source's objects when it leaves the node's
// file ("orphan" or "prune"): by then the file does not say it any more.
func (j *Journal) Configure(ctx context.Context, source, onRemove string) error {
	return j.edit(ctx, source, "record the configuration of source "+source, func(r *sourceRow) error {
		r.OnRemove = onRemove
		return nil
	})
}

// SetClusterUID records which cluster the source was applied to.
func (j *Journal) SetClusterUID(ctx context.Context, source, uid string) error {
	return j.edit(ctx, source, "record the cluster of source "+source, func(r *sourceRow) error {
		r.ClusterUID = uid
		return nil
	})
}

// PinIntroduction records the commit where trust in a source begins, for
// sources that leave it to the first verified head. It is pinned once: another
// commit later is a Conflict.
func (j *Journal) PinIntroduction(ctx context.Context, source string, commit gitops.Hash) error {
	doing := fmt.Sprintf("pin the introduction of source %s to %s", source, commit.Short())
	return j.edit(ctx, source, doing, func(r *sourceRow) error {
		if r.Introduction != "" && r.Introduction != commit {
			return &gitops.Error{
				Reason:  gitops.Conflict,
				Message: fmt.Sprintf("%s: it is pinned to %s", doing, r.Introduction.Short()),
				Remedy:  "name the introduction in the configuration, or remove the source and add it again",
			}
		}
		r.Introduction = commit
		return nil
	})
}

// NodeName is the name that the node had when it last applied, "" before.
func (j *Journal) NodeName(ctx context.Context) (string, error) {
	var name string
	err := j.read(ctx, "read the node's name", func(ctx context.Context, q querier) (err error) {
		name, err = readMeta(ctx, q, "node")
		return err
	})
	return name, err
}

// SetNodeName records the node's name.
func (j *Journal) SetNodeName(ctx context.Context, name string) error {
	return j.writeIf(ctx, "record the node's name", func(ctx context.Context, q querier) (bool, error) {
		old, err := readMeta(ctx, q, "node")
		return old != name, err
	}, func(ctx context.Context, tx *sql.Tx) error { return setMeta(ctx, tx, "node", name) })
}
