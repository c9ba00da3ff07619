// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// pollDue reports whether Git is to be asked in this cycle.
func (s *source) pollDue() bool {
	return s.pollNow || !s.now().Before(s.cfg.Git.NextPoll())
}

// poll asks Git for the newest commit, has it verified, and journals it as
// accepted. Accepted only moves forward, and before anything is rendered:
// whatever becomes of the revision, an older one will not be accepted again.
func (s *source) poll(ctx context.Context, state gitops.SourceState) {
	s.pollNow = false
	s.forced, s.asked = false, s.forced
	s.stage(ctx, gitops.StageFetching)
	commit, err := s.cfg.Git.Commits(ctx, gitops.PollRequest{
		Known: known(state), Forced: s.asked, Settled: s.view.verifiedNow && s.view.unreleased == "",
		Unstated: !s.cfg.Statements && state.Accepted != nil && state.Accepted.TrustVersion == 0,
	})
	s.noteLink(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return
	case comesLater(err):
		s.postponed(s.view.pullLater, err)
		s.view.pullPostponed(err)
		return
	default:
		err = s.deleted(state, err)
		s.view.pullFailed(err)
		s.log.Warn("poll failed", "reason", gitops.ReasonOf(err), "err", err)
		return
	}
	s.view.pulled(commit, s.now())

	verified, err := s.verify(ctx, state, commit)
	s.view.undecided = nil
	switch {
	case err != nil && comesLater(err):
		s.postponed(s.view.pullLater, err)
		s.view.pullPostponed(err)
	case nodesDoing(err):
		s.view.undecided = err
	case err != nil && (isShutdown(ctx, err) || noDecision(err)):
		s.view.pullFailed(err) // an object is missing or damaged: not the commit's fault
	case err != nil:
		if commit.Revision.Hash() == acceptedHash(state) {
			s.forgetDecisions() // it was let through before, and is not any more
		}
		s.refuse(ctx, state, commit, err)
	default:
		if err := s.accept(ctx, state, verified, commit.Tag); err != nil {
			s.view.stall(err)
		}
	}
}

// comesLater reports what is no failure: more is on its way, and asked for next,
// or the day's bytes are spent. What runs is kept meanwhile.
func comesLater(err error) bool {
	reason := gitops.ReasonOf(err)
	return reason == gitops.Fetching || reason == gitops.BudgetSpent
}

// postponed tells that what Git has comes later, when that is news. What a person
// asked for is still asked for by them when it is gone on with.
func (s *source) postponed(before, err error) {
	if gitops.ReasonOf(err) != gitops.ReasonOf(before) {
		s.log.Info("what is new comes later", "reason", gitops.ReasonOf(err), "why", err)
	}
	s.forced = s.forced || s.asked && isFetching(err)
}

// noteLink hands the day's bytes to the journal, which writes them when it
// writes something else.
func (s *source) noteLink(ctx context.Context) {
	day := s.cfg.Git.Link().Today
	if day.Date == "" || ctx.Err() != nil {
		return
	}
	if err := s.journal().SetLink(ctx, s.cfg.Name, day); err != nil {
		s.log.Warn("note the bytes of the link", "err", err)
	}
}

// nodesDoing reports what keeps the node itself from deciding, whatever the
// source shows.
func nodesDoing(err error) bool {
	_, ok := errors.AsType[unmarked](err)
	return ok || gitops.ReasonOf(err) == gitops.ClockUntrusted || gitops.ReasonOf(err) == gitops.TrustStateLost
}

// deleted tells a ref that was there before and is gone from one that was never
// there. Nothing is deleted because of it: what runs is kept.
func (s *source) deleted(state gitops.SourceState, err error) error {
	if gitops.ReasonOf(err) != gitops.RefMissing || state.Accepted == nil {
		return err
	}
	return &gitops.Error{
		Reason: gitops.RefDeleted, Err: err,
		Message: fmt.Sprintf("the ref was there as %s, and is gone: %v", state.Accepted.Revision.Short(), err),
	}
}

// refuse records why a head was turned down. The same refusal is recorded
// once: a refused head that stays is polled a thousand times a day.
func (s *source) refuse(ctx context.Context, state gitops.SourceState, commit gitops.Commit, err error) {
	r := s.refusal(commit, err)
	s.view.verifiedNow = false
	if last := state.Refused; last != nil && last.Revision == r.Revision && last.Reason == r.Reason && last.Commit == r.Commit {
		return
	}
	s.log.Warn("revision refused", "revision", r.Revision, "reason", r.Reason, "err", err)
	if err := s.journal().Refuse(ctx, s.cfg.Name, r); err != nil && ctx.Err() == nil {
		s.view.stall(err)
	}
}

// refusal says that the trust rules turned a commit down, and why.
func (s *source) refusal(commit gitops.Commit, err error) gitops.Refusal {
	r := gitops.Refusal{Revision: commit.Revision, Reason: gitops.ReasonOf(err), Message: err.Error(), At: s.now()}
	if e := asError(err); e != nil {
		r.Commit = e.Commit
	}
	return r
}

// accept journals what the trust rules let through.
func (s *source) accept(ctx context.Context, state gitops.SourceState, verified verify.Commit, tag gitops.Hash) error {
	s.view.verifiedNow = true
	s.head = verified
	if acceptedHash(state) != verified.Hash() {
		if err := s.moveAccepted(ctx, verified, tag); err != nil {
			return err
		}
	}
	// The hold kept back what was accepted when it was set. It is asked for at
	// every poll: a crash may have come between the move and the release.
	if h := state.Hold; h != nil && !h.Pin && h.HeldBack.Hash() != verified.Hash() {
		if err := s.journal().SetHold(ctx, s.cfg.Name, nil); err != nil {
			return err
		}
		s.log.Info("hold released by a newer commit", "revision", verified.Revision(), "held", h.Revision)
	}
	return nil
}

// moveAccepted journals a revision as accepted.
func (s *source) moveAccepted(ctx context.Context, verified verify.Commit, tag gitops.Hash) error {
	if verified.FirstSeen() {
		if err := s.journal().PinIntroduction(ctx, s.cfg.Name, verified.Hash()); err != nil {
			return err
		}
	}
	at := gitops.At{
		Revision: verified.Revision(), Signer: verified.Signer(), Tag: tag, At: s.now(),
		TrustVersion: verified.TrustVersion(), RefBinding: verified.RefBinding(),
	}
	if err := s.journal().Accept(ctx, s.cfg.Name, at, false); err != nil {
		return err
	}
	s.log.Info("revision accepted", "revision", at.Revision, "signer", at.Signer)
	return nil
}

// known is what this node holds already: Git sends only what is not below it.
func known(state gitops.SourceState) []gitops.Hash {
	var out []gitops.Hash
	for _, at := range []*gitops.At{state.Accepted, state.Applied, state.Healthy} {
		if at != nil {
			out = append(out, at.Revision.Hash())
		}
	}
	return out
}

func acceptedHash(state gitops.SourceState) gitops.Hash {
	if state.Accepted == nil {
		return ""
	}
	return state.Accepted.Revision.Hash()
}
