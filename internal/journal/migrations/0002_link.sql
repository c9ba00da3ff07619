-- SPDX-License-Identifier: Apache-2.0
-- Bytes on the wire, per source and day (2006-01-02, UTC).

CREATE TABLE link_days (
  source    TEXT NOT NULL REFERENCES sources (name) ON DELETE CASCADE,
  date      TEXT NOT NULL,
  bytes_in  INTEGER NOT NULL,
  bytes_out INTEGER NOT NULL,
  PRIMARY KEY (source, date)
) STRICT, WITHOUT ROWID;
