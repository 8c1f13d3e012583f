"""White cells of a field: found, separated and outlined at reduced resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.illumination import estimate_background
from edge.scale import cells_alone, measure_scale, white_cell_scale
from edge.segment_join import join_parts
from edge.segment_judge import NOTHING, SMUDGE, judge, measure
from edge.segment_labels import Labels, ellipse, renumber, windows
from edge.segment_nuclei import contrast_levels, find_parts
from edge.segment_outline import refine_nuclei, smooth_cells, whole_cells
from edge.segment_stain import (
    densities,
    filled,
    foreground_threshold,
    otsu,
    red_cell_ratio,
    red_cell_spread,
    shrunk,
)
from edge.structures import Background, Cell, CellKind, Frame, Outline, Scale

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
#: Faintest stain looked at: nuclei of the palest source (wbc-chula) have 0.09, an 8-bit step is 0.005.
_LEAST_CONTRAST = 0.05
#: ... and above the red cells' own spread, which colour fringes of a field out of focus widen.
_RED_CELL_SIGMAS = 2.0
#: Confidence up to which a scale is a guess; 0.1 is what the nuclei alone give.
_DOUBTFUL_SCALE = 0.1
#: Share of red in the red cells' density, 1/3 for grey; 0.09 to 0.38 in stains whose red cells are red.
_BLUER_THAN_GREY = 0.39


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

    def outline(self, cell: Cell) -> Outline:
        """Where one of the cells lies, for :func:`edge.preprocess.to_input`."""
        return Outline(self.cell_map, self.nucleus_map, cell.id, self.width, self.height)

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


def segment(frame: Frame, background: Background | None = None) -> Segmentation:
    """Find the white cells of a field.

    Parameters
    ----------
    frame : the field; ``frame.um_per_px``, where given, is the scale
    background : blank slide's colour where it is known already, else it is estimated

    Returns
    -------
    Segmentation
    """
    image = frame.image
    if background is None:
        background = estimate_background(image)
    long_side = max(frame.width, frame.height)
    survey_shrink = float(max(1, -(-long_side // _SURVEY_SIDE_PX)))
    total, difference, red = densities(shrunk(image, survey_shrink), background)
    survey = _survey(total, difference, red, survey_shrink)
    ratio, opaque = survey.ratio, survey.opaque
    scale = survey.scale
    if frame.um_per_px is not None:
        scale = Scale(frame.um_per_px, "configured", 1.0)
    shrink = max(1.0, _WORK_UM_PER_PX / scale.um_per_px)
    if shrink > 1.3:
        small = shrunk(image, shrink)
        total, difference, red = densities(small, background)
    else:
        shrink = 1.0
        total, difference, red = densities(image, background)
    um_per_px = scale.um_per_px * shrink
    if um_per_px < 0.35:
        total = np.asarray(cv2.blur(total, (3, 3)), dtype=np.float32)
        difference = np.asarray(cv2.blur(difference, (3, 3)), dtype=np.float32)
    contrast = difference - ratio * total
    levels = contrast_levels(contrast)
    parts, count = find_parts(levels, um_per_px, max(_LEAST_CONTRAST, _RED_CELL_SIGMAS * survey.spread))
    territory = whole_cells(total, contrast, parts, opaque, um_per_px)
    numbers, count = renumber(join_parts(territory, parts, levels, count, um_per_px))
    parts, territory = numbers[parts], numbers[territory]
    nuclei = refine_nuclei(levels, parts, territory, count, um_per_px)
    cells = smooth_cells(total, territory, nuclei, count, um_per_px)
    measures = measure(levels, red, survey.red_red, nuclei, cells, count, um_per_px)
    kinds = judge(
        measures,
        nuclei,
        um_per_px,
        scale_known=scale.confidence > _DOUBTFUL_SCALE,
        blue_red_cells=survey.blue_red_cells,
    )
    return _assemble(frame, scale, background, nuclei, cells, kinds)


@dataclass(frozen=True, slots=True)
class _Survey:
    """What a first look at the field gave: its scale and its red cells' colour."""

    scale: Scale
    ratio: float
    opaque: float
    red_total: float
    red_red: float  # median density in the red channel
    spread: float  # of the red cells' stain contrast
    blue_red_cells: bool


def _survey(
    total: NDArray[np.float32], difference: NDArray[np.float32], red_plane: NDArray[np.float32], shrink: float
) -> _Survey:
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
        ratio, red_total, red_red, spread = 0.05, math.inf, 0.0, 0.0
    else:
        colour = (total > opaque) & elsewhere & (difference < (ratio + 0.07) * total)
        red_total = _RED_EDGE * float(np.median(total[colour])) if colour.any() else math.inf
        red_red = float(np.median(red_plane[colour])) if colour.any() else 0.0
        thick = (total > opaque) & elsewhere
        spread = red_cell_spread(difference[thick] - ratio * total[thick])
    red = filled((total > opaque).astype(np.uint8))
    red[cv2.dilate(stained, np.ones((5, 5), np.uint8)) > 0] = 0
    foreground = (total > opaque).astype(np.uint8)
    cv2.drawContours(red, cells_alone(foreground, solid > 0), -1, (0,), cv2.FILLED)
    scale = measure_scale(red, stained, shrink, guess)
    if scale is None:
        whole = white_cell_scale(foreground, solid > 0, shrink)
        guess = guess if whole is None else whole
        scale = Scale(_ASSUMED_UM_PER_PX, "assumed", 0.0) if guess is None else Scale(guess, "assumed", 0.1)
    blue = red_red > _BLUER_THAN_GREY * red_total / _RED_EDGE
    return _Survey(scale, ratio, opaque, red_total, red_red, spread, blue)


def _assemble(
    frame: Frame,
    scale: Scale,
    background: Background,
    nuclei: Labels,
    cells: Labels,
    kinds: NDArray[np.uint8],
) -> Segmentation:
    h, w = cells.shape
    fx, fy = frame.width / w, frame.height / h
    found: list[tuple[Cell, int]] = []
    for i, (rows, columns) in windows(cells, len(kinds) - 1):
        if kinds[i] == NOTHING:
            continue
        ys, xs = np.nonzero(cells[rows, columns] == i)
        nucleus_px = int(np.count_nonzero(nuclei[rows, columns] == i))
        border = rows.start == 0 or columns.start == 0 or rows.stop == h or columns.stop == w
        left, top = round(columns.start * fx), round(rows.start * fy)
        box = (left, top, round(columns.stop * fx) - left, round(rows.stop * fy) - top)
        x = (float(xs.mean()) + columns.start + 0.5) * fx - 0.5
        y = (float(ys.mean()) + rows.start + 0.5) * fy - 0.5
        kind: CellKind = "smudge" if kinds[i] == SMUDGE else "wbc"
        cell = Cell(0, x, y, box, round(len(xs) * fx * fy), round(nucleus_px * fx * fy), kind, border)
        found.append((cell, i))
    found.sort(key=lambda item: (item[0].y, item[0].x))
    numbers = np.zeros(len(kinds), np.uint16)
    listed: list[Cell] = []
    for number, (c, i) in enumerate(found, start=1):
        numbers[i] = number
        listed.append(Cell(number, c.x, c.y, c.bbox, c.area_px, c.nucleus_area_px, c.kind, c.touches_border))
    return Segmentation(
        tuple(listed), scale, background, numbers[cells], numbers[nuclei], frame.width, frame.height
    )
