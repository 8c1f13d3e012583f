"""The whole path and its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.bench.path import STAGES, WholePath
from edge.bloodlog import BloodLog
from edge.camera.files import read_image
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.counting import pipeline
from edge.counting.pipeline import Pipeline


@pytest.fixture
def classifier(tiny_model: Path) -> Classifier:
    return Classifier(load_bundle(tiny_model))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(tmp_path / "log.sqlite") as opened:
        yield opened


@pytest.fixture
def line(field_folder: Path, classifier: Classifier, log: BloodLog) -> WholePath:
    return WholePath([field_folder / "rendered_0001.jpg"], classifier, log, threads=1)


def test_stages_make_up_the_whole(line: WholePath) -> None:
    (ms,) = line.run()
    assert set(ms) == {*STAGES, "total"}
    assert all(value >= 0 for value in ms.values())
    assert sum(ms[stage] for stage in STAGES) == pytest.approx(ms["total"], rel=0.02, abs=0.5)


def test_it_counts_and_logs_what_the_pipeline_counts(
    line: WholePath, log: BloodLog, classifier: Classifier
) -> None:
    line.run()
    line.run()
    assert log.count() == 2
    (file,) = line.results
    expected = Pipeline(classifier).process(read_image(file)).result
    assert line.results[file].cells == expected.cells
    assert expected.wbc > 0


@pytest.mark.parametrize(
    ("function", "stage"), [("assess", "quality"), ("segment", "segment"), ("Cutter", "crop")]
)
def test_a_slowed_stage_shows_in_its_own_figure(
    line: WholePath, monkeypatch: pytest.MonkeyPatch, function: str, stage: str
) -> None:
    before = line.run()[0]
    honest = getattr(pipeline, function)
    slowed: list[int] = []

    def slow(*arguments: object, **named: object) -> object:
        if not slowed:
            slowed.append(1)
            time.sleep(0.3)
        return honest(*arguments, **named)

    monkeypatch.setattr(pipeline, function, slow)
    after = line.run()[0]
    assert after[stage] - before[stage] > 200
    assert max(after[other] - before[other] for other in STAGES if other != stage) < 200


def test_classification_is_told_from_the_cutting_of_crops(
    line: WholePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Classifier.p_blast

    def slow(self: Classifier, crops: np.ndarray) -> np.ndarray:
        time.sleep(0.3)
        return honest(self, crops)

    monkeypatch.setattr(Classifier, "p_blast", slow)
    ms = line.run()[0]
    assert ms["classify"] > 250
    assert ms["crop"] < 200


def test_a_rejected_field_goes_no_further(line: WholePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "assess", lambda *_: ("too_dark",))
    (ms,) = line.run()
    assert (ms["segment"], ms["crop"], ms["classify"]) == (0.0, 0.0, 0.0)
