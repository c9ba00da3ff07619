// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// This file takes Git bundles in and writes them, for nodes without an uplink.
// Both are orders: the loop carries them out, between two of its steps.

// writeWithin is how long whoever reads an export may let the loop wait.
const writeWithin = 30 * time.Second

// Import takes in the bundle in a file, as if the server had answered with it.
// Without a name, every source whose repository it is of takes it, and what is
// returned is of the one that it was news to. A bundle that the trust rules turn
// down is no error: the answer says so.
func (a *Agent) Import(ctx context.Context, name, file string) (gitops.Imported, error) {
	if name != "" {
		s, err := a.source(name)
		if err != nil {
			return gitops.Imported{}, err
		}
		return s.imports(ctx, file)
	}
	all, err := a.importAll(ctx, file)
	if err != nil {
		return gitops.Imported{}, err
	}
	for _, i := range all {
		if i.New {
			return i, nil
		}
	}
	for _, i := range all {
		if i.Refused != nil {
			return i, nil
		}
	}
	return all[0], nil
}

// importAll hands a bundle to every source, and returns what came of it at those
// whose repository it is of: at least one, or an error. What one source cannot
// take counts only where no other one can.
func (a *Agent) importAll(ctx context.Context, file string) ([]gitops.Imported, error) {
	var out []gitops.Imported
	var foreign []string
	var broken error
	for _, s := range a.sources {
		i, err := s.imports(ctx, file)
		switch reason := gitops.ReasonOf(err); {
		case err == nil:
			out = append(out, i)
		case reason == gitops.WrongRepository, reason == gitops.RefMissing:
			foreign = append(foreign, s.cfg.Name+": "+err.Error())
		case nodesFault(err):
			return nil, err
		case broken == nil:
			broken = err
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case broken != nil:
		return nil, broken
	}
	return nil, &gitops.Error{
		Reason:  gitops.WrongRepository,
		Message: fmt.Sprintf("import %s: it is of none of the %d repositories of this node (%s)", file, len(a.sources), strings.Join(foreign, "; ")),
		Remedy:  "take a bundle of a repository and ref that edgeagent status lists",
	}
}

// nodesFault reports failures that say nothing about the bundle.
func nodesFault(err error) bool {
	switch gitops.ReasonOf(err) {
	case gitops.StoreFailed, gitops.JournalFailed, gitops.JournalLocked, gitops.Conflict, gitops.Interrupted, gitops.TrustMissing, "":
		return true
	}
	return nodesDoing(err)
}

// refusedByAll is the first refusal of the trust rules, as an error, where none
// of the sources took the bundle.
func refusedByAll(all []gitops.Imported) error {
	var first error
	for _, i := range all {
		r := i.Refused
		if r == nil {
			return nil
		}
		if first == nil {
			first = &gitops.Error{Reason: r.Reason, Message: "source " + i.Source + ", " + r.Revision.Short() + ": " + r.Message, Commit: r.Commit}
		}
	}
	return first
}

// imports orders the source's loop to take a bundle in.
func (s *source) imports(ctx context.Context, file string) (out gitops.Imported, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		out, err = s.takeBundle(ctx, file)
		return err
	})
	return out, err
}

// takeBundle has the commit in a bundle judged and accepted as that of a poll.
// A refusal is the bundle's, not the source's: what the server offers is as good
// as before, and the journal is not told.
func (s *source) takeBundle(ctx context.Context, file string) (gitops.Imported, error) {
	defer s.stage(ctx, s.view.stage) // a health wait may be going on
	s.stage(ctx, gitops.StageFetching)
	out := gitops.Imported{Source: s.cfg.Name, Cycle: s.view.cycles + 1}
	state, err := s.journal().State(ctx, s.cfg.Name)
	if err != nil {
		return out, err
	}
	commit, err := s.cfg.Git.Import(ctx, file, known(state))
	if err != nil {
		return out, err
	}
	out.Revision = commit.Revision
	verified, err := s.verify(ctx, state, commit)
	switch {
	case err != nil && (isShutdown(ctx, err) || noDecision(err)):
		return out, err
	case err != nil:
		r := s.refusal(commit, err)
		out.Refused = &r
		s.log.Warn("imported revision refused", "revision", r.Revision, "reason", r.Reason, "err", err)
		return out, nil
	}
	if verified.Hash() == acceptedHash(state) {
		return out, nil
	}
	s.view.observe(commit, s.now())
	out.New = true
	return out, s.accept(ctx, state, verified, commit.Tag)
}

// Export writes a bundle of what a source runs, from which a node without a link
// can run it too. After an error, what was written is worth nothing.
func (a *Agent) Export(ctx context.Context, name string, w io.Writer) error {
	s, err := a.source(name)
	if err != nil {
		return err
	}
	// The loop must not wait for whoever reads: it writes into a pipe, and gives
	// up when nobody takes it out for long.
	r, p := io.Pipe()
	go func() {
		out := &paced{pipe: p, touch: s.touch}
		for {
			err := s.exports(ctx, out)
			// What is missing is fetched in parts, and cycles come in between.
			if gitops.ReasonOf(err) == gitops.Fetching && !out.begun {
				continue
			}
			p.CloseWithError(err)
			return
		}
	}()
	_, err = io.Copy(w, r)
	r.CloseWithError(errors.Join(errReaderGone, err))
	return err
}

var errReaderGone = errors.New("whoever reads the export has gone")

// exports orders the source's loop to write a bundle of the last healthy
// revision, or where there is none of the accepted one.
func (s *source) exports(asker context.Context, w io.Writer) error {
	return s.ask(asker, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(asker, cancel)()
		state, err := s.journal().State(ctx, s.cfg.Name)
		if err != nil {
			return err
		}
		at := state.Healthy
		if at == nil {
			at = state.Accepted
		}
		if at == nil {
			return &gitops.Error{
				Reason: gitops.NotYet, Message: "export " + s.cfg.Name + ": no revision was accepted yet",
				Remedy: "edgeagent status " + s.cfg.Name + " says what it waits for",
			}
		}
		defer s.stage(ctx, s.view.stage)
		s.stage(ctx, gitops.StageFetching)
		defer s.noteLink(ctx)
		return s.cfg.Git.Export(ctx, at.Revision, w)
	})
}

// paced is a pipe that breaks when its other end takes nothing for too long.
type paced struct {
	pipe  *io.PipeWriter
	touch func()
	begun bool
}

func (p *paced) Write(data []byte) (int, error) {
	p.begun = true
	p.touch()
	late := time.AfterFunc(writeWithin, func() {
		p.pipe.CloseWithError(&gitops.Error{
			Reason:  gitops.Timeout,
			Message: fmt.Sprintf("export: nobody took a part of the bundle for %s", writeWithin),
			Remedy:  "write it to a faster disk, or to a local file first",
		})
	})
	defer late.Stop()
	return p.pipe.Write(data)
}
