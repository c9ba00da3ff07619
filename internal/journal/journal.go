// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Options are what Open may be told. The zero value is right for a node.
type Options struct {
	// Rebuild allows Open to move a corrupt journal, or one whose key is lost,
	// aside and to begin an empty one. It is meant for one start, by a person:
	// ownership and history are gone afterwards and must be found again in the
	// cluster and in Git.
	Rebuild bool
	// Ballast is how much space is kept for a full disk: 0 means 4 MiB, less
	// than 0 none.
	Ballast int64
	// Now is the clock, time.Now by default.
	Now func() time.Time

	// vfs and hook are for tests: another SQLite file system, and a call at each
	// transaction ("commit" before, "committed" after).
	vfs  string
	hook func(point string)
}

// Journal is the open journal. It may be used by many goroutines; they take
// turns.
type Journal struct {
	dir     string
	opts    Options
	lock    *os.File
	vault   *vault
	rebuilt string

	turn chan struct{} // held by whoever uses what is below
	db   *sql.DB       // nil after an I/O error, until it could be opened again
	// dirty is false until this process writes: a start and a stop without work
	// in between write nothing.
	dirty  bool
	closed bool
	link   linkDays // noted and not on disk yet
	slots  slots
}

// Open opens the journal in dir, making it when there is none, and keeps every
// other process out until Close. It fails with JournalLocked (another process
// has it) or JournalFailed (the directory is not writable, the database is
// corrupt or newer, the key is lost); both name the remedy.
func Open(ctx context.Context, dir string, opts Options) (*Journal, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Ballast == 0 {
		opts.Ballast = defaultBallast
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir, opts.Now())
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, opts: opts, lock: lock, turn: make(chan struct{}, 1), link: linkDays{}}
	err = j.open(ctx)
	if opts.Rebuild && j.mayRebuild(err) {
		if j.rebuilt, err = moveAside(j.file(), opts.Now()); err == nil {
			err = j.open(ctx)
		}
	}
	if err != nil {
		lock.Close()
		return nil, j.failed("open the journal in "+dir, err)
	}
	return j, nil
}

// Rebuilt is the path of the journal that Open moved aside, "" when it did not.
// A journal that was rebuilt owns nothing: nothing may be pruned by it before
// the cluster was asked, and a person has agreed.
func (j *Journal) Rebuilt() string { return j.rebuilt }

// Close ends the journal in good order and gives the lock up.
func (j *Journal) Close() error {
	j.turn <- struct{}{}
	defer j.giveUp()
	if j.closed {
		return nil
	}
	j.closed = true
	var err error
	if j.db != nil {
		if j.dirty {
			// Committed last: a stop that dies before this line is unclean, and the
			// next start checks the database.
			_, err = j.db.Exec("UPDATE meta SET value = '1' WHERE name = 'clean'")
		}
		err = errors.Join(err, j.db.Close())
	}
	if err := errors.Join(err, j.lock.Close()); err != nil {
		return j.failed("close the journal", err)
	}
	return nil
}

func (j *Journal) file() string { return filepath.Join(j.dir, "journal.db") }

// open brings journal.db and the key together. On failure nothing is left open.
func (j *Journal) open(ctx context.Context) (err error) {
	if err := createFile(j.file()); err != nil {
		return err
	}
	db, err := openDatabase(ctx, j.file(), j.opts.vfs)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			db.Close()
			j.db = nil
		}
	}()
	if err := migrate(ctx, db); err != nil {
		return err
	}
	var clean string
	if err := db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'clean'").Scan(&clean); err != nil {
		return err
	}
	if j.dirty = clean != "1"; j.dirty {
		if err := quickCheck(ctx, db); err != nil {
			return err
		}
	}
	j.db, j.slots = db, readSlots(j.dir)
	if err := j.unlock(ctx); err != nil {
		return err
	}
	if now, text, err := j.nextSlot(ctx, db, 0); err == nil {
		j.saveSlot(now, text)
	}
	return j.fillBallast(ctx)
}

// unlock finds the key that the rows are sealed under. Only a journal that
// holds no sealed row may get a new one.
func (j *Journal) unlock(ctx context.Context) error {
	key, err := loadKey(j.dir)
	if err != nil {
		return err
	}
	var id string
	var sealed bool
	if err := j.db.QueryRowContext(ctx, `SELECT coalesce((SELECT value FROM meta WHERE name = 'key'), ''),
		EXISTS (SELECT 1 FROM objects) OR EXISTS (SELECT 1 FROM manifests)`).Scan(&id, &sealed); err != nil {
		return err
	}
	path := filepath.Join(j.dir, "journal.key")
	if key == nil {
		if sealed {
			return &keyLost{keyFailed(path, errors.New("it is missing, and the journal holds manifests that only it opens"))}
		}
		if key, err = makeKey(j.dir); err != nil {
			return err
		}
	}
	v, err := newVault(key)
	if err != nil {
		return err
	}
	if v.id != id && sealed {
		return &keyLost{keyFailed(path, errors.New("it is not the key that the journal's manifests were sealed under"))}
	}
	j.vault = v
	if v.id == id {
		return nil
	}
	return j.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := setMeta(ctx, tx, "key", v.id); err != nil || id != "" {
			return err
		}
		return j.recover(ctx, tx) // the journal is new
	})
}

// keyLost marks the one failure besides corruption that a rebuild answers.
type keyLost struct{ error }

func (k *keyLost) Unwrap() error { return k.error }

func (j *Journal) mayRebuild(err error) bool {
	_, lost := errors.AsType[*keyLost](err)
	return lost || isCorrupt(err)
}

// failed turns what went wrong into a JournalFailed with the remedy. An error
// that has a reason already stays as it is.
func (j *Journal) failed(doing string, err error) error {
	if e, ok := errors.AsType[*gitops.Error](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := &gitops.Error{Reason: gitops.JournalFailed, Message: fmt.Sprintf("%s: %v", doing, err), Err: err}
	_, tooLarge := errors.AsType[*slotTooLarge](err)
	switch {
	case tooLarge:
		e.Remedy = "have the roots publish a shorter list of revoked keys, such as an authority in place of all its certificates; a source that is not used any more can be removed"
	case isFull(err):
		e.Remedy = "free space on the disk that holds " + j.dir
	case isCorrupt(err):
		e.Message = fmt.Sprintf("%s: the database is corrupt: %v", doing, err)
		e.Remedy = "check the disk, then restore the state directory from a backup, or begin a new journal: edgeagent run --rebuild-journal"
	case isIOError(err):
		e.Remedy = "check the disk that holds " + j.dir + "; the journal is opened again at the next use, and must be read again"
	default:
		e.Remedy = "check that " + j.dir + " is writable and on a healthy disk"
	}
	return e
}
