-- A sample that is searched for few blasts says so: the program's share is no result there. It crossed from the
-- beginning; what came before this column was there is taken from the messages.

ALTER TABLE sample ADD COLUMN search BIGINT;

UPDATE sample SET search = (
    SELECT CAST(link.body -> 'row' ->> 'search' AS BIGINT) FROM link
    WHERE link.device = sample.device AND link.kind = 'sample' AND link.row_id = sample.row_id);

DROP VIEW sample_tally;

CREATE VIEW sample_tally AS
SELECT sample.device, sample.name AS sample, sample.row_id AS sample_id, sample.specimen, sample.quota,
       CAST(sample.opened_at AS {moment}) AS opened_at,
       sum(CASE WHEN field.status = 'counted' THEN 1 ELSE 0 END) AS fields,
       sum(CASE WHEN field.status = 'rejected' THEN 1 ELSE 0 END) AS rejected,
       coalesce(sum(field.blasts), 0) AS blasts, coalesce(sum(field.normal), 0) AS normal,
       coalesce(sum(field.uncertain), 0) AS uncertain, coalesce(sum(field.border), 0) AS border,
       coalesce(sum(field.smudges), 0) AS smudges, coalesce(sum(field.seen_before), 0) AS seen_before,
       coalesce(sum(field.erythroblasts), 0) AS erythroblasts,
       CAST(max(field.at) AS {moment}) AS last_field_at, sample.search
FROM sample LEFT JOIN field ON field.device = sample.device AND field.sample_id = sample.row_id
GROUP BY sample.device, sample.name, sample.row_id, sample.specimen, sample.quota, sample.opened_at, sample.search;
