-- Where a cell and its nucleus end, for whoever looks at the count again: see edge/bloodlog/contours.py. NULL in rows
-- of earlier schemas and where no sample keeps pictures; their links stay as they are.
ALTER TABLE cell ADD COLUMN contours TEXT;

-- The fields of its sample that a field was found to overlap, the likeliest first: JSON array of [field, x, y], where
-- its upper left corner lies from that field's, µm. Places fields beside each other that stage_x_um has no place for.
ALTER TABLE field ADD COLUMN overlaps TEXT CHECK (overlaps IS NULL OR json_valid(overlaps));
