"""Pictures of what segmentation missed, invented or outlined badly."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.segmentation import Segmentation
from edge.structures import UInt8Image
from training.evaluation.run import Comparison
from training.evaluation.truth import read_nucleus_and_cell

# Okabe and Ito's colours, told apart by colour-blind readers too (https://jfly.uni-koeln.de/color/), RGB.
MATCHED = (0, 158, 115)
MISSED = (240, 228, 66)
FALSE = (213, 94, 0)
MARKED = (0, 114, 178)


def draw_comparison(image: UInt8Image, comparison: Comparison, segmentation: Segmentation) -> UInt8Image:
    """Draw one comparison: green found, yellow missed, vermillion false.

    For masks, the marked outlines are blue and the found ones vermillion.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, left as it is

    Returns
    -------
    (H, W, 3) uint8 RGB
    """
    canvas = image.copy()
    line_px = max(1, round(max(image.shape[:2]) / 600))
    if comparison.truth.mask is not None:
        nucleus, cell = read_nucleus_and_cell(comparison.truth.mask)
        cell_labels, nucleus_labels = segmentation.label_images()
        for marked, found in ((cell, cell_labels > 0), (nucleus, nucleus_labels > 0)):
            _outline(canvas, found, FALSE, line_px)
            _outline(canvas, marked, MARKED, line_px)
        scores = "  ".join(
            f"{name.replace('_', ' ')} {value:.2f}" for name, value in comparison.scores.items()
        )
        _write(canvas, scores, (2 * line_px, 2 * line_px), MARKED, line_px)
        return canvas
    matching = comparison.matching
    false = set(matching.false) if matching and comparison.truth.boxes is not None else set()
    for index, found_cell in enumerate(segmentation.cells):
        colour = FALSE if index in false else MATCHED
        x, y, width, height = found_cell.bbox
        cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, line_px)
        _write(canvas, "false" if index in false else found_cell.kind, (x, y), colour, line_px)
    for index in matching.missed if matching else ():
        if comparison.truth.points is not None:
            px, py = (round(v) for v in comparison.truth.points[index])
            cv2.circle(canvas, (px, py), 20 * line_px, MISSED, 2 * line_px)
        elif comparison.truth.boxes is not None:
            x, y, width, height = (round(v) for v in comparison.truth.boxes[index])
            cv2.rectangle(canvas, (x, y), (x + width, y + height), MISSED, 2 * line_px)
            px, py = x, y
        _write(canvas, "missed", (px, py), MISSED, line_px)
    return canvas


def _outline(canvas: UInt8Image, mask: NDArray[np.bool_], colour: tuple[int, int, int], line_px: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, line_px)


def _write(
    canvas: UInt8Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int], line_px: int
) -> None:
    # A dark rim keeps every colour readable on a blank slide and on a nucleus alike.
    place = (max(2, corner[0]), max(12 * line_px, corner[1] - 3 * line_px))
    for shade, width in (((0, 0, 0), 3 * line_px), (colour, line_px)):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * line_px, shade, width, cv2.LINE_AA)
