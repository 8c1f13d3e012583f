"""Which images show the same piece of a smear: crops cut from a field, and fields that overlap.

In ALL-IDB every crop of ALL-IDB2 was cut from a field of ALL-IDB1, one field is there twice under two names,
and several were taken after moving the stage by less than a field, so that their cells are photographed
again. Cells of such fields are told apart by their place in the common scene, not by their field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge.camera.files import read_image
from edge.light.field import Field
from edge.registration import Keyframe, RigidTransform, align, confirms, correlation_peaks, make_keyframe
from edge.structures import UInt8Image

#: Fields and crops are searched at 1/16 size: a white cell of 100 to 200 px is then 6 to 12 px wide, still a
#: shape of its own, and a search has 1/256 of the places with a template of 1/256 of the pixels.
REDUCTION = 16
#: Of 203 official crops and 84 fields a crop's own field came first 198 times and second 5 times (behind a
#: field that shows the same cell again); four leave room for a cell taken three times.
CANDIDATE_FIELDS = 4
#: A coarse place is good to one reduced pixel, or to one pixel of registration's plane (up to 10 px); twice
#: the larger is searched at full size.
REACH_PX = 2 * REDUCTION
#: Mean absolute difference in grey levels up to which a crop counts as found. Cuts are exact (0.0 in 203 of
#: 203), one encoded again as JPEG differs by 1 to 3, the same cell in an overlapping field by 4.5 and more.
MAX_DIFFERENCE = 4.0
#: Shifts of a pair that are looked at, likeliest first, as in a scan.
_PEAKS = 2
#: Side of the patches that are compared at full size: 256 px hold 3 to 7 red cells, a unique arrangement.
_PATCH_PX = 256
#: Patches compared, those that show most first: in one of them nothing has moved and both are in focus.
_PATCHES = 8
#: By how much a shift in the reduced plane is off at most: 11 px in ALL-IDB1, one and a half of its pixels.
_SHIFT_ERROR_PX = 16
#: Least correlation of such a patch in one scene. The 13 overlaps of ALL-IDB1 have 0.94 to 1.0; a cell seen
#: again in another field's surroundings reaches 0.87.
_SAME_SCENE = 0.89


@dataclass(frozen=True, slots=True)
class Place:
    """Where a crop was cut.

    Attributes
    ----------
    field : name of the field
    left, top : first column and row of the crop, px of the field
    difference : mean absolute difference between crop and field there, in grey levels (0 = exact)
    """

    field: str
    left: int
    top: int
    difference: float


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


def locate(crops: Mapping[str, Path], fields: Mapping[str, Path]) -> dict[str, Place | None]:
    """Find where crops were cut: by normalised cross-correlation [1]_ in all fields, exactly in a few.

    Parameters
    ----------
    crops, fields : image files by name

    Returns
    -------
    dict of str to Place or None
        By crop, the place of least difference (of equal ones that in the first field by name); None where
        none comes within ``MAX_DIFFERENCE``.

    References
    ----------
    .. [1] J. P. Lewis, "Fast normalized cross-correlation", Vision Interface 1995.
    """
    images = {name: read_image(path).image for name, path in crops.items()}
    reduced = {name: _reduced(image) for name, image in images.items()}
    coarse: dict[str, list[tuple[float, str, int, int]]] = defaultdict(list)
    for field, path in sorted(fields.items()):
        image = read_image(path).image
        whole = _reduced(image)
        for name, template in reduced.items():
            if np.all(np.array(image.shape) >= images[name].shape):
                scores = cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED)
                _, best, _, (left, top) = cv2.minMaxLoc(scores)
                coarse[name].append((-round(best, 6), field, left * REDUCTION, top * REDUCTION))
    wanted: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for name, candidates in coarse.items():
        for _, field, left, top in sorted(candidates)[:CANDIDATE_FIELDS]:
            wanted[field].append((name, left, top))
    found: dict[str, list[Place]] = defaultdict(list)
    for field, at in wanted.items():
        image = read_image(fields[field]).image
        for name, left, top in at:
            found[name].append(_exact_place(images[name], field, image, left, top))
    return {
        name: min(
            (place for place in found[name] if place.difference <= MAX_DIFFERENCE),
            key=lambda place: (place.difference, place.field),
            default=None,
        )
        for name in crops
    }


def overlaps(fields: Mapping[str, Path]) -> list[Shift]:
    """Find the pairs of fields that show the same scene, as the device finds overlapping fields of a scan.

    Its registration proposes shifts; a patch of the overlap at full size decides, so that overlaps are found,
    too, which a scan would leave open because counting a cell twice does less harm there than losing one.

    Parameters
    ----------
    fields : image files by name; only fields of one size can overlap
    """
    keyframes = {name: make_keyframe(Field(read_image(path))) for name, path in sorted(fields.items())}
    found = []
    for first, second in combinations(keyframes, 2):
        for dx, dy in _likely_shifts(keyframes[first], keyframes[second]):
            one, other = (read_image(fields[name]).image for name in (first, second))
            if (shift := _verified(first, second, one, other, dx, dy)) is not None:
                found.append(shift)
                break
    return found


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


def connected(names: Iterable[str], ties: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name each one's connected component after the first member by name.

    Examples
    --------
    >>> connected(["a", "b", "c", "d"], [("c", "b"), ("c", "d")])
    {'a': 'a', 'b': 'b', 'c': 'b', 'd': 'b'}
    """
    ordered = sorted(set(names))
    number = {name: i for i, name in enumerate(ordered)}
    ends = np.array([(number[a], number[b]) for a, b in ties], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(ordered),) * 2)
    _, component = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return {name: first.setdefault(int(part), name) for name, part in zip(ordered, component, strict=True)}


