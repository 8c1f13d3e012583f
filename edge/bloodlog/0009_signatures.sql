-- Who said it: the role of somebody who had signed in by name and password; NULL where the name was given on
-- trust. Rows of earlier schemas have none; their links stay as they are.
ALTER TABLE review ADD COLUMN role TEXT CHECK (role IN ('reader', 'supervisor'));
ALTER TABLE sample_event ADD COLUMN role TEXT CHECK (role IN ('reader', 'supervisor'));

-- What a supervisor says of a cell on which readers differ. The last one of a cell holds.
CREATE TABLE settlement (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    field_id     INTEGER NOT NULL,
    cell_id      INTEGER NOT NULL,
    label        TEXT,                  -- one of review's labels; NULL: taken back
    who          TEXT NOT NULL CHECK (length(who) BETWEEN 1 AND 64),
    role         TEXT NOT NULL CHECK (role = 'supervisor'),
    at           TEXT NOT NULL,
    after_review INTEGER NOT NULL,      -- the last word of anybody that was there; later ones may contradict
    FOREIGN KEY (field_id, cell_id) REFERENCES cell (field_id, id)
) STRICT;

CREATE INDEX settlement_cell ON settlement (field_id, cell_id);

-- The password entered again under what a sample holds.
CREATE TABLE signature (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id      INTEGER NOT NULL REFERENCES sample (id),
    at             TEXT NOT NULL,
    clock_trusted  INTEGER CHECK (clock_trusted IN (0, 1)),   -- NULL: not looked at
    who            TEXT NOT NULL CHECK (length(who) BETWEEN 1 AND 64),
    role           TEXT NOT NULL CHECK (role IN ('reader', 'supervisor')),
    meaning        TEXT NOT NULL CHECK (meaning IN ('counted', 'checked')),
    content_sha256 TEXT NOT NULL CHECK (length(content_sha256) = 64),   -- of all that was signed for
    nonce          TEXT NOT NULL UNIQUE CHECK (length(nonce) >= 16)     -- of the form: it signs once
) STRICT;

CREATE INDEX signature_sample ON signature (sample_id);

CREATE TRIGGER settlement_no_update BEFORE UPDATE ON settlement
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: settlement'); END;
CREATE TRIGGER settlement_no_delete BEFORE DELETE ON settlement
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: settlement'); END;
CREATE TRIGGER settlement_no_replace BEFORE INSERT ON settlement
WHEN EXISTS (SELECT 1 FROM settlement WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: settlement'); END;

CREATE TRIGGER signature_no_update BEFORE UPDATE ON signature
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: signature'); END;
CREATE TRIGGER signature_no_delete BEFORE DELETE ON signature
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: signature'); END;
CREATE TRIGGER signature_no_replace BEFORE INSERT ON signature
WHEN EXISTS (SELECT 1 FROM signature WHERE id = NEW.id OR nonce = NEW.nonce)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: signature'); END;

-- A link for each, see 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''repair'', ''assignment''', '''repair'', ''assignment'', ''settlement'', ''signature''')
WHERE type = 'table' AND name = 'link';
PRAGMA writable_schema = RESET;
