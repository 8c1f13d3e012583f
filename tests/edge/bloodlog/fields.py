"""Fields for the tests of the log."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from edge.structures import Cell, ClassifiedCell, FieldResult, ModelIdentity, Scale

SHA = "0123456789abcdef" * 4
PROVENANCE = {
    "config_sha256": "c" * 64,
    "software_version": "0.1.0",
    "runtime": "ai_edge_litert 2.3.0",
    "source_kind": "rendered",
}


def make_cell(number: int, *, kind: str = "wbc", p_blast: float | None = 0.75) -> ClassifiedCell:
    cell = Cell(number, 10.5, 20.25, (5, 6, 30, 31), 700, 300, kind, touches_border=number % 2 == 0)  # type: ignore[arg-type]  # kind is a plain string in tests
    return ClassifiedCell(cell, None if kind == "smudge" else "blast", None if kind == "smudge" else p_blast)


def make_result(source: str = "rendered:1", cells: int = 2) -> FieldResult:
    return FieldResult(
        source=source,
        width=640,
        height=480,
        captured_at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
        frame_sha256=SHA,
        scale=Scale(0.118, "red_cells", 0.9),
        status="counted",
        reasons=(),
        cells=(*(make_cell(number) for number in range(1, cells + 1)), make_cell(cells + 1, kind="smudge")),
        model=ModelIdentity("akbar", "a" * 64),
        stage_ms={"segment": 12.5},
    )


def insert_old_rows(connection: sqlite3.Connection) -> None:
    """Add three fields with what the first schema knows of one."""
    for number in range(3):
        connection.execute(
            "INSERT INTO field (logged_at, monotonic_s, source_kind, source, width, height, um_per_px, "
            "scale_source, scale_confidence, status, reasons, frame_sha256, model_name, model_sha256, "
            "config_sha256, software_version, runtime, stage_ms) VALUES ('2026-01-01T00:00:00+00:00', "
            "1.0, 'file', ?, 640, 480, 0.1, 'assumed', 0.1, 'counted', '[]', ?, 'm', ?, ?, '1', 'r', "
            "'{}')",
            (f"old{number}.jpg", *["e" * 64] * 3),
        )
