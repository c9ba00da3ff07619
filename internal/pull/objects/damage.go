// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// damagedRow says which stored object is not what it was.
type damagedRow struct{ id id }

func (d damagedRow) Error() string { return "damaged object " + string(d.id.hash()) }

func damaged(i id, how string) error {
	return &gitops.Error{
		Reason:  gitops.Corrupt,
		Message: fmt.Sprintf("read object %s: %s", i.hash(), how),
		Remedy:  "it was thrown away and comes with the next fetch; check the disk when this repeats",
		Err:     damagedRow{i},
	}
}

// quarantine acts on damage that a method found, so that the next fetch heals
// it: a damaged object is taken out, a damaged file is marked for the next Open.
// It runs after the method's transaction ended.
func (s *Store) quarantine(ctx context.Context, err *error) {
	if row, ok := errors.AsType[damagedRow](*err); ok {
		if lost := s.lose(context.WithoutCancel(ctx), row.id); lost != nil {
			*err = errors.Join(*err, lost)
		}
		return
	}
	coded, ok := errors.AsType[*sqlite.Error](*err)
	if !ok {
		return
	}
	switch coded.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		if marked := os.WriteFile(s.path+markSuffix, nil, 0o600); marked != nil {
			*err = errors.Join(*err, storeFailed("mark the object store as damaged", marked))
		}
	}
}

// markSuffix names the file that tells the next Open to start anew.
const markSuffix = ".damaged"

// lose takes a damaged object out. What names it is not known, so no head is
// proven any more.
func (s *Store) lose(ctx context.Context, i id) error {
	doing := "remove the damaged object " + string(i.hash())
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer s.walked.forget()
	return s.write(ctx, doing, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE refs SET proven = 0 WHERE name = ? AND proven <> 0", headRef); err != nil {
			return storeFailed(doing, err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE id = ?", i[:]); err != nil {
			return storeFailed(doing, err)
		}
		return nil
	})
}
