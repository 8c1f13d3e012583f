-- Doubts that a field was counted with: JSON array of their names. NULL in rows of earlier schemas, which had
-- none; their links stay as they are.
ALTER TABLE field ADD COLUMN warnings TEXT CHECK (warnings IS NULL OR json_valid(warnings));
