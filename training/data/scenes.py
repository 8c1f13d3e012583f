"""Which fields show the same piece of a smear: fields taken twice and fields that overlap.

In ALL-IDB1 one field is there twice under two names, and several were taken after moving the
stage by less than a field, so that their cells are photographed again. Cells of such fields are
told apart by their place in the common scene, not by their field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import UInt8Image
from training.data.locate import REACH_PX, REDUCTION

#: Side of the patches compared, in reduced px: 320 px of a field hold 5 to 10 red cells, whose arrangement is
#: unique, and every overlap wider and higher than 640 px holds a whole patch of the grid.
PATCH = 20
#: Least correlation of reduced patches that is worth a look at full size. True overlaps of ALL-IDB1 give
#: 0.91 to 1.0; 7 of 1,905 other pairs exceed this.
COARSE_CORRELATION = 0.88
#: Least correlation at full size of one scene. True overlaps of ALL-IDB1: 0.910 to 1.0 (13 pairs); the
#: best of the others: 0.868 (two fields with one large, dark cell each).
FULL_CORRELATION = 0.89
#: Grey levels of deviation below which a reduced patch is blank slide, which correlates with anything
#: blank. Of the patches of ALL-IDB1 99 in 100 have 5 and more.
FLAT_LEVELS = 1.5


@dataclass(frozen=True, slots=True)
class Shift:
    """What is at (x, y) of ``first`` is at (x + dx, y + dy) of ``second``.

    ``correlation`` (-1 to 1) of the two at full size says how surely.
    """

    first: str
    second: str
    dx: int
    dy: int
    correlation: float


@dataclass(frozen=True, slots=True)
class ScenePlace:
    """Where a field lies: what is at (x, y) of it is at (x + dx, y + dy) of the scene's first field."""

    scene: str
    dx: int
    dy: int


@dataclass(frozen=True, slots=True)
class _Coarse:
    first: str
    second: str
    patch: tuple[int, int]
    match: tuple[int, int]


def coarse_overlaps(reduced_fields: Mapping[str, NDArray[np.float32]]) -> Iterator[_Coarse]:
    """Find pairs of fields that may overlap; only fields of one size can.

    Parameters
    ----------
    reduced_fields : ``training.data.locate.reduce(field)`` by field name

    Yields
    ------
    the pair, with the (left, top) of a patch of the first field and of its match in the second, reduced px
    """
    for first, second in combinations(sorted(reduced_fields), 2):
        a, b = reduced_fields[first], reduced_fields[second]
        if a.shape != b.shape:
            continue
        best = -1.0, (0, 0), (0, 0)
        height, width = min(PATCH, a.shape[0]), min(PATCH, a.shape[1])
        for top in _grid(a.shape[0], height):
            for left in _grid(a.shape[1], width):
                patch = a[top : top + height, left : left + width]
                if float(patch.std()) < FLAT_LEVELS:
                    continue
                _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(b, patch, cv2.TM_CCOEFF_NORMED))
                best = max(best, (score, (left, top), (int(x), int(y))))
        if best[0] >= COARSE_CORRELATION:
            yield _Coarse(first, second, best[1], best[2])


def verify(pair: _Coarse, first: UInt8Image, second: UInt8Image) -> Shift | None:
    """Look at a pair at full size.

    Parameters
    ----------
    pair : from :func:`coarse_overlaps`
    first, second : (H, W, 3) uint8 RGB, the two fields

    Returns
    -------
    Shift or None
        None where the fields do not show the same scene.
    """
    side = PATCH * REDUCTION
    left, top = (REDUCTION * value for value in pair.patch)
    patch = first[top : top + side, left : left + side]
    height, width = patch.shape[:2]
    window_left = max(0, pair.match[0] * REDUCTION - REACH_PX)
    window_top = max(0, pair.match[1] * REDUCTION - REACH_PX)
    window = second[
        window_top : pair.match[1] * REDUCTION + height + REACH_PX,
        window_left : pair.match[0] * REDUCTION + width + REACH_PX,
    ]
    grey_window, grey_patch = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (window, patch))
    _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(grey_window, grey_patch, cv2.TM_CCOEFF_NORMED))
    if score < FULL_CORRELATION:
        return None
    return Shift(pair.first, pair.second, window_left + x - left, window_top + y - top, float(score))


def join(fields: Iterable[str], shifts: Iterable[Shift]) -> dict[str, ScenePlace]:
    """Put the fields that hang together by overlaps into scenes.

    Parameters
    ----------
    fields : names of all fields
    shifts : overlaps found

    Returns
    -------
    dict of str to ScenePlace
        A field without overlap is its own scene; a scene is named after its first field.

    Examples
    --------
    >>> places = join(["a", "b", "c"], [Shift("a", "b", -10, 5, 0.99)])
    >>> places["b"], places["c"]
    (ScenePlace(scene='a', dx=10, dy=-5), ScenePlace(scene='c', dx=0, dy=0))
    """
    neighbours: dict[str, list[tuple[str, int, int]]] = {name: [] for name in sorted(fields)}
    for shift in shifts:
        neighbours[shift.first].append((shift.second, -shift.dx, -shift.dy))
        neighbours[shift.second].append((shift.first, shift.dx, shift.dy))
    places: dict[str, ScenePlace] = {}
    for start in neighbours:
        if start in places:
            continue
        places[start] = ScenePlace(start, 0, 0)
        reached = [start]
        while reached:
            here = places[(name := reached.pop())]
            for other, dx, dy in neighbours[name]:
                if other not in places:
                    places[other] = ScenePlace(start, here.dx + dx, here.dy + dy)
                    reached.append(other)
    return places


def _grid(length: int, side: int) -> list[int]:
    """List the starts of patches side by side, the last one flush with the end."""
    return sorted({*range(0, length - side + 1, side), length - side})
