"""``blastcount recalibrate``: fit on people's words, refuse what does not hold, go back with one command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.verifications import DrawnCell
from edge.classification.card import load_bundle
from edge.classification.classifier import decide
from edge.classification.recalibration import Recalibration
from edge.errors import ConfigError, GateError
from edge.results.dataset import _field, _last_words, add_fields
from edge.results.reading import Reading
from edge.structures import Cell, CellRef, ClassifiedCell, ModelIdentity, Scale
from edge.verification.words import Words, closed_verifications
from tests.edge.bloodlog.fields import PROVENANCE, make_result
from tests.edge.commands.invoking import CountCommand, blastcount

CELLS = 10


def made_by(card: Any, **changes: object) -> str:
    return json.dumps({"card_sha256": card.whole_sha256} | changes)


def counted(
    log: BloodLog,
    card: Any,
    sample: str,
    seed: int,
    offset: float,
    *,
    close: bool = True,
    **provenance: object,
) -> None:
    """Count a field of ten cells whose log odds are too low by an offset, and say what they are."""
    rng = np.random.default_rng(seed)
    is_blast = rng.random(CELLS) < 0.5
    z = rng.normal(np.where(is_blast, 2.0, -2.0), 1.5) - offset
    p = 1 / (1 + np.exp(-z))
    cells = tuple(
        ClassifiedCell(
            Cell(
                i + 1, 20.0 * i + 30, 30.0, (20 * i + 20, 20, 20, 20), 300, 150, "wbc", touches_border=False
            ),
            decide(float(p[i]), card.decision),
            float(p[i]),
        )
        for i in range(CELLS)
    )
    result = replace(
        make_result(f"{sample}.jpg"),
        frame_sha256=f"{seed:064x}",
        scale=Scale(0.2, "configured", 1.0),
        cells=cells,
        model=ModelIdentity(card.name, card.sha256),
    )
    opened = log.open_sample(sample, "blood", 200)
    row = log.append(result, **PROVENANCE, sample_id=opened.id, provenance=made_by(card, **provenance))
    log.add_reviews(
        {CellRef(row, i + 1): "blast" if is_blast[i] else "lymphocyte" for i in range(CELLS)}, "AK"
    )
    if close:
        log.change_sample(sample, "closed", who="AK", role=None)


@pytest.fixture
def card(tiny_model: Path) -> Any:
    return load_bundle(tiny_model).card


@pytest.fixture
def site(count: CountCommand, card: Any, tmp_path: Path) -> Path:
    """A configured device with ten closed samples that the card calls too low, and what cannot serve."""
    count.configure(
        f'[model]\npath = "{count.model}"\nrecalibration = "state/recalibration.json"\n'
        '[log]\npath = "blood.db"\n[calibration]\npath = "none.json"\n'
    )
    path = tmp_path / "blood.db"
    with BloodLog.open(path) as log:
        for number in range(10):
            counted(log, card, f"S-{number}", number, 2.5)
        counted(log, card, "OTHER", 90, 2.5, card_sha256="0" * 64)
        counted(log, card, "OPEN", 91, 2.5, close=False)
        (row,) = log.fields(log.sample("S-3").id)
        log.add_reviews({CellRef(row.id, 1): "not_a_cell", CellRef(row.id, 2): "smudge"}, "BL")
    return tmp_path / "state" / "recalibration.json"


def test_a_site_recalibrates_counts_and_goes_back(site: Path, count: CountCommand, card: Any) -> None:
    dry = blastcount("recalibrate", "fit", "--who", "AK", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert not site.exists()
    said = blastcount("recalibrate", "fit", "--who", "AK")
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith(dry.stdout)
    assert "98 cells of 10 samples" in said.stdout
    assert "left out, counted by another model, card or recalibration: 10" in said.stdout
    found = Recalibration.load(site)
    assert found.offset > 1.0
    assert found.nested.error < found.nested.factory_error
    assert (found.cells, found.samples, found.made_by) == (98, 10, "AK")
    assert found.card_sha256 == card.whole_sha256
    assert "fitted on 98 cells of 10 samples" in blastcount("recalibrate", "show").stdout
    printed = count(count.folder)
    assert f"recalibrated here {(found.sha256 or '')[:12]}" in printed.stdout
    (record,) = count.records(count.folder)
    assert record["model"]["recalibration"] == found.sha256
    check = blastcount("check", "--model", count.model)
    assert "fitted on 98 cells" in check.stdout
    undone = blastcount("recalibrate", "undo")
    assert undone.exit_code == 0
    assert "remove it from the configuration" in undone.stderr
    assert not site.exists()
    assert Recalibration.kept(site, found.sha256).exists()
    assert "recalibration_unused" in count.records(count.folder)[0]["warnings"]
    with pytest.raises(ConfigError, match="there is no recalibration to undo"):
        blastcount("--debug", "recalibrate", "undo")


def test_rows_that_went_through_the_one_in_force_serve_a_second_fit(
    site: Path, card: Any, tmp_path: Path
) -> None:
    assert blastcount("recalibrate", "fit", "--who", "AK").exit_code == 0
    first = Recalibration.load(site)
    with BloodLog.open(tmp_path / "blood.db") as log:
        log.change_sample("OPEN", "closed", who="AK", role=None)
        (row,) = log.fields(log.sample("S-0").id)
        before = [cell.p_blast for cell in row.result.cells]
        z = [(np.log(p / (1 - p)) + first.offset) / first.temperature for p in before if p is not None]
        cells = tuple(
            replace(cell, p_blast=float(1 / (1 + np.exp(-one))))
            for cell, one in zip(row.result.cells, z, strict=True)
        )
        for name, sha256 in (("AGAIN", first.sha256), ("GONE", "e" * 64)):
            sample = log.open_sample(name, "blood", 200)
            result = replace(row.result, cells=cells, frame_sha256=f"{name:_<64}".encode().hex()[:64])
            number = log.append(
                result,
                **PROVENANCE,
                sample_id=sample.id,
                provenance=made_by(card, card_sha256="1" * 64, recalibration_sha256=sha256),
            )
            words = {CellRef(number, r.cell.cell_id): r.label for r in log.reviews(log.sample("S-0").id)}
            log.add_reviews({ref: word for ref, word in words.items() if word is not None}, "AK")
            log.change_sample(name, "closed", who="AK", role=None)
    said = blastcount("recalibrate", "fit", "--who", "AK", "--dry-run")
    assert "118 cells of 12 samples" in said.stdout
    assert "recalibration: 20" in said.stdout
    with BloodLog.open(tmp_path / "blood.db", read_only=True) as log:
        words_of = Words(card, first)
        words_of.add_sample(log, log.sample("AGAIN"))
    assert words_of.cells().p_blast.tolist() == pytest.approx(before, abs=1e-6)


def test_what_does_not_hold_is_refused(site: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="not recalibrated: 30 labelled cells, 50 needed"):
        blastcount("--debug", "recalibrate", "fit", "S-0", "S-1", "S-2", "--who", "AK")
    # Words by chance: whoever labelled mixed the slides up.
    with BloodLog.open(tmp_path / "blood.db") as log:
        rng = np.random.default_rng(2)
        for number in range(10):
            (row,) = log.fields(log.sample(f"S-{number}").id)
            log.add_reviews(
                {CellRef(row.id, i + 1): "blast" if rng.random() < 0.5 else "normal" for i in range(CELLS)},
                "AK",
            )
    with pytest.raises(GateError, match=r"of blasts only .* the model tells nothing of these slides"):
        blastcount("--debug", "recalibrate", "fit", "--who", "AK")
    assert blastcount("recalibrate", "fit", "--who", "AK").exit_code == 4
    assert not site.exists()
    assert "none: the model's own" not in blastcount("recalibrate", "show").output  # it is configured by name


def test_a_data_set_serves_in_place_of_the_log(site: Path, tmp_path: Path) -> None:
    """What `sample export --training` hands on has the same words on the same probabilities."""
    with BloodLog.open(tmp_path / "blood.db", read_only=True) as log:
        samples = [log.sample(f"S-{number}") for number in range(10)]
        fields = [
            (_field(row, sample, "pi", _last_words(reading)[row.id], b"jpeg"), b"jpeg")
            for sample in samples
            for reading in [Reading.of(log, sample.id)]
            for row in reading.fields
        ]
    add_fields(tmp_path / "own", fields)
    of_log = blastcount("recalibrate", "fit", "--who", "AK", "--dry-run").stdout.splitlines()
    own = blastcount("recalibrate", "fit", "--who", "AK", "--dry-run", "--data", str(tmp_path / "own")).stdout
    assert own.splitlines() == [line for line in of_log if not line.startswith("left out")]


def test_cells_that_were_read_blind_serve_with_what_they_stand_for(
    site: Path, card: Any, tmp_path: Path
) -> None:
    """Blasts were drawn all, of the others every third: weights say so, and a cell in doubt is left out."""
    with BloodLog.open(tmp_path / "blood.db") as log:
        rows = [row for number in range(10) for row in log.fields(log.sample(f"S-{number}").id)]
        said = {review.cell: review.label for row in rows for review in log.reviews(row.sample_id or 0)}
        drawn = [
            DrawnCell(
                ref, "blast" if word == "blast" else "rest", 1.0 if word == "blast" else 3.0, twice=False
            )
            for ref, word in said.items()
            if word in ("blast", "lymphocyte")
        ]
        verification = log.open_verification("{}", drawn, who="AK")
        words = {one.cell: said[one.cell] for one in drawn}
        log.say_verified(verification.id, {ref: word for ref, word in words.items() if word}, "CD")
        log.say_verified(verification.id, {drawn[0].cell: "monocyte", drawn[1].cell: "blast"}, "EF")
        log.say_verified(verification.id, {drawn[0].cell: "blast", drawn[1].cell: "lymphocyte"}, "GH")
        gathered = Words(card)
        gathered.add_verification(log, verification)
        assert not closed_verifications(log)
        log.note_verification(verification.id, "closed", "{}", who="AK")
        assert [one.id for one in closed_verifications(log)] == [verification.id]
    cells = gathered.cells()
    assert len(cells) == len(drawn) - 2
    assert gathered.left_out == {"readers differ": 2}
    assert set(cells.weight[cells.is_blast].tolist()) == {1.0}
    assert set(cells.weight[~cells.is_blast].tolist()) == {3.0}
    fitted = blastcount("recalibrate", "fit", "--verified", "--who", "AK")
    assert fitted.exit_code == 0, fitted.output
    assert f"{len(cells)} cells of 10 samples" in fitted.stdout
    assert blastcount("recalibrate", "fit", "S-1", "--verified", "--who", "AK").exit_code == 2
