"""Fields for the tests of the log."""

from __future__ import annotations

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
