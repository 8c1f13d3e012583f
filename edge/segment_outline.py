"""Outlines of whole cells and of their nuclei against blank slide, red cells and neighbours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.scale import cells_alone
from edge.segment_labels import Labels, Mask, ellipse, windows

#: The widest rim of cytoplasm around a nucleus that is looked for (monocytes, large granulocytes).
_REACH_UM = 5.0
#: Limits of the density of the palest cytoplasm: 0.04 is the noise of blank slide, 0.08 is 6 % less light.
_FAINT = (0.04, 0.08)
#: Blue contrast that blank slide never has: its noise is a third of the total density's.
_FAINT_BLUE = 0.02
#: Cytoplasm is bluer than red cells of the same density by this share of it (red cells' 90th percentile).
_BLUER = 0.06
#: Half the red cells' own density: thinner is a rim or a pale centre, or cytoplasm of a red cell's colour.
_RED_EDGE = 0.5
#: Two red cells on top of each other are twice as dense, and the densest tenth is 20 % above the median.
_RED_PILE = 2.4
#: Less than half a red cell beyond every white cell's reach is a scrap, not a sample of red cells.
_LEAST_RED_UM2 = 20.0
#: Cytoplasm rarely reaches further from its nucleus; one reaching further is outvoted by the red cells.
_AWAY_UM = 3.5
_LARGEST_CELL_UM2 = 290.0
_FRINGE_UM = 1.0  # between the foreground's outline and the faintest edge of a cell
#: Half the maximum is where a blurred edge lies; less because cytoplasm thins out and chromatin's plateau
#: is uneven.
_CELL_EDGE_SHARE = 0.4
_NUCLEUS_EDGE_SHARE = 0.45
#: Blur of the optics and of the reduced image together.
_EDGE_WIDTH_UM = 1.0
#: A cell's rim counts up to this many times its median density; the rest is light lost to the nucleus.
_RIM_LIMIT = 1.5
_THREAD_UM = 1.6  # narrower than this is no cytoplasm
_LARGEST_HOLE_UM2 = 2.0
_LEAST_RIM_UM2 = 5.0  # fewer pixels say nothing about the cytoplasm's stain


def whole_cells(
    total: NDArray[np.float32], contrast: NDArray[np.float32], parts: Labels, opaque: float, um_per_px: float
) -> Labels:
    """Give each pixel of cytoplasm within reach to the nearest nucleus.

    Parameters
    ----------
    total, contrast : (h, w) float32, R + G + B optical density and stain contrast
    parts : (h, w) int32 labels of nuclei
    opaque : total density above which a pixel is not blank slide
    um_per_px : of this image

    Returns
    -------
    (h, w) int32 labels, same numbers
    """
    outside = (parts == 0).astype(np.uint8)
    if outside.all():
        return parts
    distance, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = outside == 0
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    owner[nearest[inside]] = parts[inside]
    body = (total > float(np.clip(0.5 * opaque, *_FAINT))) | (contrast > _FAINT_BLUE)
    alone = _lone_cells(total > opaque, inside, um_per_px)
    away = (distance > _AWAY_UM / um_per_px) & ~alone
    body &= ~_red_cells(total, contrast, away, opaque, um_per_px) | alone
    body &= distance <= _REACH_UM / um_per_px
    body |= inside
    return np.where(body, owner[nearest], 0).astype(np.int32)


def _lone_cells(
    foreground: NDArray[np.bool_], stained: NDArray[np.bool_], um_per_px: float
) -> NDArray[np.bool_]:
    """White cells that nothing touches: all of such a cell is its own, whatever its colour."""
    alone = np.zeros(foreground.shape, np.uint8)
    largest_px = _LARGEST_CELL_UM2 / um_per_px**2
    outlines = cells_alone(foreground.astype(np.uint8), stained, largest_px)
    if outlines:
        cv2.drawContours(alone, outlines, -1, (1,), cv2.FILLED)
        alone = np.asarray(cv2.dilate(alone, ellipse(_FRINGE_UM / um_per_px)), dtype=np.uint8)
    return alone > 0


def _red_cells(
    total: NDArray[np.float32],
    contrast: NDArray[np.float32],
    away: NDArray[np.bool_],
    opaque: float,
    um_per_px: float,
) -> NDArray[np.bool_]:
    """Pixels that the field's own red cells explain, as seen away from every white cell."""
    coloured = contrast <= _BLUER * total + 0.006
    sparse = np.s_[::2, ::2]  # every fourth pixel gives the same median
    thin = total[sparse]
    sample = thin[away[sparse] & coloured[sparse] & (thin > opaque)]
    if 4 * sample.size * um_per_px**2 < _LEAST_RED_UM2:
        return np.zeros(total.shape, np.bool_)
    usual = float(np.median(sample))
    return np.asarray(coloured & (total > _RED_EDGE * usual) & (total < _RED_PILE * usual), dtype=np.bool_)


