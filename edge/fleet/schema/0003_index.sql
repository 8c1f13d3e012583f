-- What is asked of all devices at once (alarms, control runs) names the kind alone: a million fields are not read for it.

DROP INDEX link_row;

CREATE INDEX link_row ON link (kind, device, row_id);
