"""The flat field and the white point from frames of a blank slide."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from edge.calibration.record import Blank
from edge.errors import ImageError
from edge.light.field import Field
from edge.quality.light import BURNT_OUT, MIN_BLANK
from edge.quality.look import look_at
from edge.structures import Frame

#: Tiles of the grid: a lamp and its vignette change over a quarter of a field; specks of dust are not
#: followed.
_ROWS, _COLUMNS = 18, 24
#: Frames that a median needs so that a speck in one of them does not count.
LEAST_FRAMES = 3
#: Share of a frame that may be no blank slide; the median leaves such specks out.
_MOST_COVER = 0.02


def measure_blank(frames: Iterable[Frame]) -> Blank:
    """Take the median over frames of a blank slide, best at different places of it.

    Parameters
    ----------
    frames : of one size, without a calibration applied

    Raises
    ------
    ImageError
        There are too few, of different sizes, too dark or burnt out, or they show something.
    """
    grids = []
    size: tuple[int, int] | None = None
    for frame in frames:
        if size is not None and (frame.width, frame.height) != size:
            raise ImageError(
                f"{frame.source}: {frame.width}x{frame.height} px, expected {size[0]}x{size[1]} px like "
                "those before it; give frames of one camera setting"
            )
        size = (frame.width, frame.height)
        _refuse_what_is_not_blank(frame)
        # Tile by tile the mean of all pixels: noise goes, and node (r, c) is the centre of its tile.
        grid = cv2.resize(frame.image, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
        grids.append(grid.astype(np.float32))
    if len(grids) < LEAST_FRAMES:
        raise ImageError(
            f"expected at least {LEAST_FRAMES} frames of a blank slide, got {len(grids)}; "
            "a speck in one of fewer would count as uneven light"
        )
    median = np.median(np.stack(grids), axis=0)
    return Blank(np.clip(median, 1.0, 255.0).astype(np.float32), len(grids))


def _refuse_what_is_not_blank(frame: Frame) -> None:
    field = Field(frame)
    level = np.median(field.background.grid, axis=(0, 1))
    if float(level.max()) >= BURNT_OUT:
        raise ImageError(
            f"{frame.source}: the blank slide is burnt out (level {level.max():.0f} of 255), its unevenness "
            "cannot be seen; turn down the lamp or the exposure"
        )
    if float(level.mean()) < 2 * MIN_BLANK:
        raise ImageError(
            f"{frame.source}: the blank slide is too dark (level {level.mean():.0f} of 255); turn up the lamp"
        )
    cover = look_at(field).cover
    if cover > _MOST_COVER:
        raise ImageError(
            f"{frame.source}: {cover:.0%} of it is no blank slide; move to a place without cells"
        )
