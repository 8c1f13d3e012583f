"""A calibration evens the light and gives the scale; without a usable one frames pass, with a warning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edge.calibration import Blank, Calibration, MeasuredScale
from edge.calibration.correction import Correction
from edge.rendered import Lamp, Population, RenderSettings, render_field
from edge.structures import Frame

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

EMPTY = RenderSettings(320, 240, 0.2, population=Population.only(), lamp=Lamp(vignetting=0.3, tilt=0.2))
FRAME = Frame(np.full((240, 320, 3), 200, np.uint8), "camera")
GREY = Blank(np.full((1, 1, 3), 200, np.float32), 1)


def test_uneven_light_is_taken_out_and_the_scale_put_in() -> None:
    image = render_field(1, EMPTY).image.astype(np.float32)
    grid = np.ascontiguousarray(image.reshape(12, 20, 16, 20, 3).mean(axis=(1, 3)))
    scale = MeasuredScale(0.2, 0.19, 0.21, "micrometer", 4)
    correction = Correction(Calibration(320, 240, AT, Blank(grid, 5), scale))
    before = render_field(9, EMPTY).image
    frame = correction.applied(Frame(before, "camera"))
    assert frame.um_per_px == 0.2
    tiles = frame.image.reshape(6, 40, 8, 40, 3).mean(axis=(1, 3))
    uncorrected = before.reshape(6, 40, 8, 40, 3).mean(axis=(1, 3))
    assert np.ptp(uncorrected[..., 1]) > 30  # negative control
    assert np.ptp(tiles[..., 1]) < 5
    assert correction.applied(Frame(before, "camera", um_per_px=0.1)).um_per_px == 0.1
    assert frame.warnings == ()


def test_frames_of_another_size_pass_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    correction = Correction(Calibration(800, 600, AT, GREY))
    doubted = replace(FRAME, warnings=("exposure_unsettled",))
    assert correction.applied(doubted).warnings == ("exposure_unsettled", "calibration_unused")
    passed = correction.applied(FRAME)
    assert passed.warnings == ("calibration_unused",)
    assert passed.image is FRAME.image
    assert len(caplog.records) == 1
    assert "800x600" in str(correction.problem)


@pytest.mark.parametrize(
    ("content", "required", "warnings"),
    [(None, False, 0), (None, True, 1), ("{}", False, 1), ("{}", True, 1)],
)
def test_a_missing_or_bad_file_never_stops_the_camera(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None, required: bool, warnings: int
) -> None:
    """A missing one is quiet unless it was named."""
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    correction = Correction.from_file(path, required=required)
    assert len(caplog.records) == warnings
    assert (correction.problem is not None) == bool(warnings)
    passed = correction.applied(FRAME)
    assert passed.image is FRAME.image
    assert passed.warnings == (("calibration_unused",) if warnings else ())
    assert correction.white_point is None


def test_a_good_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    Calibration(320, 240, AT, GREY).save(path)
    correction = Correction.from_file(path, required=True)
    assert correction.problem is None
    assert correction.white_point == (200.0, 200.0, 200.0)
