// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// maxLineage is how many commits are walked at most: ten times the history
	// of the largest repositories of manifests.
	maxLineage = 1_000_000
	// maxPeel is how many tags may name each other.
	maxPeel = 16
)

// errEnough ends a walk that has found what it was for.
var errEnough = errors.New("enough")

// peeled is what a chain of tags ends in, or the first object of it that is
// not here.
type peeled struct {
	tags   []tagRow // on the way
	target link     // its kind is InvalidObject where nothing says it
	at     at
}

type tagRow struct {
	id  id
	seq int64
}

// peel follows tags to what they name.
func (s *Store) peel(ctx context.Context, i id) (peeled, error) {
	p := peeled{target: link{i, plumbing.InvalidObject}}
	for range maxPeel {
		a, err := s.locate(ctx, p.target.id)
		if err != nil {
			return p, err
		}
		if p.at = a; !a.here() {
			return p, nil
		}
		if p.target.kind != plumbing.InvalidObject {
			if err := checkKind(i, plumbing.TagObject, p.target, a); err != nil {
				return p, err
			}
		}
		p.target.kind = a.kind
		if a.kind != plumbing.TagObject {
			return p, nil
		}
		o, err := s.read(ctx, p.target.id)
		if err != nil {
			return p, err
		}
		named, err := tagLink(o.content)
		if err != nil {
			return p, malformed(p.target.id, o.kind, err)
		}
		p.tags = append(p.tags, tagRow{p.target.id, o.seq})
		i, p.target = p.target.id, named
	}
	return p, corrupt("read tag %s: more than %d tags name each other", i.hash(), maxPeel)
}

// ancestry walks commits, one generation after the other.
type ancestry struct {
	s     *Store
	until map[id]struct{} // whose parents are not walked
	// commit is called once for each commit that is here.
	commit func(ctx context.Context, i id, seq int64, h history) error
	lost   func(i id) error // for each parent that is not here, nil for nobody
	root   func()           // for each commit without parents that is not in until
	// lenient passes over what cannot be: a collection judges nothing.
	lenient bool

	seen  marks
	count int
}

// walk starts at commits that are here. Every commit that it queues is a row
// of the store and queued once: that bounds its memory.
func (a *ancestry) walk(ctx context.Context, tips ...id) error {
	var generation []id
	for _, tip := range tips {
		p, err := a.s.locate(ctx, tip)
		if err != nil {
			return err
		}
		if p.here() && a.seen.add(p.seq) {
			generation = append(generation, tip)
		}
	}
	for len(generation) > 0 {
		var next []id
		for _, i := range generation {
			parents, err := a.visit(ctx, i)
			if err != nil {
				return err
			}
			next = append(next, parents...)
		}
		generation = next
	}
	return nil
}

// visit reads a commit and returns the parents that were not met yet.
func (a *ancestry) visit(ctx context.Context, i id) ([]id, error) {
	if a.count++; a.count > maxLineage && !a.lenient {
		return nil, &gitops.Error{
			Reason:  gitops.TooManyCommits,
			Message: fmt.Sprintf("walk a history: it has more than %d commits", maxLineage),
			Remedy:  "set trust.introduction to a newer commit",
		}
	}
	o, err := a.s.read(ctx, i)
	if err != nil {
		return nil, err
	}
	h, err := commitLinks(o.content)
	if err != nil {
		return nil, malformed(i, o.kind, err)
	}
	if err := a.commit(ctx, i, o.seq, h); err != nil {
		return nil, err
	}
	if _, end := a.until[i]; end {
		return nil, nil
	}
	if len(h.parents) == 0 && a.root != nil {
		a.root()
	}
	return a.parents(ctx, i, h.parents)
}

func (a *ancestry) parents(ctx context.Context, i id, parents []id) ([]id, error) {
	fresh := parents[:0]
	for _, parent := range parents {
		p, err := a.s.locate(ctx, parent)
		if err != nil {
			return nil, err
		}
		if !p.here() {
			if a.lost == nil {
				continue
			}
			if err := a.lost(parent); err != nil {
				return nil, err
			}
			continue
		}
		if err := checkKind(i, plumbing.CommitObject, link{parent, plumbing.CommitObject}, p); err != nil {
			if a.lenient {
				continue
			}
			return nil, err
		}
		if a.seen.add(p.seq) {
			fresh = append(fresh, parent)
		}
	}
	return fresh, nil
}

// checkKind checks that what is here under a link's id is what the link says.
func checkKind(from id, t plumbing.ObjectType, l link, a at) error {
	if a.kind == l.kind {
		return nil
	}
	return corrupt("check %s %s: it names %s as a %s, but that is a %s", t, from.hash(), l.id.hash(), l.kind, a.kind)
}

func malformed(i id, t plumbing.ObjectType, err error) error {
	return corrupt("read %s %s: it has %v", t, i.hash(), err)
}
