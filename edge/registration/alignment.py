"""Two fields laid over each other: shift and rotation from small tiles, then judged on the whole overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.registration.keyframe import Plane
from edge.registration.transform import RigidTransform

#: Tiles are this large, in px of the fine plane (20 to 40 µm): at 2° their ends are off by less than a px.
_TILE_PX = 36
#: How far a tile is searched around the first guess: 2 px of the coarse plane's grid and 6 px for the ends
#: of a field that is turned by 2.5°.
_REACH_PX = 8
#: Largest rotation between two fields of a sample: a slide put back into its holder.
MAX_ROTATION_DEG = 3.5
#: Distance from the common transform up to which a tile agrees with it, fine px.
_AGREES_PX = 1.5
_LEAST_TILE_SCORE = 0.3
#: Tiles are no smaller than this where they give way at an edge, and more than one where they are longer than
#: so many; four along each side are 16 in an overlap of two whole fields.
_LEAST_TILE_PX = 10
_ONE_TILE = 1.5
_MOST_TILES = 4
#: Standard deviation of a tile with structure; planes have -1 to 1, and 0 where the slide is blank.
_LEAST_TILE_STRUCTURE = 0.05
#: Tiles whose pairs propose a rotation: of the best eight, two are right where anything is.
_LEADING_TILES = 8
#: Times that the transform is fitted to the tiles that agree with it: the second is for tiles that the first
#: brings in. One, two and four give the same in the overlaps of 18 real fields.
_REFINEMENTS = 2
_LEAST_AGREEING = 3  # two tiles are turned into each other whatever they are


@dataclass(frozen=True, slots=True)
class Alignment:
    """A place of one field on another, and how sure it is.

    Attributes
    ----------
    transform : from the new field's plane to the old one's
    correlation : of what overlaps, -1 to 1
    evidence : number of pixels in the overlap that show structure in both
    """

    transform: RigidTransform
    correlation: float
    evidence: float

    @property
    def significance(self) -> float:
        """Correlation times the root of the structured pixels: chance alone gives about as much anywhere."""
        return self.correlation * math.sqrt(self.evidence)

    @property
    def weight(self) -> float:
        """What it counts for beside others."""
        return self.correlation * self.evidence


def align(old: Plane, new: Plane, guess: RigidTransform) -> Alignment | None:
    """Refine a guess and judge it; the judgement is the caller's to accept (:func:`is_sure`).

    Parameters
    ----------
    old, new : planes of :class:`~edge.registration.keyframe.Keyframe`, of one shape
    guess : transform from new to old, right within a few px

    Returns
    -------
    Alignment, or None where nothing that overlaps can be compared

    Notes
    -----
    Tiles of the new plane are searched on the old one by normalised cross-correlation [1]_, to a fraction of
    a px by the parabola through the peak and its neighbours. Each tile proposes a shift, each pair of the
    best tiles a rotation with a shift; the proposal that most tiles agree with wins, as in random sample
    consensus [2]_ with all samples drawn. It is refined by weighted least squares over the tiles that agree,
    and judged by the correlation of all that overlaps.

    References
    ----------
    .. [1] J. P. Lewis, "Fast normalized cross-correlation", Vision Interface, 1995.
    .. [2] M. A. Fischler, R. C. Bolles, "Random sample consensus", Comm. ACM 24, 1981.
    """
    matches = _match_tiles(old, new, guess)
    if not len(matches.scores):
        return None
    return judge(old, new, _refine(matches, _consensus(matches, guess)))


def judge(old: Plane, new: Plane, transform: RigidTransform) -> Alignment | None:
    """Correlate two planes under a transform."""
    h, w = old.shape
    moved = cv2.warpAffine(new, transform.matrix(), (w, h), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(
        np.ones(new.shape, np.uint8), transform.matrix(), (w, h), flags=cv2.INTER_NEAREST
    ).astype(bool)
    if not inside.any():
        return None
    a, b = old[inside], moved[inside]
    a, b = a - a.mean(), b - b.mean()
    energy_a, energy_b = float(a @ a), float(b @ b)
    if min(energy_a, energy_b) <= 0:
        return None
    return Alignment(transform, float(a @ b) / math.sqrt(energy_a * energy_b), min(energy_a, energy_b))


@dataclass(frozen=True, slots=True)
class _TileMatches:
    """Tiles of the new plane found on the old one: centres on both, (n, 2), and correlations, (n,)."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    scores: NDArray[np.float64]


def _match_tiles(old: Plane, new: Plane, guess: RigidTransform) -> _TileMatches:
    h, w = new.shape
    # The overlap's box on the new plane, for a shift alone: rotation moves its edge by 5 px at most.
    corners = guess.inverse().apply(np.array([[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]]))
    left, top = np.maximum(corners.min(axis=0), 0).astype(int)
    right, bottom = np.ceil(np.minimum(corners.max(axis=0), (w, h))).astype(int)
    found = [
        match
        for x0, x1 in _tile_intervals(left, right)
        for y0, y1 in _tile_intervals(top, bottom)
        if (match := _match_tile(old, new, (x0, y0, x1, y1), guess)) is not None
    ]
    columns = np.array(found, np.float64).reshape(-1, 5)
    return _TileMatches(columns[:, :2], columns[:, 2:4], columns[:, 4])


