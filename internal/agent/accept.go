// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// shortestPrefix is how many digits name a commit that was seen.
const shortestPrefix = 7

// Accept lets a source move once to a commit that does not descend from what was
// accepted before. Who signed it, who approved it and where it began count as
// ever: only its ancestry is waived.
func (a *Agent) Accept(ctx context.Context, name, rev, reason, by string) (w gitops.Waiver, cycle int64, err error) {
	cycle, err = a.order(ctx, name, func(ctx context.Context, s *source) error {
		state, err := s.journal().State(ctx, name)
		if err != nil {
			return err
		}
		to, err := s.offered(state, rev)
		if err != nil {
			return err
		}
		if to == acceptedHash(state) {
			return &gitops.Error{Reason: gitops.Conflict, Message: fmt.Sprintf("accept %s: source %s has accepted it already", to.Short(), name)}
		}
		w = gitops.Waiver{From: acceptedHash(state), To: to, Reason: reason, By: by, At: s.now()}
		if err := s.journal().Waive(ctx, name, w); err != nil {
			return err
		}
		s.log.Warn("ancestry waived", "from", w.From, "to", w.To, "by", by, "why", reason)
		s.pollNow, s.forced = true, true
		return nil
	})
	return w, cycle, err
}

// offered is the commit that a person names: in full, or by the beginning of
// what the source has shown.
func (s *source) offered(state gitops.SourceState, rev string) (gitops.Hash, error) {
	named := rev[strings.LastIndexByte(rev, '@')+1:] // as status shows it, with its ref
	named = strings.TrimPrefix(named, "sha1:")
	if id := gitops.Hash(named); id.Valid() {
		return id, nil
	}
	var shown []gitops.Revision
	if s.view.observed != nil {
		shown = append(shown, s.view.observed.Revision)
	}
	if state.Refused != nil {
		shown = append(shown, state.Refused.Revision)
	}
	for _, r := range shown {
		if len(named) >= shortestPrefix && strings.HasPrefix(string(r.Hash()), named) {
			return r.Hash(), nil
		}
	}
	return "", &gitops.Error{
		Reason:  gitops.NotFoundHere,
		Message: fmt.Sprintf("accept %q: source %s has shown no such commit", rev, s.cfg.Name),
		Remedy:  "name it by all its 40 digits, or as edgeagent status shows it",
	}
}
