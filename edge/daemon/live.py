"""The view that was counted last, found again in the camera's picture of now: where its outlines belong."""

from __future__ import annotations

import numpy as np

from edge.daemon.trigger import look
from edge.light.field import Field
from edge.registration import FINE_PX, Keyframe, RigidTransform, align, correlation_peaks, make_keyframe
from edge.registration.search import is_sure
from edge.structures import Frame


class CountedView:
    """A view that was counted, small.

    Parameters
    ----------
    field_id : its row in the log
    frame : as it was counted

    Examples
    --------
    >>> from edge.rendered import RenderSettings, Slide
    >>> slide = Slide(4, RenderSettings(width=428, height=342, um_per_px=0.4))
    >>> counted = CountedView(7, Frame(slide.view(0.0).image, "slide"))
    >>> [round(px) for px in counted.offset_px(Frame(slide.view(8.0).image, "slide"))]
    [-20, 0]
    """

    def __init__(self, field_id: int, frame: Frame) -> None:
        self.field_id = field_id
        self._size = (frame.width, frame.height)
        self._look = look(frame.image).copy()  # or the whole frame would stay in memory
        self._keyframe: Keyframe | None = None  # made when somebody looks

    def offset_px(self, frame: Frame) -> tuple[float, float] | None:
        """Find where the view's upper left corner lies in a frame, px; None where nothing of it is seen.

        A rotation, which a stage hardly has, is left out.
        """
        if (frame.width, frame.height) != self._size:
            return None
        if self._keyframe is None:
            self._keyframe = make_keyframe(Field(Frame(self._look, "a counted view")))
        now = make_keyframe(Field(Frame(look(frame.image), "a preview")))
        _, x, y = correlation_peaks(self._keyframe, now, 1)[0]
        alignment = align(self._keyframe.fine(), now.fine(), RigidTransform(0.0, x, y))
        if alignment is None or not is_sure(alignment):
            return None
        corner = alignment.transform.inverse().apply(np.array([[-0.5, -0.5]]))[0] + 0.5
        dx, dy = corner * (max(self._size) / FINE_PX)
        return float(dx), float(dy)
