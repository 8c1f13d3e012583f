"""Which cells the share is of can be configured, and every place says which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from edge.bloodlog import BloodLog
from edge.cli import main
from edge.config import load_config
from edge.counting.sample import OpenSample
from edge.counting.tally import clopper_pearson, tally
from edge.daemon.lines import sample_line
from edge.errors import ConfigError
from edge.i18n import catalogue
from edge.results.corrected import KnownErrors
from edge.results.fhir import fhir_bundle
from edge.results.sheet import make_page
from edge.results.sheet.record import DENOMINATORS, report_record
from edge.results.summary import summarise
from edge.structures import CellRef, ClassifiedCell, Denominator
from tests.edge.bloodlog.fields import PROVENANCE, make_cell, make_result

SHARES = {"classified": (2, 6), "without_uncertain": (2, 4), "with_smudges": (2, 8), "nucleated": (2, 7)}


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    """Two blasts, two normal and two uncertain cells, an erythroblast, and two smudges."""
    words = ("blast", "blast", "normal", "normal", "uncertain", "uncertain")
    cells = [
        replace(found, label=word, cell=replace(found.cell, touches_border=False))
        for found, word in zip(map(make_cell, range(1, 7)), words, strict=True)
    ]
    path = tmp_path / "blastcount.db"
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-0001", "blood", 200)
        whole = replace(make_cell(9).cell, touches_border=False)
        erythroblast = ClassifiedCell(whole, "normal", 0.1, type="erythroblast", p_type=0.9)
        smudges = (make_cell(number, kind="smudge") for number in (7, 8))
        result = replace(make_result(), cells=(*cells, *smudges, erythroblast))
        log.append(result, **PROVENANCE, sample_id=sample.id)
    return path


@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_the_share_is_of_the_configured_cells(log_path: Path, denominator: Denominator) -> None:
    blasts, cells = SHARES[denominator]
    with BloodLog.open(log_path) as log:
        found = tally((field.result for field in log.fields()), denominator)
        assert (found.blasts, found.wbc, found.classified) == (blasts, cells, 6)
        assert found.blast_fraction == blasts / cells
        assert (found.ci_low, found.ci_high) == clopper_pearson(blasts, cells)
        # A correction is counted by the same custom.
        log.add_reviews({CellRef(1, 3): "blast"}, "Ani")
        summary = summarise(log, log.sample("S-0001"), denominator=denominator)
        assert summary.program == found
        assert summary.reviewed is not None
        assert (summary.reviewed.blasts, summary.reviewed.wbc) == (blasts + 1, cells)
        # So is what is handed on, which says of what.
        record = report_record(summary)
        assert (record["program"]["blasts"], record["program"]["n"]) == (blasts, cells)
        assert ("uncertain" in record["denominator"]) == (denominator != "without_uncertain")
        assert ("smudges" in record["denominator"]) == (denominator == "with_smudges")
        texts = json.dumps(fhir_bundle(summary))
        assert ("uncertain, in the denominator" in texts) == (denominator != "without_uncertain")
        assert ("smudge cells, in the denominator" in texts) == (denominator == "with_smudges")
        by_text = {
            entry["resource"]["code"]["text"]: entry["resource"]
            for entry in fhir_bundle(summary)["entry"]
            if entry["resource"]["resourceType"] == "Observation"
        }
        of = f"Blasts per 100 {catalogue()(f'counted_cells.{denominator}')}"
        assert set(by_text) == {f"{of}, by program", f"{of} that a person has looked at so far"}
        read = by_text[f"{of} that a person has looked at so far"]["component"][0]
        assert (read["code"]["text"] == "nucleated cells counted") == (denominator == "nucleated")
        # A person who has called one cell a blast and one a smudge.
        log.add_reviews({CellRef(1, 7): "smudge", CellRef(1, 5): "smudge"}, "Ani")
        (count,) = summarise(log, log.sample("S-0001"), denominator=denominator).observers
        assert (count.tally.blasts, count.tally.wbc) == (1, 3 if denominator == "with_smudges" else 1)


def test_smudges_are_in_the_share_of_whoever_has_read_all_cells(log_path: Path) -> None:
    """Nobody is asked for them, so the program's stand until the reader says otherwise."""

    def count(denominator: Denominator) -> tuple[int, int, int]:
        with BloodLog.open(log_path, read_only=True) as log:
            (seen,) = summarise(log, log.sample("S-0001"), denominator=denominator).observers
        return seen.tally.blasts, seen.tally.smudges, seen.tally.wbc

    with BloodLog.open(log_path) as log:
        words = {CellRef(1, number): "blast" if number < 3 else "normal" for number in (1, 2, 3, 4, 5, 6, 9)}
        log.add_reviews(words, "Ani")
    assert count("with_smudges") == (2, 2, 9)
    assert count("classified") == (2, 0, 7)
    with BloodLog.open(log_path) as log:
        log.add_reviews({CellRef(1, 7): "blast"}, "Ani")
    assert count("with_smudges") == (3, 1, 9)
    assert count("classified") == (3, 0, 8)


