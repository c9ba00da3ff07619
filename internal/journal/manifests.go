// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Manifests reads a desired state that an attempt of the source was begun with,
// every object checked against its digest. Its Revision is the newest that had
// this digest. It fails with NotFound when it is not kept any more.
func (j *Journal) Manifests(ctx context.Context, source, digest string) (gitops.Manifests, error) {
	var m gitops.Manifests
	doing := fmt.Sprintf("read the manifests %s of source %s", digest, source)
	err := j.read(ctx, doing, func(ctx context.Context, q querier) (err error) {
		m, err = j.readManifests(ctx, q, source, digest)
		if err != nil {
			return err
		}
		err = q.QueryRowContext(ctx, `SELECT coalesce(
			(SELECT revision FROM healthy WHERE source = ?1 AND digest = ?2),
			(SELECT revision FROM attempts WHERE source = ?1 AND digest = ?2 ORDER BY id DESC LIMIT 1), '')`,
			source, digest).Scan(&m.Revision)
		return err
	})
	return m, err
}

func (j *Journal) readManifests(ctx context.Context, q querier, source, digest string) (gitops.Manifests, error) {
	var m gitops.Manifests
	var id int64
	var sealed []byte
	err := q.QueryRowContext(ctx, "SELECT id, sealed FROM manifests WHERE source = ? AND digest = ?", source, digest).Scan(&id, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return m, &gitops.Error{
			Reason:  gitops.NotFoundHere,
			Message: fmt.Sprintf("read the manifests %s of source %s: the journal does not keep them any more", digest, source),
			Remedy:  "choose a revision that `edgeagent history` lists as healthy",
		}
	}
	if err != nil {
		return m, err
	}
	text, err := j.vault.unseal(sealed, setName(source, digest))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, damaged(fmt.Sprintf("the manifests %s of source %s", digest, source), err)
	}
	return m, j.readObjects(ctx, q, id, m.Objects)
}

// readObjects fills in the YAML of a set's objects.
func (j *Journal) readObjects(ctx context.Context, q querier, set int64, objects []gitops.Manifest) error {
	yaml := make(map[string][]byte, len(objects))
	err := each(ctx, q, func(rows *sql.Rows) error {
		var digest string
		var sealed sql.RawBytes
		if err := rows.Scan(&digest, &sealed); err != nil {
			return err
		}
		plain, err := j.vault.unseal(sealed, digest)
		if err == nil && gitops.Digest(plain) != digest {
			err = errors.New("it is not what its digest says")
		}
		if err != nil {
			return damaged("the object "+digest, err)
		}
		yaml[digest] = plain
		return nil
	}, "SELECT digest, sealed FROM manifest_objects JOIN objects ON objects.id = object WHERE manifests = ?", set)
	if err != nil {
		return err
	}
	for i, o := range objects {
		plain, ok := yaml[o.Digest]
		if !ok {
			return damaged("the object "+o.Digest, fmt.Errorf("%s is not there", o.Ref))
		}
		objects[i].YAML = plain
	}
	return nil
}

// storeManifests keeps a desired state. Objects that another revision has too
// are stored once: an update of one object in a thousand adds one.
func (j *Journal) storeManifests(ctx context.Context, tx *sql.Tx, source string, m gitops.Manifests) error {
	var there bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM manifests WHERE source = ? AND digest = ?)",
		source, m.Digest).Scan(&there); err != nil || there {
		return err
	}
	digest := m.Digest
	m.Revision = "" // several revisions have one digest
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	done, err := tx.ExecContext(ctx, "INSERT INTO manifests (source, digest, sealed) VALUES (?, ?, ?)",
		source, digest, j.vault.seal(text, setName(source, digest)))
	if err != nil {
		return err
	}
	set, err := done.LastInsertId()
	if err != nil {
		return err
	}
	link, err := tx.PrepareContext(ctx, "INSERT INTO manifest_objects (manifests, object) VALUES (?, ?) ON CONFLICT DO NOTHING")
	if err != nil {
		return err
	}
	defer link.Close()
	find, err := tx.PrepareContext(ctx, "SELECT id FROM objects WHERE digest = ?")
	if err != nil {
		return err
	}
	defer find.Close()
	for _, o := range m.Objects {
		id, err := j.storeObject(ctx, tx, find, o)
		if err != nil {
			return err
		}
		if _, err := link.ExecContext(ctx, set, id); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) storeObject(ctx context.Context, tx *sql.Tx, find *sql.Stmt, o gitops.Manifest) (int64, error) {
	var id int64
	err := find.QueryRowContext(ctx, o.Digest).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	if gitops.Digest(o.YAML) != o.Digest {
		return 0, &gitops.Error{
			Reason:  gitops.InvalidManifest,
			Message: fmt.Sprintf("keep the manifest of %s: its bytes do not have the digest %s", o.Ref, o.Digest),
			Object:  &o.Ref,
		}
	}
	done, err := tx.ExecContext(ctx, "INSERT INTO objects (digest, sealed) VALUES (?, ?)", o.Digest, j.vault.seal(o.YAML, o.Digest))
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

// dropUnusedObjects deletes the objects that no desired state needs any more.
func dropUnusedObjects(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE id NOT IN (SELECT object FROM manifest_objects)")
	return err
}

// setName is what a desired state is sealed with. No source or digest holds a
// space, so it is never the name of an object.
func setName(source, digest string) string { return "manifests " + source + " " + digest }

func damaged(what string, err error) error {
	return &gitops.Error{
		Reason:  gitops.JournalFailed,
		Message: fmt.Sprintf("read %s from the journal: %v", what, err),
		Remedy:  "check the disk; the next update from Git brings new ones",
		Err:     err,
	}
}