def _match_tile(
    old: Plane, new: Plane, box: tuple[int, int, int, int], guess: RigidTransform
) -> tuple[float, float, float, float, float] | None:
    """Find a tile near its guess: x, y on the new plane and on the old one, correlation; None if nowhere."""
    h, w = new.shape
    x0, y0, x1, y1 = box
    middle = np.array([[(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2]])
    shift = guess.apply(middle)[0] - middle[0]
    sx, sy = round(float(shift[0])), round(float(shift[1]))
    # The tile gives way at the old plane's edge, so that it can be searched to either side.
    a0, a1 = max(x0, -sx), min(x1, w - sx)
    b0, b1 = max(y0, -sy), min(y1, h - sy)
    if min(a1 - a0, b1 - b0) < _LEAST_TILE_PX:
        return None
    tile = new[b0:b1, a0:a1]
    if float(tile.std()) < _LEAST_TILE_STRUCTURE:
        return None
    u0, v0 = max(0, a0 + sx - _REACH_PX), max(0, b0 + sy - _REACH_PX)
    u1, v1 = min(w, a1 + sx + _REACH_PX), min(h, b1 + sy + _REACH_PX)
    correlation = cv2.matchTemplate(old[v0:v1, u0:u1], tile, cv2.TM_CCOEFF_NORMED)
    _, score, _, (px, py) = cv2.minMaxLoc(correlation)
    if score < _LEAST_TILE_SCORE:
        return None
    half_x, half_y = (a1 - a0 - 1) / 2, (b1 - b0 - 1) / 2
    return (
        (a0 + a1 - 1) / 2,
        (b0 + b1 - 1) / 2,
        u0 + px + _subpixel_offset(correlation[py], px) + half_x,
        v0 + py + _subpixel_offset(correlation[:, px], py) + half_y,
        float(score),
    )


def _tile_intervals(start: int, stop: int) -> list[tuple[int, int]]:
    """Cut a length into tiles, spread evenly; a length of hardly more than one is one."""
    length = stop - start
    if length < _LEAST_TILE_PX:
        return []
    if length <= _ONE_TILE * _TILE_PX:
        return [(start, stop)]
    number = min(_MOST_TILES, length // _TILE_PX)
    starts = np.linspace(start, stop - _TILE_PX, number).astype(int)
    return [(int(s), int(s) + _TILE_PX) for s in starts]


def _subpixel_offset(values: NDArray[Any], at: int) -> float:
    """Vertex of the parabola through a maximum and its neighbours, relative to it."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, middle, behind = (float(v) for v in values[at - 1 : at + 2])
    bend = before - 2 * middle + behind
    return 0.5 * (before - behind) / bend if bend < -1e-9 else 0.0


def _consensus(matches: _TileMatches, guess: RigidTransform) -> RigidTransform:
    """Rotation and shift that most tiles agree with: each tile proposes one, and each pair of the best."""
    source, target = matches.source, matches.target
    turns = np.full(len(source), guess.angle_rad)
    shifts = target - guess.apply(source) + np.array([guess.x, guess.y])
    leading = np.argsort(-matches.scores, kind="stable")[:_LEADING_TILES]
    first, second = (leading[k] for k in np.triu_indices(len(leading), 1))
    p, q = source[second] - source[first], target[second] - target[first]
    angles = np.arctan2(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0], (p * q).sum(axis=1))
    usable = (np.hypot(*p.T) >= _TILE_PX) & (np.abs(angles) <= math.radians(MAX_ROTATION_DEG))
    first, angles = first[usable], angles[usable]
    turns = np.concatenate([turns, angles])
    shifts = np.concatenate([shifts, target[first] - _rotated(source[first], angles)])
    placed = _rotated(source[None], turns[:, None]) + shifts[:, None]
    agree = np.hypot(*np.moveaxis(target[None] - placed, 2, 0)) < _AGREES_PX
    chosen = int(np.argmax(agree @ matches.scores))
    return RigidTransform(float(turns[chosen]), float(shifts[chosen, 0]), float(shifts[chosen, 1]))


def _refine(matches: _TileMatches, transform: RigidTransform) -> RigidTransform:
    """Fit a transform to the tiles that agree with it."""
    for _ in range(_REFINEMENTS):
        agree = np.hypot(*(matches.target - transform.apply(matches.source)).T) < _AGREES_PX
        if agree.sum() < _LEAST_AGREEING:
            break
        refined = _least_squares(matches.source[agree], matches.target[agree], matches.scores[agree])
        if refined is None:
            break
        transform = refined
    return transform


def _rotated(points: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate points (..., 2) by angles that broadcast over them."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def _least_squares(
    source: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> RigidTransform | None:
    """Least squares of rotation and shift [1]_; None where the points are too close or it turns too far.

    References
    ----------
    .. [1] K. S. Arun, T. S. Huang, S. D. Blostein, "Least-squares fitting of two 3-D point sets",
       IEEE TPAMI 9, 1987.
    """
    a, b = np.average(source, axis=0, weights=weights), np.average(target, axis=0, weights=weights)
    p, q = source - a, target - b
    if float(np.sqrt((p * p).sum(axis=1).max())) < _TILE_PX / 2:
        return None
    dot = float((weights[:, None] * p * q).sum())
    cross = float((weights * (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])).sum())
    angle_rad = math.atan2(cross, dot)
    if abs(angle_rad) > math.radians(MAX_ROTATION_DEG):
        return None
    x, y = b - RigidTransform(angle_rad, 0.0, 0.0).apply(a[None])[0]
    return RigidTransform(angle_rad, float(x), float(y))
