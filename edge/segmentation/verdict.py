"""What each object found is: a white cell, a smudge, or neither (platelet, rim, precipitate).

A white cell holds the chromatin of one nucleus, a platelet none. The dye bound to an object, density summed
over its area, is therefore bounded from below for a white cell whatever its size and shape, as DNA is in
Feulgen cytometry [1]_; Romanowsky dyes follow that law less closely, so the margins are wide.

References
----------
.. [1] M. L. Mendelsohn, "Absorption cytophotometry: comparative methodology for heterogeneous objects, and
   the two-wavelength method", in Introduction to Quantitative Cytochemistry, Academic Press, 1966, 201-214.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.light.density import FINE_LEVELS
from edge.segmentation.canvas import CanvasPlanes
from edge.segmentation.labels import (
    Labels,
    as_mask,
    labels_at,
    maximum_by_label,
    region_properties,
)
from edge.segmentation.stain import CONTRAST_LEVELS

NOTHING, WHITE_CELL, SMUDGE = 0, 1, 2

#: A white cell is no smaller than a red one (44 µm² at 7.5 µm), less 10 % for the outline's error.
_LEAST_CELL_UM2 = 40.0
_LEAST_CUT_CELL_UM2 = 20.0  # cut by the border: half of it is enough
#: Condensed nuclei of late erythroblasts, the smallest there are, are 5 µm across.
_LEAST_NUCLEUS_UM2 = 20.0
#: Rims of red cells and threads of precipitate are narrower than the narrowest nucleus, 2.5 µm.
_LEAST_NUCLEUS_RADIUS_UM = 1.25
#: Dye in density x µm², central objects: pbc's white cells of six types 23 and more (n = 600), all-idb2's
#: blasts 21 (105), wbc-seg 17 with three of 199 below 18.5, late erythroblasts from 12; pbc's platelets: 8.6
#: in the median, 96 of 100 below 20 and three of the others at a scale that came out twice the true one.
#: Defocused rims of red cells in wbc-chula: 260 of 266 below 8.
_LEAST_DYE = 20.0
_LEAST_CUT_DYE = 7.0  # cut by the border: rims and platelets there stay below 7.3, cut nuclei start at 6
#: ... and in share of the field's own: lymphocytes among blasts have 0.31, giant platelets 0.2 or less.
_DYE_SHARE = 0.18
#: A doubtful scale is easily wrong by a quarter, and areas by the square of that.
_SCALE_DOUBT = 0.55
#: Least share of a cell cut by the border that still can be judged.
_CUT_PART = 0.25
#: Condensed chromatin (late erythroblasts, plasma cells) is small and holds less dye than a platelet may, but
#: nothing else is as dense and as blue: red-light density over stain contrast is 1.3 and more in the 12 such
#: nuclei of pbc that were too small otherwise, with a density of 0.75 and more; pbc's platelets have 0.85 in
#: the median, 1.12 at most, and a density below 0.71 in 95 of 100. A pyknotic nucleus is 4 µm across.
_LEAST_CONDENSED_UM2 = 12.5
_CONDENSED_DENSITY = 0.7
_CONDENSED_BLUENESS = 1.2
#: Where the stain is faint or the red cells are blue, size speaks: platelets have 41 µm² at most ...
_LARGER_THAN_PLATELETS_UM2 = 45.0
#: Where poor optics or a pale stain leave less dye than that, size, thickness and contrast speak together: a
#: cell half as large again as a red one, with a nucleus 3 µm thick and no thread, that stands out by 5.5
#: sigmas of the red cells' own contrast, or where the red cells are faint, too (total density 0.22; 0.14 to
#: 0.21 in wbc-chula, 0.2 to 0.6 elsewhere). All 14 white cells there with too little dye are such, and of 190
#: platelets, pieces and fringes of eight sources three.
_DISTINCT_UM2, _DISTINCT_CELL_UM2, _DISTINCT_DYE = 25.0, 65.0, 6.5
_FAINT_CELL_UM2 = 45.0
_DISTINCT_RADIUS_UM, _DISTINCT_ROUNDNESS = 1.5, 0.42
_DISTINCT_SIGMAS = 5.5
_FAINT_RED_CELLS = 0.22
#: ... and what the border cuts.
_CUT_DISTINCT_CELL_UM2, _CUT_DISTINCT_RADIUS_UM, _CUT_DISTINCT_DYE = 40.0, 2.5, 3.5
#: Inscribed circle over circle of equal area: 0.45 for five lobes, 0.31 for a band of 2.5 µm by 20 µm,
#: less for rims and threads.
_THREAD = 0.3
_CUT_THREAD = 0.45  # for faint ones that the border cuts: their circle is not bounded there
#: ... and inscribed circle over circle of equal area is below 0.65 in a rim (0.45 median), 0.83 in a nucleus.
_ROUND = 0.65
#: Red cells bluer than grey (red density over a third of the sum; 0.38 and less in six sources, 0.37 to 0.60
#: in all-taleqani) hide the nuclei's excess of dye: there 25 µm² are a nucleus, usual platelets have 5 to 20,
#: and so is what holds a circle 3.8 µm across, whatever its outline (lobes, nuclei that touch).
_LEAST_BLUE_UM2 = 25.0
_THICK_UM = 1.9
#: Smaller ones still count where they look like the field's other nuclei in stain and in size.
_LIKE_STAIN = 0.75
_LIKE_AREA = 0.4
#: Where red cells are blue, those cut by the border have 0.3 to 0.5 of the stain contrast of the field's
#: nuclei, cut nuclei 0.6 and more (two fields of all-taleqani; 8 and 5 objects).
_CUT_STAIN = 0.5
_LEAST_PEERS = 2
#: Smudge: chromatin spread thin and drained of blue. Shares of the field's intact nuclei in 42 fields of
#: all-idb1: smudges 0.25 to 0.55 in density and 0.2 to 0.6 in blueness; blasts 0.58 and 0.69 at the least.
_SMUDGE_DENSITY = 0.56
_SMUDGE_BLUENESS = 0.66
#: Perimeter² / (4 pi area): 1.0 for a disc drawn in pixels 1.1, blasts 1.2, smudges 1.5 and more.
_SMUDGE_RAGGED = 1.35
_SMUDGE_VERY_RAGGED = 1.6
_LEAST_SMUDGE_UM2 = 40.0
#: ... or a naked nucleus: it takes most of what is outlined, and the rest has no stain but the nucleus's blur
#: (share of its stain, density). Of 400 smudges of jhu-aml 12 % are such, none of 620 blasts, 0.6 % of
#: 520 lymphocytes, 0.2 % of 420 others, and one of 450 cells of nine other sources.
_NAKED_SHARE, _NAKED_BLUR, _NAKED_CYTOPLASM = 0.6, 0.14, 0.04
#: Percentile of the intact nuclei's density that smudges are measured by: above the median, since smudges
#: that are round enough are among them; 50 to 60 leave 95 real fields the same.
_INTACT_PERCENTILE = 60
#: Below this the field's red cells are as blue as its nuclei, and blueness tells nothing.
_LEAST_BLUENESS = 0.25


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of the objects of a field; every array is (count + 1,), index 0 unused.

    Attributes
    ----------
    nucleus_um2, cell_um2 : areas
    stain : mean stain contrast of the nucleus, density
    blue : mean red-light density of the nucleus in excess of a red cell's
    cytoplasm : mean stain contrast of the rest of the cell, density; infinite where there is none
    radius_um : of the largest circle in the nucleus
    border : cut by the frame's border
    """

    nucleus_um2: NDArray[np.float64]
    cell_um2: NDArray[np.float64]
    stain: NDArray[np.float64]
    blue: NDArray[np.float64]
    cytoplasm: NDArray[np.float64]
    radius_um: NDArray[np.float64]
    border: NDArray[np.bool_]

    @property
    def density(self) -> NDArray[np.float64]:
        """Mean density of dye: what absorbs green without blue, plus what absorbs red."""
        return np.asarray(self.stain + np.maximum(self.blue, 0.0), dtype=np.float64)

    @property
    def dye(self) -> NDArray[np.float64]:
        """Dye of the whole nucleus, density x µm²."""
        return self.density * self.nucleus_um2

    @property
    def roundness(self) -> NDArray[np.float64]:
        """Radius of the inscribed circle over that of the circle of equal area."""
        equal_um = np.sqrt(np.maximum(self.nucleus_um2, 1e-6) / np.pi)
        return np.asarray(self.radius_um / equal_um, dtype=np.float64)


