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
	"github.com/klauspost/compress/zstd"

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

// querier is the database or a transaction on it. There is one connection:
// whoever holds a transaction must read through it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func kindOf(t plumbing.ObjectType) gitops.ObjectKind { return gitops.ObjectKind(t.String()) }

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

func (s *Store) prepareCodec() error {
	var err error
	s.enc, err = zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return fmt.Errorf("prepare compression of the object store: %v", err)
	}
	s.dec, err = zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(s.opts.MaxObject)))
	if err != nil {
		return fmt.Errorf("prepare compression of the object store: %v", err)
	}
	return nil
}

func (s *Store) pack(content []byte) []byte {
	packed := s.enc.EncodeAll(content, nil)
	if len(packed) >= len(content) {
		return content
	}
	return packed
}

// unpack gives a row its content back and checks it against its id.
func (s *Store) unpack(i id, t plumbing.ObjectType, size int64, data []byte) ([]byte, error) {
	if size > s.opts.MaxObject {
		return nil, tooLarge("raise the object size limit again",
			"read object %s: it has %d bytes, the limit is %d", i.hash(), size, s.opts.MaxObject)
	}
	content := data
	if int64(len(data)) != size {
		var err error
		content, err = s.dec.DecodeAll(data, make([]byte, 0, max(size, 0)))
		if err != nil {
			return nil, damaged(i, "its row does not decompress")
		}
	}
	got, err := identify(t, content)
	if err != nil {
		return nil, err
	}
	if got != i {
		return nil, damaged(i, "the stored bytes hash to "+string(got.hash()))
	}
	return content, nil
}

// Object reads an object and checks that it hashes to its id. One that does
// not is thrown away, so that the next fetch brings it again.
func (s *Store) Object(ctx context.Context, h gitops.Hash) (k gitops.ObjectKind, content []byte, err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(h)
	if err != nil {
		return "", nil, err
	}
	t, content, err := s.read(ctx, s.db, i)
	if err != nil {
		return "", nil, err
	}
	return kindOf(t), content, nil
}

func (s *Store) read(ctx context.Context, q querier, i id) (plumbing.ObjectType, []byte, error) {
	var t plumbing.ObjectType
	var size int64
	var data []byte
	err := q.QueryRowContext(ctx, "SELECT kind, size, data FROM objects WHERE id = ?", i[:]).Scan(&t, &size, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: fmt.Sprintf("read object %s: it is not in the object store", i.hash()),
			Remedy:  "it comes with the next fetch that needs it",
		}
	}
	if err != nil {
		return 0, nil, storeFailed("read object "+string(i.hash()), err)
	}
	content, err := s.unpack(i, t, size, data)
	return t, content, err
}

// kind is the type of an object, InvalidObject when it is not there.
func kind(ctx context.Context, q querier, i id) (plumbing.ObjectType, error) {
	var t plumbing.ObjectType
	err := q.QueryRowContext(ctx, "SELECT kind FROM objects WHERE id = ?", i[:]).Scan(&t)
	if errors.Is(err, sql.ErrNoRows) {
		return plumbing.InvalidObject, nil
	}
	if err != nil {
		return plumbing.InvalidObject, storeFailed("look up object "+string(i.hash()), err)
	}
	return t, nil
}

// Has reports whether an object is in the store. Complete asks for more.
func (s *Store) Has(ctx context.Context, h gitops.Hash) (here bool, err error) {
	defer s.quarantine(ctx, &err)
	i, err := parseID(h)
	if err != nil {
		return false, err
	}
	t, err := kind(ctx, s.db, i)
	return t != plumbing.InvalidObject, err
}