@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_the_corrected_share_says_of_which_cells_it_is(log_path: Path, denominator: Denominator) -> None:
    errors = KnownErrors(100, 90, 100, 10, "a test")
    with BloodLog.open(log_path, read_only=True) as log:
        summary = summarise(log, log.sample("S-0001"), lambda _model: errors, denominator)
    bars = {bar.label: bar.text for bar in make_page(summary, catalogue(), lambda _sha256: None).bars}
    is_other = denominator != "classified"
    assert bars["Program, corrected"].endswith(", of whole white cells") == is_other
    assert report_record(summary)["corrected"]["denominator"] == DENOMINATORS["classified"]
    assert "Blasts per 100 whole white cells, corrected" in json.dumps(fhir_bundle(summary))


@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_the_report_says_which_and_gives_the_others(
    log_path: Path, tmp_path: Path, denominator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[sample]\ndenominator = "{denominator}"\n[log]\npath = "{log_path}"\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    out = tmp_path / "report.html"
    answer = CliRunner().invoke(main, ["report", "S-0001", "--html", str(out)])
    assert answer.exit_code == 0, answer.output
    page, texts = out.read_text(), catalogue("en")
    for custom in get_args(Denominator):
        assert (texts(f"report.denominator_{custom}") in page) == (custom == denominator)
        others = texts(f"report.{custom}", share="@").partition("@")[0]
        assert (others in page) == (custom != denominator)
    blasts, cells = SHARES[denominator]
    assert f"{100 * blasts / cells:.1f} %" in page


@pytest.mark.usefixtures("no_system_config")
def test_lists_and_lines_name_what_is_not_the_usual_denominator(log_path: Path) -> None:
    listed = ["sample", "list", "--log", str(log_path)]
    usual = CliRunner().invoke(main, listed).stdout
    assert "nucleated" not in usual
    with BloodLog.open(log_path) as log:
        log.change_sample("S-0001", "closed")
        marrow = log.open_sample("S-0002", "marrow", 500)
        (logged,) = log.fields(1)
        log.append(logged.result, **PROVENANCE, sample_id=marrow.id)
        opened = OpenSample(log, marrow, None)
        opened.catch_up()
        status = opened.status()
    table = CliRunner().invoke(main, listed).stdout.splitlines()
    assert [line.endswith("of whole nucleated cells") for line in table] == [False, False, True]
    records = CliRunner().invoke(main, [*listed, "--json"]).stdout.splitlines()
    assert [json.loads(line)["denominator"] for line in records] == ["classified", "nucleated"]
    assert status["denominator"] == "nucleated"
    assert "2 of 7 whole nucleated cells look like blasts" in sample_line(status)


def test_another_word_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[sample]\ndenominator = "all"\n')
    with pytest.raises(ConfigError, match=r'sample.denominator must be one of "classified", .* got \'all\''):
        load_config(config)
