-- Format 1 held the history of each head whole, unless something was suspected
-- to be missing.
ALTER TABLE refs ADD COLUMN proven INTEGER NOT NULL DEFAULT 1;
UPDATE refs SET proven = 0 WHERE name = 'head' AND EXISTS (SELECT 1 FROM suspects);
DROP TABLE suspects;
CREATE TABLE collections (
  young INTEGER NOT NULL
) STRICT;
INSERT INTO collections (young) SELECT coalesce(max(seq), 0) FROM objects;
