"""Cells that touch: a blob of stain cut where it narrows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.histogram import histogram, quantile
from edge.segmentation.labels import Mask, as_mask, elliptic_kernel

PartLabels = NDArray[np.int32]

#: Two convex nuclei that touch meet in a neck narrower than this share of the smaller one's width.
_NECK = 0.9
#: Centres of nuclei, and of the lobes of one, lie at least this far from the edge ...
_LEAST_DEPTH_UM = 0.8
#: ... and at least half of this apart: a lobe is no narrower than 2 µm.
_APART_UM = 2.0
#: The distance transform is smoothed by this before its maxima are taken: outlines in pixels are ragged. A
#: third more or less of both leaves the cells of 95 real fields the same.
_SMOOTHING_UM = 0.3
_LEAST_SMOOTHING_PX = 0.6
#: Two neighbours may differ by this and be one plateau: rounding of float32.
_PLATEAU_PX = 1e-6

#: Powers of a px to a circle that are computed for one blob, at most: 0.2 s on a desktop machine. A sheet of
#: touching nuclei over 2 Mpx takes 12 million; px that are left over, far from every circle, go to the
#: nearest part.
_MOST_POWERS = 50_000_000
#: ... and up to which all px for all circles are quicker than windows: a cell or a dozen that touch.
_ALL_AT_ONCE = 500_000
#: Parts up to which a table of all pairs takes less time than looking for those that meet.
_FEW_PARTS = 32

#: The largest single nuclei reach 13.8 µm across: what is no larger is not searched for seams.
LARGEST_NUCLEUS_UM2 = 150.0
#: The seam of two membranes is thinner than the light microscope resolves: it shows as a line about 1 µm
#: wide, a tenth paler than the nuclei at its sides, and longer than the pale lines between chromatin clumps.
_SEAM_WIDTH_UM = 1.3
_SEAM_DEPTH = 0.1
_CORE_QUANTILE = 0.75  # of the nuclei's stain, which the seam is a tenth paler than
_SEAM_LENGTH_UM = 4.0
#: Cells pressed together have a nucleus of 7.2 µm or more each: chromatin's lines cut off less.
_LEAST_OWN_NUCLEUS_UM2 = 41.0


def split(blob: Mask, um_per_px: float, contrast: Mask | None = None) -> PartLabels:
    """Cut a blob at its necks, and along the pale seams of cells pressed together.

    Parameters
    ----------
    blob : (h, w) uint8, 1 inside
    um_per_px : of this image
    contrast : (h, w) uint8 stain contrast; without it seams are not looked for

    Returns
    -------
    (h, w) int32: 0 outside, parts numbered from 1

    Notes
    -----
    A watershed of the distance transform [1]_ [2]_ whose seeds are its regional maxima, the inscribed
    circles, with two changes. The circles are parted by their power diagram [3]_: two that overlap along
    their common chord. And parts are merged again where the saddle between them is nearly as high as the
    lower maximum: the neck is no narrower than the smaller part.

    What is too large for one nucleus and has no neck is searched for seams: long lines that a black-hat
    transform finds paler than both their sides. They are taken out before the distance transform.

    References
    ----------
    .. [1] S. Beucher, C. Lantuéjoul, "Use of watersheds in contour detection", Int. Workshop on Image
       Processing, Rennes, 1979.
    .. [2] L. Vincent, P. Soille, "Watersheds in digital spaces", IEEE TPAMI 13, 1991.
    .. [3] F. Aurenhammer, "Power diagrams: properties, algorithms and applications", SIAM J. Comput. 16,
       1987.
    """
    parts = _cut_at_necks(blob, blob, um_per_px)
    # No part is larger than the blob, whose px are quickly counted.
    if contrast is None or cv2.countNonZero(blob) * um_per_px**2 <= LARGEST_NUCLEUS_UM2:
        return parts
    if int(np.bincount(parts.ravel())[1:].max()) * um_per_px**2 <= LARGEST_NUCLEUS_UM2:
        return parts
    seams = _pale_lines(blob, contrast, um_per_px)
    if not seams.any():
        return parts
    finer = _cut_at_necks(blob, np.asarray(blob & (1 - seams), np.uint8), um_per_px)
    least = int(np.bincount(finer.ravel())[1:].min()) * um_per_px**2
    return finer if finer.max() > parts.max() and least >= _LEAST_OWN_NUCLEUS_UM2 else parts


def _pale_lines(blob: Mask, contrast: Mask, um_per_px: float) -> Mask:
    """Long pale lines inside a blob: 1 on them, else 0."""
    smooth = cv2.GaussianBlur(contrast, (0, 0), _LEAST_SMOOTHING_PX)
    paler = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, elliptic_kernel(_SEAM_WIDTH_UM / um_per_px))
    core = quantile(histogram(contrast, blob.view(np.bool_)), _CORE_QUANTILE)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (paler > _SEAM_DEPTH * core).astype(np.uint8) & blob
    )
    long = np.hypot(stats[:, 2], stats[:, 3]) * um_per_px >= _SEAM_LENGTH_UM
    long[0] = False
    return np.asarray(long[labels], dtype=np.uint8)


def _cut_at_necks(blob: Mask, solid: Mask, um_per_px: float) -> PartLabels:
    """Cut a blob between the inscribed circles of its solid part."""
    padded = cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    exact = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    distance = np.asarray(
        cv2.GaussianBlur(exact, (0, 0), max(_LEAST_SMOOTHING_PX, _SMOOTHING_UM / um_per_px)), dtype=np.float32
    )
    around = elliptic_kernel(_APART_UM / um_per_px)
    maxima = (distance >= cv2.dilate(distance, around) - _PLATEAU_PX) & (solid > 0)
    maxima &= distance * um_per_px > _LEAST_DEPTH_UM
    count, markers, _, centres = cv2.connectedComponentsWithStats(maxima.astype(np.uint8))
    if count <= 2:
        return blob.astype(np.int32)
    radii = np.zeros(count, np.float32)
    np.maximum.at(radii, np.asarray(markers, np.int32)[maxima], distance[maxima])
    parts = _power_diagram(blob, np.asarray(centres, np.float64), radii)
    return _merge_wide_necks(parts, distance, radii)


def _power_diagram(blob: Mask, centres: NDArray[np.float64], radii: NDArray[np.float32]) -> PartLabels:
    """Part the inscribed circles: two that overlap are parted along their common chord.

    Notes
    -----
    The power of a px to a circle is its squared distance from the centre less the squared radius; the least
    decides. Within a window of half the width sqrt(radius² + P) lie all px whose power is P or less, so a px
    whose least power among the windows is no more than P is decided. P begins with the usual circle's own
    radius² and grows fourfold until every px is decided: for circles of about one size that takes a few
    windows, whatever their number, where all px for all circles took a minute in a field full of cells.
    """
    parts = np.ones(blob.shape, np.int32)
    least = np.full(blob.shape, np.inf, np.float32)
    undecided = blob > 0
    if len(centres) * blob.size <= _ALL_AT_ONCE:
        places = centres.astype(np.float32)
        ys, xs = (np.arange(side, dtype=np.float32) for side in blob.shape)
        down, across = (ys - places[:, 1:]) ** 2 - radii[:, None] ** 2, (xs - places[:, :1]) ** 2
        for i in range(1, len(centres)):
            _lower(parts, least, i, down[i][:, None] + across[i])
        parts *= blob
        return parts
    reach = usual = float(np.median(radii[1:])) ** 2
    budget = _MOST_POWERS
    while undecided.any():
        boxes = _windows_of_power(centres, radii, reach, blob.shape)
        budget -= int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum())
        if budget < 0 and reach > usual:
            _give_to_nearest(parts, (blob > 0) & ~undecided)
            break
        least[undecided] = np.inf
        for i, (left, top, right, bottom) in enumerate(boxes.tolist(), start=1):
            window = np.s_[top:bottom, left:right]
            power = _powers(centres[i], radii[i], (left, top, right, bottom))
            _lower(parts[window], least[window], i, power)
        undecided &= least > reach
        reach *= 4
    parts *= blob
    return parts


def _powers(
    centre: NDArray[np.float64], radius: np.float32, window: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Power of each px of a window (x0, y0, x1, y1; ends exclusive) to a circle."""
    left, top, right, bottom = window
    x, y = centre.astype(np.float32)
    down = (np.arange(top, bottom, dtype=np.float32) - y) ** 2 - radius**2
    across = (np.arange(left, right, dtype=np.float32) - x) ** 2
    return np.asarray(down[:, None] + across, np.float32)


