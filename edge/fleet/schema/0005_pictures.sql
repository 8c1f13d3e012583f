-- Small pictures of cells that a device calls uncertain, where it is told to send them. The newest of each device are kept.

CREATE TABLE picture (
    device      TEXT NOT NULL,
    field_id    BIGINT NOT NULL,
    cell_id     BIGINT NOT NULL,
    sha256      TEXT NOT NULL CHECK (length(sha256) = 64),
    received_at TEXT NOT NULL,
    jpeg        {bytes} NOT NULL,
    PRIMARY KEY (device, field_id, cell_id)
);

CREATE INDEX field_row ON field (device, row_id);
