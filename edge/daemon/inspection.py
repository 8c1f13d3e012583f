"""Frames that a camera should not have given: dropped, and a reason to open it anew when they go on."""

from __future__ import annotations

from collections import Counter

from edge.errors import CameraError
from edge.quality import ADVICE, FrameWatch
from edge.structures import Frame

#: Faulty frames in a row after which the camera is opened anew. One torn frame is a lost USB packet.
MAX_FAULTY = 3


class Inspector:
    """Looks at each frame of a live camera, beside the one before it.

    Attributes
    ----------
    refused : frames that were not to be used, by reason
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self._watch = FrameWatch()
        self._in_a_row = 0

    def fault(self, frame: Frame) -> str | None:
        """Name what is wrong with a frame; None where nothing is.

        Raises
        ------
        CameraError
            So many frames in a row were faulty that the camera should be opened anew.
        """
        image = frame.image
        reasons = self._watch.reasons(image)
        # A frame of one value throughout is black or burnt out; the quality gate says so of the field.
        if not reasons or image.min() == image.max():
            self._in_a_row = 0
            return None
        (reason, *_) = reasons
        self.refused[reason] += 1
        self._in_a_row += 1
        if self._in_a_row >= MAX_FAULTY:
            self._in_a_row = 0
            raise CameraError(
                f"{frame.source}: {MAX_FAULTY} {reason} frames in a row: {ADVICE[reason]}", reason
            )
        return reason
