"""The live picture: its bars follow focus and lamp, and the daemon is asked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge.daemon.status import preview_json
from edge.errors import ControlError
from edge.rendered import Lamp, RenderSettings, render_field
from edge.structures import Frame
from edge.web import preview
from edge.web.preview import Meters, Previews

SETTINGS = RenderSettings(width=640, height=480, um_per_px=0.15)


class Camera:
    """A daemon that shows a rendered smear, and a clock of which each look takes a minute."""

    def __init__(self) -> None:
        self.settings, self.seed, self.now = SETTINGS, 1, 0.0
        self.previews = Previews(self.ask, self.clock)

    def clock(self) -> float:
        return self.now

    def ask(self, _command: str, _timeout_s: float) -> dict[str, Any]:
        return preview_json(Frame(render_field(self.seed, self.settings).image, "camera"), 0.0)

    def look(self, seed: int = 1, **changed: Any) -> Meters:
        self.settings, self.seed, self.now = replace(SETTINGS, **changed), seed, self.now + 60.0
        shown = self.previews.refresh()
        assert shown is not None
        return shown.meters


def test_the_bars_follow_focus_and_not_the_place() -> None:
    camera = Camera()
    bars = [camera.look(defocus_um=um) for um in (0.0, 1.5, 3.0, 0.0)]
    assert bars[0].sharpness == bars[3].sharpness == 1.0
    assert 1.0 > bars[1].sharpness > bars[2].sharpness > 0.0
    assert bars[0].sharpness_word == "live.sharp_good"
    assert bars[2].sharpness_word == "live.sharp_low"
    assert all(camera.look(seed).sharpness_word == "live.sharp_good" for seed in (2, 3))


@pytest.mark.parametrize(
    ("brightness", "word"),
    [(0.2, "live.exposure_low"), (0.76, "live.exposure_good"), (1.6, "live.exposure_high")],
)
def test_the_lamp_moves_the_other_bar(brightness: float, word: str) -> None:
    bars = Camera().look(lamp=Lamp(brightness=brightness))
    assert bars.exposure_word == word
    assert 0.0 <= bars.exposure <= 1.0


def daemon_of(answers: list[Any], asked: list[str]) -> Callable[[str, float], dict[str, Any]]:
    def ask(command: str, _timeout_s: float) -> dict[str, Any]:
        asked.append(command)
        if isinstance(answer := answers[len(asked) - 1], Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    return ask


def test_the_daemon_is_asked_at_most_so_often_and_left_alone_while_it_does_not_answer() -> None:
    now, asked = [0.0], []
    good = {"jpeg": "AAAA", "sharpness": 0.4, "exposure": 0.8, "width": 640, "height": 480}
    nonsense = [
        {},
        {**good, "jpeg": 7},
        {**good, "jpeg": "no base64!"},
        {**good, "sharpness": "x"},
        {**good, "counted": 3},
    ]
    previews = Previews(daemon_of([good, ControlError("no", "hung"), *nonsense, good], asked), lambda: now[0])
    for _ in range(3):  # many browsers
        assert previews.refresh() is not None
    assert asked == ["preview"]
    for silent in range(1, 7):
        now[0] += preview.FRESH_S if silent == 1 else preview.BACK_OFF_S
        for _ in range(3):
            assert previews.refresh() is None
        assert len(asked) == 1 + silent
    now[0] += preview.BACK_OFF_S
    shown = previews.refresh()
    assert shown is not None
    assert shown == previews.newest
