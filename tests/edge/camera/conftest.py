"""What the tests of cameras share."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from edge.camera.v4l2_lock import settle


@pytest.fixture(autouse=True)
def counted_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exposure settles, or does not, within a number of frames, however busy the machine is."""
    ticks = itertools.count()

    def clock() -> float:
        return 0.01 * next(ticks)

    monkeypatch.setattr("edge.camera.v4l2.settle", lambda capture: settle(capture, clock=clock))
    monkeypatch.setattr("edge.camera.picamera.time", SimpleNamespace(monotonic=clock))
