"""The slide map: where the counted fields of a sample lie beside each other, and the cells on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bloodlog import LoggedField
from edge.results.reading import ReadCell

#: The group of fields whose place on the sample's mosaic the log has.
_MOSAIC = 0
#: Size of a dot against the longer side of what is shown: 10 px of 1,200.
_DOT_SHARE = 1 / 120
#: Two fields lie as exactly beside each other: docs/registration.md.
_PLACED_WITHIN_UM = 1.0
#: What two fields cut is one cell where the boxes of what they show share so much of the smaller one.
_SAME_SHARE = 0.1
#: Lengths that a scale bar may have, µm; the longest below a quarter of the width is taken.
_BAR_LENGTHS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_BAR_SHARE = 1 / 4

#: Classes of dots, in the order in which they are drawn; ``none`` for who hides what the program says.
DOTS = ("border", "none", "normal", "uncertain", "blast")


@dataclass(frozen=True, slots=True)
class MapField:
    """A field on the map, or one that has no place there.

    Attributes
    ----------
    id : its number
    x, y, width, height : µm, from the upper left corner of its island
    cells : white cells that were counted in it
    blasts : of these, by the reader's word or else the program's
    image_sha256 : of its picture, or None where none was stored
    """

    id: int
    x: float
    y: float
    width: float
    height: float
    cells: int
    blasts: int
    image_sha256: str | None


@dataclass(frozen=True, slots=True)
class Island:
    """Fields that hang together by what they both show.

    Attributes
    ----------
    fields : in the order in which they were counted
    width, height : of all together, µm
    dots : path of the cells of each class, by class
    dot_um : half a dot's width
    bar_um : length of the scale bar
    """

    fields: tuple[MapField, ...]
    width: float
    height: float
    dots: dict[str, str]
    dot_um: float
    bar_um: int


def slide_map(
    fields: Iterable[LoggedField],
    cells: Iterable[ReadCell],
    word_of: Callable[[ReadCell], str],
    is_shown: Callable[[ReadCell], bool] = lambda _cell: True,
) -> tuple[list[Island], list[MapField]]:
    """Lay the counted fields of a sample out.

    Parameters
    ----------
    fields : of the sample, in the order of the log
    cells : of the sample
    word_of : class that a whole cell is shown in
    is_shown : whether a whole cell is shown; all are counted

    Returns
    -------
    islands, the one with most fields first, and the fields that overlap none, whose place nobody knows
    """
    counted = {logged.id: logged for logged in fields if logged.result.status == "counted"}
    by_field: dict[int, list[ReadCell]] = {number: [] for number in counted}
    for cell in cells:
        by_field[cell.ref.field_id].append(cell)
    groups: dict[int, list[tuple[int, float, float]]] = {}
    for number, (group, x, y) in places(counted.values()).items():
        groups.setdefault(group, []).append((number, x, y))
    islands, alone = [], []
    for placed in sorted(groups.values(), key=len, reverse=True):
        left, top = (min(place[axis] for place in placed) for axis in (1, 2))
        shown = [
            _map_field(counted[number], x - left, y - top, by_field[number], word_of)
            for number, x, y in placed
        ]
        if len(shown) == 1:
            alone += shown
        else:
            islands.append(_island(shown, counted, by_field, word_of, is_shown))
    return islands, sorted(alone, key=lambda field: field.id)


def places(fields: Iterable[LoggedField]) -> dict[int, tuple[int, float, float]]:
    """Place fields by their places on the mosaic, and by where they lie from the fields that they overlap.

    The mosaic holds the fields that hang together with the first. Others that overlap each other are placed
    from the first of them; a field that overlaps two groups makes them one.

    Parameters
    ----------
    fields : counted ones, in the order of the log

    Returns
    -------
    group, x and y of the upper left corner in µm, by field; places in two groups cannot be compared
    """
    placed: dict[int, tuple[int, float, float]] = {}
    for logged in fields:
        known = [] if logged.result.stage_um is None else [(_MOSAIC, *logged.result.stage_um)]
        for other, dx, dy in logged.overlaps:
            if other in placed:
                group, x, y = placed[other]
                known.append((group, x + dx, y + dy))
        known.sort(key=lambda place: place[0] != _MOSAIC)  # the mosaic keeps its place; else the best overlap
        if not known:
            placed[logged.id] = (logged.id, 0.0, 0.0)
            continue
        group, x, y = placed[logged.id] = known[0]
        for other_group, other_x, other_y in known[1:]:
            if other_group != group:
                for number, (of, px, py) in placed.items():
                    if of == other_group:
                        placed[number] = (group, px + x - other_x, py + y - other_y)
    return placed


def _map_field(
    logged: LoggedField, x: float, y: float, cells: Sequence[ReadCell], word_of: Callable[[ReadCell], str]
) -> MapField:
    result = logged.result
    um_per_px = result.scale.um_per_px
    words = [word_of(cell) for cell in cells if cell.counts]
    return MapField(
        logged.id,
        x,
        y,
        result.width * um_per_px,
        result.height * um_per_px,
        len(words),
        words.count("blast"),
        logged.image_sha256,
    )


def _island(
    shown: Sequence[MapField],
    counted: dict[int, LoggedField],
    by_field: dict[int, list[ReadCell]],
    word_of: Callable[[ReadCell], str],
    is_shown: Callable[[ReadCell], bool],
) -> Island:
    width, height = max(f.x + f.width for f in shown), max(f.y + f.height for f in shown)
    dot_um = max(0.1, round(max(width, height) * _DOT_SHARE, 1))
    dots: dict[str, list[str]] = {name: [] for name in DOTS}
    whole, parts = [], list[_Part]()
    for field in shown:
        um_per_px = counted[field.id].result.scale.um_per_px
        for cell in by_field[field.id]:
            found = cell.found.cell
            if cell.found.seen_before is None and found.kind == "wbc":
                place = (field.x + found.x * um_per_px, field.y + found.y * um_per_px)
                if cell.counts:
                    name = word_of(cell) if is_shown(cell) else ""
                    whole.append((*place, max(found.bbox[2:]) / 2 * um_per_px, name))
                else:
                    left, top, wide, high = (length * um_per_px for length in found.bbox)
                    corner = (field.x + left, field.y + top)
                    parts.append(_Part(field.id, *place, *corner, corner[0] + wide, corner[1] + high))
    for x, y, _, name in whole:
        if name in dots:  # it is not shown, or a person has said that it is no cell
            dots[name].append(_dot(name, x, y, dot_um))
    dots["border"] = [_dot("border", x, y, dot_um) for x, y in _not_whole_elsewhere(_once(parts), whole)]
    longest = max((um for um in _BAR_LENGTHS_UM if um <= _BAR_SHARE * width), default=_BAR_LENGTHS_UM[0])
    return Island(
        tuple(shown), width, height, {name: "".join(paths) for name, paths in dots.items()}, dot_um, longest
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What a field shows of a cell that it cuts: the middle and the box of it, µm."""

    field: int
    x: float
    y: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)


