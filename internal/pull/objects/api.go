// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"io"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var errNotYet = errors.New("not there yet")

// Received says what a pack brought. It is valid beside an error, too.
type Received struct {
	Objects  int   // whole objects, stored now or before
	New      int   // of them, those that were not there before
	SetAside int   // deltas whose base is neither in the pack nor here
	Bytes    int64 // of the pack, as read
}

// Lineage is what a walk over the commits of a tip found.
type Lineage struct {
	// Missing is what is named and not here: commits first, then root trees,
	// then what is below an .edgeagent entry.
	Missing []gitops.MissingObject
	// Around says that a path ended, in a root commit or a missing one, without
	// meeting the end that the caller gave.
	Around  bool
	Commits int // that are here
}

// Absent lists those of ids that are not here, in their order.
func (s *Store) Absent(ctx context.Context, ids []gitops.Hash) ([]gitops.Hash, error) {
	return nil, errNotYet
}

// Lineage walks the commits of tip (of a tag: what it names), not past until:
// those belong to it, their parents do not. At most most missing objects are
// named, the nearest first.
func (s *Store) Lineage(ctx context.Context, tip gitops.Hash, until []gitops.Hash, most int) (Lineage, error) {
	return Lineage{}, errNotYet
}

// Below names what is missing of everything below roots, roots included: of a
// commit its tree, of a tree all of it. At most most, breadth first.
func (s *Store) Below(ctx context.Context, roots []gitops.Hash, most int) ([]gitops.MissingObject, error) {
	return nil, errNotYet
}

// Ancestor reports whether old is young or an ancestor of it, by what is here.
func (s *Store) Ancestor(ctx context.Context, old, young gitops.Hash) (bool, error) {
	return false, errNotYet
}

// Head is the source's head, false when there is none or its lineage has to be
// walked again.
func (s *Store) Head(ctx context.Context, source string) (gitops.Hash, bool, error) {
	return "", false, errNotYet
}

// Carry keeps named refs of a source (refs/edgeagent/*), in place of those kept
// before. A collection keeps what they name whole.
func (s *Store) Carry(ctx context.Context, source string, refs map[string]gitops.Hash) error {
	return errNotYet
}

// Carried is what Carry kept.
func (s *Store) Carried(ctx context.Context, source string) (map[string]gitops.Hash, error) {
	return nil, errNotYet
}

// Pack writes a pack that holds ids, each once, without deltas.
func (s *Store) Pack(ctx context.Context, w io.Writer, ids []gitops.Hash) error {
	return errNotYet
}

// Reach lists what an export holds: the commits and tags from tips, not past
// until (those are in it, their parents not), with root trees and what is below
// .edgeagent; and all trees and blobs of whole.
func (s *Store) Reach(ctx context.Context, tips, until, whole []gitops.Hash) ([]gitops.Hash, error) {
	return nil, errNotYet
}
