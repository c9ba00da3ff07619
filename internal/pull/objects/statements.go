// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Statements lists what signed statements are made of: the object that each ref
// names and, where that is a tag of a file, the file. A commit that a tag is
// about is not part of it, nor is its tree: the statement says what it says
// whether the commit is here or not. At most most are named as missing.
func (s *Store) Statements(ctx context.Context, tips []gitops.Hash, most int) (here []gitops.Hash, lost []gitops.MissingObject, err error) {
	defer s.quarantine(ctx, &err)
	ids, err := parseIDs(tips)
	if err != nil {
		return nil, nil, err
	}
	m := missing{most: max(most, 1)}
	for _, i := range ids {
		a, err := s.locate(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		if !a.here() {
			m.add(link{i, plumbing.TagObject}, "", 1)
			continue
		}
		here = append(here, i.hash())
		if a.kind != plumbing.TagObject {
			continue
		}
		o, err := s.read(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		named, err := tagLink(o.content)
		if err != nil || named.kind != plumbing.BlobObject {
			continue // one that is malformed says nothing
		}
		if a, err = s.locate(ctx, named.id); err != nil {
			return nil, nil, err
		}
		if a.here() {
			here = append(here, named.id.hash())
		} else {
			m.add(named, "", 1)
		}
	}
	return here, m.objects, nil
}
