// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// mostAhead is how far a heartbeat may be ahead of the node's synchronised clock.
// One from further on would keep a source from ever being stale.
const mostAhead = 24 * time.Hour

// sighting is what was found out about a heartbeat's commit beside a head.
type sighting struct {
	head, commit gitops.Hash
	shown        bool
}

// checkFreshness notices a host that shows an old state, whoever made it do so.
// It only tells: nothing is deleted and nothing stops.
func (s *source) checkFreshness(ctx context.Context, state gitops.SourceState) {
	s.view.stale, s.view.ageless = nil, nil
	if err := s.withheld(ctx, state); err != nil {
		s.view.stale = err
		return
	}
	if s.cfg.MaxStaleness <= 0 {
		return
	}
	if !s.agent.synchronised() {
		s.view.ageless = &gitops.Error{
			Reason:  gitops.ClockUntrusted,
			Message: "the node's clock is not synchronised: how old the newest sign of life is cannot be told",
		}
		return
	}
	since, what := s.lastSign(state)
	if since.Sub(s.now()) > mostAhead {
		s.view.stale = &gitops.Error{
			Reason:  gitops.StaleSource,
			Message: fmt.Sprintf("%s says that it is of %s, which has not come yet: how old the source is cannot be told", what, since.UTC().Format(time.RFC3339)),
			Remedy:  "find out who signed it; revoke the key when it was stolen, and sign another heartbeat",
		}
		return
	}
	if age := s.now().Sub(since); age > s.cfg.MaxStaleness {
		s.view.stale = &gitops.Error{
			Reason: gitops.StaleSource,
			Message: fmt.Sprintf("%s is of %s, and no more than %s is allowed",
				what, since.UTC().Format(time.RFC3339), s.cfg.MaxStaleness),
			Remedy: "look at the link, at the host, and at whoever signs heartbeats",
		}
	}
}

// lastSign is when the source was known to be alive: by its own signed word, or
// where it gives none by the last poll that went well. A poll that this process
// does not know of may have been any time before it began.
func (s *source) lastSign(state gitops.SourceState) (time.Time, string) {
	if h := state.Learned.Heartbeat; h != nil {
		return h.At, "the newest heartbeat"
	}
	if at := s.cfg.Git.Link().LastSuccess; at.After(s.began) {
		return at, "the last successful poll"
	}
	return s.began, "the start of the agent, with no successful poll since,"
}

// withheld reports a heartbeat that names a commit which the host does not show.
func (s *source) withheld(ctx context.Context, state gitops.SourceState) error {
	h, head := state.Learned.Heartbeat, acceptedHash(state)
	if s.view.observed != nil {
		head = s.view.observed.Revision.Hash()
	}
	if h == nil || head == "" {
		return nil
	}
	if s.seen.head != head || s.seen.commit != h.Commit {
		shown, err := s.cfg.Verifier.Includes(ctx, head, h.Commit)
		if err != nil {
			return nil // the store is away, and that is told elsewhere
		}
		s.seen = sighting{head: head, commit: h.Commit, shown: shown}
	}
	if s.seen.shown {
		return nil
	}
	return &gitops.Error{
		Reason: gitops.Withheld, Commit: h.Commit,
		Message: fmt.Sprintf("%s said at %s that %s is at %s, and the host shows %s, which does not include it",
			h.Signer, h.At.UTC().Format(time.RFC3339), s.cfg.Ref, h.Commit.Short(), head.Short()),
		Remedy: "find out who keeps commits back: the host, a mirror or the link",
	}
}

// told is what people are told of a heartbeat: not the signature under it.
func told(h *gitops.Heartbeat) *gitops.Heartbeat {
	if h = own(h); h != nil {
		h.Statement = nil
	}
	return h
}

// synchronised reports whether ages may be counted by the node's clock.
func (a *Agent) synchronised() bool { return a.cfg.Synchronised == nil || a.cfg.Synchronised() }

// clock is what the node's clock is worth, beside the newest time that has
// certainly passed.
func (a *Agent) clock() gitops.ClockStatus {
	c := gitops.ClockStatus{State: gitops.ClockSynchronised, Floor: a.cfg.Floor}
	for _, s := range a.sources {
		if at := s.published.Load().floor; at.After(c.Floor) {
			c.Floor = at
		}
	}
	switch behind, ahead := verify.Clock(a.cfg.Now(), c.Floor); {
	case behind:
		c.State = gitops.ClockBehind
	case ahead:
		c.State = gitops.ClockAhead
	case !a.synchronised():
		c.State = gitops.ClockUnsynchronised
	}
	return c
}
