"""Pictures that a camera did not finish: repeated, cut off, or put together from two."""

from __future__ import annotations

import hashlib

import numpy as np

from edge.structures import UInt8Image

#: Share of equal rows at one end from which a part of the picture is missing. The last rows of a picture may
#: be equal where the slide is burnt out; a fifth of a field has cells or noise in it.
_MISSING = 0.05
#: How much more two neighbouring rows differ at a tear than rows near it do.
_TEAR = 6.0
#: Least mean difference of two neighbouring rows, in levels, that is a tear: blank slide over blank slide
#: shows none.
_LEAST_TEAR = 6.0
#: Columns looked at: every n-th, so that about this many are left.
_COLUMNS = 400


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
        return (*(("frozen",) if frozen else ()), *damage(image))


def damage(image: UInt8Image) -> tuple[str, ...]:
    """Name what is missing from a picture or does not belong together in it.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    Any of ``incomplete`` and ``torn``
    """
    step = max(1, image.shape[1] // _COLUMNS)
    rows = np.ascontiguousarray(image[:, ::step, 1]).astype(np.int16)
    change = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    still = change == 0
    bottom = int(np.argmin(still[::-1])) if not still.all() else len(still)
    top = int(np.argmin(still)) if not still.all() else len(still)
    if not still.all() and max(bottom, top) >= _MISSING * len(rows):
        return ("incomplete",)
    around = _median_around(change)
    if bool(np.any((change > _LEAST_TEAR) & (change > _TEAR * np.maximum(around, 0.5)))):
        return ("torn",)
    return ()


def _median_around(
    change: np.ndarray[tuple[int, ...], np.dtype[np.float64]], reach: int = 6
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Median of each value's neighbours, without itself and the next ones, which a tear touches too."""
    padded = np.pad(change, reach, mode="reflect")
    shifts = [offset for offset in range(-reach, reach + 1) if abs(offset) > 1]
    near = [padded[reach + s : len(padded) - reach + s] for s in shifts]
    return np.asarray(np.median(near, axis=0), dtype=np.float64)
