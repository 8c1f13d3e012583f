"""The camera's picture and its bars as the daemon gives them, asked for once however many browsers look."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.errors import ControlError

_log = logging.getLogger(__name__)

#: A newer picture is asked for this often at most.
FRESH_S = 0.7
#: A daemon that did not answer is left alone for this long, so that no page waits for it again and again.
BACK_OFF_S = 3.0
#: Longest wait for the daemon's answer. It gives the newest frame that it has, at once.
_TIMEOUT_S = 2.0
#: Sharpness has no unit: it is shown against the best one of so many pictures, a minute of looking.
_REMEMBERED = 80
#: Level, as a share of full scale, that the blank slide should have. Below, noise grows; above, it clips. The
#: quality gate's own limits are wider; these are for the hand at the lamp.
EXPOSURE_LOW, EXPOSURE_HIGH = 0.55, 0.96
#: Share of the best sharpness below which the fine focus is worth a turn: 0.7 µm of defocus in a field that
#: is 170 µm wide, which the gate still passes.
SHARP_ENOUGH = 0.7

#: Sends a command to the daemon and gives its result; raises ControlError. Its argument is the longest wait.
Ask = Callable[[str, float], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Meters:
    """What the bars show, each 0 to 1.

    Attributes
    ----------
    sharpness : share of the best one seen lately
    exposure : level of the brightest part, the blank slide
    """

    sharpness: float
    exposure: float

    @property
    def sharpness_word(self) -> str:
        """Key of what to do about it."""
        return "live.sharp_good" if self.sharpness >= SHARP_ENOUGH else "live.sharp_low"

    @property
    def exposure_word(self) -> str:
        """Key of what to do about it."""
        if self.exposure < EXPOSURE_LOW:
            return "live.exposure_low"
        return "live.exposure_good" if self.exposure <= EXPOSURE_HIGH else "live.exposure_high"


@dataclass(frozen=True, slots=True)
class Preview:
    """One picture.

    Attributes
    ----------
    number : 1, 2, ...: tells one picture from the next
    jpeg : the picture
    meters : its sharpness and exposure
    width, height : of the frame that it shows, px
    counted : number of the field that was counted last, and x and y of its upper left corner in the frame;
        None where nothing of it is seen
    """

    number: int
    jpeg: bytes
    meters: Meters
    width: int = 0
    height: int = 0
    counted: tuple[int, float, float] | None = None


class Previews:
    """The newest picture, shared by all threads.

    Parameters
    ----------
    ask : sends a command to the daemon
    clock : monotonic seconds
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._sharpness: deque[float] = deque(maxlen=_REMEMBERED)
        self._newest: Preview | None = None
        self._ask_again_s = -1.0
        self._was_there = True

    @property
    def newest(self) -> Preview | None:
        """The picture that was got last; None while the daemon does not answer."""
        return self._newest

    def refresh(self) -> Preview | None:
        """Get a newer picture where the last one is not fresh; None where the daemon gives none."""
        if self._one_at_a_time.acquire(blocking=False):
            # Another thread that finds it taken shows what there is: it must not wait behind a slow daemon.
            try:
                if self._clock() >= self._ask_again_s:
                    self._newest = self._get()
                    self._ask_again_s = self._clock() + (BACK_OFF_S if self._newest is None else FRESH_S)
            finally:
                self._one_at_a_time.release()
        return self._newest

    def _get(self) -> Preview | None:
        try:
            answer = self._ask("preview", _TIMEOUT_S)
            jpeg = base64.b64decode(answer["jpeg"], validate=True)
            sharpness, exposure = float(answer["sharpness"]), float(answer["exposure"])
            width, height = int(answer["width"]), int(answer["height"])
            at = answer.get("counted")
            counted = None if at is None else (int(at["field"]), float(at["x"]), float(at["y"]))
        except (ControlError, KeyError, TypeError, ValueError) as error:  # base64 raises a ValueError, too
            if self._was_there:
                _log.info("no live picture: %s", error)
            self._was_there = False
            return None
        self._was_there = True
        self._sharpness.append(sharpness)
        meters = Meters(sharpness / (max(self._sharpness) or 1.0), exposure)
        number = 1 if self._newest is None else self._newest.number + 1
        return Preview(number, jpeg, meters, width, height, counted)
