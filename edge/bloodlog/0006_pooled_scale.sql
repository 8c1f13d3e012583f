-- The scale of a sample: pooled over its fields, with its 95 % interval, and what the field's own red cells say,
-- from which the pool is taken up again. NULL in rows of earlier schemas; their links stay as they are.
ALTER TABLE field ADD COLUMN um_per_px_low REAL CHECK (um_per_px_low > 0);
ALTER TABLE field ADD COLUMN um_per_px_high REAL CHECK ((um_per_px_low IS NULL) = (um_per_px_high IS NULL));
ALTER TABLE field ADD COLUMN red_cells_um_per_px REAL CHECK (red_cells_um_per_px > 0);
ALTER TABLE field ADD COLUMN red_cells_confidence REAL
    CHECK ((red_cells_um_per_px IS NULL) = (red_cells_confidence IS NULL));

-- A CHECK cannot be altered, and a copy of the table would take minutes for a large log. What SQLite documents
-- for this (https://www.sqlite.org/lang_altertable.html, section 7) is to change the text of the schema where
-- nothing that is stored depends on it. The table's own text is short: the pattern occurs in it once.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''red_cells'', ''assumed''', '''red_cells'', ''pooled'', ''assumed''')
WHERE type = 'table' AND name = 'field';
PRAGMA writable_schema = RESET;
