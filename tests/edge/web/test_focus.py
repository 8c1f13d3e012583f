"""The bars beside the live picture follow focus and lamp."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.daemon.status import preview_json
from edge.rendered import Lamp, RenderSettings, render_field
from edge.structures import Frame
from edge.web.focus import FocusMeter, Meters

SETTINGS = RenderSettings(width=640, height=480, um_per_px=0.15)


def measured(meter: FocusMeter, settings: RenderSettings, seed: int = 1) -> Meters:
    preview = preview_json(Frame(render_field(seed, settings).image, "camera"), 0.0)
    return meter.measure(preview["sharpness"], preview["exposure"])


def test_the_bars_follow_focus_and_not_the_place() -> None:
    meter = FocusMeter()
    bars = [measured(meter, replace(SETTINGS, defocus_um=um)) for um in (0.0, 1.5, 3.0, 0.0)]
    assert bars[0].sharpness == bars[3].sharpness == 1.0
    assert 1.0 > bars[1].sharpness > bars[2].sharpness > 0.0
    assert bars[0].sharpness_word == "live.sharp_good"
    assert bars[2].sharpness_word == "live.sharp_low"
    assert all(measured(meter, SETTINGS, seed).sharpness_word == "live.sharp_good" for seed in (2, 3))


@pytest.mark.parametrize(
    ("brightness", "word"),
    [(0.2, "live.exposure_low"), (0.76, "live.exposure_good"), (1.6, "live.exposure_high")],
)
def test_the_lamp_moves_the_other_bar(brightness: float, word: str) -> None:
    bars = measured(FocusMeter(), replace(SETTINGS, lamp=Lamp(brightness=brightness)))
    assert bars.exposure_word == word
    assert 0.0 <= bars.exposure <= 1.0