def _once(parts: Sequence[_Part]) -> list[tuple[float, float]]:
    """Give the middle of each cut cell once: of the largest part, where several fields cut the same one."""
    parts = sorted(parts, key=lambda part: part.area, reverse=True)
    fields = np.array([part.field for part in parts], np.int64)
    left, top, right, bottom = (
        np.array([(part.left, part.top, part.right, part.bottom) for part in parts], np.float64)
        .reshape(-1, 4)
        .T
    )
    kept = np.zeros(len(parts), bool)
    for i, part in enumerate(parts):
        wide = np.minimum(right, part.right) - np.maximum(left, part.left)
        high = np.minimum(bottom, part.bottom) - np.maximum(top, part.top)
        shared = np.clip(wide, 0.0, None) * np.clip(high, 0.0, None)
        kept[i] = not (kept & (fields != part.field) & (shared > _SAME_SHARE * part.area)).any()
    return [(part.x, part.y) for part, is_kept in zip(parts, kept, strict=True) if is_kept]


def _not_whole_elsewhere(
    cut: Sequence[tuple[float, float]], whole: Sequence[tuple[float, float, float, str]]
) -> list[tuple[float, float]]:
    """Leave out what one field cuts and another shows whole: what is seen of it lies within the whole."""
    x, y, radius = (np.array([cell[i] for cell in whole], np.float64) for i in range(3))
    return [(cx, cy) for cx, cy in cut if not (np.hypot(x - cx, y - cy) <= radius + _PLACED_WITHIN_UM).any()]


def _dot(name: str, x: float, y: float, r: float) -> str:
    """Draw one cell: blasts square, uncertain ones on their corner, all others round."""
    if name == "blast":
        return f"M{x - r:.1f} {y - r:.1f}h{2 * r:.1f}v{2 * r:.1f}h{-2 * r:.1f}z"
    if name == "uncertain":
        d = 1.3 * r
        return f"M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f} {-d:.1f} {d:.1f} {-d:.1f} {-d:.1f}z"
    return f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"
