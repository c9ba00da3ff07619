// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// exportedRefs are how the refs begin that every export holds.
const exportedRefs = "refs/edgeagent/"

// Import takes a bundle file for an answer of the server: what its ref names is
// brought into the store and proven connected, and no network is used. A file
// that is refused moves nothing. Known are commits that the node has used.
func (s *Source) Import(ctx context.Context, file string, known []gitops.Hash) (gitops.Commit, error) {
	b, err := bundle.OpenFile(file)
	if err != nil {
		return gitops.Commit{}, err
	}
	defer func() { _ = b.Close() }()
	s.known = valid(known)
	shown := filepath.Base(file)
	c, err := s.tipOf(ctx, b.Header, shown)
	if err != nil {
		return gitops.Commit{}, err
	}
	_, err = s.store.Receive(ctx, objects.Arrival{Pack: b, Keep: s.known, Progress: s.pulse.beat})
	if err != nil {
		return gitops.Commit{}, unreadable(ctx, shown, err)
	}
	f := &fetch{s: s, ctx: ctx}
	if err := f.belongs(c, shown); err != nil {
		return gitops.Commit{}, err
	}
	if err := s.carryImported(ctx, c); err != nil {
		return gitops.Commit{}, err
	}
	commit, err := s.found(ctx, c, &place{shown: shown})
	if err == nil {
		s.forgive()
	}
	return commit, err
}

// tipOf is what the header says of the source's ref, if the commits that the
// bundle builds on are here.
func (s *Source) tipOf(ctx context.Context, h bundle.Header, shown string) (choice, error) {
	on := refs{}
	for _, r := range h.Refs {
		on[r.Name] = r.ID
	}
	c, err := s.cfg.Ref.choose(on)
	if e, ok := errors.AsType[*gitops.Error](err); ok {
		return c, failed(e.Reason, "give the bundle of a repository that has the ref", "import %s: it does not have the ref of %s: %s", shown, s.cfg.Source, e.Message)
	} else if err != nil {
		return c, err
	}
	absent, err := s.store.Absent(ctx, h.Prerequisites)
	if err != nil || len(absent) == 0 {
		c.carried = beside(on, append([]string{exportedRefs}, s.cfg.carried()...))
		return c, err
	}
	names := make([]string, 0, len(absent))
	for _, id := range absent[:min(len(absent), 3)] {
		names = append(names, id.Short())
	}
	return c, failed(gitops.PrerequisiteMissing, "import the bundles before it first, or a full one",
		"import %s: it builds on %d commits that are not here, e.g. %s", shown, len(absent), strings.Join(names, ", "))
}

// unreadable gives a pack that ends too early its reason.
func unreadable(ctx context.Context, shown string, err error) error {
	e, ok := errors.AsType[*gitops.Error](err)
	switch {
	case ok:
		return failed(e.Reason, e.Remedy, "import %s: %s", shown, e.Message)
	case ctx.Err() != nil:
		return fmt.Errorf("import %s: %w", shown, err)
	}
	return failed(gitops.Corrupt, "take a new copy of the bundle", "import %s: %v", shown, err)
}

// belongs refuses a bundle whose commits are not connected, or not to where
// trust begins.
func (f *fetch) belongs(c choice, shown string) error {
	if err := f.sameRepository(c, shown); err != nil {
		return err
	}
	connected, err := f.connected(c.tip)
	if err != nil || connected {
		return err
	}
	return failed(gitops.Incomplete, "import a full bundle",
		"import %s: commits between %s and what is here are missing", shown, c.tip.Short())
}

// sameRepository tells a bundle of another repository from one that only holds
// an older commit: that is for the trust rules.
func (f *fetch) sameRepository(c choice, shown string) error {
	start := gitops.Hash(f.s.cfg.Introduction)
	if !start.Valid() {
		return nil
	}
	here, err := f.s.store.Has(f.ctx, c.tip)
	if err != nil || !here {
		return err
	}
	at, err := f.s.peel(f.ctx, c.tip)
	if err != nil {
		return err
	}
	for _, id := range append([]gitops.Hash{start}, f.s.known...) {
		for _, pair := range [][2]gitops.Hash{{id, at}, {at, id}} {
			if absent, err := f.s.store.Absent(f.ctx, pair[:]); err != nil || len(absent) > 0 {
				continue
			}
			ok, err := f.s.store.Ancestor(f.ctx, pair[0], pair[1])
			if err != nil || ok {
				return err
			}
		}
	}
	return failed(gitops.WrongRepository, "give a bundle of the source's repository, or correct trust.introduction",
		"import %s: its commit %s does not descend from the introduction %s of %s", shown, at.Short(), start.Short(), f.s.cfg.Source)
}

// carryImported keeps the refs beside the head.
func (s *Source) carryImported(ctx context.Context, c choice) error {
	if len(c.carried) == 0 {
		return nil
	}
	for _, tip := range c.carried {
		_, missing, err := s.store.Statements(ctx, []gitops.Hash{tip}, 1)
		if err != nil || len(missing) > 0 {
			return err
		}
	}
	return s.store.Carry(ctx, s.cfg.Source, c.carried)
}

// valid are those that are commit ids.
func valid(ids []gitops.Hash) []gitops.Hash {
	return slices.DeleteFunc(slices.Clone(ids), func(id gitops.Hash) bool { return !id.Valid() })
}
