-- Who has seen what was refused or is missing. Rows are only added; each holds for the times that it had come by then.

CREATE TABLE acknowledgement (
    id          {serial},
    incident_id BIGINT NOT NULL REFERENCES incident (id),
    at          TEXT NOT NULL,   -- aware UTC, ISO 8601
    who         TEXT NOT NULL,
    note        TEXT NOT NULL,
    times       BIGINT NOT NULL
);

CREATE INDEX acknowledgement_of ON acknowledgement (incident_id);

CREATE VIEW standing_incident AS
SELECT * FROM incident WHERE closed_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM acknowledgement AS seen WHERE seen.incident_id = incident.id AND seen.times >= incident.times);

-- A run of a control slide is no patient's sample. What came before this table was there is taken from the messages.

CREATE TABLE control_run (
    device    TEXT NOT NULL,
    sample_id BIGINT NOT NULL,
    slide     TEXT NOT NULL,
    PRIMARY KEY (device, sample_id)
);

INSERT INTO control_run
SELECT device, CAST(body -> 'row' ->> 'sample_id' AS BIGINT), min(body -> 'row' ->> 'slide') FROM link
WHERE kind = 'control_run' AND body -> 'row' ->> 'slide' IS NOT NULL
GROUP BY device, CAST(body -> 'row' ->> 'sample_id' AS BIGINT);

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
       CAST(max(field.at) AS {moment}) AS last_field_at, sample.search, control_run.slide AS control_slide
FROM sample LEFT JOIN field ON field.device = sample.device AND field.sample_id = sample.row_id
LEFT JOIN control_run ON control_run.device = sample.device AND control_run.sample_id = sample.row_id
GROUP BY sample.device, sample.name, sample.row_id, sample.specimen, sample.quota, sample.opened_at, sample.search,
         control_run.slide;

DROP VIEW fleet;

CREATE VIEW fleet AS
SELECT name AS device, CAST(first_heard AS {moment}) AS first_heard, CAST(last_heard AS {moment}) AS last_heard,
       online, highest AS links, repeated,
       (SELECT count(*) FROM standing_incident AS one WHERE one.device = device.name) AS incidents,
       (SELECT count(*) FROM alarm WHERE alarm.device = device.name AND cleared_at IS NULL) AS alarms
FROM device;
