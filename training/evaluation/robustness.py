"""Whether altered copies of a field give the cells that the field itself gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.camera.files import read_image
from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.rendered.settings import WHITE_KINDS
from edge.segmentation import Segmentation, segment
from edge.structures import Cell, Frame
from training.evaluation.alterations import ALTERATIONS, Alteration
from training.evaluation.metrics import centre_distance, match, point_distance
from training.evaluation.truth import Box, FieldTruth, read_nucleus_and_cell

#: By how much an alteration may lower the recall ...
MOST_DROP = 0.02
#: ... and change the count of a field that is turned or mirrored.
MOST_CHANGE = 1


@dataclass(frozen=True, slots=True)
class MarkedField:
    """A field and where its white cells are.

    Attributes
    ----------
    frame : the field
    boxes : (x, y, width, height) of each, in px; points have no width. None where only their number, one
        whole cell in the middle, is known
    """

    frame: Frame
    boxes: tuple[Box, ...] | None


@dataclass(frozen=True, slots=True)
class Robustness:
    """What one alteration did.

    Attributes
    ----------
    name : of the alteration
    fields : altered; those that the alteration takes out of the supported scales are left out
    marked, hits_before, hits : marked cells in them; found in the fields as they are, and altered
    within_one : fields whose count of cells changed by at most one
    moves_only : the alteration only turns or mirrors
    """

    name: str
    fields: int
    marked: int
    hits_before: int
    hits: int
    within_one: int
    moves_only: bool

    @property
    def drop(self) -> float:
        """Loss of recall, negative where there is a gain."""
        return (self.hits_before - self.hits) / self.marked if self.marked else 0.0

    @property
    def held(self) -> bool:
        """Whether recall and, where the field was only turned or mirrored, the counts were kept."""
        return self.drop <= MOST_DROP and (not self.moves_only or self.within_one == self.fields)


def marked_fields(fields: Iterable[FieldTruth]) -> Iterator[MarkedField]:
    """Read annotated images; fields without a marked white cell are kept for their counts."""
    for truth in fields:
        boxes: tuple[Box, ...] | None = truth.boxes
        if truth.points is not None:
            boxes = tuple((x, y, 0.0, 0.0) for x, y in truth.points)
        elif truth.mask is not None:
            _, cell = read_nucleus_and_cell(truth.mask)
            boxes = (tuple(map(float, cv2.boundingRect(cell.view(np.uint8)))),)  # type: ignore[assignment]
        elif truth.class_name == "platelet":
            boxes = ()
        yield MarkedField(read_image(truth.image, um_per_px=None), boxes)


def rendered_fields(number: int, settings: RenderSettings | None = None) -> Iterator[MarkedField]:
    """Render fields of the seeds 1, 2, ... with the boxes of their whole white cells."""
    for seed in range(1, number + 1):
        field = render_field(seed, settings)
        whole = [c for c in field.cells if c.kind in WHITE_KINDS and not c.touches_border]
        boxes = tuple(tuple(map(float, c.bbox)) for c in whole)
        yield MarkedField(Frame(field.image, f"rendered:{seed}"), boxes)  # type: ignore[arg-type]


def robustness(
    fields: Iterable[MarkedField],
    alterations: Sequence[Alteration] = ALTERATIONS,
    on_field: Callable[[], None] = lambda: None,
) -> list[Robustness]:
    """Segment each field as it is and altered in each way.

    Parameters
    ----------
    fields : read one at a time
    alterations : what is done to each
    on_field : called after each

    Returns
    -------
    A result an alteration, in their order
    """
    sums = {alteration.name: np.zeros(5, int) for alteration in alterations}
    for field in fields:
        frame = field.frame
        before = segment(Field(frame))
        hits_before = _hits(field.boxes, before)
        for alteration in alterations:
            if not alteration.fits(before.scale.um_per_px):
                continue
            image = alteration.image(frame.image, before.scale.um_per_px)
            after = segment(Field(Frame(image, f"{frame.source}, {alteration.name}")))
            boxes = field.boxes
            if boxes is not None:
                boxes = tuple(alteration.box(box, frame.width, frame.height) for box in boxes)
            within = abs(len(after.cells) - len(before.cells)) <= MOST_CHANGE
            marked = 1 if boxes is None else len(boxes)
            sums[alteration.name] += (1, marked, hits_before, _hits(boxes, after), within)
        on_field()
    return [
        Robustness(a.name, n, marked, hits_before, hits, within_one, a.moves_only)
        for a in alterations
        for n, marked, hits_before, hits, within_one in [sums[a.name].tolist()]
    ]


def _hits(boxes: tuple[Box, ...] | None, found: Segmentation) -> int:
    if boxes is None:
        return int(sum(not cell.touches_border for cell in found.cells) == 1)
    return len(match(boxes, found.cells, _distance).pairs)


def _distance(box: Box, cell: Cell) -> float | None:
    """Distance from a marked point, which has no width, or from the middle of a marked box."""
    x, y, width, _ = box
    return centre_distance(box, cell) if width else point_distance((x, y), cell)
