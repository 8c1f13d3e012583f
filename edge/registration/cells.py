"""Cells of two fields that lie on one place of the slide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edge.structures import Cell, CellKind, CellRef

#: Share of the larger cell's diameter up to which two centres are one cell's. Centres of cells that touch are
#: a diameter apart; a pair that was outlined as one lies half a diameter from either of its members.
_SAME_CELL = 0.5


@dataclass(frozen=True, slots=True)
class Observation:
    """A cell as one field saw it.

    Attributes
    ----------
    x, y : centroid, px of the field's plane
    diameter : of the circle of its area, px of the plane
    counted_as : where this cell was counted, this field or an earlier one; None for one of a field that is
        being placed
    kind : what it is in this field
    is_cut : cut by the edge: of a field that is being placed in it, else in all fields so far
    """

    x: float
    y: float
    diameter: float
    counted_as: CellRef | None
    kind: CellKind
    is_cut: bool = False


def observe(cell: Cell, px_per_px: float, counted_as: CellRef | None, *, is_cut: bool) -> Observation:
    """Put a cell onto the plane.

    Parameters
    ----------
    cell : of the field, px of the field
    px_per_px : pixels of the field per pixel of the plane
    counted_as : where it was counted
    is_cut : cut by the edge
    """
    return Observation(
        (cell.x + 0.5) / px_per_px - 0.5,
        (cell.y + 0.5) / px_per_px - 0.5,
        math.sqrt(4 / math.pi * cell.area_px) / px_per_px,
        counted_as,
        cell.kind,
        is_cut,
    )


def match_cells(pairs: Iterable[tuple[int, Observation, Observation]]) -> dict[int, CellRef]:
    """Choose for each new cell the counted cell that it is, one to one, the nearest pairs first.

    Where two cells were outlined as one in one of the fields, one of the two keeps its name and the other
    is new. A white cell that was taken for a smudge before is new, too: it has not been tallied as a white
    cell yet.

    A white cell that was cut by the edge wherever it was seen is the same one where it is cut again; where it
    is whole it is new, as it was never tallied. A smudge is tallied cut or whole, so that it is the same one
    either way. What was seen whole goes before what was only seen cut.

    Parameters
    ----------
    pairs : (id of a new cell, its observation moved onto an earlier field, an observation of that field)

    Returns
    -------
    reference to the counted cell by id of the new cell
    """
    candidates: list[tuple[bool, float, int, CellRef]] = []
    for cell_id, new, old in pairs:
        if new.kind == "wbc" and old.kind == "smudge":
            continue
        if old.is_cut and not (new.kind == old.kind and (new.is_cut or new.kind == "smudge")):
            continue
        apart = math.hypot(new.x - old.x, new.y - old.y)
        if old.counted_as is not None and apart <= _SAME_CELL * max(new.diameter, old.diameter):
            candidates.append((old.is_cut, apart, cell_id, old.counted_as))
    seen: dict[int, CellRef] = {}
    taken: set[CellRef] = set()
    for _, _, cell_id, reference in sorted(candidates, key=lambda c: (*c[:3], c[3].field_id, c[3].cell_id)):
        if cell_id not in seen and reference not in taken:
            seen[cell_id] = reference
            taken.add(reference)
    return seen
