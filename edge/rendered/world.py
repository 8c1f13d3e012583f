"""Where the objects of a rendered slide lie, in µm, without end in any direction.

The slide is cut into square tiles. Each tile's objects come from a generator seeded by (slide seed,
layer, tile), so that a place on the slide looks the same from whichever field it is reached. So that
cells of adjoining tiles do not overlap, tiles have four colours like the 2×2 blocks of a chessboard;
a tile is filled after its neighbours of lower colour, and never depends on anything further away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from edge.rendered.settings import WHITE_KINDS, ObjectKind, Population

Layer = Literal["white", "red", "small"]
PaintedKind = ObjectKind | Literal["precipitate"]
Box = tuple[float, float, float, float]

#: Wider than twice the largest group of blasts, so that only adjoining tiles can collide.
TILE_UM = 120.0
#: The largest outline (a monocyte or smudge of radius 11 µm, elongated) reaches less than this far.
MAX_REACH_UM = 18.0
#: Tiles kept in memory; one holds about 110 red cells (30 kB). Dropped tiles are made again, equal.
MAX_TILES = 600
_LAYERS: tuple[Layer, ...] = ("white", "red", "small")
_TRIES = 25
#: Least and greatest diameter of the kinds of which any between them is as likely; see :func:`radius_um`.
_DIAMETERS_UM: dict[PaintedKind, tuple[float, float]] = {
    "neutrophil": (12.0, 15.0),
    "eosinophil": (12.0, 16.0),
    "monocyte": (14.0, 19.0),
    "smudge": (11.0, 20.0),
    "platelet": (1.5, 3.0),
    "precipitate": (0.4, 1.4),
}


@dataclass(frozen=True, slots=True)
class WorldObject:
    """One object on the slide.

    Attributes
    ----------
    key : name that it keeps in every view of the slide
    kind : what it is
    x_um, y_um : centre on the slide
    radius_um : of the circle that its outline is drawn around
    shape_seed : seed of everything else about it
    """

    key: str
    kind: PaintedKind
    x_um: float
    y_um: float
    radius_um: float
    shape_seed: int


@dataclass(frozen=True, slots=True)
class Placement:
    """One object put at a chosen place, for scenes made by hand.

    Attributes
    ----------
    kind : what it is
    x_um, y_um : centre on the slide
    diameter_um : size, or None for a usual one of its kind
    """

    kind: ObjectKind
    x_um: float
    y_um: float
    diameter_um: float | None = None


def radius_um(kind: PaintedKind, rng: np.random.Generator) -> float:
    """Draw the radius of an object.

    Diameters on dried smears: lymphoblast 12–18 µm, small lymphocyte 8–10.5 µm and large up to 13.5 µm,
    neutrophil 12–15 µm, eosinophil 12–16 µm, monocyte 14–19 µm, platelet 1.5–3 µm (ranges of [1]_);
    red cell 7.5 ± 0.5 µm. Smudges spread to 11–20 µm.

    References
    ----------
    .. [1] B. J. Bain, Blood Cells: A Practical Guide, 5th ed., Wiley, 2015.
    """
    if kind == "blast":
        diameter = 12.0 + 6.0 * rng.beta(1.3, 3.0)  # mean 13.8 µm
    elif kind == "lymphocyte":
        diameter = rng.uniform(8.0, 10.5) if rng.random() < 0.7 else rng.uniform(10.5, 13.5)
    elif kind == "red_cell":
        diameter = min(max(rng.normal(7.5, 0.5), 6.0), 9.0)
    else:
        diameter = rng.uniform(*_DIAMETERS_UM[kind])
    return float(diameter) / 2


#: A unit is placed as a whole: members as (dx, dy, radius, kind).
_Unit = list[tuple[float, float, float, PaintedKind]]


class World:
    """The endless slide of one seed and population."""

    def __init__(self, seed: int, population: Population) -> None:
        self._seed = seed
        self._population = population
        self._tiles: dict[tuple[Layer, int, int], tuple[WorldObject, ...]] = {}

    def objects(self, layer: Layer, box: Box) -> list[WorldObject]:
        """Objects of a layer whose centres lie in box (x0, y0, x1, y1), in µm."""
        if len(self._tiles) > MAX_TILES:
            self._tiles.clear()
        x0, y0, x1, y1 = box
        found: list[WorldObject] = []
        for row in range(math.floor(y0 / TILE_UM), math.floor(y1 / TILE_UM) + 1):
            for column in range(math.floor(x0 / TILE_UM), math.floor(x1 / TILE_UM) + 1):
                tile = self._tile(layer, column, row)
                found.extend(o for o in tile if x0 <= o.x_um < x1 and y0 <= o.y_um < y1)
        return found

    def _tile(self, layer: Layer, column: int, row: int) -> tuple[WorldObject, ...]:
        known = self._tiles.get((layer, column, row))
        if known is None:
            known = self._filled(layer, column, row)
            self._tiles[layer, column, row] = known
        return known

    def _filled(self, layer: Layer, column: int, row: int) -> tuple[WorldObject, ...]:
        """Fill a tile, its neighbours of lower colour first."""
        # SeedSequence takes no negative numbers: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
        place = [2 * i if i >= 0 else -2 * i - 1 for i in (column, row)]
        sequence = np.random.SeedSequence([self._seed, _LAYERS.index(layer), *place])
        rng = np.random.Generator(np.random.PCG64(sequence))
        colour = (column & 1) + 2 * (row & 1)
        taken: list[tuple[float, float, float]] = []
        for r in (row - 1, row, row + 1):
            for c in (column - 1, column, column + 1):
                if layer != "small" and (c & 1) + 2 * (r & 1) < colour:
                    taken.extend((o.x_um, o.y_um, _kept(layer, o.radius_um)) for o in self._tile(layer, c, r))
                if layer != "white":
                    # Red cells may reach 1.5 µm under a white cell; platelets keep 1 µm away from it.
                    margin = -1.2 if layer == "red" else 1.0
                    taken.extend((o.x_um, o.y_um, o.radius_um + margin) for o in self._tile("white", c, r))
        units = {"white": self._white_units, "red": self._red_units, "small": self._small_units}[layer](rng)
        return _thrown(f"{layer}/{column}/{row}", layer, (column * TILE_UM, row * TILE_UM), units, taken, rng)

    def _count(self, per_mm2: float, rng: np.random.Generator) -> int:
        return int(rng.poisson(per_mm2 * TILE_UM**2 * 1e-6))

    def _white_units(self, rng: np.random.Generator) -> list[_Unit]:
        """Draw a tile's white cells: groups of blasts first, because they need the most room."""
        population = self._population
        blasts = self._count(population.blast, rng)
        grouped = int(rng.binomial(blasts, population.clustered_blasts))
        units: list[_Unit] = []
        while grouped >= 2:
            size = min(int(rng.integers(2, 6)), grouped)
            units.append(_touching(size, rng))
            grouped -= size
            blasts -= size
        units.extend([(0.0, 0.0, radius_um("blast", rng), "blast")] for _ in range(blasts))
        others: tuple[PaintedKind, ...] = (*WHITE_KINDS[1:], "smudge")
        for kind in others:
            number = self._count(getattr(population, kind), rng)
            units.extend([(0.0, 0.0, radius_um(kind, rng), kind)] for _ in range(number))
        return units

    def _red_units(self, rng: np.random.Generator) -> list[_Unit]:
        """Draw a tile's red cells: stacks first, then single ones."""
        number = self._count(self._population.red_cell, rng)
        stacked = int(rng.binomial(number, self._population.stacked_red_cells))
        units: list[_Unit] = []
        while stacked >= 2:
            # Pairs are the rule, rouleaux of up to five the exception.
            size = min(2 if rng.random() < 0.75 else int(rng.integers(3, 6)), stacked)
            units.append(_stack(size, rng))
            stacked -= size
            number -= size
        units.extend([(0.0, 0.0, radius_um("red_cell", rng), "red_cell")] for _ in range(number))
        return units

    def _small_units(self, rng: np.random.Generator) -> list[_Unit]:
        kinds: tuple[Literal["platelet", "precipitate"], ...] = ("platelet", "precipitate")
        units: list[_Unit] = []
        for kind in kinds:
            number = self._count(getattr(self._population, kind), rng)
            units.extend([(0.0, 0.0, radius_um(kind, rng), kind)] for _ in range(number))
        return units


