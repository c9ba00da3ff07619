// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	// maxObjects bounds the table of offsets that a pack needs while it is read.
	maxObjects = 2_000_000
	// maxWaiting bounds the deltas that are kept because their base comes
	// later, in objects of the largest size. Git sends bases first.
	maxWaiting = 2
	// maxRecent is how much of the newest content is kept for the deltas on it.
	maxRecent = 8 << 20
	// inflation is how many times larger than a pack its objects may be.
	inflation = 8
)

// indexer turns one pack into rows. go-git's scanner reads the entries and
// checks the trailer; deltas are resolved here, because go-git's parser keeps
// all of them in memory and reserves up to 1 GiB on a header's word.
type indexer struct {
	s      *Store
	tx     *sql.Tx
	insert *sql.Stmt
	at     map[int64]id // offset in the pack → object, for offset deltas

	// Deltas whose base has not come yet, by the base's id or offset.
	byID     map[id][]entry
	byOffset map[int64][]entry
	waiting  int

	recent      map[id]object
	recentBytes int
	inflated    int64
}

type entry struct {
	offset int64
	delta  []byte
}

type object struct {
	kind    plumbing.ObjectType
	content []byte
}

// index stores the objects of a pack.
func (s *Store) index(ctx context.Context, tx *sql.Tx, pack io.Reader, progress func()) error {
	insert, err := tx.PrepareContext(ctx,
		"INSERT INTO objects (id, kind, size, data) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
	if err != nil {
		return storeFailed("store a pack", err)
	}
	defer func() { _ = insert.Close() }()
	x := &indexer{
		s: s, tx: tx, insert: insert,
		at: map[int64]id{}, byID: map[id][]entry{}, byOffset: map[int64][]entry{}, recent: map[id]object{},
	}
	scanner := packfile.NewScanner(onlyReader{pack})
	_, count, err := scanner.Header()
	if err != nil {
		return brokenPack(err)
	}
	if count > maxObjects {
		return tooLarge("use a smaller repository for this source",
			"read a pack: it announces %d objects, the limit is %d", count, maxObjects)
	}
	for range count {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store a pack: %w", err)
		}
		if err := x.next(ctx, scanner); err != nil {
			return err
		}
		progress()
	}
	if _, err := scanner.Checksum(); err != nil {
		return brokenPack(err)
	}
	if x.waiting > 0 {
		return corrupt("read a pack: %d bytes of deltas have no base in it or in the object store", x.waiting)
	}
	return nil
}

// onlyReader hides Seek: go-git's scanner would seek in a file.
type onlyReader struct{ io.Reader }

func brokenPack(err error) error {
	return corrupt("read a pack: %v", err)
}

// next reads one entry of the pack.
func (x *indexer) next(ctx context.Context, scanner *packfile.Scanner) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return brokenPack(err)
	}
	if err := x.checkSize(header.Length); err != nil {
		return err
	}
	var buf bytes.Buffer
	buf.Grow(int(min(header.Length, 64<<10)))
	n, _, err := scanner.NextObject(&buf)
	if err != nil {
		return brokenPack(err)
	}
	if n != header.Length {
		return corrupt("read a pack: an entry has %d bytes and says %d", n, header.Length)
	}
	e := entry{offset: header.Offset, delta: buf.Bytes()}
	switch header.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return x.put(ctx, header.Offset, object{header.Type, buf.Bytes()})
	case plumbing.OFSDeltaObject:
		base, ok := x.at[header.OffsetReference]
		if !ok {
			x.byOffset[header.OffsetReference] = append(x.byOffset[header.OffsetReference], e)
			return x.wait(len(e.delta))
		}
		return x.patch(ctx, base, e)
	case plumbing.REFDeltaObject:
		base := id(header.Reference)
		t, err := kind(ctx, x.tx, base)
		if err != nil {
			return err
		}
		if t == plumbing.InvalidObject {
			x.byID[base] = append(x.byID[base], e)
			return x.wait(len(e.delta))
		}
		return x.patch(ctx, base, e)
	default:
		return corrupt("read a pack: an entry of type %d", header.Type)
	}
}

