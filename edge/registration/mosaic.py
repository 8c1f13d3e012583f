"""The fields of a sample laid out beside each other, so that no cell is counted twice."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edge.light.field import Field
from edge.registration.alignment import Alignment
from edge.registration.cells import Observation, match_cells, observe
from edge.registration.keyframe import Keyframe, make_keyframe
from edge.registration.search import Entry, find_overlaps
from edge.registration.transform import RigidTransform
from edge.segmentation import Segmentation
from edge.structures import Cell, CellRef, Frame, UInt8Image

_log = logging.getLogger(__name__)

#: Fields of a sample that are remembered, at 0.12 MB each. A sample of 500 white cells has 20 to 100.
MAX_FIELDS = 600


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a field lies among the fields of its sample.

    Attributes
    ----------
    stage_um : place of its upper left corner in µm, from that of the sample's first field and along that
        field's axes; None where it is not known
    rotation_deg : of the field against the first one, clockwise on the picture
    overlaps : ids of the earlier fields that it was found to overlap
    offsets_um : where its upper left corner lies from that of the best of these in each group of fields that
        hang together: (field, x, y)
    confidence : correlation of the best of these overlaps, 0 to 1; 0 where the field was not recognised
    seen : by id of this field's cells, where the same cell was counted before
    compared : number of earlier fields that it was compared with
    """

    stage_um: tuple[float, float] | None
    rotation_deg: float
    overlaps: tuple[int, ...]
    offsets_um: tuple[tuple[int, float, float], ...]
    confidence: float
    seen: Mapping[int, CellRef]
    compared: int
    _keyframe: Keyframe = field(repr=False)
    _cells: tuple[Cell, ...] = field(repr=False)
    _um_per_px: float = field(repr=False)
    _links: tuple[tuple[int, RigidTransform], ...] = field(
        repr=False
    )  # fields by index and motions onto them, best first

    @property
    def adds_cells(self) -> bool:
        """Whether the field has a whole cell that was not counted before."""
        return any(not cell.touches_border and cell.id not in self.seen for cell in self._cells)


