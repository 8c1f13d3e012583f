-- Quality control of the microscope: what each counted field tells of its light and stain, which samples are runs of
-- a control slide, and alarms of the charts with what people said of them.

-- JSON object, see edge.structures.Readings; NULL where a field was rejected and in rows of earlier schemas, whose
-- links stay as they are.
ALTER TABLE field ADD COLUMN readings TEXT CHECK (readings IS NULL OR json_valid(readings));

-- A sample that is a run of a control slide: its fields are on charts of their own.
CREATE TABLE control_run (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id INTEGER NOT NULL UNIQUE REFERENCES sample (id),
    slide     TEXT NOT NULL CHECK (length(slide) BETWEEN 1 AND 64)
) STRICT;

-- One alarm of a chart and a day.
CREATE TABLE alarm (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            TEXT NOT NULL,   -- aware UTC, ISO 8601
    clock_trusted INTEGER CHECK (clock_trusted IN (0, 1)),   -- NULL: not looked at
    day           TEXT NOT NULL,   -- by the laboratory's clock, ISO 8601
    slide         TEXT,            -- control slide; NULL: the fields of samples
    chart         TEXT NOT NULL,
    rule          TEXT NOT NULL,
    rises         INTEGER NOT NULL CHECK (rises IN (0, 1)),
    value         REAL NOT NULL,   -- of the day, as on the chart
    centre        REAL NOT NULL,   -- what is usual ...
    spread        REAL NOT NULL,   -- ... and the standard deviation of such a day
    fields        INTEGER NOT NULL CHECK (fields > 0),
    cause         TEXT NOT NULL    -- the likely one, see edge/results/causes.py
) STRICT;

CREATE UNIQUE INDEX alarm_of_day ON alarm (coalesce(slide, ''), chart, day);

-- Somebody has seen an alarm. Until then its chart gives no other.
CREATE TABLE acknowledgement (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm_id     INTEGER NOT NULL UNIQUE REFERENCES alarm (id),
    at           TEXT NOT NULL,
    who          TEXT NOT NULL CHECK (length(who) BETWEEN 1 AND 64),
    role         TEXT CHECK (role IN ('reader', 'supervisor')),   -- of who had signed in
    note         TEXT NOT NULL,
    new_baseline INTEGER NOT NULL CHECK (new_baseline IN (0, 1))   -- 1: changed on purpose, usual from here on
) STRICT;

CREATE TRIGGER control_run_no_update BEFORE UPDATE ON control_run
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: control_run'); END;
CREATE TRIGGER control_run_no_delete BEFORE DELETE ON control_run
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: control_run'); END;
CREATE TRIGGER control_run_no_replace BEFORE INSERT ON control_run
WHEN EXISTS (SELECT 1 FROM control_run WHERE id = NEW.id OR sample_id = NEW.sample_id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: control_run'); END;

CREATE TRIGGER alarm_no_update BEFORE UPDATE ON alarm
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: alarm'); END;
CREATE TRIGGER alarm_no_delete BEFORE DELETE ON alarm
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: alarm'); END;
CREATE TRIGGER alarm_no_replace BEFORE INSERT ON alarm
WHEN EXISTS (SELECT 1 FROM alarm WHERE id = NEW.id
             OR coalesce(slide, '') = coalesce(NEW.slide, '') AND chart = NEW.chart AND day = NEW.day)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: alarm'); END;

CREATE TRIGGER acknowledgement_no_update BEFORE UPDATE ON acknowledgement
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: acknowledgement'); END;
CREATE TRIGGER acknowledgement_no_delete BEFORE DELETE ON acknowledgement
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: acknowledgement'); END;
CREATE TRIGGER acknowledgement_no_replace BEFORE INSERT ON acknowledgement
WHEN EXISTS (SELECT 1 FROM acknowledgement WHERE id = NEW.id OR alarm_id = NEW.alarm_id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: acknowledgement'); END;

-- A link for each, see 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''sample_event'', ''review''', '''sample_event'', ''control_run'', ''alarm'', ''acknowledgement'', ''review''')
WHERE type = 'table' AND name = 'link';
PRAGMA writable_schema = RESET;