def measure(
    planes: CanvasPlanes,
    red_cell_red: float,
    nuclei: Labels,
    cells: Labels,
    count: int,
) -> Measures:
    """Measure the objects of a field.

    Parameters
    ----------
    planes : of the field
    red_cell_red : median red density of the field's red cells
    nuclei, cells : (h, w) uint16 labels 1..count
    count : number of objects

    Returns
    -------
    Measures
    """
    n = count + 1
    um2 = planes.um_per_px**2
    inside = nuclei > 0
    ids = nuclei[inside]
    pixels = np.bincount(ids, minlength=n)
    known = np.maximum(pixels, 1)
    stain = np.bincount(ids, weights=planes.contrast[inside], minlength=n) / (CONTRAST_LEVELS * known)
    blue = np.bincount(ids, weights=planes.red[inside], minlength=n) / (FINE_LEVELS * known) - red_cell_red
    depth = cv2.distanceTransform(as_mask(inside | ~planes.in_frame), cv2.DIST_L2, 5)
    radius = maximum_by_label(np.asarray(depth, np.float32), nuclei, count)
    radius[0] = 0
    border = labels_at(cells, planes.frame_edge, count)
    rest = (cells > 0) & ~inside
    of_rest = cells[rest]
    rest_px = np.bincount(of_rest, minlength=n)
    levels = np.bincount(of_rest, weights=planes.contrast[rest], minlength=n)
    cytoplasm = np.where(rest_px > 0, levels / (CONTRAST_LEVELS * np.maximum(rest_px, 1)), np.inf)
    radius_um = radius.astype(np.float64) * planes.um_per_px
    # A nucleus lies in its cell.
    return Measures(pixels * um2, (pixels + rest_px) * um2, stain, blue, cytoplasm, radius_um, border)


