"""When a field is counted: every so often, on request only, or when the stage has come to rest."""

from __future__ import annotations

import math

from edge.camera.configured import is_live
from edge.config import Config, TriggerMode
from edge.daemon.stage import StageWatcher
from edge.structures import Frame, UInt8Image

#: Looks at a stage that moves or has just stopped: ten a second, which the watcher's steps are meant for.
LOOK_S = 0.1
#: Looks at a stage that rests where it was counted. Whoever moves it on is noticed this much later at most,
#: which is less than a stage takes to settle.
REST_LOOK_S = 1.0
#: Width that looks are reduced to, in px.
LOOK_PX = 480


class Trigger:
    """Says when to ask for a frame, and whether to count it.

    This one, of the mode ``manual``, counts nothing by itself: ``blastcount capture`` and the button do.
    """

    def due_s(self, now_s: float) -> float:
        """Monotonic second at which the next frame is to be asked for; infinity where only a request does."""
        del now_s
        return math.inf

    def asked(self, now_s: float) -> None:
        """Note that a frame was asked for because it was due."""

    def wants(self, frame: Frame) -> bool:
        """Whether this frame, which was asked for because it was due, shall be counted."""
        del frame
        return False

    def counted(self, frame: Frame, now_s: float) -> None:
        """Note that a frame was counted, for whatever reason."""

    def reset(self) -> None:
        """Forget what was seen: another sample, or a camera that was away."""


class Interval(Trigger):
    """Counts on a grid of moments: no drift, and no burst after a long field.

    Examples
    --------
    >>> import numpy as np
    >>> frame = Frame(np.zeros((60, 80, 3), np.uint8), "a frame")
    >>> interval = Interval(2.0)
    >>> interval.due_s(10.0)
    10.0
    >>> interval.asked(10.0)
    >>> interval.counted(frame, 15.5)  # a field took long: those due at 12 and 14 are missed, not made up for
    >>> interval.due_s(15.5)
    16.0
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_s: float | None = None

    def due_s(self, now_s: float) -> float:
        """Return the next moment on the grid, which the first question begins."""
        if self._due_s is None:
            self._due_s = now_s
        return self._due_s

    def asked(self, now_s: float) -> None:
        """Go on to the next moment that is still to come."""
        due_s = self.due_s(now_s)
        self._due_s = due_s + (math.floor(max(0.0, now_s - due_s) / self._interval_s) + 1) * self._interval_s

    def counted(self, frame: Frame, now_s: float) -> None:
        """Skip what was missed meanwhile."""
        del frame
        if self.due_s(now_s) < now_s:
            self.asked(now_s)

    def wants(self, frame: Frame) -> bool:
        """Every frame that was due."""
        del frame
        return True


class Auto(Trigger):
    """Counts where the stage has come to rest, once a place, when the picture is sharp."""

    def __init__(self) -> None:
        self._watcher = StageWatcher()
        self._due_s = -math.inf
        self._look_s = LOOK_S

    def due_s(self, now_s: float) -> float:
        """Return when to look again."""
        del now_s
        return self._due_s

    def asked(self, now_s: float) -> None:
        """Look again in a while: soon while the stage moves, later while it rests where it was counted."""
        self._due_s = now_s + self._look_s

    def wants(self, frame: Frame) -> bool:
        """Whether the stage rests at a new place and this look at it is sharp."""
        report = self._watcher.update(look(frame.image))
        self._look_s = REST_LOOK_S if report.state == "settled" and not report.new_place else LOOK_S
        return report.ready

    def counted(self, frame: Frame, now_s: float) -> None:
        """Remember the place."""
        del now_s
        self._watcher.update(look(frame.image))  # a capture on request has not been looked at before
        self._watcher.counted()

    def reset(self) -> None:
        """Forget the place."""
        self._watcher.reset()


def look(image: UInt8Image) -> UInt8Image:
    """Reduce a frame to about ``LOOK_PX`` by leaving out pixels, which keeps what tells sharp from blurred.

    Examples
    --------
    >>> import numpy as np
    >>> look(np.zeros((1520, 2028, 3), np.uint8)).shape
    (380, 507, 3)
    """
    step = max(1, round(image.shape[1] / LOOK_PX))
    return image[::step, ::step]


def mode_of(config: Config) -> TriggerMode:
    """Name the configured mode; without one, ``auto`` with a camera and ``interval`` with anything else."""
    return config.trigger.mode or ("auto" if is_live(config) else "interval")


def make_trigger(config: Config) -> Trigger:
    """Make the configured trigger."""
    mode = mode_of(config)
    if mode == "interval":
        return Interval(config.camera.interval_s)
    return Auto() if mode == "auto" else Trigger()
