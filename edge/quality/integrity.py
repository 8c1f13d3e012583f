"""Pictures that a camera did not finish: repeated, cut off, or put together from two."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.field import Field
from edge.light.pyramid import columns_of
from edge.quality.light import BURNT_OUT
from edge.structures import UInt8Image

#: Share of rows at one end that repeat from which a part of the picture is missing. Burnt-out slide repeats
#: as well, and is none.
_MISSING = 0.05
#: Segments that a picture's columns are looked at in.
_SEGMENTS = 8
#: A tear shows in so many segments at one row ...
_TORN_SEGMENTS = 4
#: ... as a change so many times that between the rows near it, and of so many levels at least. Blank slide
#: over blank slide shows no tear, so that half of the segments have to do.
_TEAR, _LEAST_TEAR = 4.0, 5.0
#: Share of the rows at either end where no tear is looked for.
_EDGE = 0.02
#: A file's picture of a shorter side shows one cell, whose outline may well lie along a row.
_LEAST_SIDE_PX = 384
#: Rows to either side that are near, and the least change between them, a sensor's noise.
_NEAR, _LEAST_USUAL = 6, 0.5


class FrameWatch:
    """Watches the frames of a live camera.

    Examples
    --------
    >>> watch = FrameWatch()
    >>> rng = np.random.default_rng(1)
    >>> frame = rng.integers(150, 200, (120, 160, 3), dtype=np.uint8)
    >>> watch.reasons(frame), watch.reasons(frame)
    ((), ('frozen',))
    """

    def __init__(self) -> None:
        self._last: bytes | None = None

    def reasons(self, image: UInt8Image) -> tuple[str, ...]:
        """Name what is wrong with the next frame of a live camera.

        A sensor's noise never repeats: a frame that equals the one before it is the same frame again.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB

        Returns
        -------
        Any of ``frozen``, ``incomplete`` and ``torn``
        """
        digest = hashlib.blake2b(np.ascontiguousarray(image[::8]).data, digest_size=16).digest()
        frozen = digest == self._last
        self._last = digest
        return (*(("frozen",) if frozen else ()), *damage(columns_of(image)))


def file_doubts(field: Field) -> tuple[str, ...]:
    """Doubt a picture of a file that may be put together from two.

    Of 318 real fields none is doubted; what is drawn across a field is.

    Parameters
    ----------
    field : of the file

    Returns
    -------
    ``possibly_damaged``, or nothing
    """
    if min(field.width, field.height) < _LEAST_SIDE_PX or "torn" not in damage(field.lines.columns):
        return ()
    return ("possibly_damaged",)


def damage(columns: UInt8Image) -> tuple[str, ...]:
    """Name what is missing from a live picture or does not belong together in it.

    Files are not asked: whoever cuts and letters a picture may leave such rows in it.

    Parameters
    ----------
    columns : (n, H, 3) uint8 RGB, lying, see :func:`edge.light.pyramid.columns_of`

    Returns
    -------
    ``incomplete``, ``torn``, or nothing
    """
    green = np.asarray(cv2.extractChannel(columns, 1), np.uint8)
    change = cv2.absdiff(green[:, 1:], green[:, :-1])
    still = ~change.any(axis=0)
    if still.all():
        return ()
    for rows in (still, still[::-1]):
        run = int(np.argmin(rows))
        edge = green[:, 0] if rows is still else green[:, -1]
        if run >= _MISSING * green.shape[1] and int(edge.min()) < BURNT_OUT:
            return ("incomplete",)
    return ("torn",) if _is_torn(change) else ()


def _is_torn(change: NDArray[Any]) -> bool:
    """Whether rows differ from the next far more than those near them do, in half of their segments."""
    columns = len(change) // _SEGMENTS
    if not columns:
        return False
    segments = change[: columns * _SEGMENTS].reshape(_SEGMENTS, columns, -1)
    sums = [cv2.reduce(segment, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F) for segment in segments]
    by_segment = cv2.transpose(np.concatenate(sums)) / columns
    suspects = np.flatnonzero(np.count_nonzero(by_segment > _LEAST_TEAR, axis=1) >= _TORN_SEGMENTS)
    # A sensor's outermost rows may be bad without any harm, and those near a tear tell it.
    rows = change.shape[1]
    first, end = max(_EDGE * rows, _NEAR - 1), min((1 - _EDGE) * rows, rows - _NEAR)
    suspects = suspects[(suspects > first) & (suspects < end)]
    near = np.array([n for n in range(-_NEAR, _NEAR + 1) if abs(n) > 1])
    usual = np.maximum(np.median(by_segment[suspects[:, None] + near], axis=1), _LEAST_USUAL)
    torn = (by_segment[suspects] > _LEAST_TEAR) & (by_segment[suspects] > _TEAR * usual)
    return bool((np.count_nonzero(torn, axis=1) >= _TORN_SEGMENTS).any())
