"""Blank frames, a stage micrometer and red cells give back what they were made with."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.calibration.blank import measure_blank
from edge.calibration.interval import geometric_mean
from edge.calibration.micrometer import scale_from_micrometer
from edge.calibration.red_cells import scale_from_red_cells
from edge.errors import ImageError
from edge.rendered import Lamp, Population, RenderSettings, Slide
from edge.structures import Frame, UInt8Image

SETTINGS = RenderSettings(320, 240, 0.2, population=Population.only(), lamp=Lamp(vignetting=0.2))


def frames_of(settings: RenderSettings, number: int, **view: float) -> list[Frame]:
    slide = Slide(3, settings)
    return [Frame(slide.view(300.0 * n, **view).image, f"frame {n}") for n in range(number)]


def micrometer(um_per_px: float, angle_deg: float, noise: float = 3.0, width: int = 800) -> UInt8Image:
    """Lines of 2 µm, 10 µm apart, every fifth longer, over a bright field."""
    height = width * 3 // 4
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = (x - width / 2) * um_per_px, (y - height / 2) * um_per_px
    turn = math.radians(angle_deg)
    across, along = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    number = np.round(across / 10.0)
    reach = np.where(number % 5 == 0, 60.0, 25.0)
    line = (np.abs(across - 10.0 * number) < 1.0) & (np.abs(along) < reach)
    light = cv2.GaussianBlur(np.where(line, 60.0, 190.0), (0, 0), 0.3 / um_per_px)
    light += np.random.default_rng(1).normal(0.0, noise, light.shape)
    return np.repeat(np.clip(light, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_the_blank_slide_of_a_lamp_without_a_speck_in_one_of_its_frames() -> None:
    frames = frames_of(SETTINGS, 4)
    blank = measure_blank(frames)
    assert blank.frames == 4
    assert blank.grid.shape == (18, 24, 3)
    assert blank.white_point[1] == pytest.approx(0.76 * 255 * 0.95, rel=0.03)
    assert 0.1 < blank.unevenness < 0.3
    speck = frames[1].image.copy()
    speck[100:124, 150:174] = (90, 40, 120)
    dirty = measure_blank([*frames[:1], Frame(speck, "speck"), *frames[2:]])
    np.testing.assert_allclose(dirty.grid, blank.grid, atol=1.0)


@pytest.mark.parametrize(
    ("change", "number", "named"),
    [
        ({"population": Population()}, 3, "is no blank slide"),
        ({}, 2, "at least 3 frames of a blank slide, got 2"),
        ({"lamp": Lamp(brightness=1.3)}, 3, "burnt out"),
        ({"lamp": Lamp(brightness=0.15)}, 3, "too dark"),
        ({"width": 300}, 1, "300x240 px, expected 320x240 px"),
    ],
)
def test_what_is_no_blank_slide_is_refused(change: dict[str, Any], number: int, named: str) -> None:
    before = frames_of(SETTINGS, 2) if "width" in change else []
    with pytest.raises(ImageError, match=named):
        measure_blank([*before, *frames_of(replace(SETTINGS, **change), number)])


@pytest.mark.parametrize("um_per_px", [0.07, 0.1, 0.21, 0.35])
@pytest.mark.parametrize("angle_deg", [0.0, 3.0, -8.0, 90.0, 87.0])
def test_a_stage_micrometer(um_per_px: float, angle_deg: float) -> None:
    scale = scale_from_micrometer(Frame(micrometer(um_per_px, angle_deg), "micrometer"))
    assert scale.um_per_px == pytest.approx(um_per_px, rel=0.004)
    assert scale.low < um_per_px < scale.high
    assert scale.high / scale.low < 1.03
    assert scale.method == "micrometer"


def test_a_coarser_micrometer_and_one_that_is_none() -> None:
    image = micrometer(0.1, 2.0)
    assert scale_from_micrometer(Frame(image, "m"), 100.0).um_per_px == pytest.approx(1.0, rel=0.004)
    cells = Slide(3, RenderSettings(600, 450, 0.2)).view().image
    blank, two_lines = np.full((300, 400, 3), 200, np.uint8), micrometer(0.03, 0.0)
    for other in (cells, blank, two_lines):
        with pytest.raises(ImageError, match="no lines of one period"):
            scale_from_micrometer(Frame(other, "other"))


@pytest.mark.parametrize("um_per_px", [0.15, 0.25])
def test_red_cells(um_per_px: float) -> None:
    settings = RenderSettings(round(100 / um_per_px), round(80 / um_per_px), um_per_px)
    scale = scale_from_red_cells(frames_of(settings, 4))
    assert scale.low < um_per_px < scale.high
    assert scale.um_per_px == pytest.approx(um_per_px, rel=0.06)
    assert scale.n >= 3
    with pytest.raises(ImageError, match="0 of 3 fields, expected at least 3"):
        scale_from_red_cells(frames_of(SETTINGS, 3))


def test_the_interval_holds_the_true_mean_19_times_in_20() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        values = np.exp(rng.normal(math.log(0.1), 0.05, int(rng.integers(2, 30)))).tolist()
        _, low, high = geometric_mean(values)
        held += low < 0.1 < high
    assert 0.92 < held / 400 < 0.98
    _, low, high = geometric_mean([0.1, 0.1, 0.1], systematic=0.02)
    assert high / low == pytest.approx(math.exp(2 * 1.96 * 0.02))
