"""Physical scale of a field from its own red cells, or from its isolated white cells."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation.bend import measure_bend
from edge.segmentation.diameter import Contour, commonest_diameter, outer_contours, round_diameters_px
from edge.segmentation.labels import Mask
from edge.segmentation.pooled import scale_of_red_cells
from edge.structures import RedCellScale, Scale

#: Mean diameter of a red cell on a dried smear, 7.2 to 7.8 µm in health [1]_.
#:
#: .. [1] B. J. Bain, "Blood Cells: A Practical Guide", 5th ed., Wiley, 2015, ch. 3.
RED_CELL_DIAMETER_UM = 7.5

#: Arcs that add up to fewer full circles than this are chance: debris and precipitate have arcs too.
_LEAST_CIRCLES = 0.7
#: So many isolated cells whose diameter is within a factor e^0.3 of the arcs' outvote them: their median has
#: no bias of arcs that end where cells meet. With 4 to 10, or e^0.2 to e^0.4, the cells of 95 real fields are
#: the same.
_LEAST_ISOLATED = 6
_ISOLATED_TOLERANCE = 0.3
#: Confidence: 1 - 1/e for so many full circles, and full where half of all arcs agree. Only its order against
#: the limits that others set matters; half and twice as much leave the cells of 95 real fields the same.
_CONFIDENT_CIRCLES = 4.0
_CONFIDENT_SHARE = 0.5
#: 12 to 15 µm for granulocytes, 7 to 15 µm for lymphocytes and blasts: 12.5 µm.
_USUAL_WHITE_CELL_UM2 = 125.0
#: Isolated cells smaller than this share of the largest are no white cells, nor are they typical where they
#: hold less of the stain than this.
_LEAST_OF_LARGEST = 0.5
_LEAST_STAIN_SHARE = 0.5
#: Largest circle that fits into a nucleus, 17 µm across: white cells of blood and marrow are 20 µm across at
#: most [1]_. In 480 fields of six sources whose red cells gave the right scale the largest was 187 µm²; where
#: colour fringes of red cells out of focus were taken for red cells it came out as 237 to 876.
_LARGEST_NUCLEUS_CIRCLE_UM2 = 227.0


def white_cell_scale(isolated: list[Contour], nuclei: Mask, shrink: float) -> float | None:
    """µm per px of the input where white cells that nothing touches hold most of the stain, else None.

    Parameters
    ----------
    isolated : of :func:`edge.segmentation.isolated.isolated_white_cells`
    nuclei : (h, w) uint8, 1 where a nucleus is
    shrink : input px per px of them
    """
    areas, stain = [], 0
    for contour in isolated:
        x, y, w, h = cv2.boundingRect(contour)
        areas.append(cv2.contourArea(contour))
        stain += int(nuclei[y : y + h, x : x + w].sum())
    if not areas or stain < _LEAST_STAIN_SHARE * int(nuclei.sum()):
        return None
    typical = [a for a in areas if a > _LEAST_OF_LARGEST * max(areas)]
    return math.sqrt(_USUAL_WHITE_CELL_UM2 / float(np.median(typical))) / shrink


def measure_scale(
    red_cells: Mask,
    to_nucleus_px: NDArray[np.float32] | None,
    shrink: float,
    expected_um_per_px: float | None = None,
    nucleus_radius_px: float = 0.0,
) -> Scale | None:
    """Find µm per px of the input from a mask of its red cells.

    Parameters
    ----------
    red_cells : (h, w) uint8 mask of red cells, in the reduced image; holes count as filled
    to_nucleus_px : (h, w) float32 px to the nearest nucleus, whose surroundings are no red cells; None where
        there is none
    shrink : input px per px of the mask
    expected_um_per_px : what the size of the nuclei suggests for the input, or None
    nucleus_radius_px : of the largest circle in the nuclei, px of the mask; no nucleus may come out larger
        than any is

    Returns
    -------
    Scale with source ``red_cells``, or None where no red cells support one

    Notes
    -----
    The commonest diameter of the round outlines is a red cell's, see
    :func:`edge.segmentation.diameter.commonest_diameter`. Where enough cells of about that diameter lie
    isolated, their median is taken instead. The confidence grows with the number of full circles and with
    the share of arcs that agree.
    """
    expected_px = None
    if expected_um_per_px is not None:
        expected_px = RED_CELL_DIAMETER_UM / expected_um_per_px / shrink
    least_px = RED_CELL_DIAMETER_UM * nucleus_radius_px / math.sqrt(_LARGEST_NUCLEUS_CIRCLE_UM2 / math.pi)
    contours = outer_contours(red_cells)
    vote = commonest_diameter(contours, red_cells.shape, to_nucleus_px, expected_px, least_px)
    if vote.circles < _LEAST_CIRCLES:
        return None
    diameter = vote.diameter_px
    isolated = round_diameters_px(contours, red_cells.shape)
    isolated = isolated[np.abs(np.log(isolated / diameter)) < _ISOLATED_TOLERANCE]
    if len(isolated) >= _LEAST_ISOLATED:
        diameter = float(np.median(isolated))
    support = 1.0 - float(np.exp(-vote.circles / _CONFIDENT_CIRCLES))
    agreement = min(1.0, vote.share / _CONFIDENT_SHARE)
    um_per_px = RED_CELL_DIAMETER_UM / diameter / shrink
    bend = measure_bend(contours, red_cells.shape)
    return scale_of_red_cells(RedCellScale(um_per_px, agreement * support, bend))
