// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// This file feeds the trust rules: it brings what they need to read, journals
// what signed statements say, and asks them again about what runs.

// mostRounds bounds how often more is asked for before one decision: what comes
// can name more, as deep as directories lie.
const mostRounds = 64

// undecided is a failure that kept the trust rules from saying anything.
type undecided struct{ cause error }

func (u undecided) Error() string { return u.cause.Error() }
func (u undecided) Unwrap() error { return u.cause }

// noDecision reports errors that say nothing about the commit.
func noDecision(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.StoreFailed, gitops.Corrupt, gitops.JournalFailed, "":
		return true
	}
	_, ok := errors.AsType[undecided](err)
	return ok || nodesDoing(err)
}

// verify has the trust rules judge a commit, wherever it came from. What the
// roots published beside it is journalled first: a key that they revoked signs
// nothing any more, and a host that hides that later takes nothing back.
func (s *source) verify(ctx context.Context, state gitops.SourceState, commit gitops.Commit) (verify.Commit, error) {
	s.stage(ctx, gitops.StageVerifying)
	var before []gitops.MissingObject
	for range mostRounds {
		verified, err := s.decide(ctx, state, commit)
		if gitops.ReasonOf(err) != gitops.Incomplete {
			return verified, err
		}
		missing, missErr := s.cfg.Verifier.Missing(ctx, commit, acceptedHash(state))
		if missErr != nil || len(missing) == 0 || slices.Equal(missing, before) {
			return verified, errors.Join(err, missErr)
		}
		if err := s.bringTrust(ctx, commit, missing); err != nil {
			return verified, err
		}
		before = missing
	}
	return verify.Commit{}, notBrought(commit.Revision, before)
}

func (s *source) decide(ctx context.Context, state gitops.SourceState, commit gitops.Commit) (verify.Commit, error) {
	if err := s.mayBegin(ctx, state, commit); err != nil {
		return verify.Commit{}, err
	}
	err := s.learn(ctx, state, commit)
	if reason := gitops.ReasonOf(err); reason == gitops.Incomplete || reason == gitops.JournalFailed {
		return verify.Commit{}, err
	}
	// Any other failure to read the statements is one of the decision, too.
	return s.cfg.Verifier.Verify(ctx, commit, acceptedHash(state))
}

// bringTrust asks Git for what the decision needs.
func (s *source) bringTrust(ctx context.Context, commit gitops.Commit, missing []gitops.MissingObject) error {
	s.stage(ctx, gitops.StageFetching)
	err := s.cfg.Git.Objects(ctx, missing)
	s.noteLink(ctx)
	s.stage(ctx, gitops.StageVerifying)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return undecided{&gitops.Error{
		Reason: reasonFor(err), Err: err,
		Message: fmt.Sprintf("fetch what the decision about %s needs: %v", commit.Revision.Short(), err),
	}}
}

// learn journals what signed statements say. New revocations take back what
// this process knew of earlier decisions.
func (s *source) learn(ctx context.Context, state gitops.SourceState, commit gitops.Commit) error {
	p, err := s.cfg.Verifier.Published(ctx, commit, acceptedHash(state))
	if err != nil {
		return err
	}
	more := gitops.Learned{Revoked: p.Revoked, Floor: p.Floor, Heartbeat: p.Heartbeat, Void: p.Void}
	if err := s.journal().Learn(ctx, s.cfg.Name, more); err != nil {
		return err
	}
	if n := len(state.Learned.And(more).Revoked) - len(state.Learned.Revoked); n > 0 {
		s.log.Warn("keys revoked by the roots", "count", n)
		s.forgetDecisions()
	}
	return nil
}

// forgetDecisions has what was verified before verified again when it is used.
func (s *source) forgetDecisions() {
	s.head, s.rendered = verify.Commit{}, renderedOnce{}
}

// ground is what the decision about what runs rests on. While it is the same,
// so is the decision.
type ground struct {
	applied, accepted gitops.Revision
	revoked           int // keys that the roots revoked: they only grow
	reloads           int64
}

// judgeRunning asks the trust rules again about what runs: at the start, when a
// key file changed and when a key was revoked. What does not verify any more
// stays as it is, and goes on being kept in repair from the journal: stopping
// that would leave the cluster to whoever changes it. Nothing new is made of it,
// and the next revision that is let through replaces it.
func (s *source) judgeRunning(ctx context.Context, state gitops.SourceState) {
	if state.Applied == nil {
		s.view.distrusted, s.view.unproven, s.judged = nil, nil, ground{}
		return
	}
	on := ground{applied: state.Applied.Revision, revoked: len(state.Learned.Revoked), reloads: s.reloaded}
	if state.Accepted != nil {
		on.accepted = state.Accepted.Revision
	}
	if s.judged == on {
		return
	}
	_, err := s.cfg.Verifier.Again(ctx, on.applied)
	switch {
	case isShutdown(ctx, err):
	case err == nil:
		s.view.distrusted, s.view.unproven, s.judged = nil, nil, on
	case noDecision(err): // it is asked again in the next cycle
		s.view.unproven = err
	default:
		s.log.Error("what runs is not trusted any more", "revision", on.applied, "reason", gitops.ReasonOf(err), "err", err)
		s.view.distrusted, s.view.judged, s.view.unproven, s.judged = err, on.applied, nil, on
	}
}

// reread has decisions made anew after the key files were read again.
func (s *source) reread() {
	if n := s.reloads.Load(); n != s.reloaded {
		s.reloaded = n
		s.forgetDecisions()
	}
}

// stillTrusted verifies a target that was let through before under today's keys,
// and that nodes may go back to it. Where its commit is out of reach the
// journal's own seal has to do: what is stored was verified when it was accepted.
func (s *source) stillTrusted(ctx context.Context, state gitops.SourceState, rev gitops.Revision) error {
	_, err := s.cfg.Verifier.Again(ctx, rev)
	if err == nil && rev.Hash() != acceptedHash(state) {
		err = s.cfg.Verifier.MayReturn(ctx, rev.Hash(), acceptedHash(state))
	}
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.StoreFailed, gitops.Corrupt:
		return nil
	}
	return err
}
