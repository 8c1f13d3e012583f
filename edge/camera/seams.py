"""A JPEG in which a changed bit has made everything behind it lighter, darker or of another colour.

The levels of blocks are stored as differences to the block before. A wrong one that still is a valid code
shifts all blocks behind it, in reading order, to the end or the next restart marker, and no decoder notices.
What is seen is one step along a staircase: above the first shifted block and all blocks right of it, and
below all blocks left of it.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.pyramid import picked
from edge.structures import UInt8Image

#: What a picture is counted with that may have a seam; see :data:`edge.quality.WARNINGS`.
POSSIBLY_DAMAGED = "possibly_damaged"
#: A step of so many levels, its mean over the blocks so many standard errors from none, is damage where the
#: product of both is as large as this. In every sixth of 8,114 real JPEGs of 9 sources, steps of five levels
#: have at most 8.4 standard errors and a product of 45, and none of all is taken for damage; those that a
#: changed byte left in drawn smears have 89 and more.
_LEAST_STEP, _LEAST_ERRORS, _LEAST_PRODUCT = 5.0, 9.0, 60.0
#: A smaller step is a doubt. Of 471 real fields of seven sources one alone has any step of those that are
#: looked at, of 2.3 levels; colours that are stored with fewer pixels step by a quarter of what is seen.
_DOUBTFUL_STEP, _DOUBTFUL_ERRORS = 2.5, 7.0
#: All blocks are shifted alike: their steps spread by at most so many times as those at the rest of the same
#: borders. What is drawn into a field, a line of text on white, steps by what lies above it: of 640 pictures
#: (40 real fields, eight such drawings, quality 75 and 92) 68 were called damaged without this, 4 with it.
#: Where it is more, there is a doubt.
_MOST_SPREAD = 1.5
#: Columns looked at: first about so many, and of suspect rows every n-th.
_COLUMNS, _EVERY = 128, 4
#: Half a row of blocks at least is shifted; a row whose halves step by less has no seam.
_SUSPECT_STEP, _SUSPECT_ERRORS = 0.7 * _LEAST_STEP, 0.5 * _LEAST_ERRORS
#: Fewer blocks a row say nothing.
_LEAST_BLOCKS = 8
#: A picture of fewer blocks a side is one cell cut out of a field, which no camera wrote. The look would take
#: as long as its decoding.
_LEAST_SIDE = 24
#: A step is taken twice, less one slope either side.
_SLOPES = 2
#: Variance of the steps that is never undercut: rounding to whole levels.
_ROUNDING = 0.25

_Steps = NDArray[np.float32]
#: What is known of a picture: a seam is sure, or as likely as not, or not there.
Seam = Literal["sure", "doubtful", "none"]
_DEGREES: tuple[Seam, ...] = ("none", "doubtful", "sure")


def check_seam(pixels: UInt8Image, block_height: int, block_width: int) -> tuple[str, ...]:
    """Refuse a picture with a sure seam, and name the doubt about another one; see :func:`find_seam`.

    Raises
    ------
    ValueError
        It has a sure one.
    """
    seam = find_seam(pixels, block_height, block_width)
    if seam == "sure":
        raise ValueError("from one block on it is lighter, darker or of another colour")
    return (POSSIBLY_DAMAGED,) if seam == "doubtful" else ()


def find_seam(pixels: UInt8Image, block_height: int, block_width: int) -> Seam:
    """Say whether all blocks from one on are shifted by the same levels.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 RGB as decoded
    block_height, block_width : px of the blocks (MCU) that are coded one after the other
    """
    height, width = pixels.shape[:2]
    rows, columns = np.arange(block_height, height - 1, block_height), width // block_width
    if len(rows) < _LEAST_SIDE or columns < _LEAST_SIDE:
        return "none"
    every = max(1, width // _COLUMNS)
    seen = pixels[:, ::every]
    below = picked(pixels, np.s_[block_height : height - 1 : block_height], np.s_[::every])
    above = picked(pixels, np.s_[block_height - 1 : height - 2 : block_height], np.s_[::every])
    half = seen.shape[1] // 2
    steps = cv2.subtract(below, above, dtype=cv2.CV_32F)[:, : 2 * half].reshape(2 * len(rows), 3 * half)
    # One product adds the steps of each half and channel; whole numbers of this size are exact in float32.
    sums = steps @ np.tile(np.eye(3, dtype=np.float32), (half, 1))
    suspects = np.flatnonzero((np.abs(sums) > half * _SUSPECT_STEP).reshape(len(rows), -1).any(axis=1))
    if not len(suspects):
        return "none"
    closely = _steps(seen[:, : 2 * half], rows[suspects])[0].reshape(len(suspects), 2, half, 3)
    errors = np.abs(closely.mean(axis=2)) / (closely.std(axis=2) + _ROUNDING) * half**0.5
    suspects = suspects[(errors > _SUSPECT_ERRORS).any(axis=(1, 2))]
    degree = 0
    for suspect in suspects.tolist():
        near = rows[max(0, suspect - 1) : suspect + 2]
        steps, flat = _steps(pixels[:, : columns * block_width : _EVERY], near)
        # Margins and bars without any noise were drawn; they step at every border of theirs.
        known = ~flat.reshape(len(near), columns, -1).all(axis=2)
        by_block = steps.reshape(len(near), columns, -1, 3).mean(axis=2, dtype=np.float32) / _SLOPES
        by_block[~known] = 0
        # Nothing is known above the first row of blocks and below the last one.
        if suspect == 0:
            by_block, known = _with_blank(by_block, known, 0)
        if suspect + 1 == len(rows):
            by_block, known = _with_blank(by_block, known, len(known))
        for first in range(len(known) - 1):
            degree = max(degree, _stepped(by_block[first : first + 2], known[first : first + 2]))
    return _DEGREES[degree]


def _steps(pixels: UInt8Image, rows: NDArray[np.intp]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Twice the step at the border above each row less the slopes at either side, and where a side is flat.

    On average it is zero in any picture.
    """
    above, top, bottom, below = (pixels[rows + k].astype(np.int16) for k in (-2, -1, 0, 1))
    return 3 * (bottom - top) + above - below, ((top == above) | (bottom == below)).all(axis=2)


