"""Tells from a stream of small previews when the stage rests, whether the place is new, and when it is sharp.

A state machine without a clock: its steps are previews. It costs the same whether the stage rests or moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.light.field import Field
from edge.light.sharpness import sharpness as edge_sharpness
from edge.registration import COARSE_PX, FINE_PX, Keyframe, correlation_peaks, make_keyframe
from edge.structures import Frame, UInt8Image

StageState = Literal["moving", "settling", "settled", "blank"]

#: Previews without motion after which the stage rests: 0.4 s at ten a second. A hand between two turns of the
#: knob pauses for less.
REST_PREVIEWS = 4
#: Score below which two previews show different places; see
#: :func:`edge.registration.correlation_peaks`. Chance gives 12 on average and 23 at
#: most, the same place 60 and more.
_SAME_VIEW = 25.0
#: Shift in px of the coarse plane that is motion: one pixel, 1.3 to 3 µm.
_MOTION_PX = 1.0
#: Share of the field's longer side up to which a place counts as the one counted last. Less than half of the
#: white cells in such a rim would be whole.
_SAME_PLACE = 0.1
#: A preview whose plane has less structure than this is blank slide: one white cell alone has three times as
#: much.
_BLANK_ENERGY = 0.002
#: Share of the best sharpness at this place from which a preview is sharp. A defocus of 0.2 µm, less than
#: the depth of field at NA 1.25, changes it by 4 %, one of 0.35 µm by 11 %.
_SHARP = 0.95
#: Previews at rest after which a place is taken as it is: who has focused past the best and stopped is not
#: coming back.
PATIENCE_PREVIEWS = 30


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a preview says.

    Attributes
    ----------
    state : ``moving``; ``settling``, at rest for less than ``REST_PREVIEWS``; ``settled``; or ``blank``,
        where nothing is there whose motion could be seen
    new_place : whether this is another place than the one last counted
    sharpness : of this preview; comparable within one place only
    sharp : it is as sharp as this place has been, or nobody has focused for ``PATIENCE_PREVIEWS``
    """

    state: StageState
    new_place: bool
    sharpness: float
    sharp: bool

    @property
    def ready(self) -> bool:
        """Whether to count now."""
        return self.state == "settled" and self.new_place and self.sharp


class StageWatcher:
    """Watches previews of one size.

    Examples
    --------
    >>> from edge.rendered import RenderSettings, Slide
    >>> slide = Slide(4, RenderSettings(width=428, height=342, um_per_px=0.4))
    >>> watcher = StageWatcher()
    >>> [watcher.update(slide.view(x).image).state for x in (0.0, 30.0, 60.0, 60.0, 60.0, 60.0, 60.0)]
    ['moving', 'moving', 'moving', 'settling', 'settling', 'settling', 'settled']
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen and counted: a new sample, or a camera that was away."""
        self._anchor: Keyframe | None = None  # where the present rest began
        self._current: Keyframe | None = None
        self._counted: Keyframe | None = None
        self._at_rest = 0
        self._best = 0.0
        self._unfocused = 0

    def update(self, preview: UInt8Image) -> StageReport:
        """Take the next preview.

        Parameters
        ----------
        preview : (h, w, 3) uint8 RGB, of any size from about 200 px; larger ones only cost more
        """
        keyframe = make_keyframe(Field(Frame(preview, "a preview")))
        sharpness = edge_sharpness(preview)
        self._current = keyframe
        if _is_blank(keyframe):
            self._anchor, self._at_rest = None, 0
            return StageReport("blank", False, sharpness, False)
        shift = None if self._anchor is None else _shift(self._anchor, keyframe)
        if shift is None or shift >= _MOTION_PX:
            self._anchor, self._at_rest, self._best, self._unfocused = keyframe, 0, sharpness, 0
            return StageReport("moving", self._is_new(keyframe), sharpness, False)
        self._at_rest += 1
        if sharpness > self._best:
            self._best = sharpness
        self._unfocused = 0 if sharpness >= _SHARP * self._best else self._unfocused + 1
        sharp = self._unfocused == 0 or self._unfocused >= PATIENCE_PREVIEWS
        state: StageState = "settled" if self._at_rest >= REST_PREVIEWS else "settling"
        return StageReport(state, self._is_new(keyframe), sharpness, sharp)

    def counted(self) -> None:
        """Remember that the place of the last preview has been counted."""
        self._counted = self._current

    def _is_new(self, keyframe: Keyframe) -> bool:
        if self._counted is None:
            return True
        shift = _shift(self._counted, keyframe)
        return shift is None or shift > _SAME_PLACE * COARSE_PX


def _shift(a: Keyframe, b: Keyframe) -> float | None:
    """Distance in px of the coarse plane, or None where the two show different places."""
    if not a.comparable(b):
        return None
    score, x, y = correlation_peaks(a, b, 1)[0]
    return float(np.hypot(x, y)) * COARSE_PX / FINE_PX if score >= _SAME_VIEW else None


def _is_blank(keyframe: Keyframe) -> bool:
    plane = keyframe.fine()
    return float(np.mean(plane * plane)) < _BLANK_ENERGY
