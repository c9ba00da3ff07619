// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"crypto"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/hash"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// id is an object id as it is stored.
type id [20]byte

func (i id) hash() gitops.Hash { return gitops.Hash(hex.EncodeToString(i[:])) }

func parseID(h gitops.Hash) (id, error) {
	var i id
	if !h.Valid() {
		return i, &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: fmt.Sprintf("look up object %q: not a full SHA-1 object id", string(h)),
		}
	}
	_, err := hex.Decode(i[:], []byte(h))
	return i, err
}

func parseIDs(hashes []gitops.Hash) ([]id, error) {
	out := make([]id, 0, len(hashes))
	for _, h := range hashes {
		i, err := parseID(h)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

// kindOf is "" where the type is not known.
func kindOf(t plumbing.ObjectType) gitops.ObjectKind {
	if t == plumbing.InvalidObject {
		return ""
	}
	return gitops.ObjectKind(t.String())
}

// collisionDetector is go-git's SHA-1, which sees the known attacks on it.
type collisionDetector interface {
	CollisionResistantSum([]byte) ([]byte, bool)
}

// identify is the id of an object, or an error when its bytes are crafted to
// collide with another object's.
func identify(t plumbing.ObjectType, content []byte) (id, error) {
	header := append(t.Bytes(), ' ')
	header = strconv.AppendInt(header, int64(len(content)), 10)
	return sum(append(header, 0), content)
}

func sum(parts ...[]byte) (id, error) {
	h := hash.New(crypto.SHA1)
	detector, ok := h.(collisionDetector)
	if !ok {
		return id{}, errors.New("hash an object: this SHA-1 does not detect collisions")
	}
	for _, p := range parts {
		h.Write(p)
	}
	out, collided := detector.CollisionResistantSum(nil)
	if collided {
		return id{}, corrupt("hash an object: its bytes are crafted for a SHA-1 collision")
	}
	return id(out), nil
}

// Object reads an object and checks that it hashes to its id. One that does
// not is thrown away, so that the next fetch brings it again.
func (s *Store) Object(ctx context.Context, h gitops.Hash) (k gitops.ObjectKind, content []byte, err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(h)
	if err != nil {
		return "", nil, err
	}
	o, err := s.read(ctx, i)
	if err != nil {
		return "", nil, err
	}
	return kindOf(o.kind), o.content, nil
}

// object is a row that was read and hashes to its id.
type object struct {
	seq     int64
	kind    plumbing.ObjectType
	content []byte
}

func (s *Store) read(ctx context.Context, i id) (object, error) {
	var o object
	var size int64
	var data []byte
	err := s.reads.object.QueryRowContext(ctx, i[:]).Scan(&o.seq, &o.kind, &size, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return o, absent(i)
	}
	if err != nil {
		return o, storeFailed("read object "+string(i.hash()), err)
	}
	o.content, err = s.unpack(i, o.kind, size, data)
	return o, err
}

func absent(i id) error {
	return &gitops.Error{
		Reason:  gitops.Incomplete,
		Message: fmt.Sprintf("read object %s: it is not in the object store", i.hash()),
		Remedy:  "it comes with the next fetch that needs it",
	}
}

// at is where an object is: a seq of 0 says nowhere.
type at struct {
	seq  int64
	kind plumbing.ObjectType
}

func (a at) here() bool { return a.seq != 0 }

func (s *Store) locate(ctx context.Context, i id) (at, error) {
	var a at
	err := s.reads.place.QueryRowContext(ctx, i[:]).Scan(&a.seq, &a.kind)
	if errors.Is(err, sql.ErrNoRows) {
		return at{}, nil
	}
	if err != nil {
		return at{}, storeFailed("look up object "+string(i.hash()), err)
	}
	return a, nil
}

// Has reports whether an object is in the store. It says nothing about what the
// object names.
func (s *Store) Has(ctx context.Context, h gitops.Hash) (bool, error) {
	lost, err := s.Absent(ctx, []gitops.Hash{h})
	return err == nil && len(lost) == 0, err
}

// Absent lists those of ids that are not here, in their order.
func (s *Store) Absent(ctx context.Context, ids []gitops.Hash) (lost []gitops.Hash, err error) {
	defer s.quarantine(ctx, &err)
	for _, h := range ids {
		i, err := parseID(h)
		if err != nil {
			return nil, err
		}
		a, err := s.locate(ctx, i)
		if err != nil {
			return nil, err
		}
		if !a.here() {
			lost = append(lost, h)
		}
	}
	return lost, nil
}

// statements are the two reads that a walk does for every object. They are
// compiled once; nothing may call them while a transaction holds the connection.
type statements struct{ object, place *sql.Stmt }

func (s *Store) prepareReads() error {
	var err error
	if s.reads.object, err = s.db.Prepare("SELECT seq, kind, size, data FROM objects WHERE id = ?"); err == nil {
		s.reads.place, err = s.db.Prepare("SELECT seq, kind FROM objects WHERE id = ?")
	}
	if err != nil {
		return storeFailed("open the object store "+s.path, err)
	}
	return nil
}
