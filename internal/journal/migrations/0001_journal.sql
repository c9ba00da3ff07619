-- SPDX-License-Identifier: Apache-2.0
-- Times are microseconds since 1970, UTC. Values that are only ever read and
-- written whole are JSON.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- "1" after a clean stop; "0" from the first write of a process on.
INSERT INTO meta (name, value) VALUES ('clean', '1');

CREATE TABLE sources (
  name         TEXT PRIMARY KEY,
  accepted     TEXT,
  applied      TEXT,
  healthy      TEXT,
  refused      TEXT,
  hold         TEXT,
  suspended    TEXT,
  cluster_uid  TEXT NOT NULL DEFAULT '',
  introduction TEXT NOT NULL DEFAULT '',
  on_remove    TEXT NOT NULL DEFAULT '',
  allow_prune  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an id is never used twice, because inventory rows name the
-- attempt that took them in.
CREATE TABLE attempts (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  source      TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  revision    TEXT NOT NULL,
  digest      TEXT NOT NULL,
  cause       TEXT NOT NULL,
  phase       TEXT NOT NULL,
  undoes      INTEGER NOT NULL,
  resumes     INTEGER NOT NULL DEFAULT 0,
  signer      TEXT NOT NULL,
  health_left INTEGER NOT NULL, -- nanoseconds
  started     INTEGER NOT NULL,
  ended       INTEGER NOT NULL DEFAULT 0,
  reason      TEXT NOT NULL DEFAULT '',
  message     TEXT NOT NULL DEFAULT '',
  plan        BLOB NOT NULL     -- zstd, JSON, without the manifests
) STRICT;

CREATE INDEX attempts_by_source ON attempts (source, id);
-- At most one attempt of a source is open.
CREATE UNIQUE INDEX attempts_open ON attempts (source) WHERE ended = 0;

CREATE TABLE attempt_phases (
  attempt INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
  phase   TEXT NOT NULL,
  at      INTEGER NOT NULL,
  changes BLOB, -- zstd, JSON; NULL when there were none
  UNIQUE (attempt, phase)
) STRICT;

-- Revisions that failed by their own fault and are not tried again.
CREATE TABLE failures (
  attempt  INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
  source   TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  revision TEXT NOT NULL,
  digest   TEXT NOT NULL
) STRICT;

-- Revisions that were healthy, one row per digest; the order of ids is Git's.
CREATE TABLE healthy (
  id       INTEGER PRIMARY KEY,
  source   TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  revision TEXT NOT NULL,
  digest   TEXT NOT NULL,
  signer   TEXT NOT NULL,
  at       INTEGER NOT NULL,
  UNIQUE (source, digest)
) STRICT;

CREATE TABLE refusals (
  id      INTEGER PRIMARY KEY,
  source  TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  refusal TEXT NOT NULL
) STRICT;

CREATE INDEX refusals_by_source ON refusals (source, id);

-- Every object that a source may own: the last exact set and whatever was
-- announced since. announced is the attempt that brought the row, entered the
-- one that is to blame for the object.
CREATE TABLE inventory (
  source    TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  grp       TEXT NOT NULL,
  kind      TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  version   TEXT NOT NULL,
  bundle    TEXT NOT NULL,
  digest    TEXT NOT NULL,
  uid       TEXT NOT NULL,
  fields    TEXT NOT NULL,
  prior_uid TEXT NOT NULL,
  entered   INTEGER NOT NULL,
  announced INTEGER NOT NULL,
  completed TEXT NOT NULL,
  hook      INTEGER NOT NULL,
  PRIMARY KEY (source, grp, kind, namespace, name)
) STRICT, WITHOUT ROWID;

-- One manifest each, shared by all revisions: zstd, then AES-256-GCM.
CREATE TABLE objects (
  id     INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  sealed BLOB NOT NULL
) STRICT;

-- A revision's bundles and its objects in order, sealed like an object.
CREATE TABLE manifests (
  id     INTEGER PRIMARY KEY,
  source TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  sealed BLOB NOT NULL,
  UNIQUE (source, digest)
) STRICT;

-- Which objects a revision needs. No foreign key on object: its check would
-- need a second index of the same size, and only retention deletes objects.
CREATE TABLE manifest_objects (
  manifests INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
  object    INTEGER NOT NULL,
  PRIMARY KEY (manifests, object)
) STRICT, WITHOUT ROWID;

-- Space that is given up when the disk is full.
CREATE TABLE ballast (
  id     INTEGER PRIMARY KEY,
  filler BLOB NOT NULL
) STRICT;