@lru_cache(maxsize=4)
def world_of(seed: int, population: Population) -> World:
    """Share the world of a seed and population among the slides that show it: half the time of a field."""
    return World(seed, population)


class Scene:
    """A slide with a few objects at chosen places and nothing else."""

    def __init__(self, seed: int, placements: Sequence[Placement]) -> None:
        self._objects: list[WorldObject] = []
        for number, placed in enumerate(placements):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, len(_LAYERS), number])))
            drawn = radius_um(placed.kind, rng)
            radius = drawn if placed.diameter_um is None else placed.diameter_um / 2
            shape_seed = int(rng.integers(2**63))
            key = f"scene/{number}"
            self._objects.append(WorldObject(key, placed.kind, placed.x_um, placed.y_um, radius, shape_seed))

    def objects(self, layer: Layer, box: Box) -> list[WorldObject]:
        """Objects of a layer whose centres lie in box (x0, y0, x1, y1), in µm."""
        x0, y0, x1, y1 = box
        inside = [o for o in self._objects if x0 <= o.x_um < x1 and y0 <= o.y_um < y1]
        return [o for o in inside if layer == {"red_cell": "red", "platelet": "small"}.get(o.kind, "white")]


def _kept(layer: Layer, radius: float) -> float:
    """Radius that others of the layer keep out of."""
    # Outlines of white cells reach 8 % beyond their circle; red cells may overlap by 7 %.
    return 1.08 * radius + 0.3 if layer == "white" else 0.93 * radius


