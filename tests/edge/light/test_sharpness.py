"""One measure of sharpness: in µm for the gate, relative for whoever turns the knob."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.light.sharpness import blur_um, edge_width_px, sharpness
from edge.rendered import Population, RenderSettings, Slide

SETTINGS = RenderSettings(width=480, height=400, um_per_px=0.25)


@pytest.mark.parametrize("um_per_px", [0.1, 0.2, 0.35])
def test_blur_is_the_same_at_every_scale(um_per_px: float) -> None:
    size = (round(100 / um_per_px), round(80 / um_per_px))
    slide = Slide(6, RenderSettings(*size, um_per_px=um_per_px))
    # 1.6 µm of defocus at NA 1.25 are 1.17 µm of blur; the sharpest quarter of the edges has a little less.
    assert blur_um(slide.view(defocus_um=1.6).image, um_per_px) == pytest.approx(1.05, rel=0.2)


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
    assert blur_um(blank, 0.25) is None
    assert sharpness(blank) == 0.0
