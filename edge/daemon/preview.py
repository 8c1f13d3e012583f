"""A frame made small, for a page that shows what the camera sees."""

from __future__ import annotations

import base64
import math
from typing import Any

import cv2

from edge.structures import Frame

#: Longer side of a preview at most, in px: as wide as a page shows it.
PREVIEW_PX = 960
#: A preview of a field takes 60 to 120 kB.
_QUALITY = 80


def preview_json(frame: Frame, age_s: float) -> dict[str, Any]:
    """Encode a preview for the control socket.

    Parameters
    ----------
    frame : the newest frame
    age_s : seconds since it came
    """
    step = max(1, math.ceil(max(frame.width, frame.height) / PREVIEW_PX))
    small = cv2.cvtColor(frame.image[::step, ::step], cv2.COLOR_RGB2BGR)
    encoded, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert encoded  # a Frame is 8-bit RGB
    return {
        "jpeg": base64.b64encode(jpeg.tobytes()).decode("ascii"),
        "width": frame.width,
        "height": frame.height,
        "age_s": round(age_s, 3),
    }
