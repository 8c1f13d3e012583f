"""How well the fields of a sample are found on each other: cells counted twice, cells lost, false finds."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.camera.files import read_image
from edge.light.field import Field
from edge.registration import (
    Alignment,
    Entry,
    Keyframe,
    Mosaic,
    Placement,
    RigidTransform,
    find_overlaps,
    make_keyframe,
)
from edge.rendered import RenderedField
from edge.rendered.settings import WHITE_KINDS
from edge.segmentation import Segmentation, segment
from edge.structures import CellKind, Frame
from training.evaluation.figures import Figure, proportion


@dataclass
class Outcome:
    """What became of the cells of one or several slides.

    Attributes
    ----------
    cells : white cells that were found whole in at least one field, and smudges that were found cut or whole
    twice : how often one of them was counted once more, as a white cell or as a smudge
    as_smudge_too : how many of them were counted as a white cell and as a smudge, once each
    lost : how many of them were counted in no field
    sightings : sightings of cells that had been counted before
    shared : pairs of fields that show such a cell in common
    shared_found : how many of these pairs were registered
    claimed : pairs of fields that were registered
    false : registered pairs that do not overlap, or lie elsewhere on each other
    fields : number of fields
    place_errors_um : distance of each field's place from the true one, where a place was given
    place_ms, segment_ms : processor time of each field
    """

    cells: int = 0
    twice: int = 0
    as_smudge_too: int = 0
    lost: int = 0
    sightings: int = 0
    shared: int = 0
    shared_found: int = 0
    claimed: int = 0
    false: int = 0
    fields: int = 0
    place_errors_um: list[float] = field(default_factory=list)
    place_ms: list[float] = field(default_factory=list)
    segment_ms: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """Return the figures, as in the documentation's table."""
        errors = np.array(self.place_errors_um or [0.0])
        fraction = np.array(self.place_ms) / np.array(self.segment_ms)
        return [
            proportion("cells_counted_twice", self.twice, self.cells),
            proportion("counted_as_smudge_too", self.as_smudge_too, self.cells),
            proportion("cells_lost", self.lost, self.cells),
            proportion("overlaps_found", self.shared_found, self.shared),
            proportion("false_registrations", self.false, self.claimed),
            Figure("place_error_um_median", float(np.median(errors)), len(self.place_errors_um)),
            Figure("place_error_um_p95", float(np.percentile(errors, 95)), len(self.place_errors_um)),
            Figure("place_ms_p5", float(np.percentile(self.place_ms, 5)), len(self.place_ms)),
            Figure("place_ms_median", float(np.median(self.place_ms)), len(self.place_ms)),
            Figure("place_ms_p95", float(np.percentile(self.place_ms, 95)), len(self.place_ms)),
            Figure("segment_ms_p5", float(np.percentile(self.segment_ms, 5)), len(self.segment_ms)),
            Figure("place_over_segment_median", float(np.median(fraction)), len(fraction)),
        ]


def follow_slide(
    fields: Iterable[RenderedField],
    outcome: Outcome,
    on_field: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.process_time,
) -> None:
    """Count the fields of one slide in order, as the daemon does, and add up what became of its cells.

    Parameters
    ----------
    fields : of one slide, with their truth
    outcome : added to
    on_field : called after each field
    clock : processor seconds
    """
    mosaic = Mosaic()
    views: list[RenderedField] = []
    counted: dict[str, dict[CellKind, set[int]]] = defaultdict(lambda: defaultdict(set))
    found_in: dict[str, set[int]] = defaultdict(set)
    claims: list[tuple[int, int]] = []
    for number, view in enumerate(fields):
        field = Field(Frame(view.image, f"field {number}", um_per_px=view.um_per_px))
        started = clock()
        found = segment(field)
        segmented = clock()
        placement = mosaic.place(field, found)
        outcome.place_ms.append((clock() - segmented) * 1e3)
        outcome.segment_ms.append((segmented - started) * 1e3)
        mosaic.add(number, placement)
        keys = _identities(found, view)
        for cell in found.cells:
            key = keys.get(cell.id)
            # As the tally has it: a smudge counts as one cut or whole, a white cell where it is whole.
            if key is None or (cell.touches_border and cell.kind != "smudge"):
                continue
            outcome.sightings += bool(counted[key]) and number not in found_in[key]
            found_in[key].add(number)
            if cell.id not in placement.seen:
                counted[key][cell.kind].add(number)
        views.append(_without_pictures(view))
        claims += [(old, number) for old in placement.overlaps]
        if placement.stage_um is not None:
            outcome.place_errors_um.append(_place_error_um(placement, view, views[0]))
        on_field()
    outcome.fields += len(views)
    outcome.cells += len(found_in)
    outcome.twice += sum(len(fields_of) - 1 for kinds in counted.values() for fields_of in kinds.values())
    outcome.as_smudge_too += sum(len(kinds) - 1 for kinds in counted.values() if kinds)
    outcome.lost += sum(not counted[key] for key in found_in)
    shared = {pair for fields_of in found_in.values() for pair in _pairs(sorted(fields_of))}
    outcome.shared += len(shared)
    outcome.shared_found += len(shared & set(claims))
    outcome.claimed += len(claims)
    outcome.false += sum(not _overlap(views[old], views[new]) for old, new in claims)


