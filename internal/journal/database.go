// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// pragmas are what durability and integrity rest on: set for every connection
// in its name, and read back, because SQLite ignores what it cannot do.
var pragmas = map[string]string{
	"journal_mode": "persist",
	"synchronous":  "3", // EXTRA
	"foreign_keys": "1",
	"busy_timeout": "5000",
	"auto_vacuum":  "2", // INCREMENTAL
}

func dataSource(file, vfs string, fresh bool) string {
	q := url.Values{
		"_journal_mode": {"PERSIST"},
		"_synchronous":  {"EXTRA"},
		"_foreign_keys": {"1"},
		"_busy_timeout": {"5000"},
		"_txlock":       {"immediate"},
		"_dqs":          {"0"},
		"_defensive":    {"1"},
		"_error_rc":     {"1"},
		"_pragma":       {"temp_store(2)", "trusted_schema(0)"},
	}
	if vfs != "" {
		q.Set("vfs", vfs)
	}
	if fresh {
		// It is kept in the file. Set again, SQLite would write it again: at every
		// start.
		q.Set("_auto_vacuum", "INCREMENTAL")
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	return u.String()
}

// openDatabase opens journal.db on its one connection and checks that the
// pragmas took effect.
func openDatabase(ctx context.Context, file, vfs string) (*sql.DB, error) {
	// Without it, any other code of this process that opens and closes the file
	// would drop SQLite's locks. Where the kernel has no such locks, ours on the
	// directory still keeps other agents out.
	if _, err := sqlite.OFDLocking(true); err != nil && !errors.Is(err, sqlite.ErrOFDLockingUnavailable) {
		return nil, fmt.Errorf("switch SQLite to OFD locks: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(file, vfs, info.Size() == 0))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	for name, want := range pragmas {
		var got string
		err := db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got)
		if err == nil && got != want {
			err = fmt.Errorf("PRAGMA %s is %q and should be %q", name, got, want)
		}
		if err != nil {
			db.Close()
			return nil, err
		}
	}
	return db, nil
}

// createFile makes an empty journal.db that only we can read: SQLite would let
// the umask decide. Its -journal inherits the mode.
func createFile(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return notWritable(filepath.Dir(file), err)
	}
	if err := errors.Join(f.Close(), syncDir(filepath.Dir(file))); err != nil {
		return notWritable(filepath.Dir(file), err)
	}
	return nil
}

// migrate brings the schema up to date, each step in a transaction of its own:
// a crash leaves the version that the database says it has.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	if version > len(files) {
		return &gitops.Error{
			Reason:  gitops.JournalFailed,
			Message: fmt.Sprintf("open the journal: it has schema %d and this version of edgeagent knows %d", version, len(files)),
			Remedy:  "install the version of edgeagent that wrote it, or a newer one",
		}
	}
	for i, file := range files[version:] {
		if err := migrateTo(ctx, db, file, version+i+1); err != nil {
			return fmt.Errorf("migrate with %s: %w", path.Base(file), err)
		}
	}
	return nil
}

func migrateTo(ctx context.Context, db *sql.DB, file string, version int) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no-op after Commit
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(version)); err != nil {
		return err
	}
	return tx.Commit()
}

// quickCheck reads the whole database. It is done after an unclean stop only.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return &corruption{problem: answer}
	}
	return nil
}

// corruption is what quick_check found.
type corruption struct{ problem string }

func (c *corruption) Error() string { return c.problem }

// code is SQLite's primary result code, 0 when err is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func isFull(err error) bool { return code(err) == lib.SQLITE_FULL }

func isIOError(err error) bool { return code(err) == lib.SQLITE_IOERR }

func isCorrupt(err error) bool {
	_, found := errors.AsType[*corruption](err)
	return found || code(err) == lib.SQLITE_CORRUPT || code(err) == lib.SQLITE_NOTADB
}

// moveAside keeps a journal that cannot be used, beside the new one. Its
// -journal goes along: left behind, SQLite would play it into the new file.
func moveAside(file string, now time.Time) (string, error) {
	to := file + ".corrupt-" + now.UTC().Format("20060102T150405Z")
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = strings.TrimSuffix(to, "."+strconv.Itoa(n-1)) + "." + strconv.Itoa(n)
	}
	// The -journal first: should we die in between, a database without its
	// journal is still found corrupt, a journal without its database is not.
	if err := os.Rename(file+"-journal", to+"-journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("move the damaged journal aside: %w", err)
	}
	if err := os.Rename(file, to); err != nil {
		return "", fmt.Errorf("move the damaged journal aside: %w", err)
	}
	return to, syncDir(filepath.Dir(file))
}
