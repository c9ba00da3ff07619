// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"modernc.org/sqlite"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Options are the limits of a store. A zero field takes its default.
type Options struct {
	MaxBytes  int64 // of the file: 1 GiB
	MaxObject int64 // of one object, inflated: 16 MiB, of which a few copies are in memory for a moment
	MaxPack   int64 // of one received pack: 512 MiB
}

const (
	defaultMaxBytes  = 1 << 30
	defaultMaxObject = 16 << 20
	defaultMaxPack   = 512 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxObject <= 0 {
		o.MaxObject = defaultMaxObject
	}
	if o.MaxPack <= 0 {
		o.MaxPack = defaultMaxPack
	}
	return o
}

// Store is an open object store. Its methods may be called from several
// goroutines: they take turns on the one connection.
type Store struct {
	db    *sql.DB
	path  string
	opts  Options
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	reads statements
	// changing is held by whoever collects objects or moves a ref: a collection
	// beside it would take what the ref is about to name.
	changing chan struct{}
	walked   proofs
	// movedAside is where an unreadable file went at Open.
	movedAside string
}

// Open opens the store at path and makes it when it is not there. A file that
// SQLite cannot read is moved aside, because everything in it can be fetched
// again; MovedAside says where it went.
func Open(path string, opts Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the object store %s: %v", path, err)
	}
	if _, err := os.Stat(path + markSuffix); errors.Is(err, os.ErrNotExist) {
		s, err := open(path, opts.withDefaults())
		if gitops.ReasonOf(err) != gitops.Corrupt {
			return s, err
		}
	}
	aside, err := moveAside(path)
	if err != nil {
		return nil, err
	}
	s, err := open(path, opts.withDefaults())
	if err != nil {
		return nil, err
	}
	s.movedAside = aside
	return s, nil
}

// moveAside makes room for a new file. The mark goes last, so that a crash on
// the way does it again. The journal belongs to the file that went: played
// back into the new one it would destroy it.
func moveAside(path string) (string, error) {
	aside := path + ".corrupt"
	doing := "move the unreadable object store " + path + " aside"
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", storeFailed(doing, err)
	}
	for _, name := range []string{path + "-journal", path + markSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", storeFailed(doing, err)
		}
	}
	return aside, nil
}

func open(path string, opts Options) (*Store, error) {
	// With POSIX locks, closing any other descriptor of the file would drop
	// SQLite's lock. Where OFD locks are missing the weaker kind still works.
	_, _ = sqlite.OFDLocking(true)
	sqlite.StrictPragmas(true)

	// SQLite gives its journal the mode of the database, so this sets both.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, storeFailed("open the object store "+path, err)
	}
	info, err := f.Stat()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, storeFailed("open the object store "+path, err)
	}
	db, err := sql.Open("sqlite", dsn(path, info.Size() == 0))
	if err != nil {
		return nil, storeFailed("open the object store "+path, err)
	}
	db.SetMaxOpenConns(1)
	s := &Store{db: db, path: path, opts: opts, changing: make(chan struct{}, 1), walked: proofs{tips: map[id]struct{}{}}}
	if err := s.prepare(); err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// dsn asks for a commit that is on disk, directory entry included, when it
// returns: PERSIST with EXTRA lost nothing in 1,500 power cuts, and it still
// reads when the disk is full. auto_vacuum is set once: SQLite would write it
// again at every start.
func dsn(path string, fresh bool) string {
	q := url.Values{}
	if fresh {
		q.Set("_auto_vacuum", "INCREMENTAL")
	}
	q.Set("_journal_mode", "PERSIST")
	q.Set("_synchronous", "EXTRA")
	q.Set("_txlock", "immediate")
	q.Set("_dqs", "0")
	q.Set("_defensive", "1")
	q.Add("_pragma", "locking_mode(EXCLUSIVE)")
	q.Add("_pragma", "journal_size_limit(1048576)")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// MovedAside is where Open put a file that it could not read, "" when it
// could: every source is then fetched again in full.
func (s *Store) MovedAside() string { return s.movedAside }

// Close releases the file.
func (s *Store) Close() error {
	s.dec.Close()
	_ = s.reads.object.Close()
	_ = s.reads.place.Close()
	if err := s.db.Close(); err != nil {
		return storeFailed("close the object store "+s.path, err)
	}
	return nil
}

// write runs a short transaction. A context that ends meanwhile does not end it:
// the database would call that a failure of its own.
func (s *Store) write(ctx context.Context, doing string, do func(context.Context, *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return storeFailed(doing, err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := do(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return storeFailed(doing, err)
	}
	return nil
}

// change takes the right to move a ref or collect objects.
func (s *Store) change(ctx context.Context) (release func(), err error) {
	select {
	case s.changing <- struct{}{}:
		return func() { <-s.changing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the object store %s: %w", s.path, ctx.Err())
	}
}
