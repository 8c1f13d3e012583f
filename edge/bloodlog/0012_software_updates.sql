-- Another version of this program was put in use from a signed package, or was not: a row before the change and one
-- after it. The first alone means that the change was cut off; every field's row says which version counted it.
CREATE TABLE software_update (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             TEXT NOT NULL,
    from_version   TEXT NOT NULL,
    to_version     TEXT NOT NULL,
    package_sha256 TEXT NOT NULL CHECK (length(package_sha256) = 64),   -- of its manifest, which has all others
    signer         TEXT NOT NULL,                                       -- name and key, as this device knew them
    result         TEXT NOT NULL CHECK (result IN ('begun', 'installed', 'went_back'))
) STRICT;

CREATE TRIGGER software_update_no_update BEFORE UPDATE ON software_update
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: software_update'); END;
CREATE TRIGGER software_update_no_delete BEFORE DELETE ON software_update
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: software_update'); END;
CREATE TRIGGER software_update_no_replace BEFORE INSERT ON software_update
WHEN EXISTS (SELECT 1 FROM software_update WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the blood log is append-only: software_update'); END;

-- A link for each, see 0006 for how a CHECK is changed.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''signature''', '''signature'', ''software_update''')
WHERE type = 'table' AND name = 'link';
PRAGMA writable_schema = RESET;
