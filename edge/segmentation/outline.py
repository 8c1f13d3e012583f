"""Outlines of whole cells and of their nuclei against blank slide, red cells and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.canvas import View
from edge.segmentation.labels import (
    Labels,
    Mask,
    areas_of,
    as_mask,
    bytes_of,
    ellipse,
    looked_up,
    relabelled,
    shade_reached,
    shades_by_label,
)
from edge.segmentation.stain import COARSE, LEVELS, filled, histogram, quantile

#: The widest rim of cytoplasm around a nucleus that is looked for (monocytes, large granulocytes).
_REACH_UM = 5.0
#: Limits of the density of the palest cytoplasm: 0.04 is the noise of blank slide, 0.08 is 6 % less light.
_FAINT = (0.04, 0.08)
#: Blue contrast that blank slide never has: its noise is a third of the total density's.
_FAINT_BLUE = 0.02
#: Half the red cells' own density: thinner is a rim or a pale centre, or cytoplasm of a red cell's colour.
_RED_EDGE = 0.5
#: Two red cells on top of each other are twice as dense, and the densest tenth is 20 % above the median.
_RED_PILE = 2.4
#: Cytoplasm rarely reaches further from its nucleus; one reaching further is outvoted by the red cells.
_AWAY_UM = 3.5
#: Less than half a red cell beyond every white cell's reach is a scrap, not a sample of red cells.
_LEAST_RED_UM2 = 20.0
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


@dataclass(frozen=True, slots=True)
class Territory:
    """Which nucleus each pixel is nearest to, and which pixels are some cell's.

    Attributes
    ----------
    everywhere : (h, w) uint16, label of the nearest nucleus, whatever lies between
    body : (h, w) bool, cytoplasm within reach of its nucleus, and the nuclei
    """

    everywhere: Labels
    body: NDArray[np.bool_]


def whole_cells(view: View, parts: Labels, opaque: float) -> Territory:
    """Give each pixel of cytoplasm within reach to the nearest nucleus.

    Parameters
    ----------
    view : of the field
    parts : (h, w) uint16 labels of nuclei, at least one
    opaque : total density above which a pixel is not blank slide

    Returns
    -------
    Territory
    """
    inside = parts > 0
    distance, nearest = cv2.distanceTransformWithLabels(
        as_mask(~inside), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the pixels of the nuclei from 1, row by row.
    owner = np.concatenate([np.zeros(1, np.uint16), parts[inside]])
    everywhere = relabelled(np.asarray(nearest, np.int32), owner)
    within_reach = distance <= _REACH_UM / view.um_per_px
    away = distance > _AWAY_UM / view.um_per_px
    del distance, nearest, owner  # memory that what follows can do without
    body = view.total > float(np.clip(0.5 * opaque, *_FAINT)) * COARSE
    body |= view.levels > _FAINT_BLUE * LEVELS
    away &= view.in_frame & ~view.alone
    sample = histogram(view.total, away & view.like_red & (view.total > opaque * COARSE))
    if sample.sum() * view.um_per_px**2 >= _LEAST_RED_UM2:
        usual = quantile(sample, 0.5)
        explained = view.like_red & (view.total > _RED_EDGE * usual) & (view.total < _RED_PILE * usual)
        body &= ~explained | view.alone
    body &= within_reach
    body |= inside
    body &= view.in_frame & view.zone
    return Territory(everywhere, body)


def refine_nuclei(
    view: View, parts: Labels, everywhere: Labels, body: NDArray[np.bool_], count: int
) -> Labels:
    """Draw each nucleus at half height between its own stain and that of its own cytoplasm.

    Parameters
    ----------
    view : of the field
    parts : (h, w) uint16 labels of nuclei
    everywhere, body : see :class:`Territory`
    count : number of labels

    Returns
    -------
    (h, w) uint16 labels, same numbers
    """
    edge = ellipse(_EDGE_WIDTH_UM / view.um_per_px)
    inside = parts > 0
    around = bytes_of(cv2.dilate(as_mask(inside), edge)).view(np.bool_)
    stain = shades_by_label(parts, view.levels, inside, count)
    shade = np.arange(256)
    inner = stain * (shade > _NUCLEUS_EDGE_SHARE * shade_reached(stain, 0.85)[:, None])
    core = shade_reached(inner, 0.75)
    cytoplasm = shades_by_label(everywhere, view.levels, body & ~around, count)
    enough = cytoplasm.sum(axis=1) * view.um_per_px**2 > _LEAST_RIM_UM2
    pale = np.where(enough, shade_reached(cytoplasm, 0.5), 0)
    threshold = pale + _NUCLEUS_EDGE_SHARE * (core - pale)
    # A level is above the threshold where it is above its whole part.
    raw = as_mask(view.levels > looked_up(threshold.astype(np.uint8), parts))
    raw &= as_mask(inside)
    opened = bytes_of(cv2.morphologyEx(raw, cv2.MORPH_OPEN, edge))
    left = areas_of(parts * opened, count) > 0
    if not left[1:].all():
        opened |= raw & as_mask(~left[parts])
    _without_specks(opened, _LARGEST_HOLE_UM2 / view.um_per_px**2)
    opened &= as_mask(view.in_frame)
    return np.asarray(everywhere * opened, np.uint16)


def _without_specks(nuclei: Mask, hole_px: float) -> None:
    """Fill holes and drop islands, in place, that are smaller than any lobe."""
    outlines, nesting = cv2.findContours(nuclei, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return
    is_hole = nesting[0, :, 3] >= 0
    areas = np.array([cv2.contourArea(outline) for outline in outlines])
    for value, chosen in ((1, is_hole), (0, ~is_hole)):
        small = np.flatnonzero(chosen & (areas < hole_px)).tolist()
        if small:
            cv2.drawContours(nuclei, [outlines[i] for i in small], -1, (value,), cv2.FILLED)


def smooth_cells(
    view: View, everywhere: Labels, body: NDArray[np.bool_], nuclei: Labels, count: int
) -> Labels:
    """Whole cells: what hangs together with the nucleus, without threads, with holes filled.

    Parameters
    ----------
    view : of the field
    everywhere, body : see :class:`Territory`
    nuclei : (h, w) uint16, see :func:`refine_nuclei`
    count : number of labels

    Returns
    -------
    (h, w) uint16 labels, same numbers
    """
    thread, edge = (ellipse(width_um / view.um_per_px) for width_um in (_THREAD_UM, _EDGE_WIDTH_UM))
    nucleus = nuclei > 0
    shades = shades_by_label(everywhere, view.total, body & ~nucleus, count)
    limit = np.minimum(_RIM_LIMIT * shade_reached(shades, 0.5), 254).astype(np.uint8)
    limit[shades.sum(axis=1) == 0] = 0
    high = cv2.min(cv2.dilate(view.total, edge), looked_up(limit, everywhere))
    own = body & (cv2.convertScaleAbs(view.total, alpha=1 / _CELL_EDGE_SHARE) > high)
    own |= nucleus
    # A line of one px parts cells that touch, so that what follows needs no loop over them.
    apart = np.ones(own.shape, np.bool_)
    apart[:, 1:] = everywhere[:, 1:] == everywhere[:, :-1]
    apart[1:] &= everywhere[1:] == everywhere[:-1]
    apart[1:, 1:] &= everywhere[1:, 1:] == everywhere[:-1, :-1]
    apart[1:, :-1] &= everywhere[1:, :-1] == everywhere[:-1, 1:]
    kernel = nucleus & apart
    whole = bytes_of(cv2.morphologyEx(filled(as_mask(own & apart)), cv2.MORPH_OPEN, thread))
    whole |= as_mask(kernel)
    number, pieces = cv2.connectedComponents(whole, connectivity=4, ltype=cv2.CV_16U)
    held = np.zeros(number, np.uint8)
    held[pieces[kernel]] = 1
    held[0] = 0
    whole = filled(looked_up(held, np.asarray(pieces, np.uint16))) | as_mask(nucleus)
    whole &= as_mask(view.in_frame)
    return np.asarray(everywhere * whole, np.uint16)
