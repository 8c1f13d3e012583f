-- A site verification: cells drawn from closed samples, what readers say of them blind, and how it ended. Its words
-- lie beside the samples' own, so that no share, word or signature of a sample depends on them.

CREATE TABLE verification (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   TEXT NOT NULL,                                   -- aware UTC, ISO 8601
    who  TEXT NOT NULL CHECK (length(who) BETWEEN 1 AND 64),
    role TEXT CHECK (role IN ('reader', 'supervisor')),
    plan TEXT NOT NULL CHECK (json_valid(plan))           -- JSON object: seed, samples, strata, see edge/verification
) STRICT;

-- Read in the order of their numbers, which is random.
CREATE TABLE verification_cell (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    verification_id INTEGER NOT NULL REFERENCES verification (id),
    field_id        INTEGER NOT NULL,
    cell_id         INTEGER NOT NULL,
    stratum         TEXT NOT NULL CHECK (length(stratum) BETWEEN 1 AND 64),
    weight          REAL NOT NULL CHECK (weight >= 1),    -- cells that it stands for: 1 / chance of being drawn
    twice           INTEGER NOT NULL CHECK (twice IN (0, 1)),   -- a second reader reads it, too
    UNIQUE (verification_id, field_id, cell_id),
    FOREIGN KEY (field_id, cell_id) REFERENCES cell (field_id, id)
) STRICT;

CREATE TABLE verification_word (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    drawn_id INTEGER NOT NULL REFERENCES verification_cell (id),
    label    TEXT,                                        -- one of review's labels; NULL: no word holds
    reader   TEXT NOT NULL CHECK (length(reader) BETWEEN 1 AND 64),
    role     TEXT CHECK (role IN ('reader', 'supervisor')),
    at       TEXT NOT NULL,
    undoes   INTEGER UNIQUE REFERENCES verification_word (id)   -- as in review
) STRICT;

CREATE INDEX verification_word_drawn ON verification_word (drawn_id);

-- It ends once, closed with its site card or abandoned; a closed one is checked again under new code.
CREATE TABLE verification_event (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    verification_id INTEGER NOT NULL REFERENCES verification (id),
    at              TEXT NOT NULL,
    event           TEXT NOT NULL CHECK (event IN ('closed', 'abandoned', 'checked')),
    who             TEXT NOT NULL CHECK (length(who) BETWEEN 1 AND 64),
    role            TEXT CHECK (role IN ('reader', 'supervisor')),
    record          TEXT NOT NULL CHECK (json_valid(record))
) STRICT;

CREATE UNIQUE INDEX verification_end ON verification_event (verification_id) WHERE event IN ('closed', 'abandoned');

CREATE TRIGGER verification_no_update BEFORE UPDATE ON verification
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification'); END;
CREATE TRIGGER verification_no_delete BEFORE DELETE ON verification
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification'); END;
CREATE TRIGGER verification_no_replace BEFORE INSERT ON verification
WHEN EXISTS (SELECT 1 FROM verification WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification'); END;

CREATE TRIGGER verification_cell_no_update BEFORE UPDATE ON verification_cell
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_cell'); END;
CREATE TRIGGER verification_cell_no_delete BEFORE DELETE ON verification_cell
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_cell'); END;
CREATE TRIGGER verification_cell_no_replace BEFORE INSERT ON verification_cell
WHEN EXISTS (SELECT 1 FROM verification_cell WHERE id = NEW.id
             OR verification_id = NEW.verification_id AND field_id = NEW.field_id AND cell_id = NEW.cell_id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_cell'); END;

CREATE TRIGGER verification_word_no_update BEFORE UPDATE ON verification_word
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_word'); END;
CREATE TRIGGER verification_word_no_delete BEFORE DELETE ON verification_word
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_word'); END;
CREATE TRIGGER verification_word_no_replace BEFORE INSERT ON verification_word
WHEN EXISTS (SELECT 1 FROM verification_word WHERE id = NEW.id OR undoes = NEW.undoes)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_word'); END;

CREATE TRIGGER verification_event_no_update BEFORE UPDATE ON verification_event
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_event'); END;
CREATE TRIGGER verification_event_no_delete BEFORE DELETE ON verification_event
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_event'); END;
CREATE TRIGGER verification_event_no_replace BEFORE INSERT ON verification_event
WHEN EXISTS (SELECT 1 FROM verification_event WHERE id = NEW.id OR event <> 'checked' AND NEW.event <> 'checked'
             AND verification_id = NEW.verification_id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: verification_event'); END;

-- A link for each, see 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''settlement'', ''signature''', '''settlement'', ''signature'', ''verification'',
    ''verification_cell'', ''verification_word'', ''verification_event''')
WHERE type = 'table' AND name = 'link';
PRAGMA writable_schema = RESET;
