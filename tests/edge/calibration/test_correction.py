"""A calibration evens the light and gives the scale; without a usable one frames pass, with a warning."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edge.calibration import Blank, Calibration, Correction, MeasuredScale
from edge.rendered import Lamp, Population, RenderSettings, render_field
from edge.structures import Frame

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

UNEVEN = Lamp(vignetting=0.3, tilt=0.2)
SETTINGS = RenderSettings(width=320, height=240, um_per_px=0.2, lamp=UNEVEN)


def blank_grid() -> np.ndarray:
    empty = RenderSettings(320, 240, 0.2, population=Population.only(), lamp=UNEVEN)
    image = render_field(1, empty).image.astype(np.float32)
    return np.ascontiguousarray(image.reshape(12, 20, 16, 20, 3).mean(axis=(1, 3)), dtype=np.float32)


def test_uneven_light_is_taken_out_and_the_scale_put_in() -> None:
    calibration = Calibration(
        320, 240, AT, Blank(blank_grid(), 5), MeasuredScale(0.2, 0.19, 0.21, "micrometer", 4)
    )
    correction = Correction(calibration)
    empty = RenderSettings(320, 240, 0.2, population=Population.only(), lamp=UNEVEN)
    before = render_field(9, empty).image
    frame = correction.applied(Frame(before, "camera"))
    assert frame.um_per_px == 0.2
    tiles = frame.image.reshape(6, 40, 8, 40, 3).mean(axis=(1, 3))
    uncorrected = before.reshape(6, 40, 8, 40, 3).mean(axis=(1, 3))
    assert np.ptp(uncorrected[..., 1]) > 30  # negative control
    assert np.ptp(tiles[..., 1]) < 5
    assert correction.applied(Frame(before, "camera", um_per_px=0.1)).um_per_px == 0.1


def test_frames_of_another_size_pass_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    correction = Correction(Calibration(800, 600, AT, Blank(np.full((1, 1, 3), 200, np.float32), 1)))
    frame = Frame(np.full((240, 320, 3), 200, np.uint8), "camera")
    with caplog.at_level(logging.WARNING):
        assert correction.applied(frame) is frame
        assert correction.applied(frame) is frame
    assert len(caplog.records) == 1
    assert correction.problem is not None
    assert "800x600" in correction.problem


def test_a_missing_file_is_quiet_unless_it_was_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = Frame(np.full((240, 320, 3), 200, np.uint8), "camera")
    with caplog.at_level(logging.WARNING):
        quiet = Correction.from_file(tmp_path / "none.json", required=False)
        assert not caplog.records
        named = Correction.from_file(tmp_path / "none.json", required=True)
        assert len(caplog.records) == 1
    assert quiet.problem is None
    assert named.problem is not None
    assert quiet.applied(frame) is frame
    assert named.applied(frame) is frame
    assert quiet.white_point is None


def test_a_bad_file_never_stops_the_camera(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("{}")
    with caplog.at_level(logging.WARNING):
        correction = Correction.from_file(path, required=False)
    assert "calibration not used" in caplog.text
    frame = Frame(np.full((240, 320, 3), 200, np.uint8), "camera")
    assert correction.applied(frame) is frame


def test_a_good_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    Calibration(320, 240, AT, Blank(np.full((1, 1, 3), 200, np.float32), 1)).save(path)
    correction = Correction.from_file(path, required=True)
    assert correction.problem is None
    assert correction.white_point == (200.0, 200.0, 200.0)
