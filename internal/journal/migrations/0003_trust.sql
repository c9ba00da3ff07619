-- SPDX-License-Identifier: Apache-2.0
-- What signed statements told about a source: it only grows.

CREATE TABLE trust (
  source  TEXT PRIMARY KEY REFERENCES sources (name) ON DELETE CASCADE,
  learned TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Steps that root let through although they do not descend, newest last.
CREATE TABLE waivers (
  id     INTEGER PRIMARY KEY,
  source TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  waiver TEXT NOT NULL
) STRICT;

CREATE INDEX waivers_by_source ON waivers (source, id);
