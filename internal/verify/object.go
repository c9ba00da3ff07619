// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pjbgf/sha1cd"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxObject bounds a commit or tag. The largest honest ones carry a few merge
// tags and stay under 100 KiB.
const maxObject = 1 << 20

// Objects is where the raw bytes of commits and tags come from.
type Objects interface {
	Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error)
}

// object reads the commit or tag with this id. The store hashes what it reads;
// it is hashed again here, because every conclusion of this package rests on
// the id being the hash of these very bytes.
func object(ctx context.Context, objects Objects, id gitops.Hash, want gitops.ObjectKind) ([]byte, error) {
	if !id.Valid() {
		return nil, refusal(malformed(want), "", "%s is not the id of a %s", quoted(string(id)), want)
	}
	kind, raw, err := objects.Object(ctx, id)
	if err != nil {
		if _, ok := errors.AsType[*gitops.Error](err); ok || ctx.Err() != nil {
			return nil, err
		}
		return nil, &gitops.Error{Reason: gitops.StoreFailed, Err: err,
			Message: fmt.Sprintf("read %s %s from the object store: %v", want, id, err)}
	}
	sum, collision := objectID(kind, raw)
	if err := checkObject(id, sum, collision, kind, want); err != nil {
		return nil, err
	}
	if len(raw) > maxObject {
		return nil, refusal(malformed(want), "make it smaller", "%s %s has %d bytes, more than %d", kind, id, len(raw), maxObject)
	}
	return raw, nil
}

func checkObject(id, sum gitops.Hash, collision bool, kind, want gitops.ObjectKind) error {
	switch {
	case collision:
		return refusal(malformed(want), "have its author make it anew; find out who made this one",
			"%s %s is half of a SHA-1 collision", want, id)
	case sum != id:
		return &gitops.Error{Reason: gitops.Corrupt,
			Message: fmt.Sprintf("%s %s hashes to %s: the object store holds other bytes", want, id, sum),
			Remedy:  "it is fetched again; check the disk when this repeats"}
	case kind != want:
		return refusal(malformed(want), "", "object %s is a %s where a %s is needed", id, kind, want)
	}
	return nil
}

func malformed(kind gitops.ObjectKind) gitops.Reason {
	if kind == gitops.TagObject {
		return gitops.MalformedTag
	}
	return gitops.MalformedCommit
}

// objectID is the id of an object, and whether its bytes are made to collide.
func objectID(kind gitops.ObjectKind, raw []byte) (gitops.Hash, bool) {
	h := sha1cd.New().(sha1cd.CollisionResistantHash)
	h.Write([]byte(string(kind) + " " + strconv.Itoa(len(raw)) + "\x00"))
	h.Write(raw)
	sum, collision := h.CollisionResistantSum(nil)
	return gitops.Hash(hex.EncodeToString(sum)), collision
}

// links reads a commit's parents and its committer's time the way Git does:
// parent lines are those that follow the tree line, and nothing else. It serves
// the walk, which also passes commits that nobody judges; whatever is judged is
// held to the strict grammar of parseCommit afterwards, which reads the same
// parents or refuses. The time orders the walk and decides nothing.
func links(raw []byte) (parents []gitops.Hash, when int64) {
	_, rest, _ := bytes.Cut(raw, []byte("\n")) // the tree
	var line []byte
	for {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		id, ok := bytes.CutPrefix(line, []byte("parent "))
		if !ok {
			break
		}
		parents = append(parents, gitops.Hash(strings.ToLower(string(id))))
	}
	for len(line) > 0 {
		if bytes.HasPrefix(line, []byte("committer ")) {
			_, date, _ := bytes.Cut(line[bytes.LastIndexByte(line, '>')+1:], []byte(" "))
			seconds, _, _ := bytes.Cut(date, []byte(" "))
			when, _ = strconv.ParseInt(string(seconds), 10, 64)
			break
		}
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return parents, when
}
