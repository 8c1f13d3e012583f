"""A rendered slide and the fields that are seen of it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.rendered.cells import Cut, Dye, Painted, paint
from edge.rendered.optics import expose
from edge.rendered.settings import Lamp, ObjectKind, RenderSettings
from edge.rendered.shapes import Plane, Textures, Window, textures_at
from edge.rendered.truth import RenderedCell, RenderedField
from edge.rendered.world import (
    MAX_REACH_UM,
    Box,
    Placement,
    Scene,
    WorldObject,
    world_of,
)

#: Two red cells over each other come to 1.5 times the depth of one; judged by eye on published smears,
#: where overlaps are visible but never twice as dark.
OVERLAP_DEPTH = 0.5


class Slide:
    """A stained smear without end, of which any field can be seen.

    The same seed, settings and view give the same bytes on the same machine and library versions. Between
    processors the last bit of a floating-point function may differ, and with it single levels of single
    pixels; what lies where does not.

    Parameters
    ----------
    seed : whole number from 0
    settings : population, stain, optics and size of the fields. Slides of equal seed and population
        hold the same objects, whatever the rest
    placements : objects at chosen places instead of a population
    """

    def __init__(
        self,
        seed: int,
        settings: RenderSettings | None = None,
        placements: Sequence[Placement] | None = None,
    ) -> None:
        self.seed = seed
        self.settings = RenderSettings() if settings is None else settings
        population = self.settings.population
        self._world = world_of(seed, population) if placements is None else Scene(seed, placements)
        self._textures = textures_at(self.settings.um_per_px)

    def view(
        self,
        x_um: float = 0.0,
        y_um: float = 0.0,
        rotation_deg: float = 0.0,
        *,
        defocus_um: float | None = None,
        exposure: int = 0,
        lamp: Lamp | None = None,
    ) -> RenderedField:
        """Render the field whose centre lies at (x_um, y_um) of the slide.

        Parameters
        ----------
        x_um, y_um : place on the slide; x grows to the right and y downwards at rotation 0
        rotation_deg : direction of the field's x axis, from the slide's x axis towards its y axis
        defocus_um, lamp : instead of the settings'
        exposure : number of the shot; another one of the same place differs by its noise alone
        """
        defocus = self.settings.defocus_um if defocus_um is None else defocus_um
        canvas = _Canvas(self.settings, self._textures, x_um, y_um, rotation_deg)
        white = self._world.objects("white", canvas.box(3 * MAX_REACH_UM))
        for red in self._world.objects("red", canvas.box(MAX_REACH_UM)):
            canvas.stamp(red, _cuts_by_white(red, white))
        canvas.settle_red_cells()
        for cell in white:
            canvas.stamp(cell, _cuts_between(cell, white))
        for small in self._world.objects("small", canvas.box(MAX_REACH_UM)):
            canvas.stamp(small, ())
        cells, cell_labels, nucleus_labels = canvas.truth()
        # The noise belongs to the shot: seed, place (its exact bits) and number.
        bits = struct.unpack("<8I", struct.pack("<4d", x_um, y_um, rotation_deg, defocus))
        sequence = np.random.SeedSequence([self.seed, exposure, *bits])
        rng = np.random.Generator(np.random.PCG64(sequence))
        settings = self.settings if lamp is None else replace(self.settings, lamp=lamp)
        image = expose(canvas.density, settings, defocus, rng)
        return RenderedField(
            image, self.settings.um_per_px, cells, cell_labels, nucleus_labels, x_um, y_um, rotation_deg
        )


def render_field(seed: int, settings: RenderSettings | None = None) -> RenderedField:
    """Render the field at the origin of the slide with this seed.

    Examples
    --------
    >>> field = render_field(1, RenderSettings(width=200, height=160, um_per_px=0.2))
    >>> field.image.shape, field.cell_labels.dtype
    ((160, 200, 3), dtype('uint16'))
    """
    return Slide(seed, settings).view()


def _cuts_between(cell: WorldObject, others: list[WorldObject]) -> tuple[Cut, ...]:
    """Half-planes that close neighbours leave to a white cell, bounded by the circles' radical axes."""
    cuts: list[Cut] = []
    for other in others:
        dx, dy = other.x_um - cell.x_um, other.y_um - cell.y_um
        apart = math.hypot(dx, dy)
        # 1.35: as far as frayed outlines reach beyond their circle.
        if other is cell or not 0 < apart < 1.35 * (cell.radius_um + other.radius_um):
            continue
        radical = (apart * apart + cell.radius_um**2 - other.radius_um**2) / (2 * apart)
        # A gap of 0.16 µm between membranes shows as a faint line, as it does on smears.
        cuts.append((dx / apart, dy / apart, radical - 0.08))
    return tuple(cuts)


def _cuts_by_white(red: WorldObject, white: list[WorldObject]) -> tuple[Cut, ...]:
    """Half-planes that white cells leave to a red cell; every third red cell slips under instead."""
    if red.shape_seed % 3 == 0:
        return ()
    cuts: list[Cut] = []
    for cell in white:
        dx, dy = cell.x_um - red.x_um, cell.y_um - red.y_um
        apart = math.hypot(dx, dy)
        if cell.kind != "smudge" and 0 < apart < red.radius_um + cell.radius_um + 1.0:
            cuts.append((dx / apart, dy / apart, apart - cell.radius_um))
    return tuple(cuts)


