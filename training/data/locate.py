"""Where an ALL-IDB2 crop lies in the ALL-IDB1 fields: coarse search in all, exact search in a few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.structures import UInt8Image

#: Fields and crops are searched at 1/16 size: a white cell of 100 to 200 px is then 6 to 12 px wide, still a
#: shape of its own, and a search has 1/256 of the places with a template of 1/256 of the pixels.
REDUCTION = 16
#: Of 203 official crops and 84 fields a crop's own field came first 198 times and second 5 times (behind a
#: field that shows the same cell again); four leave room for a cell taken three times.
CANDIDATE_FIELDS = 4
#: The coarse place is good to one reduced pixel; twice that is searched at full size.
REACH_PX = 2 * REDUCTION
#: Mean absolute difference in grey levels up to which a crop counts as found. Cuts are exact (0.0 in 203 of
#: 203), one encoded again as JPEG differs by 1 to 3, the same cell in an overlapping field by 4.5 and more.
MAX_DIFFERENCE = 4.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place worth an exact search: field name, left and top in px of the field, correlation -1 to 1."""

    field: str
    left: int
    top: int
    correlation: float


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


def reduce(image: UInt8Image) -> NDArray[np.float32]:
    """Shrink an image to grey blocks for the coarse search.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    (H // 16, W // 16) float32
        Mean of every whole block of 16×16 px and of its channels, 0 to 255.

    Examples
    --------
    >>> reduce(np.full((33, 50, 3), 7, np.uint8)).tolist()
    [[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]
    """
    rows, columns = image.shape[0] // REDUCTION, image.shape[1] // REDUCTION
    whole = cv2.cvtColor(image[: rows * REDUCTION, : columns * REDUCTION], cv2.COLOR_RGB2GRAY)
    blocks = whole.reshape(rows, REDUCTION, columns, REDUCTION)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def find_candidates(crop: UInt8Image, reduced_fields: Mapping[str, NDArray[np.float32]]) -> list[Candidate]:
    """Find the fields that look most like holding a crop.

    Parameters
    ----------
    crop : (h, w, 3) uint8 RGB
    reduced_fields : ``reduce(field)`` by field name

    Returns
    -------
    list of Candidate
        The best place of each of the ``CANDIDATE_FIELDS`` best fields, best first; fields smaller than the
        crop are left out.

    References
    ----------
    Normalised cross-correlation: J. P. Lewis, "Fast normalized cross-correlation", Vision Interface 1995.
    """
    template = reduce(crop)
    found = []
    for name, reduced in reduced_fields.items():
        if reduced.shape[0] < template.shape[0] or reduced.shape[1] < template.shape[1]:
            continue
        scores = cv2.matchTemplate(reduced, template, cv2.TM_CCOEFF_NORMED)
        _, best, _, (left, top) = cv2.minMaxLoc(scores)
        found.append(Candidate(name, left * REDUCTION, top * REDUCTION, float(best)))
    # Names break ties, so that of two equal fields the first one is taken whatever order they came in.
    return sorted(found, key=lambda candidate: (-round(candidate.correlation, 6), candidate.field))[
        :CANDIDATE_FIELDS
    ]


def refine(crop: UInt8Image, field_image: UInt8Image, candidate: Candidate) -> Place:
    """Find the exact place of a crop near a candidate's.

    Parameters
    ----------
    crop : (h, w, 3) uint8 RGB
    field_image : (H, W, 3) uint8 RGB, the candidate's field at full size
    candidate : where the coarse search points

    Returns
    -------
    Place
        The place with the least squared difference within ``REACH_PX``, and how much differs there.
    """
    height, width = crop.shape[:2]
    left = int(np.clip(candidate.left - REACH_PX, 0, field_image.shape[1] - width))
    top = int(np.clip(candidate.top - REACH_PX, 0, field_image.shape[0] - height))
    window = field_image[top : top + height + 2 * REACH_PX, left : left + width + 2 * REACH_PX]
    _, _, (dx, dy), _ = cv2.minMaxLoc(cv2.matchTemplate(window, crop, cv2.TM_SQDIFF))
    there = window[dy : dy + height, dx : dx + width]
    difference = float(cv2.absdiff(there, crop).mean())
    return Place(candidate.field, left + dx, top + dy, difference)


def best_place(places: Iterable[Place]) -> Place | None:
    """Choose among the places found for a crop.

    Parameters
    ----------
    places : what :func:`refine` gave for each candidate

    Returns
    -------
    Place or None
        The one with the least difference (of equal ones the first field by name), None where none comes
        within ``MAX_DIFFERENCE``.

    Examples
    --------
    >>> best_place([Place("Im002_1", 5, 5, 40.0), Place("Im001_1", 7, 9, 0.0)])
    Place(field='Im001_1', left=7, top=9, difference=0.0)
    >>> best_place([Place("Im002_1", 5, 5, 40.0)]) is None
    True
    """
    near = [place for place in places if place.difference <= MAX_DIFFERENCE]
    return min(near, key=lambda place: (place.difference, place.field), default=None)
