"""The bars beside the live picture follow focus and lamp."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from edge.rendered import Lamp, RenderSettings, render_field
from edge.web.focus import FocusMeter

SETTINGS = RenderSettings(width=640, height=480, um_per_px=0.15)


def jpeg(settings: RenderSettings, seed: int = 1) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(render_field(seed, settings).image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def test_turning_out_of_focus_lowers_the_bar_and_back_raises_it() -> None:
    meter = FocusMeter()
    bars = [meter.measure(jpeg(replace(SETTINGS, defocus_um=um))) for um in (0.0, 1.5, 3.0, 0.0)]
    assert bars[0].sharpness == bars[3].sharpness == 1.0
    assert 1.0 > bars[1].sharpness > bars[2].sharpness > 0.0
    assert bars[0].sharpness_word == "live.sharp_good"
    assert bars[2].sharpness_word == "live.sharp_low"


def test_another_place_in_focus_is_still_sharp() -> None:
    meter = FocusMeter()
    assert all(meter.measure(jpeg(SETTINGS, seed)).sharpness_word == "live.sharp_good" for seed in (1, 2, 3))


@pytest.mark.parametrize(
    ("brightness", "word"),
    [(0.2, "live.exposure_low"), (0.76, "live.exposure_good"), (1.6, "live.exposure_high")],
)
def test_the_lamp_moves_the_other_bar(brightness: float, word: str) -> None:
    bars = FocusMeter().measure(jpeg(replace(SETTINGS, lamp=Lamp(brightness=brightness))))
    assert bars.exposure_word == word
    assert 0.0 <= bars.exposure <= 1.0
