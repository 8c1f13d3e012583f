-- What many devices' logs hold, as it crossed the network. {serial} and {moment} are the database's own words: a key that
-- counts up, and the type of a time. Links are only ever added: a device's log is never changed, nor is what it said.

CREATE TABLE link (
    device      TEXT NOT NULL,
    number      BIGINT NOT NULL CHECK (number > 0),
    kind        TEXT NOT NULL,
    row_id      BIGINT NOT NULL,
    sha256      TEXT NOT NULL CHECK (length(sha256) = 64),   -- the device's own link, see edge/bloodlog/chain.py
    seal        TEXT NOT NULL CHECK (length(seal) = 64),     -- of what crossed, see edge/fleet/messages.py
    received_at TEXT NOT NULL,                               -- aware UTC, ISO 8601
    body        JSON NOT NULL,                               -- the message, as it came
    PRIMARY KEY (device, number)                             -- exactly once
);

CREATE INDEX link_row ON link (device, kind, row_id);

-- Of each field's link what is counted and looked for.
CREATE TABLE field (
    device           TEXT NOT NULL,
    number           BIGINT NOT NULL,
    row_id           BIGINT NOT NULL,
    at               TEXT NOT NULL,
    sample_id        BIGINT,
    status           TEXT NOT NULL,
    blasts           BIGINT NOT NULL,
    normal           BIGINT NOT NULL,
    uncertain        BIGINT NOT NULL,
    border           BIGINT NOT NULL,
    smudges          BIGINT NOT NULL,
    seen_before      BIGINT NOT NULL,
    erythroblasts    BIGINT NOT NULL,
    reasons          JSON,
    warnings         JSON,
    source_kind      TEXT,
    model_name       TEXT,
    model_sha256     TEXT,
    config_sha256    TEXT,
    software_version TEXT,
    PRIMARY KEY (device, number)
);

CREATE INDEX field_sample ON field (device, sample_id);
CREATE INDEX field_at ON field (at);

CREATE TABLE sample (
    device    TEXT NOT NULL,
    row_id    BIGINT NOT NULL,
    name      TEXT NOT NULL,
    specimen  TEXT NOT NULL,
    quota     BIGINT NOT NULL,
    opened_at TEXT NOT NULL,
    PRIMARY KEY (device, row_id)
);

-- One row a device: how far its chain has come, when it was last heard, and the last thing that it said of itself.
CREATE TABLE device (
    name        TEXT PRIMARY KEY,
    first_heard TEXT NOT NULL,
    last_heard  TEXT NOT NULL,
    online      BIGINT,
    highest     BIGINT NOT NULL DEFAULT 0,   -- number, hash and seal of its last link here
    sha256      TEXT NOT NULL,
    seal        TEXT NOT NULL,
    repeated    BIGINT NOT NULL DEFAULT 0,   -- messages that came again, as MQTT allows
    status      JSON,
    status_at   TEXT
);

-- What was refused or is missing. The same thing again counts up.
CREATE TABLE incident (
    id             {serial},
    device         TEXT NOT NULL,   -- as the topic names it
    kind           TEXT NOT NULL,   -- see KINDS in edge/fleet/verifying.py
    number         BIGINT,          -- of the link; the first one of a gap
    last_number    BIGINT,          -- the last one of a gap
    what           TEXT NOT NULL,
    first_at       TEXT NOT NULL,
    last_at        TEXT NOT NULL,
    times          BIGINT NOT NULL DEFAULT 1,
    payload_sha256 TEXT NOT NULL,
    payload        TEXT,            -- what came, cut where it is long
    closed_at      TEXT,            -- of a gap that was filled, of a log that goes on as before
    UNIQUE (device, kind, payload_sha256)
);

CREATE TABLE alarm (
    id         {serial},
    device     TEXT NOT NULL,
    kind       TEXT NOT NULL,   -- see edge/fleet/alarms.py
    what       TEXT NOT NULL,
    raised_at  TEXT NOT NULL,
    cleared_at TEXT
);

CREATE UNIQUE INDEX alarm_standing ON alarm (device, kind, what) WHERE cleared_at IS NULL;

-- For Grafana and for whoever asks in SQL: times are times there.

CREATE VIEW sample_tally AS
SELECT sample.device, sample.name AS sample, sample.row_id AS sample_id, sample.specimen, sample.quota,
       CAST(sample.opened_at AS {moment}) AS opened_at,
       sum(CASE WHEN field.status = 'counted' THEN 1 ELSE 0 END) AS fields,
       sum(CASE WHEN field.status = 'rejected' THEN 1 ELSE 0 END) AS rejected,
       coalesce(sum(field.blasts), 0) AS blasts, coalesce(sum(field.normal), 0) AS normal,
       coalesce(sum(field.uncertain), 0) AS uncertain, coalesce(sum(field.border), 0) AS border,
       coalesce(sum(field.smudges), 0) AS smudges, coalesce(sum(field.seen_before), 0) AS seen_before,
       coalesce(sum(field.erythroblasts), 0) AS erythroblasts,
       CAST(max(field.at) AS {moment}) AS last_field_at
FROM sample LEFT JOIN field ON field.device = sample.device AND field.sample_id = sample.row_id
GROUP BY sample.device, sample.name, sample.row_id, sample.specimen, sample.quota, sample.opened_at;

CREATE VIEW fleet AS
SELECT name AS device, CAST(first_heard AS {moment}) AS first_heard, CAST(last_heard AS {moment}) AS last_heard,
       online, highest AS links, repeated,
       (SELECT count(*) FROM incident WHERE incident.device = device.name AND closed_at IS NULL) AS incidents,
       (SELECT count(*) FROM alarm WHERE alarm.device = device.name AND cleared_at IS NULL) AS alarms
FROM device;

CREATE VIEW field_over_time AS
SELECT device, CAST(at AS {moment}) AS at, status, blasts, normal, uncertain, border, smudges, model_name, software_version
FROM field;
