"""When a field is counted."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from edge.config import parse_config
from edge.daemon.trigger import LOOK_S, REST_LOOK_S, Auto, Interval, Trigger, make_trigger, mode_of
from edge.rendered import RenderSettings, Slide
from edge.structures import Frame, UInt8Image

FRAME = Frame(np.zeros((60, 80, 3), np.uint8), "a frame")


@pytest.mark.parametrize(
    ("camera", "trigger", "mode"),
    [
        ({"source": "picamera"}, {}, "auto"),
        ({"source": "v4l2"}, {}, "auto"),
        ({"source": "rendered"}, {}, "interval"),
        ({"source": "replay", "path": "x"}, {}, "interval"),
        ({"source": "v4l2"}, {"mode": "manual"}, "manual"),
        ({"source": "rendered"}, {"mode": "auto"}, "auto"),
    ],
)
def test_the_mode(camera: dict[str, Any], trigger: dict[str, Any], mode: str) -> None:
    config = parse_config({"camera": camera, "trigger": trigger})
    assert mode_of(config) == mode
    kinds = {"auto": Auto, "manual": Trigger, "interval": Interval}
    assert type(make_trigger(config)) is kinds[mode]


def test_the_grid_of_intervals_has_no_drift_and_no_burst() -> None:
    interval = Interval(2.0)
    asked = []
    for now_s, work_s in ((0.0, 0.25), (2.0, 5.0), (8.0, 0.1), (10.0, 2.0), (12.0, 2.1)):
        assert interval.due_s(now_s) == now_s
        asked.append(now_s)
        interval.asked(now_s)
        assert interval.wants(FRAME)
        interval.counted(FRAME, now_s + work_s)
    assert interval.due_s(14.1) == 16.0
    assert asked == [0.0, 2.0, 8.0, 10.0, 12.0]


def test_manual_is_never_due() -> None:
    manual = Trigger()
    manual.asked(0.0)
    manual.counted(FRAME, 0.0)
    manual.reset()
    assert manual.due_s(0.0) == math.inf
    assert not manual.wants(FRAME)


UM_PER_PX = 0.4
RNG = np.random.default_rng(3)


@cache
def strip() -> UInt8Image:
    """All of the slide that is looked at, drawn once: drawing takes longer than all that is tested."""
    return Slide(4, RenderSettings(width=856, height=342, um_per_px=UM_PER_PX)).view().image


def view(x_um: float) -> Frame:
    """What a camera shows there, with its noise."""
    left = round(x_um / UM_PER_PX)
    seen = strip()[:, left : left + 428]
    return Frame(cv2.add(seen, RNG.integers(0, 7, seen.shape, np.uint8)), "stage")


def test_a_stage_that_rests_is_counted_once_a_place() -> None:
    auto = Auto()
    path = [0.0] * 8 + [20.0, 50.0, 90.0, 130.0] + [150.0] * 8 + [148.0] * 8 + [100.0, 40.0] + [0.0] * 8
    counted, now_s, looks = [], 0.0, []
    for x_um in path:
        now_s = max(now_s, auto.due_s(now_s))
        looks.append(now_s)
        auto.asked(now_s)
        frame = view(x_um)
        if auto.wants(frame):
            counted.append(x_um)
            auto.counted(frame, now_s)
    assert counted == [0.0, 150.0, 0.0]
    # Ten looks a second while it moves, one while it rests where it was counted.
    steps = np.diff(looks)
    assert steps.min() == pytest.approx(LOOK_S)
    assert steps.max() == pytest.approx(REST_LOOK_S)


def test_a_capture_on_request_is_not_counted_again_by_itself() -> None:
    auto = Auto()
    auto.counted(view(0.0), 0.0)
    assert not any(auto.wants(view(0.0)) for _ in range(12))
    auto.reset()
    assert any(auto.wants(view(0.0)) for _ in range(12))