def registered_pairs(
    images: Sequence[Path], on_image: Callable[[], None] = lambda: None
) -> list[tuple[Path, Path, Alignment]]:
    """Compare every two pictures of one size, each pair by itself.

    Parameters
    ----------
    images : files of fields
    on_image : called after each

    Returns
    -------
    the pairs that were found to overlap, and how

    Raises
    ------
    ImageError
        An image cannot be read.
    """
    found = []
    earlier: list[tuple[Path, Keyframe]] = []
    for path in images:
        keyframe = make_keyframe(Field(read_image(path)))
        for other, old in earlier:
            alignments, _ = find_overlaps([Entry(old, 0, RigidTransform(0.0, 0.0, 0.0))], keyframe)
            found += [(other, path, alignment) for alignment in alignments.values()]
        earlier.append((path, keyframe))
        on_image()
    return found


def _identities(found: Segmentation, view: RenderedField) -> dict[int, str]:
    """Name the true cell that most of each found cell lies on; found cells on none are left out."""
    labels, _ = found.label_images()
    keys = {cell.id: cell.key for cell in view.cells if cell.kind in (*WHITE_KINDS, "smudge")}
    names = {}
    for cell in found.cells:
        x, y, w, h = cell.bbox
        part = np.s_[y : y + h, x : x + w]
        under = view.cell_labels[part][labels[part] == cell.id]
        truth, count = Counter(under[under > 0].tolist()).most_common(1)[0] if under.any() else (0, 0)
        if 2 * count > len(under):
            names[cell.id] = keys[truth]
    return names


def _without_pictures(view: RenderedField) -> RenderedField:
    """Keep where a field was, and how large it is, but none of its pixels."""
    nothing = np.zeros((1, 1), np.uint16)
    image = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), view.image.shape)
    return RenderedField(image, view.um_per_px, (), nothing, nothing, view.x_um, view.y_um, view.rotation_deg)


def _place_error_um(placement: Placement, view: RenderedField, first: RenderedField) -> float:
    """Distance of a field's centre from where the placement has it."""
    assert placement.stage_um is not None
    half_x, half_y = view.image.shape[1] / 2 * view.um_per_px, view.image.shape[0] / 2 * view.um_per_px
    turn = math.radians(placement.rotation_deg)
    x = placement.stage_um[0] + math.cos(turn) * half_x - math.sin(turn) * half_y - half_x
    y = placement.stage_um[1] + math.sin(turn) * half_x + math.cos(turn) * half_y - half_y
    # Into the slide's axes, along which the first field may be turned.
    back = math.radians(first.rotation_deg)
    true_x, true_y = view.x_um - first.x_um, view.y_um - first.y_um
    return math.hypot(
        math.cos(back) * x - math.sin(back) * y - true_x, math.sin(back) * x + math.cos(back) * y - true_y
    )


def _overlap(a: RenderedField, b: RenderedField) -> bool:
    """Whether two fields overlap, by their circumscribed boxes."""
    reach_x, reach_y = a.image.shape[1] * a.um_per_px, a.image.shape[0] * a.um_per_px
    turn = math.radians(b.rotation_deg - a.rotation_deg)
    back = math.radians(-a.rotation_deg)
    dx, dy = b.x_um - a.x_um, b.y_um - a.y_um
    x = math.cos(back) * dx - math.sin(back) * dy
    y = math.sin(back) * dx + math.cos(back) * dy
    grow_x = (reach_x * (1 + abs(math.cos(turn))) + reach_y * abs(math.sin(turn))) / 2
    grow_y = (reach_y * (1 + abs(math.cos(turn))) + reach_x * abs(math.sin(turn))) / 2
    return abs(x) < grow_x and abs(y) < grow_y


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return [(a, b) for i, a in enumerate(numbers) for b in numbers[i + 1 :]]