def _reduced(image: UInt8Image) -> NDArray[np.float32]:
    """Shrink an image to the grey means of its whole blocks of 16×16 px."""
    rows, columns = image.shape[0] // REDUCTION, image.shape[1] // REDUCTION
    whole = cv2.cvtColor(image[: rows * REDUCTION, : columns * REDUCTION], cv2.COLOR_RGB2GRAY)
    blocks = whole.reshape(rows, REDUCTION, columns, REDUCTION)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _exact_place(crop: UInt8Image, field: str, image: UInt8Image, left: int, top: int) -> Place:
    """Find the place of least squared difference near a coarse one."""
    height, width = crop.shape[:2]
    left = int(np.clip(left - REACH_PX, 0, image.shape[1] - width))
    top = int(np.clip(top - REACH_PX, 0, image.shape[0] - height))
    window = image[top : top + height + 2 * REACH_PX, left : left + width + 2 * REACH_PX]
    _, _, (dx, dy), _ = cv2.minMaxLoc(cv2.matchTemplate(window, crop, cv2.TM_SQDIFF))
    difference = float(cv2.absdiff(window[dy : dy + height, dx : dx + width], crop).mean())
    return Place(field, left + dx, top + dy, difference)


def _likely_shifts(first: Keyframe, second: Keyframe) -> Iterable[tuple[int, int]]:
    """Shifts in px of the fields at which two reduced fields look alike."""
    if not first.comparable(second):
        return
    for _, x, y in correlation_peaks(first, second, _PEAKS):
        alignment = align(first.fine(), second.fine(), RigidTransform(0.0, x, y))
        if alignment is not None and confirms(alignment):
            onto = alignment.transform
            yield round(-onto.x * first.px_per_px), round(-onto.y * first.px_per_px)


def _verified(first: str, second: str, one: UInt8Image, other: UInt8Image, dx: int, dy: int) -> Shift | None:
    """Compare the patches of the overlap that show most, at full size; the best of them decides."""
    grey_one, grey_other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (one, other))
    places = [
        (y, x) for y in _starts(*_overlap(one.shape[0], dy)) for x in _starts(*_overlap(one.shape[1], dx))
    ]
    patches = [(grey_one[y : y + _PATCH_PX, x : x + _PATCH_PX], y, x) for y, x in places]
    patches.sort(key=lambda patch: -float(patch[0].std()))
    best = Shift(first, second, dx, dy, -1.0)
    for patch, y, x in patches[:_PATCHES]:
        top, left = max(0, y + dy - REACH_PX), max(0, x + dx - REACH_PX)
        window = grey_other[top : y + dy + _PATCH_PX + REACH_PX, left : x + dx + _PATCH_PX + REACH_PX]
        if not patch.std():
            break
        _, score, _, (at_x, at_y) = cv2.minMaxLoc(cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED))
        if score > best.correlation:
            best = Shift(first, second, left + at_x - x, top + at_y - y, float(score))
    return best if best.correlation >= _SAME_SCENE else None


def _overlap(length: int, shift: int) -> tuple[int, int]:
    """Rows or columns that lie in both fields, less what the shift may be wrong by."""
    return max(0, -shift) + _SHIFT_ERROR_PX, min(length, length - shift) - _SHIFT_ERROR_PX


def _starts(start: int, stop: int) -> list[int]:
    """List the starts of patches side by side, the last one flush with the end; none where none fits."""
    last = stop - _PATCH_PX
    return sorted({*range(start, last + 1, _PATCH_PX), last}) if last >= start else []
