"""Cells that touch: a blob of stain cut where it narrows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.labels import Mask, elliptic_kernel
from edge.segmentation.stain import histogram, quantile

PartLabels = NDArray[np.int32]

#: Two convex nuclei that touch meet in a neck narrower than this share of the smaller one's width.
_NECK = 0.9


#: Centres of nuclei, and of the lobes of one, lie at least this far from the edge ...
_LEAST_DEPTH_UM = 0.8
#: ... and at least half of this apart: a lobe is no narrower than 2 µm.
_APART_UM = 2.0


#: The distance transform is smoothed by this before its maxima are taken: outlines in pixels are ragged.
_SMOOTHING_UM = 0.3
_LEAST_SMOOTHING_PX = 0.6
#: Two neighbours may differ by this and be one plateau: rounding of float32.
_PLATEAU_PX = 1e-6

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
    if contrast is None or int(np.bincount(parts.ravel())[1:].max()) * um_per_px**2 <= LARGEST_NUCLEUS_UM2:
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
    """Part the inscribed circles: two that overlap are parted along their common chord."""
    h, w = blob.shape
    ys, xs = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None]
    parts = np.ones((h, w), np.int32)
    least = np.full((h, w), np.inf, np.float32)
    # One circle after the other: the memory does not grow with their number.
    for i, (x, y) in enumerate(centres[1:].astype(np.float32), start=1):
        power = ((ys - y) ** 2 - radii[i] ** 2) + (xs - x) ** 2
        np.copyto(parts, i, where=power < least)
        np.minimum(least, power, out=least)
    parts *= blob
    return parts


def _merge_wide_necks(
    parts: PartLabels, distance: NDArray[np.float32], radii: NDArray[np.float32]
) -> PartLabels:
    """Undo cuts whose neck is nearly as wide as the smaller part."""
    size = len(radii)
    saddles = np.zeros(size * size, np.float32)
    for first, second, height in (
        (parts[:, :-1], parts[:, 1:], np.minimum(distance[:, :-1], distance[:, 1:])),
        (parts[:-1], parts[1:], np.minimum(distance[:-1], distance[1:])),
    ):
        meet = (first != second) & (first > 0) & (second > 0)
        low, high = np.minimum(first[meet], second[meet]), np.maximum(first[meet], second[meet])
        np.maximum.at(saddles, low * size + high, height[meet])
    parent = list(range(size))
    top = radii.tolist()

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    found = np.flatnonzero(saddles)
    for key in found[np.argsort(-saddles[found], kind="stable")].tolist():
        a, b = root(key // size), root(key % size)
        if a != b and float(saddles[key]) > _NECK * min(top[a], top[b]):
            parent[b] = a
            top[a] = max(top[a], top[b])
    new = np.zeros(size, np.int32)
    numbers: dict[int, int] = {}
    for i in range(1, size):
        new[i] = numbers.setdefault(root(i), len(numbers) + 1)
    return new[parts]
