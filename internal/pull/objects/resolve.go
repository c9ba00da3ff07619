// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"encoding/binary"
	"runtime/debug"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// maxWaiting bounds the deltas that are kept because their base may come
	// later. Git sends bases first: what waits is on a base that is not here.
	maxWaiting = 16 << 20
	// waiter is what a delta that waits costs beside its bytes.
	waiter = 128
	// maxRecent is how much of the newest content is kept for the deltas on it.
	maxRecent = 8 << 20
	// large is an object after which memory goes back to the system: a pack of
	// many would have the collector keep some of them beside those in use.
	large = 2 << 20
	// inflation is how many times larger than a pack its objects may be.
	inflation = 8
)

// resolver turns one pack into objects. go-git's scanner reads the entries and
// checks the trailer; deltas are resolved here, because go-git's parser keeps
// all of them in memory, reserves up to 1 GiB on a header's word, and gives up a
// pack with a base that is not here.
type resolver struct {
	s       *Store
	batch   *batch
	offsets offsets

	// Deltas whose base has not come yet, by the base's id or offset.
	byID     map[id][]delta
	byOffset map[int64][]delta
	waiting  int // bytes
	waiters  int
	dropped  int // deltas that found no room to wait

	recent      map[id]object
	recentBytes int
	inflated    int64
}

// delta is an entry that changes another object.
type delta struct {
	offset int64
	bytes  []byte
}

func newResolver(s *Store, b *batch) *resolver {
	return &resolver{s: s, batch: b, byID: map[id][]delta{}, byOffset: map[int64][]delta{}, recent: map[id]object{}}
}

// setAside counts the deltas that did not find their base.
func (x *resolver) setAside() int { return x.waiters + x.dropped }

// next reads one entry of the pack.
func (x *resolver) next(ctx context.Context, scanner *packfile.Scanner) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return brokenPack(err)
	}
	x.offsets.add(header.Offset)
	most := x.s.opts.MaxObject
	if header.Type.IsDelta() {
		most /= 2 // Git makes no delta that is longer than half of its object
	}
	if header.Length < 0 || header.Length > most {
		return x.oversized(header.Length, most)
	}
	content := sized{most: int(header.Length)}
	n, _, err := scanner.NextObject(&content)
	if err != nil {
		return brokenPack(err)
	}
	if n != header.Length {
		return corrupt("read a pack: an entry has %d bytes and says %d", n, header.Length)
	}
	d := delta{offset: header.Offset, bytes: content.bytes}
	switch header.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return x.put(ctx, header.Offset, object{kind: header.Type, content: content.bytes})
	case plumbing.OFSDeltaObject:
		base := x.offsets.find(header.OffsetReference)
		switch {
		case base == nil:
			return corrupt("read a pack: a delta on offset %d, where no entry begins", header.OffsetReference)
		case !base.resolved:
			return wait(x, x.byOffset, header.OffsetReference, d)
		}
		return x.patch(ctx, base.id, d)
	case plumbing.REFDeltaObject:
		return x.patch(ctx, id(header.Reference), d)
	default:
		return corrupt("read a pack: an entry of type %d", header.Type)
	}
}

func (x *resolver) oversized(n, most int64) error {
	return tooLarge("keep files of this size out of the repository",
		"read a pack: it holds an object of %d bytes, the limit is %d", n, most)
}

// wait keeps a delta for its base. Where there is no room it is dropped, as it
// would be at the end of the pack: what is missing then is asked for by its id.
func wait[K comparable](x *resolver, at map[K][]delta, base K, d delta) error {
	if x.waiting+len(d.bytes)+waiter > maxWaiting {
		x.dropped++
		return nil
	}
	at[base] = append(at[base], d)
	x.waiting += len(d.bytes) + waiter
	x.waiters++
	return nil
}