def _with_blank(steps: _Steps, known: NDArray[np.bool_], at: int) -> tuple[_Steps, NDArray[np.bool_]]:
    return np.insert(steps, at, 0, axis=0), np.insert(known, at, False, axis=0)


def _stepped(steps: _Steps, known: NDArray[np.bool_]) -> int:
    """How surely the border above a row of blocks steps from some block on, and the one below it up to there.

    Parameters
    ----------
    steps : (2, columns, 3) at the border above and at the one below
    known : (2, columns), False where nothing is known

    Returns
    -------
    index of ``_DEGREES``
    """
    degree = 0
    number = known[..., None].astype(np.float32)
    before = np.cumsum(np.stack([number * np.ones(3, np.float32), steps, steps**2]), axis=2)
    before = np.concatenate([before[:, :, :1] * 0, before], axis=2)
    behind = before[:, :, -1:] - before
    turned = np.array([1, -1, 1], np.float32)[:, None, None]
    # To the end of the picture; or to the end of the row, where a restart marker sets the levels anew.
    for shifted, rest in (
        (behind[:, 0] + before[:, 1], before[:, 0] + behind[:, 1]),
        (behind[:, 0] + turned * behind[:, 1], before[:, 0] + before[:, 1]),
    ):
        # By channel, the block from which one level tells the steps best: the change point of least squares.
        first = np.argmin(shifted[2] - shifted[1] ** 2 / np.maximum(shifted[0], 1) + rest[2], axis=0)
        count, total, squares = np.take_along_axis(shifted, first[None, None], axis=1)[:, 0]
        others, _, other_squares = np.take_along_axis(rest, first[None, None], axis=1)[:, 0]
        # Pictures that are joined, a field and a strip of text below it, step along a whole row.
        enough = (first > 0) & (count >= _LEAST_BLOCKS) & (others >= _LEAST_BLOCKS)
        count, others = np.maximum(count, 1), np.maximum(others, 1)
        size = np.abs(total) / count
        variance = np.maximum(squares / count - size**2, 0) + _ROUNDING
        errors = size / np.sqrt(variance / count)
        large = (size >= _LEAST_STEP) & (errors >= _LEAST_ERRORS) & (size * errors >= _LEAST_PRODUCT)
        alike = variance <= _MOST_SPREAD**2 * (other_squares / others + _ROUNDING)
        small = (size >= _DOUBTFUL_STEP) & (errors >= _DOUBTFUL_ERRORS)
        if (enough & large & alike).any():
            return 2
        if (enough & small).any():
            degree = 1
    return degree
