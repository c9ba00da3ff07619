// SPDX-License-Identifier: Apache-2.0

package objects

import (
	_ "embed"
	"fmt"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// schemaVersion is the user_version of the file that this program writes.
const schemaVersion = 2

//go:embed schema.sql
var schema string

//go:embed migrate.sql
var fromFormat1 string

func (s *Store) prepare() error {
	doing := "open the object store " + s.path
	// In exclusive locking mode the lock of this empty transaction is kept
	// until Close: a second opener fails here.
	for _, q := range []string{"BEGIN EXCLUSIVE", "COMMIT"} {
		if _, err := s.db.Exec(q); err != nil {
			return storeFailed(doing, err)
		}
	}
	var version, pageSize int64
	if err := s.db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return storeFailed(doing, err)
	}
	switch {
	case version > schemaVersion:
		return &gitops.Error{
			Reason:  gitops.StoreFailed,
			Message: fmt.Sprintf("%s: it has format %d, this version reads up to %d", doing, version, schemaVersion),
			Remedy:  "install the newer version again, or remove the file: it is fetched again",
		}
	case version < schemaVersion:
		if err := s.build(version); err != nil {
			return err
		}
	}
	if err := s.db.QueryRow("PRAGMA page_size").Scan(&pageSize); err != nil {
		return storeFailed(doing, err)
	}
	if _, err := s.db.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", s.opts.MaxBytes/pageSize)); err != nil {
		return storeFailed(doing, err)
	}
	if err := s.prepareReads(); err != nil {
		return err
	}
	return s.prepareCodec()
}

// build makes the tables, or brings those of an older format up to date, in one
// transaction: a crash leaves the file as it was.
func (s *Store) build(version int64) error {
	doing, script := "create the object store "+s.path, schema
	if version == 1 {
		doing, script = "bring the object store "+s.path+" to a new format", fromFormat1
	}
	tx, err := s.db.Begin()
	if err != nil {
		return storeFailed(doing, err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, q := range []string{script, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)} {
		if _, err := tx.Exec(q); err != nil {
			return storeFailed(doing, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return storeFailed(doing, err)
	}
	return nil
}
