-- What produced a row: everything that could change a number of it, so that it can be counted again. Rows of
-- earlier schemas have neither; their links stay as they are.

-- JSON object, see edge/counting/provenance.py. json_valid(NULL) is 0 in some versions of SQLite.
ALTER TABLE field ADD COLUMN provenance TEXT CHECK (provenance IS NULL OR json_valid(provenance));
-- What the field took from the fields of its sample before it: JSON object; NULL without a sample
ALTER TABLE field ADD COLUMN context TEXT CHECK (context IS NULL OR json_valid(context));
