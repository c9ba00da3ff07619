// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// History lists the newest attempts of a source, newest first.
func (a *Agent) History(ctx context.Context, name string, limit int) ([]gitops.Attempt, error) {
	if _, err := a.source(name); err != nil {
		return nil, err
	}
	attempts, err := a.cfg.Journal.Attempts(ctx, name, limit)
	if err != nil {
		return nil, err
	}
	waivers, err := a.cfg.Journal.Waivers(ctx, name)
	for i := range attempts {
		attempts[i].Waiver = waiverOf(attempts[i], waivers)
	}
	return attempts, err
}

// waiverOf is the word of root by which a revision came that was then tried.
func waiverOf(at gitops.Attempt, waivers []gitops.Waiver) gitops.Waiver {
	i := slices.IndexFunc(waivers, func(w gitops.Waiver) bool {
		return !w.Used.IsZero() && w.To == at.Revision.Hash() && at.Cause != gitops.CauseRollback && !at.Started.Before(w.At)
	})
	if i < 0 {
		return gitops.Waiver{}
	}
	return waivers[i]
}

// Show returns the newest attempt at a revision, and what it applied. Without
// rev it is the newest attempt.
func (a *Agent) Show(ctx context.Context, name, rev string) (gitops.Attempt, gitops.Manifests, error) {
	s, err := a.source(name)
	if err != nil {
		return gitops.Attempt{}, gitops.Manifests{}, err
	}
	attempts, err := a.History(ctx, name, historyForChoice)
	if err != nil {
		return gitops.Attempt{}, gitops.Manifests{}, err
	}
	if len(attempts) == 0 {
		return gitops.Attempt{}, gitops.Manifests{}, s.published.Load().source.NothingApplied()
	}
	for _, at := range attempts {
		if rev != "" && string(at.Revision) != rev && !strings.HasPrefix(string(at.Revision.Hash()), rev) {
			continue
		}
		m, err := a.cfg.Journal.Manifests(ctx, name, at.Digest)
		return at, m, err
	}
	return gitops.Attempt{}, gitops.Manifests{}, &gitops.Error{
		Reason:  gitops.NotFoundHere,
		Message: fmt.Sprintf("the journal holds no attempt of source %s at revision %q", name, rev),
		Remedy:  "edgeagent history " + name + " lists them",
	}
}

// Diff compares the cluster with what the source wants of it now.
func (a *Agent) Diff(ctx context.Context, name string) ([]gitops.ObjectDiff, error) {
	s, err := a.source(name)
	if err != nil {
		return nil, err
	}
	state, err := s.journal().State(ctx, name)
	if err != nil {
		return nil, err
	}
	at := state.Applied
	if state.Hold != nil {
		at = &gitops.At{Revision: state.Hold.Revision, Digest: state.Hold.Digest}
	}
	if at == nil {
		return nil, s.published.Load().source.NothingApplied()
	}
	t := target{course: keep, revision: at.Revision, digest: at.Digest}
	want, err := s.journal().Manifests(ctx, name, at.Digest)
	if err != nil {
		return nil, err
	}
	want.Revision = at.Revision
	owned, err := s.journal().Owned(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.cluster().Diff(ctx, s.request(state, t, want, owned))
}

// Verify explains the trust decision about the newest head that was seen, or
// about one commit.
func (a *Agent) Verify(ctx context.Context, name, rev string) ([]gitops.Decision, error) {
	s, err := a.source(name)
	if err != nil {
		return nil, err
	}
	state, err := s.journal().State(ctx, name)
	if err != nil {
		return nil, err
	}
	seen := s.published.Load().source.Observed
	commit := gitops.Commit{URL: s.cfg.URL}
	switch {
	case rev != "":
		commit.Revision = gitops.NewRevision(s.cfg.Ref, gitops.Hash(rev))
		for _, at := range []*gitops.At{seen, state.Accepted, state.Applied, state.Healthy} {
			if at != nil && strings.HasPrefix(string(at.Revision.Hash()), rev) {
				commit.Revision = at.Revision
			}
		}
	case seen != nil:
		commit.Revision = seen.Revision
	case state.Accepted != nil:
		commit.Revision = state.Accepted.Revision
	default:
		return nil, &gitops.Error{Reason: gitops.NotYet, Message: "source " + name + " has seen no commit yet", Remedy: "edgeagent status " + name + " says what it waits for"}
	}
	accepted := acceptedHash(state)
	if commit.Revision.Hash() == accepted || rev != "" {
		accepted = "" // explain it from where trust begins
	}
	return s.cfg.Verifier.Explain(ctx, commit, accepted)
}
