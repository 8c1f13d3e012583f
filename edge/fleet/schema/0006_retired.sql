-- Which devices are out of use, who said so and why. Rows are only added; one holds until the device is heard again.

CREATE TABLE retirement (
    id     {serial},
    device TEXT NOT NULL REFERENCES device (name),
    at     TEXT NOT NULL,   -- aware UTC, ISO 8601
    who    TEXT NOT NULL,
    note   TEXT NOT NULL
);

CREATE VIEW retired AS
SELECT retirement.* FROM retirement JOIN device ON device.name = retirement.device
WHERE retirement.at >= device.last_heard
AND retirement.id = (SELECT max(id) FROM retirement AS newest WHERE newest.device = device.name);
