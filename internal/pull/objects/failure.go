// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// storeFailed names what was tried and what a person can do. A cancelled
// context stays one, so that a shutdown is not taken for a broken disk.
func storeFailed(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := &gitops.Error{
		Reason:  gitops.StoreFailed,
		Message: fmt.Sprintf("%s: %v", doing, err),
		Remedy:  "check the disk and the permissions of the state directory",
		Err:     err,
	}
	coded, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return e
	}
	switch coded.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		e.Message = doing + ": another process holds it"
		e.Remedy = "stop the other agent that uses this state directory"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		e.Reason = gitops.Corrupt
		e.Remedy = "restart the agent: it moves the file aside and fetches again"
	case sqlite3.SQLITE_FULL:
		e.Remedy = "free disk space, or raise the size limit of the object store"
	case sqlite3.SQLITE_READONLY:
		e.Remedy = "make the state directory writable"
	case sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%s: %w", doing, context.Canceled)
	}
	return e
}

func corrupt(format string, args ...any) *gitops.Error {
	return &gitops.Error{
		Reason:  gitops.Corrupt,
		Message: fmt.Sprintf(format, args...),
		Remedy:  "check the repository on the server with git fsck --strict",
	}
}

func tooLarge(remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: gitops.TooLarge, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// isFull reports that the file cannot grow.
func isFull(err error) bool {
	coded, ok := errors.AsType[*sqlite.Error](err)
	return ok && coded.Code()&0xff == sqlite3.SQLITE_FULL
}

// explainFull tells a store at its own limit, which an administrator set, from
// a disk that is full: SQLite has one word for both.
func (s *Store) explainFull(err error) error {
	if !isFull(err) {
		return err
	}
	var fs unix.Statfs_t
	if unix.Statfs(filepath.Dir(s.path), &fs) != nil || int64(fs.Bavail)*int64(fs.Bsize) < s.opts.MaxObject {
		return err
	}
	return tooLarge("use a smaller repository, or raise the size limit of the object store",
		"store a pack: the object store %s would grow over its limit of %d bytes", s.path, s.opts.MaxBytes)
}
