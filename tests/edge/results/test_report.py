"""The one-page report: what it says, in every form, and what it never says."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reportlab.platypus import Paragraph

from edge import cli
from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.classification.card import default_bundle_path, load_bundle
from edge.i18n import catalogue, languages
from edge.results.corrected import KnownErrors
from edge.results.fhir import fhir_bundle
from edge.results.sheet import make_page
from edge.results.sheet.html import render_html
from edge.results.sheet.page import Page
from edge.results.sheet.pdf import _flow, render_pdf
from edge.results.sheet.record import report_record
from edge.results.sheet.terminal import sample_lines
from edge.structures import CellRef
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.results.conftest import NAME, fill, read_all, result, sign, summary_of

pytestmark = pytest.mark.usefixtures("no_system_config")

AT = datetime(2026, 5, 3, 7, 8, tzinfo=UTC)
ERRORS = KnownErrors(100, 90, 100, 10, "cells <of> a test & more")


def page_of(path: Path, language: str = "en", errors: KnownErrors | None = None) -> Page:
    read = ThumbnailStore.beside(path).read
    return make_page(summary_of(path, errors), catalogue(language), read, AT)


def report(path: Path, *arguments: str | Path) -> Result:
    command = ["report", NAME, "--log", str(path), *map(str, arguments)]
    return CliRunner().invoke(cli.main, command)


def test_the_page_has_counts_share_and_interval(sample_log: Path) -> None:
    page = page_of(sample_log)
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["called blast"] == ("12",)
    assert rows["normal"] == ("12",)
    assert rows["uncertain"] == ("4",)
    assert rows["white cells counted"] == ("28",)
    assert rows["smudge"] == ("4",)
    assert rows["cut by the edge"] == ("4",)
    assert page.bars[0].text == "42.9 % (95 % 24.5 to 62.8 %), 12 of 28"
    assert dict(page.quality)["Fields"] == "4 counted, 1 not"
    assert dict(page.quality)["Scale"] == "0.2000 µm per pixel"
    assert dict(page.sample)["Sample"] == NAME
    assert dict(page.origin)["Counted by"].startswith(
        "akbar aaaaaaaaaaaa, blastcount 0.1.0, ai_edge_litert 2.3.0"
    )
    assert any("Not corrected" in note for note in page.notes)
    # The share by other customs: 12 of 24 without the 4 uncertain cells, 12 of 32 with the 4 smudge cells.
    assert any("left out: 50.0 %" in note and "12 of 24" in note for note in page.notes)
    assert any("as normal cells: 37.5 %" in note and "12 of 32" in note for note in page.notes)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "2 of 4 (blank slide burnt out 2, another scale 1)"),
        ("id", "2 dari 4 (latar kosong terlalu terang 2, skala lain 1)"),
    ],
)
def test_fields_with_a_warning_are_told_of_in_words_on_every_form(
    sample_log: Path, language: str, words: str
) -> None:
    page = page_of(sample_log, language)
    (banner,) = [banner for banner in page.banners if words in banner]
    assert f'<p class="warning">{banner}</p>' in render_html(page)
    assert banner in list(sample_lines(page))
    assert render_pdf(page) != render_pdf(replace(page, banners=()))
    texts = [text.text for text in _flow(page, 500.0) if isinstance(text, Paragraph)]
    assert banner in texts
    record = json.loads(report(sample_log, "--json", "-").stdout)
    assert record["fields"]["warned"] == 2
    assert record["fields"]["by_warning"] == {"background_clipped": 2, "scale_changed": 1}


def test_without_a_warning_no_form_speaks_of_one(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    with BloodLog.open(path) as log:
        fill(log, log.open_sample(NAME, "blood", 200).id, fields=1)
    page = page_of(path)
    assert "a warning" not in render_html(page) + "".join(sample_lines(page))
    record = json.loads(report(path, "--json", "-").stdout)
    assert (record["fields"]["warned"], record["fields"]["by_warning"]) == (0, {})


def test_the_corrected_share_is_a_bar_with_its_source(sample_log: Path) -> None:
    page = page_of(sample_log, errors=ERRORS)
    assert page.bars[1].label == "Program, corrected"
    # (12 / 28 + 0.9 - 1) / (0.9 + 0.9 - 1)
    assert page.bars[1].share == pytest.approx(0.4107, abs=1e-4)
    assert any("sensitivity 90.0 %, n = 100" in note and ERRORS.source in note for note in page.notes)
    assert "cells &lt;of&gt; a test &amp; more" in render_html(page)
    render_pdf(page)  # ReportLab's paragraphs are XML: the < and & must not break them


def test_two_observers_have_columns_and_kappa(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    read_all(sample_log, "Sri <b>", {CellRef(1, 4): "blast", CellRef(2, 4): "not_a_cell"})
    page = page_of(sample_log)
    # They differ on two cells: nobody's word is people's.
    assert page.columns == ("", "Program", "AK", "Sri <b>")
    differ = "Readers differ: AK called 12 of 28 blast, Sri <b> called 13 of 27 blast; kappa 0.86. "
    assert page.banners[-2].startswith(f"{differ}Cells on which words differ: 2;")
    assert {picture.said for picture in page.pictures[1].pictures} >= {"0.10 > N/B", "0.10 > N/X"}
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["called blast"] == ("12", "12", "13")
    assert rows["not a cell"][-2:] == ("0", "1")
    assert any("AK and Sri <b> used the same word on 26 of 28 cells" in note for note in page.notes)
    assert any("kappa" in note for note in page.notes)
    # A third one who is done is told of in a note.
    read_all(sample_log, "BT")
    assert page_of(sample_log).columns == page.columns
    html = render_html(page)
    assert "Sri &lt;b&gt;" in html
    assert "<b>used" not in html
    render_pdf(page)


def test_pictures_of_blasts_and_of_cells_in_doubt(sample_log: Path) -> None:
    blasts, doubtful = page_of(sample_log).pictures
    assert blasts.title.startswith("Cells called blast: 12 of 12")
    assert doubtful.title.startswith("Cells in doubt: 4 of 4")
    assert {picture.said for picture in blasts.pictures} == {"0.90"}
    read_all(sample_log, "AK")
    assert {picture.said for picture in page_of(sample_log).pictures[0].pictures} == {"0.90 > B"}


def test_removed_pictures_are_counted_and_not_missed(sample_log: Path) -> None:
    for path in ThumbnailStore.beside(sample_log).files():
        path.unlink()
    blasts, _doubtful = page_of(sample_log).pictures
    assert blasts.title.startswith("Cells called blast: 0 of 12")
    render_pdf(page_of(sample_log))


@pytest.mark.requirement(3)
@pytest.mark.parametrize("language", languages())
def test_every_form_in_every_language_says_what_it_is_not_for(
    sample_log: Path, tmp_path: Path, language: str
) -> None:
    html, pdf, record = (tmp_path / f"r.{form}" for form in ("html", "pdf", "json"))
    done = report(sample_log, "--html", html, "--pdf", pdf, "--json", record, "--language", language)
    assert done.exit_code == 0, done.output
    text = html.read_text()
    warning = catalogue(language)("common.research_use")
    assert text.count(warning) == 2
    assert f'<html lang="{language}">' in text
    words = re.sub(r"<[^>]*>", " ", text).lower().replace(warning.lower(), "")
    assert not re.search(r"diagnos|leuk[ae]|leukemia|kanker|cancer", words)
    # One file that needs nothing beside it and runs nothing.
    assert not re.search(r"<script|https?:|<link|src=\"(?!data:image/jpeg)", text)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 1
    assert json.loads(record.read_text())["program"]["blasts"] == 12


def test_the_record_holds_every_figure(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    record = json.loads(report(sample_log, "--json", "-").stdout)
    assert record["schema"] == "blastcount.report/1"
    assert record["program"]["n"] == 28
    assert record["program"]["ci95"] == pytest.approx([0.2446, 0.6282], abs=1e-4)
    assert record["fields"]["by_reason"] == {"out_of_focus": 1}
    assert record["observers"][0]["done"] is True
    assert record["corrected"] is None
    assert record["made_by"][0]["model"]["sha256"] == "a" * 64


def test_a_control_run_has_no_quota_and_is_asked_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with BloodLog.open(path) as log:
        fill(log, log.open_control(NAME, "QC-1").id)
    summary = summary_of(path)
    record = report_record(summary)
    assert (record["sample"]["control_slide"], record["sample"]["quota"]) == ("QC-1", None)
    asked = dict.fromkeys(("line", "advice", "quota_reached", "more_cells"))
    assert record["stop"] == asked | {"cells": 28}
    observations = [
        entry["resource"]
        for entry in fhir_bundle(summary)["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    assert observations
    for one in observations:
        assert any("control slide QC-1" in note["text"] for note in one["note"])


def test_fields_of_two_calibrations_are_not_said_to_be_of_one_making(sample_log: Path) -> None:
    with BloodLog.open(sample_log) as log:
        for calibration in ("c" * 64, "d" * 64):
            provenance = f'{{"calibration_sha256":"{calibration}"}}'
            made = {**PROVENANCE, "source_kind": "file", "provenance": provenance}
            log.append(result(9, ()), **made, sample_id=log.sample(NAME).id)
    made_by = json.loads(report(sample_log, "--json", "-").stdout)["made_by"]
    assert sorted(made["fields"] for made in made_by) == [1, 1, 5]
    assert len({made["provenance_sha256"] for made in made_by}) == 3
    assert len(page_of(sample_log).origin) == 3


def test_equal_pages_give_equal_files(sample_log: Path) -> None:
    page = page_of(sample_log)
    assert render_pdf(page) == render_pdf(page)
    assert render_html(page) == render_html(page)


def test_a_sample_without_cells_has_a_page(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "b.db") as log:
        log.open_sample(NAME, "marrow", 500)
    page = page_of(tmp_path / "b.db")
    assert page.bars == ()
    assert "No whole white cell was counted." in page.notes
    assert dict(page.sample)["Specimen"] == "bone marrow"
    assert render_pdf(page).startswith(b"%PDF-")
    assert render_html(page)


@pytest.mark.parametrize("language", list(languages()))
def test_who_signed_stands_on_every_form_and_what_changed_since(sample_log: Path, language: str) -> None:
    _ = catalogue(language)

    def forms() -> dict[str, str]:
        page = page_of(sample_log, language)
        flow = [text.text for text in _flow(page, 500.0) if isinstance(text, Paragraph)]
        tables = [str(text.text) for table in _flow(page, 500.0) for text in _paragraphs(table)]
        return {
            "html": html.unescape(render_html(page)),
            "pdf": html.unescape("\n".join(flow + tables)),
            "terminal": "\n".join(sample_lines(page)),
        }

    read_all(sample_log, "AK")
    with BloodLog.open(sample_log) as log:
        log.change_sample(NAME, "closed", who="Sri <b>", role="supervisor")
    unsigned = forms()
    sign(sample_log, "AK", "counted")
    sign(sample_log, "Sri <b>", "checked", clock_trusted=False)
    signed = forms()
    first, second = summary_of(sample_log).signed
    record = report_record(summary_of(sample_log))
    assert record["signed"] is True
    assert record["sample"]["closed_by"] == "Sri <b>"
    assert [(one["who"], one["role"], one["meaning"], one["current"]) for one in record["signatures"]] == [
        ("AK", "reader", "counted", True),
        ("Sri <b>", "supervisor", "checked", True),
    ]
    read_all(sample_log, "BT")
    changed = forms()
    for form in unsigned:
        assert _("signature.unsigned") in unsigned[form], form
        assert f"Sri <b> ({_('role.supervisor')})" in unsigned[form], form  # who closed it
        for signature in (first, second):
            said = f"{signature.who} ({_(f'role.{signature.role}')}), {_.local_moment(signature.at)}"
            assert said in signed[form], form
        doubt = _("signature.at_doubtful", who="", at="").rpartition("(")[2]
        assert (doubt in signed[form], doubt in unsigned[form]) == (True, False), form
        assert _("signature.unsigned") not in signed[form], form
        assert _("signature.outdated") in changed[form], form
        assert _("signature.changed", signatures="").partition("(")[0] in changed[form], form
    assert report_record(summary_of(sample_log))["signed"] is False


def _paragraphs(flowable: object) -> Iterator[Paragraph]:
    """Every text in a table, in whatever depth."""
    if isinstance(flowable, Paragraph):
        yield flowable
    for part in getattr(flowable, "_cellvalues", flowable if isinstance(flowable, list) else ()):
        yield from _paragraphs(part)


def test_what_a_supervisor_settled_is_people_s_word(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    read_all(sample_log, "BT", {CellRef(1, 4): "blast", CellRef(2, 4): "not_a_cell"})
    with BloodLog.open(sample_log) as log:
        log.settle({CellRef(1, 4): "blast"}, "Citra")
    assert summary_of(sample_log).reviewed is None  # one cell is left
    with BloodLog.open(sample_log) as log:
        log.settle({CellRef(2, 4): "normal"}, "Citra")
    page = page_of(sample_log)
    assert {row[0]: row[1:] for row in page.rows}["called blast"][1] == "13"
    assert "Cells on which readers differed, and Citra settled what they are: 2." in page.notes
    assert not any("differ" in banner for banner in page.banners)
    record = report_record(summary_of(sample_log))
    assert (record["settled"], record["differing"]) == (2, 0)
    # Taken back, it is open again.
    with BloodLog.open(sample_log) as log:
        log.settle({CellRef(1, 4): None}, "Citra")
    assert summary_of(sample_log).reviewed is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "say in which form"),
        (["--pdf", "no/such/folder/r.pdf"], 1, "make it first"),
        (["--html", "r.html", "--language", "xx"], 2, "no language 'xx'"),
    ],
)
def test_wrong_usage(sample_log: Path, arguments: list[str], code: int, message: str) -> None:
    done = report(sample_log, *arguments)
    assert (done.exit_code, message in done.stderr) == (code, True), done.output


def test_an_unknown_sample(sample_log: Path) -> None:
    done = CliRunner().invoke(cli.main, ["report", "S-9", "--log", str(sample_log), "--json", "-"])
    assert done.exit_code == 1
    assert "there is no sample S-9" in done.stderr


@pytest.mark.parametrize("language", list(languages()))
def test_what_must_be_known_first_stands_in_front_on_every_form(tmp_path: Path, language: str) -> None:
    """That nobody has looked, that cells are missing, that fields were refused."""
    path = tmp_path / "b.db"
    with BloodLog.open(path) as log:
        fill(log, log.open_sample(NAME, "blood", 200).id, fields=1)
    summary = summary_of(path)
    cells = summary.program.wbc
    page = make_page(summary, catalogue(language), lambda _hash: None, AT)
    _ = catalogue(language)
    nobody, missed = _("report.nobody"), _("report.quota_missed", cells=cells, quota=200)
    assert page.banners[:2] == (nobody, missed)
    for form in (html.unescape(render_html(page)), "\n".join(sample_lines(page))):
        assert nobody in form
        assert missed in form
    many = _("report.many_refused", rejected=7, fields=25)
    for rejected, told in ((6, False), (7, True)):  # a quarter of 24 is not more than a quarter
        refused = replace(summary.program, fields=18, rejected=rejected)
        said = make_page(replace(summary, program=refused), _, lambda _hash: None, AT).banners
        assert (many in said) is told
    read_all(path, "Ani")
    assert nobody not in make_page(summary_of(path), _, lambda _hash: None, AT).banners


def test_a_sample_of_drawn_and_real_fields_says_how_many(sample_log: Path) -> None:
    summary = summary_of(sample_log)
    made = summary.provenance[0]
    mixed = replace(
        summary,
        provenance=(
            replace(made, source_kind="v4l2", fields=made.fields - 2),
            replace(made, source_kind="rendered", fields=2),
        ),
    )
    page = make_page(mixed, catalogue(), lambda _hash: None, AT)
    said = f"Drawn by a program, no patient's smear: 2 of {made.fields} fields."
    assert report_record(mixed)["fields"]["drawn"] == 2
    resources = [entry["resource"] for entry in fhir_bundle(mixed)["entry"]]
    assert said in html.unescape(resources[0]["text"]["div"])
    assert all(said in [note["text"] for note in one["note"]] for one in resources if "valueQuantity" in one)
    assert page.drawn == said
    drawn = replace(summary, provenance=(replace(made, source_kind="rendered"),))
    assert make_page(drawn, catalogue(), lambda _hash: None, AT).drawn == catalogue()("report.drawn")
    real = replace(summary, provenance=(replace(made, source_kind="v4l2"),))
    assert make_page(real, catalogue(), lambda _hash: None, AT).drawn is None


def test_times_are_those_of_the_clock_on_the_wall(sample_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Jakarta")
    time.tzset()
    try:
        page = make_page(summary_of(sample_log), catalogue("id"), lambda _hash: None, AT)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert dict(page.sample)["Laporan dibuat"] == "3 Mei 2026 14.08 WIB"


def test_either_sheet_says_on_which_cells_errors_were_measured(sample_log: Path) -> None:
    evaluation = load_bundle(default_bundle_path()).card.sections["evaluation"]
    assert isinstance(evaluation, dict)
    shipped = KnownErrors.of_evaluation(evaluation)
    assert shipped is not None

    def notes(errors: KnownErrors, language: str) -> str:
        page = make_page(summary_of(sample_log, errors), catalogue(language), lambda _hash: None, AT)
        return " ".join(page.notes)

    assert shipped.source in notes(shipped, "en")
    indonesian = notes(shipped, "id")
    assert shipped.source not in indonesian  # no English sentence
    for what in ("sel ALL-IDB", "tidak dilatih", "ambang", "sesi lain"):
        assert what in indonesian
    # What the card of another model says is left out nowhere.
    assert ERRORS.source in notes(ERRORS, "en")
    assert f"{ERRORS.source} (menurut kartu model" in notes(ERRORS, "id")
