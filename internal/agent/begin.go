// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// mayBegin asks, before a first revision is accepted, whether it is really the
// first. A node that lost its journal and its slots would otherwise take a
// revision that it had refused, or that is older than what it ran. Root says
// where it goes on.
func (s *source) mayBegin(ctx context.Context, state gitops.SourceState, commit gitops.Commit) error {
	if s.cfg.Unverified || state.Accepted != nil || state.Waiver.Waives("", commit.Revision.Hash()) {
		return nil
	}
	if !state.TrustLost && s.agent.cfg.Marked != nil {
		marked, err := s.agent.cfg.Marked(ctx, s.cfg.Name)
		if s.unasked = err != nil; err != nil {
			return unmarked{undecided{err}}
		}
		if marked {
			if err := s.journal().LoseTrust(ctx, s.cfg.Name); err != nil {
				return err
			}
			state.TrustLost = true
		}
	}
	if !state.TrustLost {
		return nil
	}
	return &gitops.Error{
		Reason: gitops.TrustStateLost, Commit: commit.Revision.Hash(),
		Message: "this node ran source " + s.cfg.Name + " before, and what it had accepted is not known any more: nothing new is applied",
		Remedy:  "look whether " + commit.Revision.Short() + " is what should run, then: edgeagent accept " + s.cfg.Name + " " + string(commit.Revision.Hash()) + " --reason ...",
	}
}

// unmarked says that the cluster could not be asked yet.
type unmarked struct{ undecided }
