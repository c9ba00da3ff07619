// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

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
	s.stage(ctx, gitops.StageFetching)
	commit, err := s.cfg.Git.Commits(ctx, gitops.PollRequest{Known: known(state)})
	if err != nil {
		if ctx.Err() == nil {
			s.view.pullFailed(err)
			s.log.Warn("poll failed", "reason", gitops.ReasonOf(err), "err", err)
		}
		return
	}
	s.view.pulled(commit, s.now())

	s.stage(ctx, gitops.StageVerifying)
	verified, err := s.cfg.Verifier.Verify(ctx, commit, acceptedHash(state))
	switch {
	case err != nil && (isShutdown(ctx, err) || noDecision(err)):
		s.view.pullFailed(err) // an object is missing or damaged: not the commit's fault
	case err != nil:
		s.refuse(ctx, state, commit, err)
	default:
		s.accept(ctx, state, verified, commit.Tag)
	}
}

// noDecision reports errors that say nothing about the commit.
func noDecision(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.Incomplete, gitops.StoreFailed, gitops.Corrupt, "":
		return true
	}
	return false
}

// refuse records why a head was turned down. The same refusal is recorded
// once: a refused head that stays is polled a thousand times a day.
func (s *source) refuse(ctx context.Context, state gitops.SourceState, commit gitops.Commit, err error) {
	r := gitops.Refusal{Revision: commit.Revision, Reason: gitops.ReasonOf(err), Message: err.Error(), At: s.now()}
	if e := asError(err); e != nil {
		r.Commit = e.Commit
	}
	s.view.verifiedNow = false
	if last := state.Refused; last != nil && last.Revision == r.Revision && last.Reason == r.Reason && last.Commit == r.Commit {
		return
	}
	s.log.Warn("revision refused", "revision", r.Revision, "reason", r.Reason, "err", err)
	if err := s.journal().Refuse(ctx, s.cfg.Name, r); err != nil && ctx.Err() == nil {
		s.view.stall(err)
	}
}

func (s *source) accept(ctx context.Context, state gitops.SourceState, verified verify.Commit, tag gitops.Hash) {
	s.view.verifiedNow = true
	s.head = verified
	if acceptedHash(state) != verified.Hash() && !s.moveAccepted(ctx, verified, tag) {
		return
	}
	// The hold kept back what was accepted when it was set. It is asked for at
	// every poll: a crash may have come between the move and the release.
	if h := state.Hold; h != nil && !h.Pin && h.HeldBack.Hash() != verified.Hash() {
		if err := s.journal().SetHold(ctx, s.cfg.Name, nil); err != nil {
			s.view.stall(err)
			return
		}
		s.log.Info("hold released by a newer commit", "revision", verified.Revision(), "held", h.Revision)
	}
}

// moveAccepted journals a revision as accepted.
func (s *source) moveAccepted(ctx context.Context, verified verify.Commit, tag gitops.Hash) bool {
	if verified.FirstSeen() {
		if err := s.journal().PinIntroduction(ctx, s.cfg.Name, verified.Hash()); err != nil {
			s.view.stall(err)
			return false
		}
	}
	at := gitops.At{Revision: verified.Revision(), Signer: verified.Signer(), Tag: tag, At: s.now()}
	if err := s.journal().Accept(ctx, s.cfg.Name, at, false); err != nil {
		s.view.stall(err)
		return false
	}
	s.log.Info("revision accepted", "revision", at.Revision, "signer", at.Signer)
	return true
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

// renderedOnce keeps the newest render: as long as commit and cluster stay the
// same, so do the manifests and the reason why there are none.
type renderedOnce struct {
	revision gitops.Revision
	caps     string
	want     gitops.Manifests
	err      error
}

// render brings what is missing and renders the accepted revision. After a
// restart the commit is verified again, from the object store.
func (s *source) render(ctx context.Context, rev gitops.Revision, caps gitops.Capabilities) (gitops.Manifests, error) {
	key := caps.ClusterUID + caps.KubeVersion
	if s.rendered.revision == rev && s.rendered.caps == key && final(s.rendered.err) {
		return s.rendered.want, s.rendered.err
	}
	s.stage(ctx, gitops.StageRendering)
	want, err := s.renderFresh(ctx, rev, caps)
	if ctx.Err() == nil {
		s.rendered = renderedOnce{revision: rev, caps: key, want: want, err: err}
	}
	return want, err
}

// final reports whether rendering the same again would give the same.
func final(err error) bool {
	return err == nil || decide(context.Background(), err) == rollBack
}

func (s *source) renderFresh(ctx context.Context, rev gitops.Revision, caps gitops.Capabilities) (gitops.Manifests, error) {
	commit := s.head
	if !commit.Valid() || commit.Revision() != rev {
		var err error
		if commit, err = s.cfg.Verifier.Again(ctx, rev); err != nil {
			return gitops.Manifests{}, err
		}
	}
	for {
		missing, err := s.cfg.Renderer.Missing(ctx, commit)
		if err != nil {
			return gitops.Manifests{}, err
		}
		if len(missing) == 0 {
			break
		}
		if err := s.cfg.Git.Objects(ctx, missing); err != nil {
			return gitops.Manifests{}, err
		}
	}
	return s.cfg.Renderer.Render(ctx, commit, caps)
}
