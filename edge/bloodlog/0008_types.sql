-- Which kind of cell a white cell is: by a second network, and by people. NULL without such a network and in rows
-- of earlier schemas; their links stay as they are.
ALTER TABLE field ADD COLUMN type_model_name TEXT;
ALTER TABLE field ADD COLUMN type_model_sha256 TEXT
    CHECK (length(type_model_sha256) = 64 AND (type_model_name IS NULL) = (type_model_sha256 IS NULL));

ALTER TABLE cell ADD COLUMN type TEXT CHECK (type IS NULL OR kind = 'wbc' AND type IN ('neutrophil', 'lymphocyte',
    'monocyte', 'eosinophil', 'basophil', 'immature_granulocyte', 'erythroblast', 'other'));
ALTER TABLE cell ADD COLUMN p_type REAL
    CHECK (p_type BETWEEN 0 AND 1 AND (type IS NULL) = (p_type IS NULL));

-- A person's word may be a type, which says that the cell is no blast, too. See 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''smudge'', ''not_a_cell''', '''smudge'', ''not_a_cell'', ''neutrophil'',
    ''lymphocyte'', ''monocyte'', ''eosinophil'', ''basophil'', ''immature_granulocyte'', ''erythroblast'', ''other''')
WHERE type = 'table' AND name = 'review';
PRAGMA writable_schema = RESET;
