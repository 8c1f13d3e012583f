"""``blastcount verify`` from the drawing to the share that it corrects, and what ends its validity."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.calibration.site import SiteCard
from edge.i18n import catalogue
from edge.results.corrected import KnownErrors
from edge.results.fhir import fhir_bundle
from edge.results.sheet.page import make_page
from edge.results.sheet.record import report_record
from edge.results.summary import SampleSummary, summarise
from edge.results.texts import corrects_nothing_text
from edge.structures import CellRef
from edge.verification.measured import Words, site_card
from edge.verification.population import drawn_from, population
from edge.verification.words import closed_samples
from edge.web.app import create_app
from edge.web.setup import Setup
from tests.edge.commands.invoking import blastcount
from tests.edge.made_by import PROVENANCE
from tests.edge.verification.conftest import append_field, fill, named, read, truth

FACTORY = KnownErrors(100, 80, 100, 10, "a test")


def summary(path: Path, name: str = "S-1") -> SampleSummary:
    with BloodLog.open(path, read_only=True) as log:
        return summarise(log, log.sample(name), lambda _model: FACTORY)


def closed(path: Path) -> SiteCard:
    assert blastcount("verify", "open", "--cells", 300, "--seed", 1, "--who", "Ani").exit_code == 0
    read(path)
    assert blastcount("verify", "close", "--who", "Ani").exit_code == 0
    with BloodLog.open(path, read_only=True) as log:
        (event,) = log.verification_events()
    return SiteCard.from_json(event.record, "test")


def test_it_measures_what_readers_say_and_corrects_by_it(laboratory: Path, tmp_path: Path) -> None:
    before = summary(laboratory)
    assert before.corrected is not None
    assert before.corrected.errors is FACTORY
    page = make_page(before, catalogue(), lambda _sha256: None)
    assert any(note.endswith("Never verified here.") for note in page.notes)
    with BloodLog.open(laboratory, read_only=True) as log:
        content = log.content_sha256(1)

    card = closed(laboratory)
    with BloodLog.open(laboratory, read_only=True) as log:
        # The truth of all cells that were drawn from.
        cells = [
            (one.word, truth(CellRef(logged.id, one.cell.id)))
            for logged in log.fields()
            for one in logged.result.cells
        ]
        assert log.content_sha256(1) == content  # nothing of it is the sample's
    blasts = [word for word, kind in cells if kind == "blast"]
    assert card.sensitivity.share == pytest.approx(blasts.count("blast") / len(blasts), abs=0.06)
    assert card.sensitivity.low < blasts.count("blast") / len(blasts) < card.sensitivity.high
    assert set(card.types) == {"lymphocyte", "neutrophil"}
    assert card.readers == ["Ani", "Budi"]
    assert card.between is not None
    assert card.between.n - card.between.agreed == 1
    assert card.details["bland_altman"] is None  # of six samples

    after = summary(laboratory)
    assert after.site.holds
    assert after.corrected is not None
    assert after.corrected.errors.site == card
    day = catalogue().local_day(card.measured_at)
    said = f"measured here on {card.cells} cells of 6 samples on {day}"
    assert any(said in note for note in make_page(after, catalogue(), lambda _sha256: None).notes)
    assert any("diukur di sini pada" in n for n in make_page(after, catalogue("id"), lambda _s: None).notes)
    record = report_record(after)
    assert record["site"]["holds"] is True
    found = record["corrected"]["sensitivity"]
    assert (found["cells"], found["share"]) == (card.sensitivity.n, card.sensitivity.share)
    assert found["k"] / found["n"] == pytest.approx(found["share"], abs=0.05)
    assert said in json.dumps(fhir_bundle(after))
    # A network that is not installed here has no figures of the factory's; these stand in the log.
    assert said in blastcount("sample", "show", "S-1").stdout

    for form in ("pdf", "html", "json"):
        assert blastcount("verify", "report", f"--{form}", tmp_path / f"v.{form}").exit_code == 0
    assert (tmp_path / "v.pdf").read_bytes().startswith(b"%PDF")
    assert "data:image/jpeg" in (tmp_path / "v.html").read_text()
    assert json.loads((tmp_path / "v.json").read_text())["schema"] == "blastcount.site/1"
    assert "sensitivity" in blastcount("verify", "status").stdout


@pytest.fixture(scope="module")
def closed_once(laboratory_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory whose verification is closed: tests add samples to copies."""
    folder = tmp_path_factory.mktemp("closed")
    shutil.copytree(laboratory_once, folder, dirs_exist_ok=True)
    with BloodLog.open(folder / "blood.db") as log:
        given = population(log, ())
        log.open_verification(*drawn_from(given, 300, 0.3, 1))
    read(folder / "blood.db")
    with BloodLog.open(folder / "blood.db") as log:
        (one,) = log.verifications()
        log.note_verification(1, "closed", site_card(Words.of(log, one), one.at).to_json())
    return folder


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"stain": "Giemsa"}, "stain"),
        ({"microscope": "Bench 3"}, "microscope"),
        ({"calibration_sha256": "f" * 64}, "calibration"),
        ({"recalibration_sha256": "f" * 64}, "recalibration"),
        ({"model_sha256": "b" * 64}, "model"),
        ({"card_sha256": "f" * 64}, "model"),
        ({"code_sha256": "f" * 64}, "code"),
        ({"opencv": "4.99"}, "code"),
    ],
)
def test_it_holds_for_what_it_was_measured_on(
    closed_once: Path, tmp_path: Path, changes: dict[str, str], name: str
) -> None:
    shutil.copytree(closed_once, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "blood.db"
    with BloodLog.open(path) as log:
        fill(log, ["S-new"], named(**changes))
        fill(log, ["S-same"], PROVENANCE.to_json())
    found = summary(path, "S-new")
    assert found.site.changed == (name,)
    assert found.corrected is not None
    assert found.corrected.errors is FACTORY
    page = make_page(found, catalogue(), lambda _sha256: None)
    assert any(
        f"does not hold for this sample: {catalogue()(f'site_changed.{name}')}" in n for n in page.notes
    )
    assert summary(path, "S-same").site.holds


def test_it_closes_only_when_all_is_read(laboratory: Path) -> None:
    assert "never verified here" in blastcount("verify", "status").stdout
    assert "no verification is open" in blastcount("verify", "close").stderr
    opened = blastcount("verify", "open", "--cells", 60)
    assert "cells of 6 samples drawn" in opened.stdout
    assert "is open since" in blastcount("verify", "open").stderr
    refused = blastcount("verify", "close")
    assert refused.exit_code == 4
    assert "cells have no word" in refused.stderr
    read(laboratory, twice=False)
    refused = blastcount("verify", "close")
    assert refused.exit_code == 4
    assert ": 0 cells have no word and" in refused.stderr
    (record,) = json.loads(blastcount("verify", "status", "--json").stdout)
    assert (record["state"], record["unread"], record["readers"]) == ("open", 0, {"Ani": record["cells"]})
    assert "no verification closed" in blastcount("verify", "report", "--json", "-").stderr
    assert blastcount("verify", "close", "--abandon").stdout == "verification 1: abandoned\n"
    assert not summary(laboratory).site.holds


def test_samples_that_were_counted_otherwise_or_are_open_are_not_drawn_from(laboratory: Path) -> None:
    with BloodLog.open(laboratory) as log:
        fill(log, ["S-old"], named(code_sha256="f" * 64))
        fill(log, ["S-7", "S-8", "S-9"], PROVENANCE.to_json())
    opened = blastcount("verify", "open", "--cells", 60, "--seed", 1)
    assert "cells of 9 samples drawn" in opened.stdout
    assert (
        "left out: 80 cells counted otherwise than S-9, the newest "
        "(another version of the program, or of its libraries)"
    ) in opened.stderr
    blastcount("verify", "close", "--abandon")
    few = blastcount("verify", "open", "S-1", "S-2")
    assert few.exit_code == 1
    assert "160 cells of 2 closed samples can be drawn from, expected at least 50 of 3" in few.stderr
    with BloodLog.open(laboratory) as log:
        log.change_sample("S-1", "reopened")
        append_field(log, 1, PROVENANCE.to_json(), np.random.default_rng(1))
    assert "sample S-1 is open" in blastcount("verify", "open", "S-1", "S-2", "S-3").stderr


def test_control_runs_are_never_drawn_nor_kept(laboratory: Path) -> None:
    with BloodLog.open(laboratory) as log:
        run = log.open_control("QC-1-run", "QC-1")
        for _ in range(3):  # the newest, and counted otherwise: it must not say how patients' samples are
            append_field(log, run.id, named(stain="Giemsa"), np.random.default_rng(1))
        log.change_sample(run.name, "closed")
    refused = blastcount("verify", "open", "S-1", "S-2", "S-3", "QC-1-run")
    assert refused.exit_code == 1
    assert "QC-1-run is a run of control slide QC-1; name samples of patients alone" in refused.stderr
    opened = blastcount("verify", "open", "--cells", 60)
    assert "cells of 6 samples drawn" in opened.stdout
    assert "left out" not in opened.stderr
    with BloodLog.open(laboratory, read_only=True) as log:
        fields = {one.cell.field_id for one in log.drawn_cells(1)}
        assert fields.isdisjoint(one.id for one in log.fields(run.id))
        assert not log.sample("QC-1-run").kept
        assert log.sample("S-1").kept
        assert run.name not in {one.name for one in closed_samples(log)}


def test_it_says_in_words_what_it_leaves_out_and_why_it_draws_more(laboratory: Path) -> None:
    with BloodLog.open(laboratory) as log:
        fill(log, ["S-7"], named(stain="Giemsa", code_sha256="f" * 64))
    few = blastcount("verify", "open")
    assert few.exit_code == 1
    assert (
        "(left out: 480 cells counted otherwise than S-7, the newest "
        "(another stain, another version of the program, or of its libraries))"
    ) in few.stderr
    assert "{" not in few.stderr
    exact = blastcount("verify", "open", "S-1", "S-2", "S-3", "--cells", 100)
    assert "more than" not in exact.stderr
    blastcount("verify", "close", "--abandon")
    more = blastcount("verify", "open", "S-1", "S-2", "S-3", "--cells", 50)
    drawn = int(more.stdout.split()[2])
    assert drawn > 50
    assert "more than the 50 asked for: of each kind 20 are drawn where it has as many" in more.stderr


def test_a_card_that_corrects_nothing_says_so_and_why(laboratory: Path, tmp_path: Path) -> None:
    blastcount("verify", "open", "--cells", 60, "--seed", 1)
    read(laboratory)
    closed_ = blastcount("verify", "close")
    with BloodLog.open(laboratory, read_only=True) as log:
        card = SiteCard.from_json(log.verification_events()[0].record, "test")
    assert not card.corrects
    assert summary(laboratory).site.changed == ("few",)
    said = corrects_nothing_text(catalogue(), card)
    assert said is not None
    for figure in (card.sensitivity.n, int(card.sensitivity.effective_n), card.specificity.n, 20, 50):
        assert f" {figure} " in said
    assert said in closed_.stdout
    assert said in blastcount("verify", "status").stdout
    (record,) = json.loads(blastcount("verify", "status", "--json").stdout)
    assert record["why_not"] == said
    for language in ("en", "id"):
        said = corrects_nothing_text(catalogue(language), card)
        assert said is not None
        page, report = tmp_path / "v.html", tmp_path / "v.json"
        for option, file in (("--html", page), ("--json", report)):
            blastcount("verify", "report", option, file, "--language", language)
        assert said in html.unescape(page.read_text())
        assert {"corrects": False, "why_not": said}.items() <= json.loads(report.read_text()).items()
    client = create_app(Setup(log_path=laboratory)).test_client()
    shown = html.unescape(client.get("/verification", headers={"Host": "localhost"}).text)
    assert corrects_nothing_text(catalogue(), card) in shown
    enough = msgspec.structs.replace(
        card,
        sensitivity=msgspec.structs.replace(card.sensitivity, effective_n=20.0),
        specificity=msgspec.structs.replace(card.specificity, effective_n=20.0),
    )
    assert enough.corrects
    assert corrects_nothing_text(catalogue(), enough) is None
