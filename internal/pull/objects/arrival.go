// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxObjects bounds the table of offsets that a pack needs while it is read.
const maxObjects = 1_000_000

// maxTail is how much may come behind a pack: Git sends a few bytes.
const maxTail = 64 << 10

// Arrival is a pack on its way in.
type Arrival struct {
	Pack io.Reader
	// Announced is told the number of objects in the pack's header, before the
	// first one is read. An error ends Receive with it. nil: nobody asks.
	Announced func(objects int) error
	// Keep names revisions that must survive when unused objects have to make
	// room: the pack may build on them. Those that are not there are left out.
	Keep []gitops.Hash
	// Progress is called with every entry that was read, and while room is made;
	// nil for nobody.
	Progress func()
}

// Received says what a pack brought. It is valid beside an error, too.
type Received struct {
	Objects  int   // whole objects, stored now or before
	New      int   // of them, those that were not there before
	SetAside int   // deltas whose base is neither in the pack nor here
	Bytes    int64 // of the pack, as read
}

// Receive stores the objects of a pack as they come, in small transactions.
// Whatever ends the pack, the objects that were whole by then stay, and a
// process that dies loses one batch. No transaction is open while the link is
// waited for. An error of a.Pack comes back as it is.
//
// A delta whose base is not here is no error: a server that was told of a commit
// may build on anything below it, and this store holds only a part of that.
func (s *Store) Receive(ctx context.Context, a Arrival) (got Received, err error) {
	defer s.quarantine(ctx, &err)
	if a.Progress == nil {
		a.Progress = func() {}
	}
	b, err := s.newBatch(ctx, a)
	if err != nil {
		return Received{}, err
	}
	r := &packReader{from: a.Pack, most: s.opts.MaxPack}
	x := newResolver(s, b)
	err = x.read(ctx, r, a)
	if err != nil && r.ended != nil && !errors.Is(r.ended, io.EOF) && gitops.ReasonOf(err) == gitops.Corrupt {
		err = r.ended
	}
	if lost := b.flush(ctx); lost != nil {
		err = lost
	}
	return Received{Objects: b.stored, New: b.news, SetAside: x.setAside(), Bytes: r.n}, err
}

// read reads a pack to its end.
func (x *resolver) read(ctx context.Context, r io.Reader, a Arrival) error {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return brokenPack(err)
	}
	if count > maxObjects {
		return tooLarge("use a smaller repository for this source",
			"read a pack: it announces %d objects, the limit is %d", count, maxObjects)
	}
	if a.Announced != nil {
		if err := a.Announced(int(count)); err != nil {
			return err
		}
	}
	for range count {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store a pack: %w", err)
		}
		if err := x.next(ctx, scanner); err != nil {
			return err
		}
		a.Progress()
	}
	if _, err := scanner.Checksum(); err != nil {
		return brokenPack(err)
	}
	// A connection whose answer was read to its end is used again. All that is
	// needed is here: what ends the answer does not matter.
	_, _ = io.CopyN(io.Discard, r, maxTail)
	return nil
}

func brokenPack(err error) error {
	return corrupt("read a pack: %v", err)
}

// packReader counts and bounds a pack, and remembers what ended it: go-git's
// scanner does not keep the errors that it meets. It has no Seek, which the
// scanner would use.
type packReader struct {
	from    io.Reader
	most, n int64
	next    error // comes after bytes that it came with
	ended   error // what was asked for could not be read
}

func (r *packReader) Read(p []byte) (int, error) {
	if r.next != nil {
		r.ended = r.next
		return 0, r.ended
	}
	n, err := r.from.Read(p)
	r.n += int64(n)
	if r.n > r.most {
		n, err = 0, tooLarge("use a smaller repository for this source, or a mirror that holds only what the node needs",
			"receive a pack: it is larger than the limit of %d bytes", r.most)
	}
	if r.next = err; n == 0 {
		r.ended = err
		return 0, err
	}
	return n, nil
}