class Mosaic:
    """The counted fields of one sample.

    A field is compared with the last ones first, then with those that must lie under it, and, where
    neither knows it, with all. Fields of another size than the first are never recognised.

    Examples
    --------
    >>> from edge.rendered import RenderSettings, Slide
    >>> from edge.segmentation import segment
    >>> slide = Slide(4, RenderSettings(width=856, height=684, um_per_px=0.2))
    >>> mosaic = Mosaic()
    >>> for number, x_um in enumerate((0.0, 60.0), start=1):
    ...     field = Field(Frame(slide.view(x_um).image, "slide", um_per_px=0.2))
    ...     placement = mosaic.place(field, segment(field))
    ...     mosaic.add(number, placement)
    >>> [round(um) for um in placement.stage_um], placement.overlaps
    ([60, 0], (1,))
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._field_ids: list[int] = []
        self._cells: list[tuple[Observation, ...]] = []
        self._cut: set[CellRef] = set()  # cells that were cut by the edge where they were first seen
        self._forgotten = 0
        self._um_per_px: float | None = None  # the first field's; the scale of a sample does not change

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self._entries)

    def place(self, field: Field, segmentation: Segmentation) -> Placement:
        """Find a field's place and the cells of it that were counted before. Nothing is changed.

        Parameters
        ----------
        field : to be placed
        segmentation : its cells
        """
        return self._place(make_keyframe(field), segmentation.cells, segmentation.scale.um_per_px)

    def add(self, field_id: int, placement: Placement) -> None:
        """Add a field once it is in the log.

        Parameters
        ----------
        field_id : the log's number for it
        placement : what :meth:`place` gave for it, with no other field added since
        """
        keyframe, links = placement._keyframe, placement._links
        if links and links[0][1].is_negligible(keyframe.plane.shape) and not placement.adds_cells:
            return  # the same view again: whoever returns here is recognised by the one that is kept
        if self._um_per_px is None:
            self._um_per_px = placement._um_per_px
        self._field_ids.append(field_id)
        self._cut.update(
            CellRef(field_id, cell.id)
            for cell in placement._cells
            if cell.touches_border and cell.id not in placement.seen
        )
        named = [(cell, placement.seen.get(cell.id, CellRef(field_id, cell.id))) for cell in placement._cells]
        self._cells.append(
            tuple(observe(cell, keyframe.px_per_px, ref, is_cut=ref in self._cut) for cell, ref in named)
        )
        if not links:
            component = max((entry.component for entry in self._entries), default=-1) + 1
            self._entries.append(Entry(keyframe, component, RigidTransform(0.0, 0.0, 0.0)))
            self._forget_oldest()
            return
        nearest, transform = links[0]
        onto = self._entries[nearest]
        new = Entry(keyframe, onto.component, onto.pose.after(transform))
        self._entries.append(new)
        for index, transform in links[1:]:
            other = self._entries[index]
            if other.component != new.component:
                self._join(
                    new.component, other.component, new.pose.after(other.pose.after(transform).inverse())
                )
        self._forget_oldest()

    def restore(
        self,
        field_id: int,
        image: UInt8Image,
        um_per_px: float,
        cells: Iterable[Cell],
        seen: Mapping[int, CellRef],
    ) -> Placement:
        """Add a field that was logged before the program was last started, in the order of the log.

        Its place is found anew; which of its cells were counted before is what the log says.

        Parameters
        ----------
        field_id : the log's number for it
        image : (H, W, 3) uint8 RGB as it was stored
        um_per_px : scale of the field
        cells : as logged
        seen : by id of its cells, where the log says that the same cell was counted before
        """
        keyframe = make_keyframe(Field(Frame(image, "a logged field")))
        placement = replace(self._place(keyframe, tuple(cells), um_per_px), seen=dict(seen))
        self.add(field_id, placement)
        return placement

    def _place(self, keyframe: Keyframe, cells: tuple[Cell, ...], um_per_px: float) -> Placement:
        found, compared = find_overlaps(self._entries, keyframe)
        ranked = sorted(found, key=lambda index: -found[index].weight)
        um_per_fine_px = keyframe.px_per_px * (self._um_per_px or um_per_px)
        best: dict[int, int] = {}  # field by index that joins it to a component
        for index in ranked:
            best.setdefault(self._entries[index].component, index)
        stage_um: tuple[float, float] | None = (0.0, 0.0) if not self._entries else None
        rotation_deg = 0.0
        if ranked and self._entries[ranked[0]].component == 0:
            pose = self._entries[ranked[0]].pose.after(found[ranked[0]].transform)
            stage_um, rotation_deg = _corner_um(pose, um_per_fine_px), math.degrees(pose.angle_rad)
        return Placement(
            stage_um=stage_um,
            rotation_deg=rotation_deg,
            overlaps=tuple(self._field_ids[index] for index in ranked),
            offsets_um=tuple(
                (self._field_ids[index], *_corner_um(found[index].transform, um_per_fine_px))
                for index in best.values()
            ),
            confidence=max(0.0, found[ranked[0]].correlation) if ranked else 0.0,
            seen=match_cells(self._pairs(keyframe, cells, found)),
            compared=compared,
            _keyframe=keyframe,
            _cells=cells,
            _um_per_px=um_per_px,
            _links=tuple((index, found[index].transform) for index in ranked),
        )

    def _pairs(
        self, keyframe: Keyframe, cells: tuple[Cell, ...], found: Mapping[int, Alignment]
    ) -> Iterator[tuple[int, Observation, Observation]]:
        """Every cell of a new field, moved onto every field that it overlaps, with every cell there."""
        if not cells:
            return
        source = [observe(cell, keyframe.px_per_px, None, is_cut=cell.touches_border) for cell in cells]
        places = np.array([(cell.x, cell.y) for cell in source])
        for index, alignment in found.items():
            target = alignment.transform.apply(places).tolist()
            for cell, new, (x, y) in zip(cells, source, target, strict=True):
                moved = replace(new, x=x, y=y)
                for old in self._cells[index]:
                    yield cell.id, moved, old

    def _forget_oldest(self) -> None:
        """Keep memory within bounds, whatever is scanned."""
        if len(self._entries) <= MAX_FIELDS:
            return
        if not self._forgotten:
            _log.warning(
                "the sample has more than %d fields; cells of its first ones would be counted again",
                MAX_FIELDS,
            )
        self._forgotten += 1
        del self._entries[0], self._field_ids[0], self._cells[0]

    def _join(self, a: int, b: int, b_to_a: RigidTransform) -> None:
        """Make two components one, named and placed by the older."""
        older, younger, to_older = (a, b, b_to_a) if a < b else (b, a, b_to_a.inverse())
        for entry in self._entries:
            if entry.component == younger:
                entry.component, entry.pose = older, to_older.after(entry.pose)


def _corner_um(transform: RigidTransform, um_per_fine_px: float) -> tuple[float, float]:
    """Where a transform takes the upper left corner of a picture, half a pixel before the first's centre."""
    x, y = (transform.apply(np.array([[-0.5, -0.5]]))[0] + 0.5) * um_per_fine_px
    return float(x), float(y)
