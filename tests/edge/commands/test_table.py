"""The table's rows line up whatever a file is called."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge.commands.field_json import field_json
from edge.commands.table import Table, blast_share
from edge.commands.truth import KnownCounts
from edge.structures import Cell, CellClass, CellRef, ClassifiedCell, FieldResult, ModelIdentity, Scale, Tally


def field(source: str, *labels: CellClass | None, border: int = 0, scale: Scale | None = None) -> FieldResult:
    cells = [
        ClassifiedCell(
            Cell(i, 10.0, 10.0, (5, 5, 9, 9), 60, 30, "smudge" if label is None else "wbc", i <= border),
            label,
            None if label is None else 0.5,
        )
        for i, label in enumerate(labels, start=1)
    ]
    return FieldResult(
        source,
        100,
        80,
        None,
        "0" * 64,
        scale or Scale(0.118, "configured", 1.0),
        "counted",
        (),
        tuple(cells),
        ModelIdentity("m", "0" * 64),
    )


def test_a_row() -> None:
    table = Table(["f.jpg"], with_truth=False)
    (titles,) = table.header()
    row = table.row(field("f.jpg", "blast", "blast", "normal", "uncertain", None, border=1), 412.4)
    assert titles.split() == [
        "field",
        "wbc",
        "blasts",
        "normal",
        "uncertain",
        "border",
        "smudge",
        "µm/px",
        "ms",
    ]
    assert row.split() == ["f.jpg", "4", "1", "1", "1", "1", "1", "0.118", "412"]
    assert len(row) == len(titles)


def test_cells_seen_before_are_in_no_column() -> None:
    table = Table(["f.jpg"], with_truth=False)
    seen = field("f.jpg", "blast", "normal", None, "blast")
    cells = tuple(replace(cell, seen_before=CellRef(1, 1)) for cell in seen.cells[:3])
    row = table.row(replace(seen, cells=(*cells, seen.cells[3])), 5.0)
    assert row.split()[1:7] == ["1", "1", "0", "0", "0", "0"]
    written = json.loads(field_json(replace(seen, cells=cells)))
    assert (written["wbc"], written["blasts"]) == (0, 0)
    assert written["cells"][0]["seen_before"] == {"field": 1, "cell": 1}
    assert "seen_before" not in json.loads(field_json(seen))["cells"][0]


def test_an_assumed_scale_is_not_shown() -> None:
    row = Table(["f"], with_truth=False).row(field("f", scale=Scale(0.2, "assumed", 0.0)), 1.0)
    assert row.split()[-2] == "–"


@pytest.mark.parametrize("name", ["f.jpg", "血液塗抹.jpg", "a\u0308.jpg", "n\nl.jpg", "x" * 300 + ".jpg"])
def test_columns_line_up(name: str) -> None:
    table = Table([name, "second.jpg"], with_truth=True)
    rows = [table.row(field(source, "blast"), 1.0, KnownCounts(3, 2)) for source in (name, "second.jpg")]
    wide = sum(c in "血液塗抹" for c in rows[0]) - rows[0].count("\u0308")
    assert len(rows[0]) + wide == len(rows[1]) == len(table.header()[1])


def test_a_long_name_keeps_its_end() -> None:
    row = Table(["x" * 300 + "_7.jpg"], with_truth=False).row(field("x" * 300 + "_7.jpg"), 1.0)
    assert row.startswith("…x")
    assert "x_7.jpg " in row


def test_sums_of_the_truth_cover_the_fields_that_have_one() -> None:
    table = Table(["a", "b"], with_truth=True)
    table.row(field("a", "blast"), 1.0, KnownCounts(wbc=7, blasts=2))
    table.row(field("b", "blast"), 1.0, None)
    table.row(field("c", "blast"), 1.0, KnownCounts(wbc=1, blasts=1))
    total = table.total(Tally(3, 0, 3, 0, 0, 0, 0, 1.0, 0.29, 1.0))
    assert total.split() == ["total", "3", "3", "0", "0", "0", "0", "8", "3"]
    assert len(total) == len(table.header()[1])


def test_a_share_always_comes_with_n_and_interval() -> None:
    text = blast_share(Tally(1, 0, 40, 150, 10, 0, 0, 0.2, 0.14693, 0.26223))
    assert text == (
        "blasts: 40 of 200 whole white cells = 20.0 % (exact 95 % interval 14.7 to 26.2 %, n = 200)"
    )
    assert "n = 0" in blast_share(Tally(1, 0, 0, 0, 0, 0, 0, None, 0.0, 1.0))
