-- A sample that is searched for few blasts among many cells. NULL in all others and in rows of earlier schemas; their
-- links stay as they are.
ALTER TABLE sample ADD COLUMN search INTEGER CHECK (search IS NULL OR search = 1);