class _Canvas:
    """Optical density of a field in the making, and what was put onto it."""

    def __init__(
        self, settings: RenderSettings, textures: Textures, x_um: float, y_um: float, rotation_deg: float
    ) -> None:
        self._settings = settings
        self._textures = textures
        self._x_um, self._y_um = x_um, y_um
        self._cos = math.cos(math.radians(rotation_deg))
        self._sin = math.sin(math.radians(rotation_deg))
        self.density = np.zeros((3, settings.height, settings.width), np.float32)
        # Red cells are gathered here first: while they are drawn, the other dyes' planes are empty.
        self._haemoglobin = self.density[0]
        #: Objects before ids are given, with the masks of cell and nucleus in their boxes.
        self._seen: list[tuple[RenderedCell, NDArray[np.bool_], NDArray[np.bool_] | None]] = []

    def box(self, margin_um: float) -> Box:
        """Box of the slide that holds the field and a margin, whatever the rotation."""
        s = self._settings
        half_x = (abs(self._cos) * s.width_um + abs(self._sin) * s.height_um) / 2 + margin_um
        half_y = (abs(self._sin) * s.width_um + abs(self._cos) * s.height_um) / 2 + margin_um
        return self._x_um - half_x, self._y_um - half_y, self._x_um + half_x, self._y_um + half_y

    def stamp(self, source: WorldObject, cuts: tuple[Cut, ...]) -> None:
        """Draw an object into the field, if any of it is inside."""
        s = self._settings
        dx, dy = source.x_um - self._x_um, source.y_um - self._y_um
        # A pixel's centre is its whole number; the field's centre lies between the middle ones.
        x = (dx * self._cos + dy * self._sin) / s.um_per_px + (s.width - 1) / 2
        y = (dy * self._cos - dx * self._sin) / s.um_per_px + (s.height - 1) / 2
        reach = (1.4 * source.radius_um + 1.0) / s.um_per_px + 1
        left, right = max(0, math.floor(x - reach)), min(s.width, math.ceil(x + reach) + 1)
        top, bottom = max(0, math.floor(y - reach)), min(s.height, math.ceil(y + reach) + 1)
        if left >= right or top >= bottom:
            return
        across = (np.arange(left, right, dtype=np.float64) - x) * s.um_per_px
        down = (np.arange(top, bottom, dtype=np.float64) - y) * s.um_per_px
        u = (self._cos * across).astype(np.float32)[None, :] - (self._sin * down).astype(np.float32)[:, None]
        v = (self._sin * across).astype(np.float32)[None, :] + (self._cos * down).astype(np.float32)[:, None]
        window = Window(u, v, s.um_per_px, self._textures)
        painted = paint(source.kind, source.radius_um, source.shape_seed, cuts, window)
        for dye, amount in painted.dyes.items():
            self._add(dye, amount, (top, bottom, left, right))
        if source.kind != "precipitate":
            self._remember(source, source.kind, painted, left, top)

    def settle_red_cells(self) -> None:
        """Turn the haemoglobin gathered so far into density; called once, between red and other cells.

        Cells that dry over each other are flatter than two cells: what passes one full depth counts less
        and less (slope 1 at 1, at most ``OVERLAP_DEPTH`` more).
        """
        amount = self._haemoglobin
        excess = np.maximum(amount - 1.0, 0.0)
        np.minimum(amount, 1.0, out=amount)
        np.expm1(excess * np.float32(-1 / OVERLAP_DEPTH), out=excess)
        amount -= np.float32(OVERLAP_DEPTH) * excess
        stain = self._settings.stain
        for channel in (2, 1, 0):  # plane 0 holds the amount and is overwritten last
            absorbance = np.float32(stain.strength * stain.haemoglobin[channel])
            np.multiply(amount, absorbance, out=self.density[channel])

    def _add(self, dye: Dye, amount: Plane, place: tuple[int, int, int, int]) -> None:
        top, bottom, left, right = place
        if dye == "haemoglobin":
            self._haemoglobin[top:bottom, left:right] += amount
            return
        vector = getattr(self._settings.stain, dye)
        for channel in range(3):
            absorbance = np.float32(self._settings.stain.strength * vector[channel])
            self.density[channel, top:bottom, left:right] += absorbance * amount

    def _remember(self, source: WorldObject, kind: ObjectKind, painted: Painted, left: int, top: int) -> None:
        mask = painted.whole < 0
        ys, xs = np.nonzero(mask)
        if len(ys) == 0:
            return
        x0, x1, y0, y1 = int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1
        s = self._settings
        touches = left + x0 == 0 or top + y0 == 0 or left + x1 == s.width or top + y1 == s.height
        whole = mask[y0:y1, x0:x1]
        nucleus = None if painted.nucleus is None else whole & (painted.nucleus[y0:y1, x0:x1] < 0)
        cell = RenderedCell(
            id=0,
            kind=kind,
            x=left + float(xs.mean()),
            y=top + float(ys.mean()),
            bbox=(left + x0, top + y0, x1 - x0, y1 - y0),
            area_px=int(whole.sum()),
            nucleus_area_px=0 if nucleus is None else int(nucleus.sum()),
            touches_border=touches,
            x_um=source.x_um,
            y_um=source.y_um,
            key=source.key,
        )
        self._seen.append((cell, whole, nucleus))

    def truth(self) -> tuple[tuple[RenderedCell, ...], NDArray[np.uint16], NDArray[np.uint16]]:
        """Give ids in reading order and draw the label images."""
        shape = (self._settings.height, self._settings.width)
        cell_labels, nucleus_labels = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        # White cells and smudges, which have a nucleus, come first.
        ordered = sorted(self._seen, key=lambda seen: (seen[2] is None, seen[0].y, seen[0].x))
        cells: list[RenderedCell] = []
        for number, (cell, whole, nucleus) in enumerate(ordered, start=1):
            if nucleus is not None:
                x, y, width, height = cell.bbox
                place = np.s_[y : y + height, x : x + width]
                cell_labels[place][whole] = number
                nucleus_labels[place][nucleus] = number
            cells.append(replace(cell, id=number))
        return tuple(cells), cell_labels, nucleus_labels