def _lower(parts: PartLabels, least: NDArray[np.float32], part: int, power: NDArray[np.float32]) -> None:
    """Give to a part, in place, what has a lower power to its circle than to those before."""
    np.copyto(parts, part, where=power < least)
    np.minimum(least, power, out=least)


def _windows_of_power(
    centres: NDArray[np.float64], radii: NDArray[np.float32], power: float, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Boxes (x0, y0, x1, y1; ends exclusive) outside which a px has more than a power, of circles 1.. ."""
    half = np.sqrt(radii[1:].astype(np.float64) ** 2 + power)[:, None] + 1
    limits = (shape[1], shape[0])
    first = np.clip(np.floor(centres[1:] - half), 0, limits)
    last = np.clip(np.ceil(centres[1:] + half) + 1, 0, limits)
    return np.asarray(np.concatenate([first, last], axis=1), dtype=np.int64)


def _give_to_nearest(parts: PartLabels, decided: NDArray[np.bool_]) -> None:
    """Give px far from every circle to the part of the nearest px that is decided, in place."""
    _, nearest = cv2.distanceTransformWithLabels(
        as_mask(~decided), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the px that are decided from 1, row by row.
    parts[:] = np.concatenate([np.ones(1, np.int32), parts[decided]])[nearest]


def _merge_wide_necks(
    parts: PartLabels, distance: NDArray[np.float32], radii: NDArray[np.float32]
) -> PartLabels:
    """Undo cuts whose neck is nearly as wide as the smaller part."""
    size = len(radii)
    pairs, heights = [], []
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        meet = np.nonzero(parts[here] != parts[there])
        first, second = parts[here][meet], parts[there][meet]
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs.append(low.astype(np.int64) * size + high)
        # Where a part meets what is none there is no saddle.
        heights.append(np.minimum(distance[here][meet], distance[there][meet]) * (low > 0))
    if size <= _FEW_PARTS:
        found, index = np.arange(size * size), np.concatenate(pairs)
    else:
        found, index = np.unique(np.concatenate(pairs), return_inverse=True)
    saddles = np.zeros(len(found), np.float32)
    np.maximum.at(saddles, index, np.concatenate(heights))
    found, saddles = found[saddles > 0], saddles[saddles > 0]
    parent = list(range(size))
    top = radii.tolist()

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for k in np.argsort(-saddles, kind="stable").tolist():
        a, b = root(int(found[k]) // size), root(int(found[k]) % size)
        if a != b and float(saddles[k]) > _NECK * min(top[a], top[b]):
            parent[b] = a
            top[a] = max(top[a], top[b])
    new = np.zeros(size, np.int32)
    numbers: dict[int, int] = {}
    for i in range(1, size):
        new[i] = numbers.setdefault(root(i), len(numbers) + 1)
    return new[parts]