def judge(
    measures: Measures,
    nuclei: Labels,
    um_per_px: float,
    *,
    scale_known: bool = True,
    blue_red_cells: bool = False,
    red_cell_total: float = math.inf,
    red_cell_spread: float = 0.0,
) -> NDArray[np.uint8]:
    """Say what each object is.

    Parameters
    ----------
    measures : of the objects
    nuclei : (h, w) uint16 labels, for the outlines of what may be a smudge
    um_per_px : of this image
    scale_known : False where the scale is guessed or doubtful
    blue_red_cells : the red cells took up so much of the nuclei's dye that its amount tells little
    red_cell_total : median total density of the red cells, infinite where it is not known
    red_cell_spread : sigma of the red cells' own stain contrast, 0 where it is not known

    Returns
    -------
    (count + 1,) uint8, each ``NOTHING``, ``WHITE_CELL`` or ``SMUDGE``
    """
    m = measures
    faint_cut = m.border & (m.dye < _LEAST_DYE)
    possible = (m.radius_um >= _LEAST_NUCLEUS_RADIUS_UM) & (
        m.roundness > np.where(faint_cut, _CUT_THREAD, _THREAD)
    )
    doubt = 1.0 if scale_known else _SCALE_DOUBT
    possible[0] = False
    condensed = _condensed(m, possible) & (not blue_red_cells)
    possible &= (m.nucleus_um2 >= doubt * _LEAST_NUCLEUS_UM2) | m.border
    least_dye = doubt * _LEAST_DYE
    rich = possible & (m.dye >= np.where(m.border, _LEAST_CUT_DYE, least_dye))
    least_cell_um2 = _LEAST_BLUE_UM2 if blue_red_cells else _LEAST_CELL_UM2
    cell_size = m.cell_um2 >= np.where(m.border, _LEAST_CUT_CELL_UM2, least_cell_um2)
    plain = possible & cell_size & (m.roundness >= _ROUND)
    sure = rich | condensed | (plain & (m.nucleus_um2 >= _LARGER_THAN_PLATELETS_UM2))
    if blue_red_cells:
        sure |= plain & (m.nucleus_um2 >= _LEAST_BLUE_UM2)
        sure |= possible & cell_size & (m.radius_um >= _THICK_UM)
    sure |= _distinct(m, possible, red_cell_total, red_cell_spread)
    peers = sure & ~m.border
    smudges = np.zeros_like(sure)
    if np.count_nonzero(peers) >= _LEAST_PEERS:
        part = np.where(m.border, _CUT_PART, 1.0)
        alike = plain & (m.nucleus_um2 >= part * _LIKE_AREA * _weighted_median(m.nucleus_um2, m.dye, peers))
        alike &= m.density >= _LIKE_STAIN * _weighted_median(m.density, m.dye, peers)
        share = _DYE_SHARE * _weighted_median(m.dye, m.dye, peers)
        sure = (sure & (m.dye >= part * share)) | alike
        if blue_red_cells:
            # Red cells there have red density of their own; what tells them is that they lack contrast.
            sure &= ~m.border | (m.stain >= _CUT_STAIN * _weighted_median(m.stain, m.dye, peers))
        smudges = _smudges(m, possible & (m.dye >= share), peers, nuclei, um_per_px)
    smudges |= sure & _naked(m)
    kinds = np.where(sure, WHITE_CELL, NOTHING).astype(np.uint8)
    kinds[smudges] = SMUDGE
    return kinds


