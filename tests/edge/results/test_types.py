"""Types on the report: the program's and people's, and what happens where people differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge import cli
from edge.bloodlog import BloodLog, ReviewLabel
from edge.i18n import catalogue, languages
from edge.results.sheet import make_page
from edge.results.sheet.html import render_html
from edge.results.sheet.pdf import render_pdf
from edge.results.sheet.record import report_record
from edge.results.sheet.terminal import sample_lines
from edge.results.summary import summarise
from edge.structures import CellRef
from tests.edge.results.conftest import NAME, read_all, summary_of

pytestmark = pytest.mark.usefixtures("no_system_config")


def counts(record: dict[str, dict[str, dict[str, int]]]) -> dict[str, int]:
    return {kind: share["k"] for kind, share in record["shares"].items() if share["k"]}


def say(path: Path, observer: str, words: dict[CellRef, ReviewLabel]) -> None:
    with BloodLog.open(path) as log:
        log.add_reviews(words, observer)


def test_the_program_s_differential_and_the_one_after_people_s_words(typed_log: Path) -> None:
    record = report_record(summary_of(typed_log))
    shares = {"blast": 12, "neutrophil": 4, "lymphocyte": 4, "other": 4, "uncertain": 4}
    assert counts(record["program"]["differential"]) == shares
    assert record["made_by"][0]["type_model"] == {"name": "types", "sha256": "b" * 64}
    # A reader who calls what the program is not sure of monocytes, and leaves its other types.
    read_all(typed_log, "AK", {CellRef(field, 6): "monocyte" for field in range(1, 5)})
    record = report_record(summary_of(typed_log))
    people = {"blast": 12, "neutrophil": 4, "lymphocyte": 4, "monocyte": 8}
    assert (
        counts(record["reviewed"]["differential"]) == people
    )  # the uncertain ones are monocytes to the program
    assert counts(record["program"]["differential"]) == shares
    # Most of the reader's normal cells have no type of the reader's own: that is no differential.
    assert "differential" not in record["observers"][0]


def test_readers_who_give_different_types_have_one_share_of_blasts_and_no_differential(
    typed_log: Path,
) -> None:
    read_all(typed_log, "AK", {CellRef(1, 6): "monocyte"})
    read_all(typed_log, "BT", {CellRef(1, 6): "lymphocyte"})
    record = report_record(summary_of(typed_log))
    assert (record["differing"], record["differing_types"]) == (0, 1)
    assert (record["reviewed"]["blasts"], record["reviewed"]["n"]) == (12, 28)
    assert "differential" not in record["reviewed"]
    assert (record["agreement"]["n"], record["agreement"]["agreed"]) == (28, 28)  # of classes
    # "normal" does not contradict a type.
    say(typed_log, "BT", {CellRef(1, 6): "normal"})
    record = report_record(summary_of(typed_log))
    assert counts(record["reviewed"]["differential"])["monocyte"] == 5


def test_an_erythroblast_that_a_person_names_leaves_every_share(typed_log: Path) -> None:
    say(typed_log, "AK", {CellRef(1, 4): "erythroblast"})
    summary = summary_of(typed_log)
    assert summary.reviewed is not None
    assert (summary.program.wbc, summary.reviewed.wbc, summary.reviewed.blasts) == (28, 27, 12)
    assert report_record(summary)["reviewed"]["differential"]["n"] == 27
    with BloodLog.open(typed_log, read_only=True) as log:
        nucleated = summarise(log, log.sample(NAME), denominator="nucleated")
    assert nucleated.reviewed is not None
    assert nucleated.reviewed.wbc == 28
    assert counts(report_record(nucleated)["reviewed"]["differential"])["erythroblast"] == 1
    for made, cells in ((summary, ("28", "27", "0")), (nucleated, ("28", "28", "1"))):
        table = make_page(made, catalogue(), lambda _sha256: None).rows
        rows = {name: values for name, *values in table}
        assert rows["erythroblast"] == ["0", "1", "1"]
        assert [tuple(rows[name]) for name in rows if name.endswith("cells counted")] == [cells]


def test_shares_of_marrow_are_of_nucleated_cells(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "b.db") as log:
        sample = log.open_sample(NAME, "marrow", 500)
        assert summarise(log, sample).program.denominator == "nucleated"
        assert summarise(log, sample, denominator="classified").program.denominator == "classified"


def test_people_alone_give_a_differential_once_every_normal_cell_has_a_type(sample_log: Path) -> None:
    normal = [CellRef(field, cell) for field in range(1, 5) for cell in (4, 5, 6, 8)]
    read_all(sample_log, "AK", dict.fromkeys(normal[1:], "eosinophil"))
    record = report_record(summary_of(sample_log))
    assert "differential" not in record["program"]
    assert "differential" not in record["reviewed"]
    say(sample_log, "AK", {normal[0]: "basophil"})
    record = report_record(summary_of(sample_log))
    expected = {"blast": 12, "eosinophil": 15, "basophil": 1}
    assert counts(record["reviewed"]["differential"]) == expected
    assert counts(record["observers"][0]["differential"]) == expected


@pytest.mark.parametrize("language", languages())
def test_every_form_has_the_differential_in_every_language(typed_log: Path, language: str) -> None:
    read_all(typed_log, "AK", {CellRef(1, 6): "immature_granulocyte"})
    _ = catalogue(language)
    page = make_page(summary_of(typed_log), _, lambda _sha256: None)
    table = page.differential
    assert table is not None
    labels = [(_("report.program"), 28), (_("report.reviewed"), 28)]
    assert [row[0] for row in table.rows] == [_("differential.of", whose=who, n=n) for who, n in labels]
    immature = table.kinds.index(_("type.immature_granulocyte"))
    assert [row[immature] is None for _label, row in table.rows] == [True, False]
    assert _("differential.other") in table.kinds
    for text in (render_html(page), "\n".join(sample_lines(page))):
        for part in (table.title, *table.kinds, *table.notes):
            assert part.replace('"', "&#34;") in text or part in text
    assert render_pdf(page).startswith(b"%PDF-")


def test_without_types_no_form_speaks_of_them(sample_log: Path) -> None:
    page = make_page(summary_of(sample_log), catalogue(), lambda _sha256: None)
    assert page.differential is None
    record = json.dumps(report_record(summary_of(sample_log)))
    assert "differential" not in record
    assert "type" not in record
    shown = CliRunner().invoke(cli.main, ["sample", "show", NAME, "--log", str(sample_log)])
    assert "ifferential" not in shown.output
