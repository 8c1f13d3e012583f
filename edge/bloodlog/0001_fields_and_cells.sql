-- One row a field with what produced it, one row a cell. Rows are only ever added.

PRAGMA application_id = 0x626C6364;  -- "blcd", so that `file` and the reader tell it from any other database

CREATE TABLE field (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
    logged_at        TEXT NOT NULL,     -- wall clock when the row was written, aware UTC, ISO 8601
    monotonic_s      REAL NOT NULL,     -- seconds since boot: orders rows even where the wall clock jumped
    boot_id          TEXT,              -- the boot that monotonic_s belongs to
    captured_at      TEXT,              -- wall clock of the capture, aware UTC; NULL where the source has none
    source_kind      TEXT NOT NULL,     -- file, replay, picamera, v4l2, rendered
    source           TEXT NOT NULL,
    width            INTEGER NOT NULL CHECK (width > 0),
    height           INTEGER NOT NULL CHECK (height > 0),
    um_per_px        REAL NOT NULL CHECK (um_per_px > 0),
    scale_source     TEXT NOT NULL CHECK (scale_source IN ('configured', 'red_cells', 'assumed')),
    scale_confidence REAL NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('counted', 'rejected')),
    reasons          TEXT NOT NULL CHECK (json_valid(reasons)),   -- JSON array of rule names
    frame_sha256     TEXT NOT NULL CHECK (length(frame_sha256) = 64),
    model_name       TEXT NOT NULL,
    model_sha256     TEXT NOT NULL CHECK (length(model_sha256) = 64),
    config_sha256    TEXT NOT NULL CHECK (length(config_sha256) = 64),
    software_version TEXT NOT NULL,
    runtime          TEXT NOT NULL,     -- interpreter and its version
    stage_ms         TEXT NOT NULL CHECK (json_valid(stage_ms))   -- JSON object, milliseconds by stage
) STRICT;

CREATE INDEX field_frame_sha256 ON field (frame_sha256);

CREATE TABLE cell (
    field_id        INTEGER NOT NULL REFERENCES field (id),
    id              INTEGER NOT NULL CHECK (id > 0),   -- 1, 2, ... in the field; the value in its label images
    x               REAL NOT NULL,
    y               REAL NOT NULL,
    bbox_x          INTEGER NOT NULL,
    bbox_y          INTEGER NOT NULL,
    bbox_width      INTEGER NOT NULL CHECK (bbox_width > 0),
    bbox_height     INTEGER NOT NULL CHECK (bbox_height > 0),
    area_px         INTEGER NOT NULL,
    nucleus_area_px INTEGER NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('wbc', 'smudge')),
    label           TEXT CHECK (label IN ('blast', 'normal', 'uncertain')),
    p_blast         REAL CHECK (p_blast BETWEEN 0 AND 1),
    touches_border  INTEGER NOT NULL CHECK (touches_border IN (0, 1)),
    PRIMARY KEY (field_id, id),
    CHECK (kind = 'wbc' OR (label IS NULL AND p_blast IS NULL))   -- a smudge is never classified
) STRICT, WITHOUT ROWID;

-- INSERT OR REPLACE deletes without firing the delete trigger, hence the guards on INSERT.
CREATE TRIGGER field_no_update BEFORE UPDATE ON field
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: field'); END;
CREATE TRIGGER field_no_delete BEFORE DELETE ON field
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: field'); END;
CREATE TRIGGER field_no_replace BEFORE INSERT ON field WHEN EXISTS (SELECT 1 FROM field WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: field'); END;

CREATE TRIGGER cell_no_update BEFORE UPDATE ON cell
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: cell'); END;
CREATE TRIGGER cell_no_delete BEFORE DELETE ON cell
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: cell'); END;
CREATE TRIGGER cell_no_replace BEFORE INSERT ON cell
WHEN EXISTS (SELECT 1 FROM cell WHERE field_id = NEW.field_id AND id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: cell'); END;
