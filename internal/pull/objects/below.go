// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxPath bounds the paths that a walk carries along for people to read: of a
// longer one the end is shown.
const maxPath = 4096

// missing is a list of objects that are not here, each once.
type missing struct {
	most    int
	objects []gitops.MissingObject
	named   map[id]struct{}
}

func (m *missing) full() bool { return len(m.objects) >= m.most }

func (m *missing) add(l link, path string, depth int) {
	if _, again := m.named[l.id]; again || m.full() {
		return
	}
	if m.named == nil {
		m.named = map[id]struct{}{}
	}
	m.named[l.id] = struct{}{}
	m.objects = append(m.objects, gitops.MissingObject{ID: l.id.hash(), Kind: kindOf(l.kind), Path: path, Depth: depth})
}

// Below names what is missing of everything below roots, roots included: of a
// commit its tree, of a tag what it names. At most most, breadth first.
func (s *Store) Below(ctx context.Context, roots []gitops.Hash, most int) (lost []gitops.MissingObject, err error) {
	defer s.quarantine(ctx, &err)
	ids, err := parseIDs(roots)
	if err != nil {
		return nil, err
	}
	m := missing{most: max(most, 1)}
	d := descent{s: s, lost: func(l link, path string) error {
		m.add(l, path, 0)
		if m.full() {
			return errEnough
		}
		return nil
	}}
	if err := d.walk(ctx, ids...); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return m.objects, nil
}

// descent walks trees breadth first.
type descent struct {
	s *Store
	// found is called once for each object that is here, lost for each naming of
	// one that is not; nil for nobody.
	found func(l link, seq int64)
	lost  func(l link, path string) error
	// lenient passes over what cannot be: a collection judges nothing.
	lenient bool

	seen marks
}

// spot is a tree to look into, and where it lies.
type spot struct {
	id   id
	path string
}

// walk looks below roots of any kind.
func (d *descent) walk(ctx context.Context, roots ...id) error {
	var level []spot
	for _, i := range roots {
		l, err := d.tree(ctx, i)
		if err != nil {
			return err
		}
		trees, err := d.meet(ctx, i, plumbing.TagObject, l, "")
		if err != nil {
			return err
		}
		level = append(level, trees...)
	}
	return d.descend(ctx, level)
}

// tree is what a root means: a commit's tree, what a tag names, or itself.
func (d *descent) tree(ctx context.Context, i id) (link, error) {
	p, err := d.s.peel(ctx, i)
	if err != nil || !p.at.here() || p.at.kind != plumbing.CommitObject {
		return p.target, err
	}
	o, err := d.s.read(ctx, p.target.id)
	if err != nil {
		return link{}, err
	}
	h, err := commitLinks(o.content)
	if err != nil {
		return link{}, malformed(p.target.id, o.kind, err)
	}
	return link{h.tree, plumbing.TreeObject}, nil
}

// trust looks below the entry of a root tree that decides whom to trust.
func (d *descent) trust(ctx context.Context, root id) error {
	o, err := d.s.read(ctx, root)
	if err != nil {
		return err
	}
	for e, err := range entries(o.content) {
		if err != nil {
			return malformed(root, o.kind, err)
		}
		if e.name != trustDir {
			continue
		}
		level, err := d.meet(ctx, root, plumbing.TreeObject, e.link, e.name)
		if err != nil {
			return err
		}
		return d.descend(ctx, level)
	}
	return nil
}

func (d *descent) descend(ctx context.Context, level []spot) error {
	for len(level) > 0 {
		var next []spot
		for _, t := range level {
			o, err := d.s.read(ctx, t.id)
			if err != nil {
				return err
			}
			for e, err := range entries(o.content) {
				if err != nil {
					return malformed(t.id, o.kind, err)
				}
				trees, err := d.meet(ctx, t.id, plumbing.TreeObject, e.link, join(t.path, e.name))
				if err != nil {
					return err
				}
				next = append(next, trees...)
			}
		}
		level = next
	}
	return nil
}

// meet looks at one link. Only a tree that is here and is new is returned to be
// walked: the queue is no longer than the store has trees.
func (d *descent) meet(ctx context.Context, from id, t plumbing.ObjectType, l link, path string) ([]spot, error) {
	if l.kind == plumbing.AnyObject {
		return nil, nil // a gitlink
	}
	a, err := d.s.locate(ctx, l.id)
	if err != nil {
		return nil, err
	}
	if !a.here() {
		if d.lost == nil {
			return nil, nil
		}
		return nil, d.lost(l, path)
	}
	if err := checkKind(from, t, l, a); err != nil {
		if d.lenient {
			return nil, nil
		}
		return nil, err
	}
	if !d.seen.add(a.seq) {
		return nil, nil
	}
	if d.found != nil {
		d.found(l, a.seq)
	}
	if l.kind != plumbing.TreeObject {
		return nil, nil
	}
	return []spot{{l.id, path}}, nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	if len(dir)+len(name) >= maxPath {
		dir = "…"
	}
	return dir + "/" + name
}