func (x *indexer) checkSize(n int64) error {
	if n < 0 || n > x.s.opts.MaxObject {
		return tooLarge("keep files of this size out of the repository",
			"read a pack: it holds an object of %d bytes, the limit is %d", n, x.s.opts.MaxObject)
	}
	return nil
}

func (x *indexer) wait(n int) error {
	x.waiting += n
	if most := maxWaiting * x.s.opts.MaxObject; int64(x.waiting) > most {
		return tooLarge("repack the repository on the server",
			"read a pack: more than %d bytes of deltas come before what they change", most)
	}
	return nil
}

// put stores an object and then everything that waited for it. The queue holds
// deltas, not results, so that a base with a thousand deltas costs one result.
func (x *indexer) put(ctx context.Context, offset int64, o object) error {
	base, err := x.store(ctx, offset, o)
	if err != nil {
		return err
	}
	type work struct {
		base id
		entry
	}
	var queue []work
	ready := func(base id, offset int64) {
		for _, e := range append(x.byID[base], x.byOffset[offset]...) {
			queue = append(queue, work{base, e})
			x.waiting -= len(e.delta)
		}
		delete(x.byID, base)
		delete(x.byOffset, offset)
	}
	ready(base, offset)
	for len(queue) > 0 {
		w := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		o, err := x.apply(ctx, w.base, w.delta)
		if err != nil {
			return err
		}
		made, err := x.store(ctx, w.offset, o)
		if err != nil {
			return err
		}
		ready(made, w.offset)
	}
	return nil
}

func (x *indexer) patch(ctx context.Context, base id, e entry) error {
	o, err := x.apply(ctx, base, e.delta)
	if err != nil {
		return err
	}
	return x.put(ctx, e.offset, o)
}

// apply makes the object that a delta describes.
func (x *indexer) apply(ctx context.Context, base id, delta []byte) (object, error) {
	from, ok := x.recent[base]
	if !ok {
		var err error
		from.kind, from.content, err = x.s.read(ctx, x.tx, base)
		if err != nil {
			return object{}, err
		}
	}
	_, n := binary.Uvarint(delta)
	if n <= 0 {
		return object{}, brokenPack(packfile.ErrInvalidDelta)
	}
	size, n := binary.Uvarint(delta[n:])
	if n <= 0 {
		return object{}, brokenPack(packfile.ErrInvalidDelta)
	}
	if err := x.checkSize(int64(min(size, 1<<62))); err != nil {
		return object{}, err
	}
	content, err := packfile.PatchDelta(from.content, delta)
	if err != nil {
		return object{}, brokenPack(err)
	}
	return object{from.kind, content}, nil
}

// store writes one object as a row.
func (x *indexer) store(ctx context.Context, offset int64, o object) (id, error) {
	x.inflated += int64(len(o.content))
	if x.inflated > inflation*x.s.opts.MaxPack {
		return id{}, tooLarge("use a smaller repository for this source",
			"read a pack: its objects have more than %d bytes", inflation*x.s.opts.MaxPack)
	}
	i, err := identify(o.kind, o.content)
	if err != nil {
		return id{}, err
	}
	if _, err := x.insert.ExecContext(ctx, i[:], int(o.kind), len(o.content), nonNil(x.s.pack(o.content))); err != nil {
		return id{}, storeFailed("store object "+string(i.hash()), err)
	}
	x.at[offset] = i
	x.remember(i, o)
	return i, nil
}

// nonNil keeps the driver from writing an empty object as NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// remember keeps the newest contents: a delta's base is most often one of
// them, and is then neither read, inflated nor hashed again.
func (x *indexer) remember(i id, o object) {
	if x.recentBytes+len(o.content) > maxRecent {
		clear(x.recent)
		x.recentBytes = 0
	}
	if len(o.content) <= maxRecent {
		if _, ok := x.recent[i]; !ok {
			x.recent[i] = o
			x.recentBytes += len(o.content)
		}
	}
}
