-- data is zstd, or the object itself where that is not shorter (its length is
-- then size).
CREATE TABLE objects (
  seq  INTEGER PRIMARY KEY,
  id   BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;

-- name is "head" for the tip that was brought last, "retained/<id>", or
-- "carried/<ref>". A head is proven while its commits are known to be connected.
CREATE TABLE refs (
  source TEXT NOT NULL,
  name   TEXT NOT NULL,
  id     BLOB NOT NULL,
  proven INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (source, name)
) STRICT, WITHOUT ROWID;

-- Objects with a seq over young came after the last collection: a fetch that is
-- not over may have brought them, and the next collection spares them.
CREATE TABLE collections (
  young INTEGER NOT NULL
) STRICT;
INSERT INTO collections (young) VALUES (0);
