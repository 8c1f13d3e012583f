"""Segment every annotated image of a folder and sum up how it compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edge.camera.files import read_image
from edge.light.field import Field
from edge.segmentation import Segmentation, segment
from edge.structures import Cell, UInt8Image
from training.evaluation.figures import Figure, proportion
from training.evaluation.metrics import (
    Matching,
    centre_distance,
    dice_of_best_cell,
    match,
    overlap_distance,
    point_distance,
)
from training.evaluation.truth import FieldTruth, Layout, read_nucleus_and_cell

#: Dice below which an outline is wrong rather than imprecise; used to pick what is drawn.
POOR_DICE = 0.8


@dataclass(frozen=True, slots=True)
class Comparison:
    """One image against its annotation, as the overlay needs it.

    Attributes
    ----------
    truth : what was marked
    found : whole list of cells found
    matching : pairs, misses and false finds; None where the layout has no positions
    scores : figures of this image by name
    wrong : a person should look at it
    """

    truth: FieldTruth
    found: tuple[Cell, ...]
    matching: Matching | None
    scores: dict[str, float]
    wrong: bool


def evaluate(
    layout: Layout,
    fields: Iterable[FieldTruth],
    on_compared: Callable[[Comparison, UInt8Image, Segmentation], None],
    um_per_px: float | None = None,
) -> list[Figure]:
    """Segment and compare image after image; only one image is in memory at a time.

    Parameters
    ----------
    layout, fields : of :func:`training.evaluation.truth.read_truth`
    on_compared : called with every comparison, its (H, W, 3) uint8 RGB image and its segmentation
    um_per_px : configured scale of all images in µm per px, or None to find it in each

    Returns
    -------
    The figures of the layout, in the order of the documentation's tables.

    Raises
    ------
    ImageError
        An image cannot be read.
    """
    compare = {
        "points": _compare_points,
        "voc": _compare_boxes,
        "yolo": _compare_boxes,
        "masks": _compare_mask,
        "classes": _compare_class,
    }[layout]
    comparisons = []
    for truth in fields:
        frame = read_image(truth.image, um_per_px=um_per_px)
        segmentation = segment(Field(frame))
        comparison = compare(truth, segmentation)
        on_compared(comparison, frame.image, segmentation)
        comparisons.append(comparison)
    return _SUMMARIES[layout](comparisons)


def _white_cells(segmentation: Segmentation) -> tuple[Cell, ...]:
    return tuple(cell for cell in segmentation.cells if cell.kind == "wbc")


def _compare_points(truth: FieldTruth, segmentation: Segmentation) -> Comparison:
    points = truth.points or ()
    found = _white_cells(segmentation)
    matching = match(points, found, point_distance)
    scores: dict[str, float] = {"hits": len(matching.pairs), "marked": len(points), "found": len(found)}
    if truth.boxes is not None:
        # The expert masks hold every white cell, ruptured ones too, so smudges count as finds here.
        by_box = match(truth.boxes, segmentation.cells, overlap_distance)
        scores |= {
            "box_hits": len(by_box.pairs),
            "box_missed": len(by_box.missed),
            "box_false": len(by_box.false),
        }
    # A false find cannot be told here: the points of a field are its blasts only.
    return Comparison(truth, segmentation.cells, matching, scores, wrong=bool(matching.missed))


def _sum_points(comparisons: list[Comparison]) -> list[Figure]:
    total = _totals(comparisons)
    figures = [proportion("blast_detected_recall", int(total["hits"]), int(total["marked"]))]
    masked = [c.scores for c in comparisons if "box_hits" in c.scores]
    if masked:
        hits, missed, false = (int(total[key]) for key in ("box_hits", "box_missed", "box_false"))
        within = sum(abs(s["box_false"] - s["box_missed"]) <= 1 for s in masked)
        f1 = 2 * hits / (2 * hits + missed + false)
        figures += [
            Figure("wbc_f1_iou50", f1, hits + missed),
            proportion("wbc_count_within_1", within, len(masked)),
        ]
    return figures


def _compare_boxes(truth: FieldTruth, segmentation: Segmentation) -> Comparison:
    boxes = truth.boxes or ()
    # Ruptured cells are boxed like the others in both public sets, so they count as finds.
    found = segmentation.cells
    matching = match(boxes, found, centre_distance)
    overlapping = match(boxes, found, overlap_distance)
    scores = {
        "hits": len(matching.pairs),
        "marked": len(boxes),
        "found": len(found),
        "overlapping": len(overlapping.pairs),
        "exact": float(len(found) == len(boxes)),
    }
    return Comparison(truth, found, matching, scores, wrong=bool(matching.missed or matching.false))


def _sum_boxes(comparisons: list[Comparison]) -> list[Figure]:
    total = {key: int(value) for key, value in _totals(comparisons).items()}
    return [
        proportion("wbc_recall", total["hits"], total["marked"]),
        proportion("wbc_precision", total["hits"], total["found"]),
        proportion("wbc_recall_iou50", total["overlapping"], total["marked"]),
        proportion("wbc_count_exact", total["exact"], len(comparisons)),
    ]


def _compare_mask(truth: FieldTruth, segmentation: Segmentation) -> Comparison:
    assert truth.mask is not None
    nucleus, cell = read_nucleus_and_cell(truth.mask)
    cell_labels, nucleus_labels = segmentation.label_images()
    if nucleus.shape != cell_labels.shape or not nucleus.any():
        return Comparison(truth, segmentation.cells, None, {}, wrong=False)  # not a usable annotation
    nucleus_dice, cell_dice = dice_of_best_cell(nucleus, cell, cell_labels, nucleus_labels)
    scores = {"nucleus_dice": nucleus_dice, "cell_dice": cell_dice}
    return Comparison(truth, segmentation.cells, None, scores, wrong=min(scores.values()) < POOR_DICE)


def _sum_masks(comparisons: list[Comparison]) -> list[Figure]:
    figures = []
    for part in ("nucleus", "cell"):
        values = np.array([c.scores[f"{part}_dice"] for c in comparisons if c.scores])
        figures += [
            Figure(f"{part}_dice_mean", float(values.mean()), len(values)),
            Figure(f"{part}_dice_median", float(np.median(values)), len(values)),
            proportion(f"{part}_dice_below_{POOR_DICE}", int((values < POOR_DICE).sum()), len(values)),
        ]
    return figures


def _compare_class(truth: FieldTruth, segmentation: Segmentation) -> Comparison:
    whole = [cell for cell in segmentation.cells if not cell.touches_border]
    any_white = any(cell.kind == "wbc" for cell in segmentation.cells)
    is_platelet = truth.class_name == "platelet"
    scores = {"exactly_one": float(len(whole) == 1), "found": float(any_white)}
    return Comparison(
        truth, segmentation.cells, None, scores, wrong=any_white if is_platelet else len(whole) != 1
    )


def _sum_classes(comparisons: list[Comparison]) -> list[Figure]:
    by_class: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        by_class[comparison.truth.class_name or ""].append(comparison)
    figures = []
    for name, members in by_class.items():
        key = "found" if name == "platelet" else "exactly_one"
        hits = sum(int(c.scores[key]) for c in members)
        figures.append(proportion(f"{name}_{key}", hits, len(members)))
    return figures


def _totals(comparisons: list[Comparison]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for comparison in comparisons:
        for key, value in comparison.scores.items():
            total[key] += value
    return total


_SUMMARIES: dict[Layout, Callable[[list[Comparison]], list[Figure]]] = {
    "points": _sum_points,
    "voc": _sum_boxes,
    "yolo": _sum_boxes,
    "masks": _sum_masks,
    "classes": _sum_classes,
}