def smooth_cells(
    total: NDArray[np.float32], territory: Labels, nuclei: Labels, count: int, um_per_px: float
) -> Labels:
    """Whole cells: what hangs together with the nucleus, without threads, with holes filled.

    Parameters
    ----------
    total : (h, w) float32, R + G + B optical density
    territory : (h, w) int32, see :func:`whole_cells`
    nuclei : (h, w) int32, see :func:`refine_nuclei`
    count : number of labels
    um_per_px : of this image

    Returns
    -------
    (h, w) int32 labels, same numbers
    """
    cells = np.zeros_like(territory)
    thread, edge = ellipse(_THREAD_UM / um_per_px), ellipse(_EDGE_WIDTH_UM / um_per_px)
    for i, (rows, columns) in windows(territory, count):
        window = np.s_[max(0, rows.start - 1) : rows.stop + 1, max(0, columns.start - 1) : columns.stop + 1]
        own = (territory[window] == i).astype(np.uint8)
        nucleus = (nuclei[window] == i).astype(np.uint8)
        density = total[window]
        rim = density[own > nucleus]
        if rim.size:
            high = np.minimum(cv2.dilate(density, edge), _RIM_LIMIT * float(np.median(rim)))
            own &= (density > _CELL_EDGE_SHARE * high) | (nucleus > 0)
        whole = (
            cv2.morphologyEx(filled(own), cv2.MORPH_OPEN, thread, borderType=cv2.BORDER_REPLICATE) | nucleus
        )
        number, pieces = cv2.connectedComponents(whole)
        if number > 2:
            hit = np.zeros(number, np.uint8)
            hit[pieces[nucleus > 0]] = 1
            hit[0] = 0
            whole = hit[pieces]
        whole = filled(np.asarray(whole, dtype=np.uint8))
        target = cells[window]
        target[(whole > 0) & ((target == 0) | (nucleus > 0))] = i
    return cells


def refine_nuclei(levels: Mask, parts: Labels, territory: Labels, count: int, um_per_px: float) -> Labels:
    """Draw each nucleus at half height between its own stain and that of its own cytoplasm.

    Parameters
    ----------
    levels : (h, w) uint8 stain contrast
    parts : (h, w) int32 labels of nuclei
    territory : (h, w) int32, see :func:`whole_cells`
    count : number of labels
    um_per_px : of this image

    Returns
    -------
    (h, w) int32 labels, same numbers
    """
    nuclei = np.zeros_like(parts)
    edge = ellipse(_EDGE_WIDTH_UM / um_per_px)
    margin = round(2 * _EDGE_WIDTH_UM / um_per_px) + 1
    for i, (rows, columns) in windows(parts, count):
        window = np.s_[
            max(0, rows.start - margin) : rows.stop + margin,
            max(0, columns.start - margin) : columns.stop + margin,
        ]
        stain = levels[window]
        part = parts[window] == i
        core = _percentile(stain[part], 0.85)
        inner = stain[part & (stain > _NUCLEUS_EDGE_SHARE * core)]
        if inner.size == 0:
            continue
        core = _percentile(inner, 0.75)
        around = cv2.dilate(part.astype(np.uint8), edge) == 0
        rim = stain[(territory[window] == i) & around]
        cytoplasm = _percentile(rim, 0.5) if rim.size * um_per_px**2 > _LEAST_RIM_UM2 else 0.0
        nucleus = (part & (stain > cytoplasm + _NUCLEUS_EDGE_SHARE * (core - cytoplasm))).astype(np.uint8)
        opened = cv2.morphologyEx(nucleus, cv2.MORPH_OPEN, edge, borderType=cv2.BORDER_REPLICATE)
        if opened.any():
            nucleus = np.asarray(opened, dtype=np.uint8)
        nuclei[window][_without_specks(nucleus, _LARGEST_HOLE_UM2 / um_per_px**2)] = i
    return nuclei


def filled(mask: Mask) -> Mask:
    """Mask with its holes filled."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros_like(mask)
    cv2.drawContours(whole, outlines, -1, (1,), cv2.FILLED)
    return whole


def _percentile(levels: Mask, share: float) -> float:
    """Level below which the given share of the pixels lies; a histogram of bytes needs no sorting."""
    cumulative = np.cumsum(np.bincount(levels, minlength=256))
    return float(np.searchsorted(cumulative, share * cumulative[-1]))


def _without_specks(nucleus: Mask, hole_px: float) -> NDArray[np.bool_]:
    """Fill holes and drop islands that are smaller than any lobe."""
    out = nucleus.copy()
    for value in (1, 0):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (out != value).astype(np.uint8), connectivity=4
        )
        small = stats[:, 4] < hole_px
        small[0] = False
        out[small[labels]] = value
    return out > 0
