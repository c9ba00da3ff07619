-- data is zstd, or the object itself where that is not shorter (its length is
-- then size).
CREATE TABLE objects (
  seq  INTEGER PRIMARY KEY,
  id   BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;

-- name is "head" for what was fetched last, and "retained/<id>".
CREATE TABLE refs (
  source TEXT NOT NULL,
  name   TEXT NOT NULL,
  id     BLOB NOT NULL,
  PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

-- Ids that were lost to damage, or the zero id while a collection is under
-- way. While there is one, being present does not mean being complete.
CREATE TABLE suspects (
  id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