def _condensed(m: Measures, possible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Small round nuclei that are too dense and too blue for a platelet; whole ones only."""
    small = possible & ~m.border & (m.roundness >= _ROUND) & (m.nucleus_um2 >= _LEAST_CONDENSED_UM2)
    return np.asarray(
        small & (m.density >= _CONDENSED_DENSITY) & (m.blue >= _CONDENSED_BLUENESS * m.stain), dtype=np.bool_
    )


def _naked(m: Measures) -> NDArray[np.bool_]:
    """Nuclei of ruptured cells, without cytoplasm; whole ones only."""
    naked = m.cytoplasm <= np.minimum(_NAKED_BLUR * m.stain, _NAKED_CYTOPLASM)
    return np.asarray(naked & (m.nucleus_um2 >= _NAKED_SHARE * m.cell_um2) & ~m.border, np.bool_)


def _distinct(
    m: Measures, possible: NDArray[np.bool_], red_cell_total: float, red_cell_spread: float
) -> NDArray[np.bool_]:
    """Objects with little dye, as large and as thick as white cells, that stand out of the red cells."""
    faint = red_cell_total < _FAINT_RED_CELLS
    least_cell_um2 = _FAINT_CELL_UM2 if faint else _DISTINCT_CELL_UM2
    large = m.cell_um2 >= np.where(m.border, _CUT_DISTINCT_CELL_UM2, least_cell_um2)
    large &= m.nucleus_um2 >= _DISTINCT_UM2
    large &= m.radius_um >= np.where(m.border, _CUT_DISTINCT_RADIUS_UM, _DISTINCT_RADIUS_UM)
    large &= m.dye >= np.where(m.border, _CUT_DISTINCT_DYE, _DISTINCT_DYE)
    large &= m.roundness >= _DISTINCT_ROUNDNESS
    if faint:
        return large & possible
    if not red_cell_spread:
        return np.zeros_like(possible)
    return large & possible & (m.stain >= _DISTINCT_SIGMAS * red_cell_spread)


def _weighted_median(
    values: NDArray[np.float64], weights: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> float:
    """Weighted median. Weighted with dye, chance finds have no say beside one nucleus."""
    order = np.argsort(values[chosen])
    cumulative = np.cumsum(weights[chosen][order])
    return float(values[chosen][order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _smudges(
    m: Measures, possible: NDArray[np.bool_], peers: NDArray[np.bool_], nuclei: Labels, um_per_px: float
) -> NDArray[np.bool_]:
    """Objects that are pale and ragged beside the field's intact nuclei, the more ragged if no less blue."""
    smudge = np.zeros_like(possible)
    intact = peers & (m.roundness >= _ROUND)
    if np.count_nonzero(intact) < _LEAST_PEERS:
        return smudge
    density = float(np.percentile(m.density[intact], _INTACT_PERCENTILE))
    blueness = m.blue / np.maximum(m.stain, 1e-6)
    usual = float(np.median(blueness[intact]))
    pale = possible & (m.nucleus_um2 >= _LEAST_SMUDGE_UM2) & (m.density < _SMUDGE_DENSITY * density)
    drained = (usual > _LEAST_BLUENESS) & (blueness < _SMUDGE_BLUENESS * usual)
    ragged = np.where(drained, _SMUDGE_RAGGED, _SMUDGE_VERY_RAGGED)
    if not pale.any():
        return smudge
    bboxes = region_properties(nuclei, len(pale) - 1).bbox
    for i in np.flatnonzero(pale & (bboxes[:, 2] >= 0)).tolist():
        x0, y0, x1, y1 = bboxes[i]
        outlines, _ = cv2.findContours(
            as_mask(nuclei[y0 : y1 + 1, x0 : x1 + 1] == i), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        perimeter_um = sum(cv2.arcLength(outline, True) for outline in outlines) * um_per_px
        smudge[i] = perimeter_um**2 > ragged[i] * 4 * np.pi * m.nucleus_um2[i]
    return smudge
