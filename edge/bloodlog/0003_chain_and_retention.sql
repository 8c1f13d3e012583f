-- A hash chain over everything that is appended, so that a row that was changed, removed, slipped in or put in
-- another order shows. One link for each field (with its cells), sample, event of a sample, review, removal of
-- pictures and repair, in the transaction that adds it. Rows of earlier schemas are linked by this migration.

-- Pictures of a field that were removed to make room: the row is written before the files go.
CREATE TABLE removal (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    field_id INTEGER NOT NULL UNIQUE REFERENCES field (id),
    at       TEXT NOT NULL,
    reason   TEXT NOT NULL CHECK (reason IN ('age', 'space'))
) STRICT;

-- A log that was salvaged from a damaged one says what was lost.
CREATE TABLE repair (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             TEXT NOT NULL,
    damaged_sha256 TEXT NOT NULL CHECK (length(damaged_sha256) = 64),   -- of the damaged file
    damaged_head   TEXT,                                               -- last link that could be read there
    lost           TEXT NOT NULL CHECK (json_valid(lost))              -- JSON object: numbers by table
) STRICT;

CREATE TABLE link (
    number INTEGER PRIMARY KEY,   -- 1, 2, ... without a gap
    kind   TEXT NOT NULL CHECK (kind IN ('field', 'sample', 'sample_event', 'review', 'removal', 'repair')),
    row_id INTEGER NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),   -- of the previous link's hash and the row's content
    UNIQUE (kind, row_id)
) STRICT;

-- Finds the newest row whose time can be believed.
CREATE INDEX field_clock_trusted ON field (id) WHERE clock_trusted = 1;

CREATE TRIGGER removal_no_update BEFORE UPDATE ON removal
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: removal'); END;
CREATE TRIGGER removal_no_delete BEFORE DELETE ON removal
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: removal'); END;
CREATE TRIGGER removal_no_replace BEFORE INSERT ON removal
WHEN EXISTS (SELECT 1 FROM removal WHERE id = NEW.id OR field_id = NEW.field_id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: removal'); END;

CREATE TRIGGER repair_no_update BEFORE UPDATE ON repair
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: repair'); END;
CREATE TRIGGER repair_no_delete BEFORE DELETE ON repair
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: repair'); END;
CREATE TRIGGER repair_no_replace BEFORE INSERT ON repair
WHEN EXISTS (SELECT 1 FROM repair WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: repair'); END;

CREATE TRIGGER link_no_update BEFORE UPDATE ON link
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: link'); END;
CREATE TRIGGER link_no_delete BEFORE DELETE ON link
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: link'); END;
CREATE TRIGGER link_no_replace BEFORE INSERT ON link
WHEN EXISTS (SELECT 1 FROM link WHERE number = NEW.number OR (kind = NEW.kind AND row_id = NEW.row_id))
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: link'); END;
