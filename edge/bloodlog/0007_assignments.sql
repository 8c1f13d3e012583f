-- Fields that were counted without a sample, and were put into one afterwards. Their rows stay as they are; the
-- last assignment of a field holds, and NULL takes it out again.

CREATE TABLE assignment (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    field_id  INTEGER NOT NULL REFERENCES field (id),
    sample_id INTEGER REFERENCES sample (id),   -- NULL: to none any more
    at        TEXT NOT NULL,
    who       TEXT NOT NULL
) STRICT;

CREATE INDEX assignment_field ON assignment (field_id);
CREATE INDEX assignment_sample ON assignment (sample_id);

-- Which sample a field belongs to: the one it was counted into, else the one it was put into.
CREATE VIEW membership (field_id, sample_id, assigned) AS
SELECT id, sample_id, 0 FROM field WHERE sample_id IS NOT NULL
UNION ALL
SELECT field_id, sample_id, 1 FROM assignment WHERE sample_id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM assignment AS later
                WHERE later.field_id = assignment.field_id AND later.id > assignment.id);

CREATE TRIGGER assignment_no_update BEFORE UPDATE ON assignment
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: assignment'); END;
CREATE TRIGGER assignment_no_delete BEFORE DELETE ON assignment
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: assignment'); END;
CREATE TRIGGER assignment_no_replace BEFORE INSERT ON assignment
WHEN EXISTS (SELECT 1 FROM assignment WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: assignment'); END;

-- A link for each, see 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''removal'', ''repair''', '''removal'', ''repair'', ''assignment''')
WHERE type = 'table' AND name = 'link';
PRAGMA writable_schema = RESET;