def _touching(size: int, rng: np.random.Generator) -> _Unit:
    """Blasts grown onto each other; their common borders are flattened when they are drawn."""
    members: _Unit = [(0.0, 0.0, radius_um("blast", rng), "blast")]
    for _ in range(200):
        if len(members) == size:
            break
        radius = radius_um("blast", rng)
        px, py, pr, _kind = members[int(rng.integers(len(members)))]
        angle = rng.uniform(0.0, 2 * math.pi)
        reach = (pr + radius) * rng.uniform(0.90, 0.97)
        x, y = px + reach * math.cos(angle), py + reach * math.sin(angle)
        # 0.89: below the closest contact drawn above, so that only third cells are refused.
        if all(math.hypot(x - mx, y - my) > 0.89 * (mr + radius) for mx, my, mr, _ in members):
            members.append((x, y, radius, "blast"))
    return members


def _stack(size: int, rng: np.random.Generator) -> _Unit:
    """Red cells over each other: a pair at any distance, or a rouleau along a line."""
    angle = rng.uniform(0.0, 2 * math.pi)
    step = rng.uniform(0.35, 0.85) if size == 2 else rng.uniform(0.3, 0.55)
    members: _Unit = []
    x = y = 0.0
    for _ in range(size):
        radius = radius_um("red_cell", rng)
        members.append((x, y, radius, "red_cell"))
        bend = angle + rng.normal(0.0, 0.15)
        x += 7.5 * step * math.cos(bend)
        y += 7.5 * step * math.sin(bend)
    return members


def _thrown(
    prefix: str,
    layer: Layer,
    corner: tuple[float, float],
    units: list[_Unit],
    taken: list[tuple[float, float, float]],
    rng: np.random.Generator,
) -> tuple[WorldObject, ...]:
    """Throw units onto the tile one after another; one that finds no room in a few tries is left out."""
    total = len(taken) + sum(len(unit) for unit in units)
    circles = np.empty((3, total), dtype=np.float64)
    circles[:, : len(taken)] = np.asarray(taken, dtype=np.float64).reshape(-1, 3).T
    used = len(taken)
    placed: list[WorldObject] = []
    for unit in units:
        for _ in range(_TRIES):
            x0 = corner[0] + rng.uniform(0.0, TILE_UM)
            y0 = corner[1] + rng.uniform(0.0, TILE_UM)
            if all(_free(circles[:, :used], x0 + dx, y0 + dy, _kept(layer, r)) for dx, dy, r, _ in unit):
                break
        else:
            continue
        for dx, dy, radius, kind in unit:
            circles[:, used] = (x0 + dx, y0 + dy, _kept(layer, radius))
            used += 1
            key = f"{prefix}/{len(placed)}"
            placed.append(WorldObject(key, kind, x0 + dx, y0 + dy, radius, int(rng.integers(2**63))))
    return tuple(placed)


def _free(
    circles: np.ndarray[tuple[int, int], np.dtype[np.float64]], x: float, y: float, kept: float
) -> bool:
    dx, dy, reach = circles[0] - x, circles[1] - y, circles[2] + kept
    return not (dx * dx + dy * dy < reach * reach).any()
