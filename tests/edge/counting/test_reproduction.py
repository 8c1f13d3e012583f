"""A count is made again from its row, which says what produced it: that gives every number once more."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bloodlog import BloodLog, LoggedField
from edge.bloodlog.contours import decode_contours
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration import Blank, Calibration, MeasuredScale
from edge.calibration.correction import Correction
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.config import Config
from edge.counting.pipeline import Pipeline
from edge.counting.provenance import Context, Provenance
from edge.counting.recorder import Recorder, as_configured
from edge.device.clock import WallClock
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import FieldResult, Frame

SLIDE = Slide(11, RenderSettings(width=640, height=480, um_per_px=0.2, population=Population(blast=400.0)))
#: Where the fields lie, µm: overlapping ones, one a second time, and one by itself.
PLACES_UM = (0.0, 40.0, 0.0, 300.0, 340.0)
LAMP = np.full((3, 4, 3), 200.0, np.float32) * np.linspace(0.9, 1.1, 12, dtype=np.float32).reshape(3, 4, 1)


@cache
def frame(x_um: float) -> Frame:
    return Frame(SLIDE.view(x_um).image, f"{x_um:g}")


def configured(folder: Path, model: Path) -> Config:
    return Config().changed(
        model={"path": model},
        calibration={"path": folder / "calibration.json"},
        log={"path": folder / "blood.db"},
    )


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path) -> Config:
    return configured(tmp_path, tiny_model)


def calibrate(config: Config, um_per_px: float) -> None:
    scale = MeasuredScale(um_per_px, 0.99 * um_per_px, 1.01 * um_per_px, "micrometer", 4)
    Calibration(640, 480, datetime.now(UTC), Blank(LAMP, 9), scale).save(config.calibration_path)


def recorder(config: Config, log: BloodLog) -> Recorder:
    classifier = Classifier(load_bundle(config.model.path or ""))
    return as_configured(config, classifier, log, source_kind="rendered", clock=WallClock())


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Config:
    """A log that tests only read: fields of a sample with every kind of cell, and one without a sample."""
    config = configured(tmp_path_factory.mktemp("counted"), tiny_model)
    calibrate(config, 0.2)
    with BloodLog.open(config.log_path) as log:
        recorder(config, log).record(frame(600.0))
        log.open_sample("S-1", "blood", 200)
        line = recorder(config, log)
        line.refresh()
        for x_um in PLACES_UM:
            line.record(frame(x_um))
    return config


@pytest.fixture(scope="module")
def rows(counted: Config) -> list[LoggedField]:
    with BloodLog.open(counted.log_path, read_only=True) as log:
        return list(log.fields())


def numbers(result: FieldResult) -> FieldResult:
    """Leave out what the sample adds, and times."""
    cells = tuple(replace(cell, seen_before=None) for cell in result.cells)
    return replace(result, cells=cells, stage_um=None, stage_ms={})


def again(row: LoggedField, config: Config) -> FieldResult:
    """Count a row's field again: from its stored picture, or without one from its source."""
    correction = Correction.from_file(config.calibration_path, required=True)
    classifier = Classifier(load_bundle(config.model.path or ""))
    here = Provenance.of(config, classifier.card, classifier.runtime, correction)
    assert row.provenance == here.to_json()
    context = Context(None) if row.context is None else Context.from_json(row.context)
    field = replace(correction.applied(frame(float(row.result.source))), pooled=context.pooled)
    if row.image_sha256 is not None:
        picture = ThumbnailStore.beside(config.log_path).get(row.image_sha256)
        assert picture is not None
        field = replace(field, image=picture)
    return numbers(Pipeline(classifier).process(field, context.reference).result)


@pytest.mark.requirement(7)
def test_each_row_is_counted_again_equal_in_every_number(rows: list[LoggedField], counted: Config) -> None:
    assert len(rows) == len(PLACES_UM) + 1
    assert sum(len(row.result.cells) for row in rows) > 30
    assert [row.image_sha256 is None for row in rows] == [True] + [False] * len(PLACES_UM)
    for row in rows:
        assert again(row, counted) == numbers(row.result)