// patch makes the object that a delta describes, and what waited for it.
func (x *resolver) patch(ctx context.Context, base id, d delta) error {
	o, err := x.apply(ctx, base, d.bytes)
	if gitops.ReasonOf(err) == gitops.Incomplete {
		return wait(x, x.byID, base, d)
	}
	if err != nil {
		return err
	}
	return x.put(ctx, d.offset, o)
}

// put stores an object and then everything that waited for it. The queue holds
// deltas, not results, so that a base with a thousand deltas costs one result.
func (x *resolver) put(ctx context.Context, offset int64, o object) error {
	made, err := x.store(ctx, offset, o)
	if err != nil {
		return err
	}
	type work struct {
		base id
		delta
	}
	var queue []work
	ready := func(base id, offset int64) {
		for _, d := range append(x.byID[base], x.byOffset[offset]...) {
			queue = append(queue, work{base, d})
			x.waiting -= len(d.bytes) + waiter
			x.waiters--
		}
		delete(x.byID, base)
		delete(x.byOffset, offset)
	}
	ready(made, offset)
	for len(queue) > 0 {
		w := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		o, err := x.apply(ctx, w.base, w.bytes)
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

// base finds what a delta changes: an object that came just now, one of the
// batch, or one of the store.
func (x *resolver) base(ctx context.Context, i id) (object, error) {
	if o, ok := x.recent[i]; ok {
		return o, nil
	}
	if o, ok, err := x.batch.find(i); ok || err != nil {
		return o, err
	}
	return x.s.read(ctx, i)
}

// apply makes the object that a delta describes.
func (x *resolver) apply(ctx context.Context, base id, change []byte) (object, error) {
	from, err := x.base(ctx, base)
	if err != nil {
		return object{}, err
	}
	_, n := binary.Uvarint(change)
	if n <= 0 {
		return object{}, brokenPack(packfile.ErrInvalidDelta)
	}
	size, n := binary.Uvarint(change[n:])
	if n <= 0 {
		return object{}, brokenPack(packfile.ErrInvalidDelta)
	}
	if most := x.s.opts.MaxObject; size > uint64(most) {
		return object{}, x.oversized(int64(min(size, 1<<62)), most)
	}
	content, err := packfile.PatchDelta(from.content, change)
	if err != nil {
		return object{}, brokenPack(err)
	}
	return object{kind: from.kind, content: content}, nil
}

// store checks one object and hands it to the batch.
func (x *resolver) store(ctx context.Context, offset int64, o object) (id, error) {
	x.inflated += int64(len(o.content))
	if x.inflated > inflation*x.s.opts.MaxPack {
		return id{}, tooLarge("use a smaller repository for this source",
			"read a pack: its objects have more than %d bytes", inflation*x.s.opts.MaxPack)
	}
	i, err := identify(o.kind, o.content)
	if err != nil {
		return id{}, err
	}
	if err := checkForm(o.kind, o.content); err != nil {
		return id{}, malformed(i, o.kind, err)
	}
	if err := x.batch.add(ctx, i, o.kind, o.content); err != nil {
		return id{}, err
	}
	x.offsets.resolve(offset, i)
	x.remember(i, o)
	if len(o.content) > large {
		debug.FreeOSMemory()
	}
	return i, nil
}

// remember keeps the newest contents: a delta's base is most often one of
// them, and is then neither read, inflated nor hashed again.
func (x *resolver) remember(i id, o object) {
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

// sized collects content whose size a header promises: it grows with what
// comes, and never over the promise.
type sized struct {
	most  int
	bytes []byte
}

func (w *sized) Write(p []byte) (int, error) {
	if need := len(w.bytes) + len(p); need > cap(w.bytes) && need <= w.most {
		grown := make([]byte, len(w.bytes), min(max(2*cap(w.bytes), need, 4096), w.most))
		copy(grown, w.bytes)
		w.bytes = grown
	}
	w.bytes = append(w.bytes, p...)
	return len(p), nil
}
