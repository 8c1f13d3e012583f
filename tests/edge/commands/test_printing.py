"""The table lines up and adds up whatever a file is called; no share without its n and interval."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge.commands.printing import CsvPrinter, TablePrinter, blast_share, field_json
from edge.commands.progress import Progress
from edge.counting.tally import tally
from edge.quality import WARNINGS
from edge.structures import (
    Cell,
    CellClass,
    CellRef,
    CellType,
    ClassifiedCell,
    FieldResult,
    ModelIdentity,
    Scale,
    Tally,
)


def field(source: str, *labels: CellClass | None, border: int = 0, scale: Scale | None = None) -> FieldResult:
    cells = [
        ClassifiedCell(
            Cell(i, 10.0, 10.0, (5, 5, 9, 9), 60, 30, "smudge" if label is None else "wbc", i <= border),
            label,
            None if label is None else 0.5,
        )
        for i, label in enumerate(labels, start=1)
    ]
    model, found = ModelIdentity("m", "0" * 64), scale or Scale(0.118, "configured", 1.0)
    return FieldResult(source, 100, 80, None, "0" * 64, found, "counted", (), tuple(cells), model)


@pytest.fixture
def table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Table:
    return Table(tmp_path, capsys)


class Table:
    """Prints fields as ``count`` does; those with a truth are files that lie beside one."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def __call__(
        self, *results: FieldResult, ms: float = 1.0, truth: Sequence[tuple[int, int] | None] = ()
    ) -> list[str]:
        files = [self.folder / f"{number}.jpg" for number in range(len(results))]
        for file, known in zip(files, truth, strict=False):
            if known is not None:
                counts = {"wbc": known[0], "blasts_whole": known[1]}
                file.with_suffix(".truth.json").write_text(json.dumps({"counts": counts}))
        printer = TablePrinter(Progress("counting"), [Path("f.jpg"), *files], ["the end"])
        for file, result in zip(files, results, strict=True):
            printer.field(file, result, ms)
        printer.end(tally(results), 0)
        return self.capsys.readouterr().out.splitlines()


def test_a_row(table: Table) -> None:
    titles, row, *_ = table(field("f.jpg", "blast", "blast", "normal", "uncertain", None, border=1), ms=412.4)
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


def test_cells_seen_before_are_in_no_column(table: Table) -> None:
    seen = field("f.jpg", "blast", "normal", None, "blast")
    cells = tuple(replace(cell, seen_before=CellRef(1, 1)) for cell in seen.cells[:3])
    lines = table(replace(seen, cells=(*cells, seen.cells[3])))
    row = lines[1]
    assert any(line.endswith("in no column here: 3 cells") for line in lines)
    assert row.split()[1:7] == ["1", "1", "0", "0", "0", "0"]
    written = json.loads(field_json(replace(seen, cells=cells)))
    assert (written["wbc"], written["blasts"]) == (0, 0)
    assert written["cells"][0]["seen_before"] == {"field": 1, "cell": 1}
    assert "seen_before" not in json.loads(field_json(seen))["cells"][0]


def test_types_are_in_the_json_only_where_a_network_named_them() -> None:
    plain = field("f.jpg", "blast", "normal", None)
    written = json.loads(field_json(plain))
    assert "type_model" not in written
    assert not {"type", "p_type"} & {key for cell in written["cells"] for key in cell}
    named = replace(plain.cells[1], type="lymphocyte", p_type=0.98765)
    typed = replace(
        plain, cells=(plain.cells[0], named, plain.cells[2]), type_model=ModelIdentity("t", "1" * 64)
    )
    record = json.loads(field_json(typed))
    assert record["tally"].pop("types") == {"lymphocyte": 1, "erythroblast": 0}
    assert record.pop("type_model") == {"name": "t", "sha256": "1" * 64}
    assert [(cell.pop("type"), cell.pop("p_type")) for cell in record["cells"]] == [
        (None, None),
        ("lymphocyte", 0.9877),
        (None, None),
    ]
    assert record == written


def test_a_field_with_a_warning_says_so_in_its_row_and_the_end_sums_them_up(table: Table) -> None:
    doubted = replace(field("g.jpg", "blast"), warnings=("background_clipped", "scale_changed"))
    titles, plain, row, *rest = table(field("f.jpg", "blast"), doubted)
    assert len(plain) == len(titles)
    assert row[len(titles) :] == "  warning: blank slide burnt out, another scale"
    assert any("with a warning: 1 of 2 (blank slide burnt out 1, another scale 1)" in line for line in rest)
    assert f"  another scale: {WARNINGS['scale_changed']}" in rest
    assert json.loads(field_json(doubted))["warnings"] == ["background_clipped", "scale_changed"]


def test_rejections_are_explained_below_the_table_a_line_a_kind(table: Table) -> None:
    refused = [
        replace(field(f"{n}.jpg"), status="rejected", reasons=reasons)
        for n, reasons in enumerate([("blank",), ("out_of_focus", "too_dense"), ("out_of_focus",)])
    ]
    lines = table(field("f.jpg", "blast"), *refused)
    assert lines[3].endswith("rejected: out of focus, too dense")
    (at,) = (number for number, line in enumerate(lines) if line == "fields: 1 counted, 3 rejected")
    assert lines[at + 1 : at + 5] == [
        "  2 out of focus: Focus and wait for the next field.",
        "  1 blank: No cells here: go to another place.",
        "  1 too dense: Cells lie over each other: go to a thinner part of the smear.",
        "the end",
    ]