def test_a_row_of_a_sample_says_where_its_cells_end_and_what_it_overlaps(rows: list[LoggedField]) -> None:
    alone, *of_sample = rows
    assert (alone.contours, alone.overlaps) == ({}, ())
    for row in of_sample:
        assert set(row.contours) == {cell.cell.id for cell in row.result.cells}
        for classified in row.result.cells:
            x, y, w, h = classified.cell.bbox
            contours = decode_contours(row.contours[classified.cell.id], (x, y))
            assert all(x - 1 <= px <= x + w and y - 1 <= py <= y + h for px, py in contours.cell[0])
            area_px = cv2.contourArea(np.array(contours.cell[0], np.float32))
            assert area_px == pytest.approx(classified.cell.area_px, rel=0.15)
    first, second, again, apart, last = of_sample
    # Fields that hang together without the sample's first one have no place, but one beside each other.
    assert [row.result.stage_um is None for row in of_sample] == [False, False, False, True, True]
    assert (first.overlaps, apart.overlaps) == ((), ())
    for row, other, x_um in ((second, first, 40.0), (last, apart, 40.0)):
        ((field_id, x, y),) = row.overlaps
        assert field_id == other.id
        assert (x, y) == pytest.approx((x_um, 0.0), abs=1.0)
    assert again.overlaps[0] == pytest.approx((first.id, 0.0, 0.0), abs=1.0)


@pytest.mark.requirement(7)
def test_a_pooled_scale_is_in_its_row_and_outlives_a_restart(config: Config) -> None:
    """Red cells give the scale of each field, those of the sample before it have the last word."""
    Calibration(640, 480, datetime.now(UTC), Blank(LAMP, 9), None).save(config.calibration_path)
    places_um = (0.0, 200.0, 400.0, 600.0)
    with BloodLog.open(config.log_path) as log:
        log.open_sample("S-1", "blood", 200)
        for x_um in places_um:
            line = recorder(config, log)  # made anew as after a restart
            line.refresh()
            line.record(frame(x_um))
        rows = list(log.fields())
    assert [row.result.scale.source for row in rows] == ["red_cells"] * 3 + ["pooled"]
    last = rows[-1].result.scale
    own = [row.result.scale.red_cells for row in rows]
    assert None not in own
    assert last.interval is not None
    assert last.interval[0] < 0.2 < last.interval[1]
    pool = Context.from_json(rows[-1].context or "").pooled
    assert pool is not None
    assert pool.fields == 3
    for row in rows:
        assert again(row, config) == numbers(row.result)


def test_what_a_field_took_from_its_sample_is_in_its_row(rows: list[LoggedField]) -> None:
    alone, first, second, *_, last = rows
    assert alone.context is None
    looks = [len(Context.from_json(row.context or "").reference.looks) for row in (first, second, last)]
    assert looks == [0, 1, 3]


def test_another_calibration_is_another_provenance_in_the_row(config: Config) -> None:
    """Two calibrations under one configuration, code and model gave other counts under equal identities."""
    with BloodLog.open(config.log_path) as log:
        for um_per_px in (0.2, 0.12):
            calibrate(config, um_per_px)
            recorder(config, log).record(frame(0.0))
        fine, coarse = log.fields()
    assert fine.config_sha256 == coarse.config_sha256
    assert fine.result.wbc != coarse.result.wbc
    one, other = (json.loads(row.provenance or "") for row in (fine, coarse))
    assert {name for name in one if one[name] != other[name]} == {"calibration_sha256"}


def test_another_threshold_is_another_provenance_in_the_row(config: Config) -> None:
    bundle = load_bundle(config.model.path or "")
    decision = replace(bundle.card.decision, threshold=0.02, uncertain_low=0.02, uncertain_high=0.02)
    with BloodLog.open(config.log_path) as log:
        for card in (bundle.card, replace(bundle.card, decision=decision)):
            classifier = Classifier(replace(bundle, card=card))
            line = as_configured(config, classifier, log, source_kind="file", clock=WallClock())
            line.record(frame(0.0))
        strict, lax = log.fields()
    assert strict.result.blasts < lax.result.blasts
    one, other = (json.loads(row.provenance or "") for row in (strict, lax))
    assert {name for name in one if one[name] != other[name]} == {"card_sha256"}


def test_a_frame_of_another_size_names_no_calibration(config: Config) -> None:
    calibrate(config, 0.2)
    other = Frame(np.full((300, 400, 3), 215, np.uint8), "other")
    with BloodLog.open(config.log_path) as log:
        line = recorder(config, log)
        for field in (other, frame(0.0)):
            line.record(field)
        made_by = [json.loads(row.provenance or "")["calibration_sha256"] for row in log.fields()]
    assert made_by[0] is None
    assert made_by[1] is not None


def test_the_link_covers_what_produced_a_row(counted: Config, config: Config) -> None:
    shutil.copy(counted.log_path, config.log_path)
    with BloodLog.open(config.log_path) as log:
        assert log.verify() == ()
        with log.writing("") as connection:
            connection.execute("DROP TRIGGER field_no_update")
            connection.execute(
                "UPDATE field SET provenance = json_set(provenance, '$.opencv', '5') WHERE id = 2"
            )
        (fault,) = log.verify()
    assert (fault.kind, fault.row_id) == ("field", 2)
