// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Complete reports whether a tip is here with all of its commits and everything
// that it itself names.
func (s *Store) Complete(ctx context.Context, h gitops.Hash) (bool, error) {
	lost, err := s.Absent(ctx, []gitops.Hash{h})
	if err != nil || len(lost) > 0 {
		return false, err
	}
	l, err := s.Lineage(ctx, h, nil, 1)
	if err != nil || len(l.Missing) > 0 {
		return false, err
	}
	below, err := s.Below(ctx, []gitops.Hash{h}, 1)
	return err == nil && len(below) == 0, err
}

// completed moves the head of a source that asks for whole histories.
func (s *Store) completed(ctx context.Context, a Arrival) error {
	whole, err := s.Complete(ctx, a.Head)
	if err != nil {
		return err
	}
	if !whole {
		return &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: "store a pack: it does not hold all of " + string(a.Head) + ", which was asked for",
			Remedy:  "check the repository on the server with git fsck",
		}
	}
	return s.Advance(ctx, a.Source, a.Head)
}
