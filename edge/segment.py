"""White cells of a field: found, separated and outlined at reduced resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.illumination import estimate_background
from edge.scale import measure_scale
from edge.segment_join import join_lobes, join_parts
from edge.segment_labels import Labels, Mask, ellipse, renumber
from edge.segment_nuclei import contrast_levels, find_parts
from edge.segment_outline import refine_nuclei, smooth_cells, territories
from edge.segment_stain import (
    densities,
    filled,
    foreground_threshold,
    otsu,
    red_cell_ratio,
    shrunk,
)
from edge.structures import Background, Cell, Frame, Scale

#: Resolution that cells are segmented at: the light microscope's own at NA 1.25, 0.61 * 0.55 µm / 1.25.
_WORK_UM_PER_PX = 0.25
#: A red cell of the widest fields seen (230 µm across) is still 20 px wide at this size.
_SURVEY_SIDE_PX = 650
#: Where a field has neither red cells nor nuclei nothing depends on the scale; the middle of 0.05 to 0.4.
_ASSUMED_UM_PER_PX = 0.2
#: Median nucleus over the single-cell data sets whose red cells give the scale (50 to 110 µm² by type).
_USUAL_NUCLEUS_UM2 = 75.0
#: Density below this share of the red cells' own is too thin for a red cell, whatever its colour.
_RED_EDGE = 0.4
#: A white cell is no smaller than a red one (44 µm² at 7.5 µm), less 10 % for the outline's error.
_LEAST_CELL_UM2 = 40.0
_LEAST_CUT_CELL_UM2 = 20.0  # cut by the border: half of it is enough
#: Where a field has neither red cells nor nuclei nothing depends on the scale; mid of 0.05 to 0.4.
_LEAST_NUCLEUS_UM2 = 20.0
#: Rims of red cells and threads of precipitate are narrower than the narrowest nucleus, 2.5 µm.
_LEAST_NUCLEUS_RADIUS_UM = 1.25


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What segmentation found in one field.

    Attributes
    ----------
    cells : in reading order, ids 1..n
    scale : scale of the input image
    background : blank slide's colour
    cell_map, nucleus_map : (h, w) uint16 label images of the reduced frame
    width, height : of the input, px
    """

    cells: tuple[Cell, ...]
    scale: Scale
    background: Background
    cell_map: NDArray[np.uint16]
    nucleus_map: NDArray[np.uint16]
    width: int
    height: int

    def label_images(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Label images (whole cells, nuclei) of the input's size; values are cell ids."""
        return self._enlarged(self.cell_map), self._enlarged(self.nucleus_map)

    def _enlarged(self, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        h, w = labels.shape
        out = np.zeros((self.height, self.width), np.uint16)
        fx, fy = self.width / w, self.height / h
        if (w, h) == (self.width, self.height):
            return labels.copy()
        for cell in self.cells:
            x, y, bw, bh = cell.bbox
            x0, y0 = max(0, math.floor(x / fx) - 1), max(0, math.floor(y / fy) - 1)
            x1, y1 = min(w, math.ceil((x + bw) / fx) + 1), min(h, math.ceil((y + bh) / fy) + 1)
            left, top, right, bottom = round(x0 * fx), round(y0 * fy), round(x1 * fx), round(y1 * fy)
            part = (labels[y0:y1, x0:x1] == cell.id).astype(np.float32)
            large = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
            out[top:bottom, left:right][large > 0.5] = cell.id
        return out


def segment(frame: Frame) -> Segmentation:
    """Find the white cells of a field.

    Parameters
    ----------
    frame : the field; ``frame.um_per_px``, where given, is the scale

    Returns
    -------
    Segmentation
    """
    image = frame.image
    background = estimate_background(image)
    long_side = max(frame.width, frame.height)
    survey_shrink = float(max(1, -(-long_side // _SURVEY_SIDE_PX)))
    total, difference = densities(shrunk(image, survey_shrink), background)
    survey = _survey(total, difference, survey_shrink)
    ratio, opaque, red_total = survey.ratio, survey.opaque, survey.red_total
    scale = survey.scale
    if frame.um_per_px is not None:
        scale = Scale(frame.um_per_px, "configured", 1.0)
    shrink = max(1.0, _WORK_UM_PER_PX / scale.um_per_px)
    if shrink > 1.3:
        small = shrunk(image, shrink)
        total, difference = densities(small, background)
    else:
        shrink = 1.0
        total, difference = densities(image, background)
    um_per_px = scale.um_per_px * shrink
    if um_per_px < 0.35:
        total = np.asarray(cv2.blur(total, (3, 3)), dtype=np.float32)
        difference = np.asarray(cv2.blur(difference, (3, 3)), dtype=np.float32)
    contrast = difference - ratio * total
    levels = contrast_levels(contrast)
    parts, count = find_parts(levels, um_per_px, 0.05)
    body = _body(total, contrast, opaque, red_total)
    territory = territories(parts, body, um_per_px)
    numbers, joined = renumber(join_parts(territory, parts, count, um_per_px))
    parts, territory = numbers[parts], numbers[territory]
    numbers, count = renumber(join_lobes(parts, joined, um_per_px))
    parts, territory = numbers[parts], numbers[territory]
    nuclei = refine_nuclei(levels, parts, count, um_per_px)
    cells = smooth_cells(territory, nuclei, count, um_per_px)
    return _assemble(frame, scale, background, nuclei, cells, count, um_per_px)


@dataclass(frozen=True, slots=True)
class _Survey:
    """What a first look at the field gave: its scale and its red cells' colour."""

    scale: Scale
    ratio: float
    opaque: float
    red_total: float


def _survey(total: NDArray[np.float32], difference: NDArray[np.float32], shrink: float) -> _Survey:
    first = red_cell_ratio(total, difference, 0.12)
    contrast = difference - (0.1 if first is None else first) * total
    stained = (contrast > max(0.05, 0.7 * otsu(contrast, 0.0, 0.6))).astype(np.uint8)
    solid = cv2.morphologyEx(stained, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    near = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, ellipse(0.03 * max(solid.shape)))
    _, labels = cv2.connectedComponents(near)
    areas = np.bincount(labels[solid > 0])[1:]
    areas = areas[areas > max(20.0, 0.25 * float(areas.max(initial=0)))]
    guess: float | None = None
    elsewhere = np.ones(total.shape, np.bool_)
    if areas.size:
        area = float(np.median(areas))
        guess = math.sqrt(_USUAL_NUCLEUS_UM2 / area) / shrink
        # Cytoplasm reaches some 5 µm from a nucleus of 9 µm; what lies beyond is no white cell.
        elsewhere = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 3) > 0.45 * math.sqrt(area)
    opaque = foreground_threshold(total[elsewhere]) if elsewhere.any() else 0.12
    ratio = red_cell_ratio(total[elsewhere], difference[elsewhere], opaque)
    if ratio is None or float((total[elsewhere] > opaque).sum()) < 0.01 * total.size:
        ratio, red_total = 0.05, math.inf
    else:
        colour = (total > opaque) & elsewhere & (difference < (ratio + 0.07) * total)
        red_total = _RED_EDGE * float(np.median(total[colour])) if colour.any() else math.inf
    red = filled((total > opaque).astype(np.uint8))
    red[cv2.dilate(stained, np.ones((5, 5), np.uint8)) > 0] = 0
    scale = measure_scale(red, stained, shrink, guess)
    if scale is None:
        scale = Scale(_ASSUMED_UM_PER_PX, "assumed", 0.0) if guess is None else Scale(guess, "assumed", 0.1)
    return _Survey(scale, ratio, opaque, red_total)


def _body(total: NDArray[np.float32], contrast: NDArray[np.float32], opaque: float, red_total: float) -> Mask:
    faint = float(np.clip(0.5 * opaque, 0.04, 0.08))
    return np.asarray(
        (total > faint) & ((contrast > 0.06 * total + 0.006) | (total < red_total)), dtype=np.uint8
    )


def _assemble(
    frame: Frame,
    scale: Scale,
    background: Background,
    nuclei: Labels,
    cells: Labels,
    count: int,
    um_per_px: float,
) -> Segmentation:
    h, w = cells.shape
    fx, fy = frame.width / w, frame.height / h
    found: list[tuple[Cell, int]] = []
    depth = cv2.distanceTransform((nuclei > 0).astype(np.uint8), cv2.DIST_L2, 5)
    thick = set(np.unique(nuclei[depth * um_per_px > _LEAST_NUCLEUS_RADIUS_UM]).tolist())
    for i in range(1, count + 1):
        ys, xs = np.nonzero(cells == i)
        nucleus_px = int((nuclei == i).sum())
        if len(xs) == 0 or i not in thick:
            continue
        x0, y0, x1, y1 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
        border = x0 == 0 or y0 == 0 or x1 == w or y1 == h
        if not border and nucleus_px * um_per_px**2 < _LEAST_NUCLEUS_UM2:
            continue
        if len(xs) * um_per_px**2 < (_LEAST_CUT_CELL_UM2 if border else _LEAST_CELL_UM2):
            continue
        left, top = round(x0 * fx), round(y0 * fy)
        box = (left, top, round(x1 * fx) - left, round(y1 * fy) - top)
        x, y = float((xs.mean() + 0.5) * fx - 0.5), float((ys.mean() + 0.5) * fy - 0.5)
        cell = Cell(0, x, y, box, round(len(xs) * fx * fy), round(nucleus_px * fx * fy), "wbc", border)
        found.append((cell, i))
    found.sort(key=lambda item: (item[0].y, item[0].x))
    numbers = np.zeros(count + 1, np.uint16)
    listed: list[Cell] = []
    for number, (c, i) in enumerate(found, start=1):
        numbers[i] = number
        listed.append(Cell(number, c.x, c.y, c.bbox, c.area_px, c.nucleus_area_px, c.kind, c.touches_border))
    return Segmentation(
        tuple(listed), scale, background, numbers[cells], numbers[nuclei], frame.width, frame.height
    )
