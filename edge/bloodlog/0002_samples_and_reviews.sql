-- Samples (a patient's slide under a pseudonymous id), where a field lies on it, cells seen before, pictures
-- by hash, and what people say of cells. Rows are only ever added.

CREATE TABLE sample (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),   -- pseudonymous
    specimen  TEXT NOT NULL CHECK (specimen IN ('blood', 'marrow')),
    quota     INTEGER NOT NULL CHECK (quota > 0),   -- white cells to be counted
    opened_at TEXT NOT NULL                         -- aware UTC, ISO 8601
) STRICT;

-- A sample's state is its last opened/reopened/closed and its last kept/released.
CREATE TABLE sample_event (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id INTEGER NOT NULL REFERENCES sample (id),
    at        TEXT NOT NULL,
    event     TEXT NOT NULL CHECK (event IN ('opened', 'closed', 'reopened', 'kept', 'released')),
    who       TEXT NOT NULL
) STRICT;

CREATE INDEX sample_event_sample ON sample_event (sample_id);

ALTER TABLE field ADD COLUMN sample_id INTEGER REFERENCES sample (id);
ALTER TABLE field ADD COLUMN clock_trusted INTEGER CHECK (clock_trusted IN (0, 1));   -- NULL: not looked at
-- Place of the field's upper left corner on the sample's mosaic; NULL where it could not be registered.
ALTER TABLE field ADD COLUMN stage_x_um REAL;
ALTER TABLE field ADD COLUMN stage_y_um REAL CHECK ((stage_x_um IS NULL) = (stage_y_um IS NULL));
ALTER TABLE field ADD COLUMN image_sha256 TEXT CHECK (length(image_sha256) = 64);   -- stored picture

CREATE INDEX field_sample ON field (sample_id);

-- The same physical cell, counted in an earlier field: reported, never tallied again.
ALTER TABLE cell ADD COLUMN seen_field_id INTEGER REFERENCES field (id);
ALTER TABLE cell ADD COLUMN seen_cell_id INTEGER
    CHECK ((seen_field_id IS NULL) = (seen_cell_id IS NULL) AND (seen_field_id IS NULL OR seen_field_id < field_id));
ALTER TABLE cell ADD COLUMN thumbnail_sha256 TEXT CHECK (length(thumbnail_sha256) = 64);

CREATE TABLE review (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    field_id INTEGER NOT NULL,
    cell_id  INTEGER NOT NULL,
    label    TEXT CHECK (label IN ('blast', 'normal', 'smudge', 'not_a_cell')),   -- NULL: no word holds
    observer TEXT NOT NULL CHECK (length(observer) BETWEEN 1 AND 64),
    at       TEXT NOT NULL,
    undoes   INTEGER UNIQUE REFERENCES review (id),   -- the word that this row takes back; label is what held before
    FOREIGN KEY (field_id, cell_id) REFERENCES cell (field_id, id)
) STRICT;

CREATE INDEX review_cell ON review (field_id, cell_id);

CREATE TRIGGER sample_no_update BEFORE UPDATE ON sample
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample'); END;
CREATE TRIGGER sample_no_delete BEFORE DELETE ON sample
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample'); END;
CREATE TRIGGER sample_no_replace BEFORE INSERT ON sample
WHEN EXISTS (SELECT 1 FROM sample WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample'); END;

CREATE TRIGGER sample_event_no_update BEFORE UPDATE ON sample_event
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample_event'); END;
CREATE TRIGGER sample_event_no_delete BEFORE DELETE ON sample_event
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample_event'); END;
CREATE TRIGGER sample_event_no_replace BEFORE INSERT ON sample_event
WHEN EXISTS (SELECT 1 FROM sample_event WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: sample_event'); END;

CREATE TRIGGER review_no_update BEFORE UPDATE ON review
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: review'); END;
CREATE TRIGGER review_no_delete BEFORE DELETE ON review
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: review'); END;
CREATE TRIGGER review_no_replace BEFORE INSERT ON review
WHEN EXISTS (SELECT 1 FROM review WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: review'); END;
