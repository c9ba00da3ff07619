// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// spoolInMemory is how much of a pack is kept in memory before a file is used:
// an update is a few kilobytes, only a first fetch touches the disk twice.
const spoolInMemory = 1 << 20

// incoming is how the file for a pack is named, for the moment that it has one.
const incoming = "-incoming-*"

// Arrival is a pack and what it is for.
type Arrival struct {
	Source string
	// Head is the object that the source's ref names, and that the pack completes.
	Head gitops.Hash
	Pack io.Reader
	// Keep names revisions that must survive when unused objects have to make
	// room: the pack may build on them. Those that are not there are left out.
	Keep []gitops.Hash
	// Progress is called with every object that is stored or looked at, nil for
	// nobody: a large pack takes minutes on a slow disk.
	Progress func()
	// Announced is told the number of objects in the pack's header, before the
	// first one is read. An error ends Receive with it. nil: nobody asks.
	Announced func(objects int) error
}

// Receive stores a pack and moves the source's head to an object that is then
// complete. Pack, check and head are one transaction: when Receive fails, or
// the process dies in it, the store is what it was. Only when the store is full
// are unused objects removed, and the same pack is tried once more.
//
// The pack is read to its end before the transaction begins, so that a slow
// link does not keep other sources from reading.
func (s *Store) Receive(ctx context.Context, a Arrival) (Received, error) {
	return Received{}, s.receiveHead(ctx, a)
}

func (s *Store) receiveHead(ctx context.Context, a Arrival) (err error) {
	defer s.quarantine(ctx, &err)
	if a.Progress == nil {
		a.Progress = func() {}
	}
	target, err := parseID(a.Head)
	if err != nil {
		return err
	}
	spooled, err := s.spool(ctx, a.Pack)
	if err != nil {
		return err
	}
	defer func() { _ = spooled.Close() }()
	err = s.arrive(ctx, a, target, spooled)
	if !isFull(err) {
		return err
	}
	if s.collect(ctx, a.Keep, a.Progress) != nil {
		return s.explainFull(err) // which is the reason for the other one
	}
	if _, err := spooled.Seek(0, io.SeekStart); err != nil {
		return storeFailed("read a pack back", err)
	}
	return s.explainFull(s.arrive(ctx, a, target, spooled))
}

// arrive stores a pack in one transaction.
func (s *Store) arrive(ctx context.Context, a Arrival, head id, pack io.Reader) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return storeFailed("begin to store a pack", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := s.receive(ctx, tx, a, head, pack); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return storeFailed("store a pack", err)
	}
	return nil
}

func (s *Store) receive(ctx context.Context, tx *sql.Tx, a Arrival, head id, pack io.Reader) error {
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM objects").Scan(&last); err != nil {
		return storeFailed("begin to store a pack", err)
	}
	if err := s.index(ctx, tx, pack, a.Progress); err != nil {
		return err
	}
	if err := s.checkClosed(ctx, tx, last, a.Progress); err != nil {
		return err
	}
	if err := s.checkHead(ctx, tx, head, a.Progress); err != nil {
		return err
	}
	return setRef(ctx, tx, a.Source, headRef, head)
}

// checkHead makes sure that the head is there, and whole. Where nothing was
// lost before, checkClosed has shown the second already.
func (s *Store) checkHead(ctx context.Context, tx *sql.Tx, head id, progress func()) error {
	t, err := kind(ctx, tx, head)
	if err != nil {
		return err
	}
	if t == plumbing.InvalidObject {
		return &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: fmt.Sprintf("store a pack: it does not hold %s, which was asked for", head.hash()),
			Remedy:  "check the repository on the server with git fsck",
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM suspects WHERE id IN (SELECT id FROM objects)"); err != nil {
		return storeFailed("store a pack", err)
	}
	lost, err := suspected(ctx, tx)
	if err != nil || !lost {
		return err
	}
	_, err = s.walk(ctx, tx, []id{head}, progress)
	return err
}

// spool reads a pack to its end. The file has no name any more when it is
// filled, so a killed process leaves nothing behind.
func (s *Store) spool(ctx context.Context, pack io.Reader) (io.ReadSeekCloser, error) {
	var small bytes.Buffer
	limited := io.LimitReader(pack, s.opts.MaxPack+1)
	n, err := io.CopyN(&small, limited, spoolInMemory)
	if errors.Is(err, io.EOF) {
		return inMemory{bytes.NewReader(small.Bytes())}, s.checkPackSize(n)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+incoming)
	if err != nil {
		return nil, storeFailed("make a file for a pack", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(storeFailed("make a file for a pack", err), f.Close())
	}
	n, err = s.fill(ctx, f, io.MultiReader(&small, limited))
	if err == nil {
		err = s.checkPackSize(n)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// inMemory is a pack that needs no file.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (s *Store) fill(ctx context.Context, f *os.File, pack io.Reader) (int64, error) {
	var total int64
	buf := make([]byte, 64<<10)
	for {
		n, readErr := pack.Read(buf)
		if _, err := f.Write(buf[:n]); err != nil {
			return total, storeFailed("write a pack to disk", err)
		}
		total += int64(n)
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return total, readErr
		}
		if err := ctx.Err(); err != nil {
			return total, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return total, storeFailed("read a pack back", err)
	}
	return total, nil
}

func (s *Store) checkPackSize(n int64) error {
	if n <= s.opts.MaxPack {
		return nil
	}
	return tooLarge("use a smaller repository for this source, or a mirror that holds only what the node needs",
		"receive a pack: it is larger than the limit of %d bytes", s.opts.MaxPack)
}