def typed(*kinds: CellType | None) -> FieldResult:
    plain = field("f.jpg", *(["normal"] * len(kinds)))
    cells = (replace(cell, type=kind, p_type=0.5) for cell, kind in zip(plain.cells, kinds, strict=True))
    return replace(plain, cells=tuple(cells), type_model=ModelIdentity("t", "1" * 64))


def test_a_differential_follows_the_share_of_blasts_where_types_are_named(table: Table) -> None:
    lines = table(typed("neutrophil", "neutrophil", "basophil", "other", "erythroblast"))
    (start,) = (number for number, line in enumerate(lines) if line.startswith("Differential"))
    assert lines[start - 1].startswith("blasts: 0 of 4 whole white cells")
    assert lines[start : start + 9] == [
        "Differential of whole white cells, n = 4:",
        "  blast            0    0.0 %  (0.0 to 60.2 %)",
        "  neutrophil       2   50.0 %  (6.8 to 93.2 %)",
        "  lymphocyte       0    0.0 %  (0.0 to 60.2 %)",
        "  monocyte         0    0.0 %  (0.0 to 60.2 %)",
        "  eosinophil       0    0.0 %  (0.0 to 60.2 %)",
        "  basophil         1   25.0 %  (0.6 to 80.6 %)",
        "  other, look      1   25.0 %  (0.6 to 80.6 %)",
        "  uncertain        0    0.0 %  (0.0 to 60.2 %)",
    ]
    assert lines[start + 10].startswith("  Erythroblasts found: 1;")
    assert not any(line.startswith("Differential") for line in table(field("f.jpg", "normal")))


def test_types_have_columns_in_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    printer = CsvPrinter(Progress("counting"), "nucleated")
    printer.field(Path("f.jpg"), typed("neutrophil", "neutrophil", "other", "erythroblast"), 1.0)
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row[kind] for kind in ("neutrophil", "basophil", "other", "erythroblast")] == ["2", "0", "1", "1"]
    assert row["denominator"] == "nucleated"


def test_a_line_a_field_for_a_spreadsheet(capsys: pytest.CaptureFixture[str]) -> None:
    printer = CsvPrinter(Progress("counting"), "classified")
    counted = field("=1+1.jpg", "blast", "normal", "normal", None, border=1)
    rejected = replace(field('a",\nb.jpg'), status="rejected", reasons=("blank", "torn"))
    for result in (counted, rejected):
        printer.field(Path("f.jpg"), result, 1.0)
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    whole = tally([counted])
    assert first["source"] == "'=1+1.jpg"
    assert [int(first[name]) for name in ("wbc", "blasts", "normal", "border", "smudge")] == [3, 0, 2, 1, 1]
    assert [float(first[n]) for n in ("share", "low", "high")] == [0.0, whole.ci_low, whole.ci_high]
    assert (second["source"], second["reasons"]) == ('a",\\nb.jpg', "blank torn")
    assert {second[name] for name in ("wbc", "blasts", "share", "low")} == {""}


def test_fields_without_a_warning_say_so_in_json_alone(table: Table) -> None:
    assert "warning" not in "".join(table(field("f.jpg", "blast")))
    assert json.loads(field_json(field("f.jpg", "blast")))["warnings"] == []


def test_an_assumed_scale_is_not_shown(table: Table) -> None:
    assert table(field("f", scale=Scale(0.2, "assumed", 0.0)))[1].split()[-2] == "–"


@pytest.mark.parametrize("name", ["f.jpg", "血液塗抹.jpg", "a\u0308.jpg", "n\nl.jpg", "x" * 300 + "_7.jpg"])
def test_columns_line_up(table: Table, name: str) -> None:
    above, titles, first, second, total, *_ = table(
        field(name, "blast"), field("second.jpg", "blast"), truth=[(3, 2), (3, 2)]
    )
    wide = sum(c in "血液塗抹" for c in first) - first.count("\u0308")
    assert len(first) + wide == len(second) == len(titles) == len(above) == len(total)
    if len(name) > 100:  # the end of a long name tells fields apart
        assert first.startswith("…x")
        assert "x_7.jpg " in first


def test_sums_of_the_truth_cover_the_fields_that_have_one(table: Table) -> None:
    results = [field(source, "blast") for source in "abc"]
    total = next(line for line in table(*results, truth=[(7, 2), None, (1, 1)]) if line.startswith("total"))
    assert total.split() == ["total", "3", "3", "0", "0", "0", "0", "8", "3"]


def test_a_share_always_comes_with_n_and_interval() -> None:
    text = blast_share(Tally(1, 0, 40, 150, 10, 0, 0, 0.2, 0.14693, 0.26223))
    for figure in ("40 of 200", "20.0 %", "95 % interval 14.7 to 26.2 %", "n = 200"):
        assert figure in text
    assert "n = 0" in blast_share(Tally(1, 0, 0, 0, 0, 0, 0, None, 0.0, 1.0))
