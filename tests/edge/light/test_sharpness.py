"""One measure of sharpness: in µm for the gate, relative for whoever turns the knob."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.light.sharpness import edge_width_px, measure_blur, sharpness
from edge.rendered import Population, RenderSettings, Slide

SETTINGS = RenderSettings(width=480, height=400, um_per_px=0.25)


@pytest.mark.parametrize("um_per_px", [0.1, 0.2, 0.35])
def test_blur_is_the_same_at_every_scale(um_per_px: float) -> None:
    size = (round(100 / um_per_px), round(80 / um_per_px))
    slide = Slide(6, RenderSettings(*size, um_per_px=um_per_px))
    blur = measure_blur(slide.view(defocus_um=1.6).image, um_per_px)
    assert blur is not None
    # 1.6 µm of defocus at NA 1.25 are 1.17 µm of blur; the sharpest quarter of the edges has a little less.
    assert blur.um == pytest.approx(1.05, rel=0.2)
    assert np.median(blur.parts_um) > 0.7
    assert max(blur.directions_um) == pytest.approx(min(blur.directions_um), rel=0.3)


@pytest.mark.parametrize("size", [(480, 400), (1200, 1000)])
def test_blur_of_a_half_shows_in_its_parts(size: tuple[int, int]) -> None:
    slide = Slide(6, RenderSettings(*size, um_per_px=0.25))
    image, soft = (slide.view(defocus_um=z).image for z in (0.0, 1.6))
    image[:, size[0] // 2 :] = soft[:, size[0] // 2 :]
    blur = measure_blur(image, 0.25)
    assert blur is not None
    assert blur.um < 0.5
    assert blur.parts_um[1] > 0.75
    assert blur.parts_um[-2] < 0.5


def test_blur_along_one_direction() -> None:
    image = Slide(6, RenderSettings(640, 480, um_per_px=0.25)).view().image
    streaks = cv2.blur(image, (11, 1))  # 2.75 µm
    still, moved = (measure_blur(picture, 0.25) for picture in (image, streaks))
    assert still is not None
    assert moved is not None
    assert np.ptp(still.directions_um) < 0.25
    assert min(moved.directions_um) < 0.5
    assert max(moved.directions_um) > 0.65


@pytest.mark.parametrize("height", [60.0, 150.0])
@pytest.mark.parametrize("width_px", [1.0, 2.0, 4.0])
def test_the_width_of_an_edge_is_that_of_its_blur_whatever_its_height(width_px: float, height: float) -> None:
    step = np.full((80, 120), 60.0, np.float32)
    step[:, 60:] += height
    edge = np.rint(cv2.GaussianBlur(step, (0, 0), width_px)).astype(np.uint8)
    assert edge_width_px([edge]) == pytest.approx(width_px, rel=0.15)
    assert sharpness(edge) == pytest.approx(1 / np.hypot(width_px, 1), rel=0.12)


def test_a_blank_slide_has_no_edge() -> None:
    blank = Slide(4, replace(SETTINGS, population=Population.only())).view().image
    assert measure_blur(blank, 0.25) is None
    assert sharpness(blank) == 0.0
