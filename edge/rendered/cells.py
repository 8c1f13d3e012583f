"""How each kind of object looks: its outline, its nucleus and how much of each dye it holds.

Amounts are relative to the dye's absorbance in :class:`Stain`: 1 of chromatin is a usual nucleus.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from edge.rendered.shapes import (
    Draw,
    Plane,
    Window,
    capsule_distance,
    ellipse_distance,
    radial_distance,
    radial_outline,
    smooth_intersection,
    smooth_union,
)
from edge.rendered.world import PaintedKind

Dye = Literal["chromatin", "azure", "eosin", "haemoglobin"]
#: Half-plane that a neighbour leaves to the cell: it lies where nx*u + ny*v <= offset (µm).
Cut = tuple[float, float, float]

#: Spread of a white cell's outline per Fourier harmonic 2, 3, ...; sums to about 8 % of the radius.
_WHITE_HARMONICS = (0.045, 0.028, 0.016, 0.009, 0.006)
_RED_HARMONICS = (0.035, 0.014, 0.012, 0.006)


@dataclass(frozen=True)
class Painted:
    """One object drawn in its window.

    Attributes
    ----------
    whole : signed distance from the outline in µm, negative inside
    nucleus : likewise of the nucleus, None for what has none
    dyes : amount of each dye at each pixel
    """

    whole: Plane
    nucleus: Plane | None
    dyes: dict[Dye, Plane]


def paint(
    kind: PaintedKind, radius_um: float, shape_seed: int, cuts: tuple[Cut, ...], window: Window
) -> Painted:
    """Draw one object; the same seed gives the same object in every window."""
    return _PAINTERS[kind](radius_um, Draw(shape_seed), cuts, window)


def _outline(
    radius_um: float,
    draw: Draw,
    cuts: tuple[Cut, ...],
    window: Window,
    harmonics: tuple[float, ...] = _WHITE_HARMONICS,
    roughness_um: float = 0.03,
) -> Plane:
    """Outline of a cell: Fourier-perturbed circle, rough at its border, flattened by its neighbours."""
    whole = radial_distance(window, radial_outline(draw, radius_um, harmonics))
    whole = whole + np.float32(roughness_um) * window.noise("clump", draw)
    return _flattened(whole, cuts, window, 0.8)


def _flattened(whole: Plane, cuts: tuple[Cut, ...], window: Window, corner_um: float) -> Plane:
    """Cut an outline along the half-planes that its neighbours leave."""
    for nx, ny, offset in cuts:
        whole = smooth_intersection(whole, window.u * nx + window.v * ny - np.float32(offset), corner_um)
    return whole


def _inside(nucleus: Plane, whole: Plane, membrane_um: float) -> Plane:
    """Keep a nucleus within its cell, at least ``membrane_um`` from the border."""
    return smooth_intersection(nucleus, whole + np.float32(membrane_um), 0.4)


def _round_nucleus(
    radius_um: float, share: float, draw: Draw, whole: Plane, window: Window, uneven: float
) -> tuple[Plane, tuple[float, float]]:
    """Nucleus that fills ``share`` of the cell's area, pushed to one side; with its centre."""
    own = radius_um * math.sqrt(share)
    towards = draw.angle()
    shift = (radius_um - own) * draw.uniform(0.1, 1.0)
    x, y = shift * math.cos(towards), shift * math.sin(towards)
    moved = Window(window.u - np.float32(x), window.v - np.float32(y), window.um_per_px, window.textures)
    outline = radial_outline(draw, own, (uneven, uneven * 0.8, uneven * 0.5, uneven * 0.3, uneven * 0.2))
    nucleus = radial_distance(moved, outline) + np.float32(0.04) * window.noise("clump", draw)
    nucleus = nucleus + np.float32(0.12) * window.noise("broad", draw)
    return _inside(nucleus, whole, 0.2), (x, y)


def _chromatin(
    nucleus: Plane, draw: Draw, window: Window, *, depth: float, fine: float, clump: float
) -> Plane:
    """Amount of chromatin: even, with mottling of the given contrasts and a slightly dense border."""
    mottle = fine * window.noise("fine", draw) + clump * window.noise("clump", draw)
    mottle += np.float32(0.07) * window.noise("broad", draw)
    border = 0.07 * np.exp(-((nucleus + np.float32(0.25)) ** 2) * np.float32(1 / 0.3**2))
    density = np.clip(1.0 + mottle + border, 0.15, 1.8)
    return np.asarray(np.float32(depth) * density * window.coverage(nucleus, 0.3), dtype=np.float32)


def _blast(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """High N:C ratio, fine even chromatin, faint nucleoli, a thin rim of blue cytoplasm.

    N:C by area is 0.84 in the median of published hand-drawn masks of lymphoblasts, 0.77 to 0.89 between
    the 15th and 85th percentile.
    """
    whole = _outline(radius_um, draw, cuts, window)
    share = min(max(draw.normal(0.86, 0.045), 0.78), 0.94)
    nucleus, (x, y) = _round_nucleus(radius_um, share, draw, whole, window, 0.045)
    own = radius_um * math.sqrt(share)
    if draw.chance(0.35):  # an indented nucleus
        angle, hollow = draw.angle(), own * draw.uniform(0.25, 0.6)
        out = own + hollow * draw.uniform(0.2, 0.7)
        notch = ellipse_distance(
            window, x + out * math.cos(angle), y + out * math.sin(angle), hollow, 0.7 * hollow, angle
        )
        nucleus = smooth_intersection(nucleus, -notch, 1.0)
    chromatin = _chromatin(nucleus, draw, window, depth=draw.normal(0.95, 0.07), fine=0.06, clump=0.07)
    if draw.chance(0.3):  # a fold of the nuclear membrane, paler than its surroundings
        angle, lean = draw.angle(), draw.normal(math.pi, 0.5)
        ends = [(x + 0.8 * own * math.cos(a), y + 0.8 * own * math.sin(a)) for a in (angle, angle + lean)]
        fold = capsule_distance(window, ends[0], ends[1], 0.0)
        chromatin *= 1.0 - np.float32(draw.uniform(0.1, 0.25)) * np.exp(-((fold / 0.3) ** 2))
    azure = np.zeros_like(chromatin)
    for _ in range(draw.pick((0.2, 0.35, 0.3, 0.15))):
        angle, away = draw.angle(), draw.uniform(0.0, 0.55) * radius_um
        spot = window.blob(x + away * math.cos(angle), y + away * math.sin(angle), draw.uniform(0.45, 0.8))
        chromatin *= 1.0 - np.float32(draw.uniform(0.12, 0.28)) * spot
        azure += np.float32(0.25) * spot
    azure += _basophilic(whole, nucleus, draw, window, draw.uniform(0.55, 1.1))
    chromatin += np.float32(0.05) * window.coverage(whole)
    return Painted(whole, nucleus, {"chromatin": chromatin, "azure": azure})


def _basophilic(whole: Plane, nucleus: Plane, draw: Draw, window: Window, depth: float) -> Plane:
    """Blue cytoplasm, deepest at the cell's border, with a few pale vacuoles."""
    rim = np.exp(-((whole + np.float32(0.3)) ** 2) * np.float32(1 / 0.5**2))
    amount = depth * (0.75 + 0.45 * rim + 0.12 * window.noise("clump", draw))
    outside_nucleus = 1.0 - window.coverage(nucleus, 0.3)
    return np.asarray(np.clip(amount, 0.0, None) * window.coverage(whole) * outside_nucleus, dtype=np.float32)


def _lymphocyte(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Small and dense with clumped chromatin; large ones with more, paler cytoplasm."""
    whole = _outline(radius_um, draw, cuts, window)
    large = radius_um > 5.25
    share = draw.uniform(0.48, 0.66) if large else draw.uniform(0.72, 0.86)
    nucleus, _ = _round_nucleus(radius_um, share, draw, whole, window, 0.03)
    chromatin = _chromatin(nucleus, draw, window, depth=draw.normal(1.15, 0.08), fine=0.05, clump=0.14)
    azure = _basophilic(
        whole, nucleus, draw, window, draw.uniform(0.25, 0.5) if large else draw.uniform(0.4, 0.8)
    )
    return Painted(whole, nucleus, {"chromatin": chromatin, "azure": azure})


def _lobes(
    radius_um: float, draw: Draw, window: Window, number: int, *, long_um: float, link_um: float
) -> Plane:
    """Lobes of a segmented nucleus on an arc, joined by links."""
    step = draw.uniform(1.1, 1.35) if number > 2 else draw.uniform(1.3, 2.3)
    start = draw.angle()
    turn = 1.0 if draw.chance(0.5) else -1.0
    nucleus = np.full_like(window.u, radius_um)  # nothing yet: farther than the cell's border
    before: tuple[float, float] | None = None
    for lobe in range(number):
        angle = start + turn * step * (lobe + draw.uniform(-0.12, 0.12))
        away = radius_um * draw.uniform(0.40, 0.52)
        x, y = away * math.cos(angle), away * math.sin(angle)
        along, across = long_um * draw.uniform(0.88, 1.15), long_um * draw.uniform(0.62, 0.82)
        part = ellipse_distance(window, x, y, along, across, angle + math.pi / 2 + draw.normal(0.0, 0.35))
        if before is not None:
            part = smooth_union(part, capsule_distance(window, before, (x, y), link_um), 0.5)
        nucleus = smooth_union(nucleus, part, 0.35)
        before = (x, y)
    nucleus = nucleus + np.float32(0.15) * window.noise("broad", draw)
    return nucleus + np.float32(0.06) * window.noise("clump", draw)


def _neutrophil(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Two to five linked lobes, dense clumped chromatin, pink cytoplasm with fine violet granules."""
    whole = _outline(radius_um, draw, cuts, window)
    number = 2 + draw.pick((0.12, 0.40, 0.34, 0.14))
    long_um = radius_um * {2: 0.42, 3: 0.34, 4: 0.29, 5: 0.26}[number]
    link_um = draw.uniform(0.7, 1.1) if draw.chance(0.2) else draw.uniform(0.2, 0.45)
    nucleus = _inside(_lobes(radius_um, draw, window, number, long_um=long_um, link_um=link_um), whole, 0.3)
    chromatin = _chromatin(nucleus, draw, window, depth=draw.normal(1.18, 0.08), fine=0.06, clump=0.12)
    body = window.coverage(whole) * (1.0 - window.coverage(nucleus, 0.3))
    granules = np.clip(window.noise("fine", draw) - 0.2, 0.0, None)
    chromatin += body * (0.035 + np.float32(draw.uniform(0.03, 0.16)) * granules)
    eosin = np.float32(draw.uniform(0.10, 0.24)) * body * (1.0 + 0.2 * window.noise("clump", draw))
    azure = np.float32(draw.uniform(0.03, 0.15)) * body
    return Painted(whole, nucleus, {"chromatin": chromatin, "eosin": eosin, "azure": azure})


def _eosinophil(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Two or three lobes in a cell packed with coarse orange granules."""
    whole = _outline(radius_um, draw, cuts, window, roughness_um=0.08)
    number = 2 if draw.chance(0.75) else 3
    long_um = radius_um * (0.40 if number == 2 else 0.34)
    lobes = _lobes(radius_um, draw, window, number, long_um=long_um, link_um=draw.uniform(0.2, 0.5))
    nucleus = _inside(lobes, whole, 0.4)
    chromatin = _chromatin(nucleus, draw, window, depth=draw.normal(1.0, 0.07), fine=0.06, clump=0.10)
    body = window.coverage(whole) * (1.0 - window.coverage(nucleus, 0.3))
    # The larger of two noises has round peaks where one alone has winding ridges.
    grains = np.maximum(window.noise("fine", draw), window.noise("fine", draw))
    packed = np.clip(0.68 + 0.28 * grains, 0.15, 1.5)
    eosin = np.float32(draw.uniform(0.75, 1.05)) * body * packed
    chromatin += np.float32(draw.uniform(0.04, 0.10)) * body * packed
    return Painted(whole, nucleus, {"chromatin": chromatin, "eosin": np.asarray(eosin, dtype=np.float32)})


def _monocyte(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Kidney-shaped nucleus with lacy chromatin, wide grey-blue cytoplasm with vacuoles."""
    whole = _outline(radius_um, draw, cuts, window, (0.06, 0.05, 0.03, 0.015, 0.01), 0.06)
    start, span = draw.angle(), draw.uniform(1.5, 2.9)
    thick = radius_um * draw.uniform(0.32, 0.40)
    away = radius_um * draw.uniform(0.33, 0.42)
    points = [
        (away * math.cos(start + span * k / 4), away * math.sin(start + span * k / 4)) for k in range(5)
    ]
    nucleus = capsule_distance(window, points[0], points[1], thick)
    for a, b in pairwise(points[1:]):
        nucleus = smooth_union(nucleus, capsule_distance(window, a, b, thick * draw.uniform(0.9, 1.08)), 0.6)
    nucleus = nucleus + np.float32(0.18) * window.noise("broad", draw)
    nucleus = _inside(nucleus, whole, 0.35)
    chromatin = _chromatin(nucleus, draw, window, depth=draw.normal(0.90, 0.07), fine=0.10, clump=0.10)
    body = window.coverage(whole, 0.35) * (1.0 - window.coverage(nucleus, 0.3))
    grain = 1.0 + 0.12 * window.noise("fine", draw) + 0.10 * window.noise("broad", draw)
    azure = np.float32(draw.uniform(0.32, 0.52)) * body * grain
    for _ in range(draw.pick((0.3, 0.2, 0.2, 0.15, 0.1, 0.05))):
        angle, out = draw.angle(), draw.uniform(0.5, 0.85) * radius_um
        hole = window.blob(out * math.cos(angle), out * math.sin(angle), draw.uniform(0.3, 0.55))
        azure *= 1.0 - 0.75 * hole
    chromatin += np.float32(0.045) * body * grain
    dyes: dict[Dye, Plane] = {"chromatin": chromatin, "azure": azure, "eosin": np.float32(0.13) * body}
    return Painted(whole, nucleus, dyes)


def _smudge(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Ruptured cell: a pale, streaky smear of chromatin with a ragged border and no cytoplasm."""
    direction = draw.angle()
    long = math.sqrt(draw.uniform(1.0, 1.7))
    whole = ellipse_distance(window, 0.0, 0.0, radius_um * 0.92 * long, radius_um * 0.92 / long, direction)
    streaks = window.noise("clump", draw, stretch=3.5, direction=direction)
    broad = window.noise("broad", draw)
    whole = whole + 0.75 * broad
    # Frays stay within 1.3 radii and clear of the neighbours.
    whole = smooth_intersection(whole, window.polar[0] - np.float32(1.3 * radius_um), 0.8)
    whole = _flattened(whole, cuts, window, 0.8)
    # The truth's outline runs through the middle of the frays.
    ragged = whole + 0.6 * streaks + 0.15 * window.noise("fine", draw)
    depth = np.clip(0.95 + 0.22 * streaks + 0.16 * broad + 0.08 * window.noise("fine", draw), 0.15, 1.6)
    # Strands thin out over the outer micrometres; whole cells end within 0.2 µm.
    thin = 0.35 + 0.65 * window.coverage(ragged + np.float32(1.0), 2.2)
    amount = np.float32(draw.uniform(0.38, 0.72)) * depth * thin * window.coverage(ragged, 0.5)
    dyes: dict[Dye, Plane] = {"chromatin": amount, "eosin": np.float32(0.22) * amount}
    return Painted(whole, whole, dyes)


def _platelet(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Small violet body with granules and a pale hem."""
    whole = _outline(radius_um, draw, cuts, window, (0.12, 0.07, 0.03, 0.015), 0.03)
    body = window.coverage(whole, 0.25)
    grain = np.clip(0.9 + 0.22 * window.noise("fine", draw), 0.1, 2.0)
    core = window.coverage(whole + np.float32(0.3 * radius_um), 0.6)
    chromatin = np.float32(draw.uniform(0.25, 0.5)) * core * grain + 0.05 * body
    return Painted(whole, None, {"chromatin": chromatin, "azure": np.float32(0.14) * body})


def _red_cell(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Biconcave disc, flattened by drying: a pale centre of varying size, depth and place.

    A living red cell is 2.6 µm thick at its ring and 0.8 µm at its centre [1]_, a pallor of 0.7; dried
    ones run from none to that.

    References
    ----------
    .. [1] E. Evans, Y.-C. Fung, "Improved measurements of the erythrocyte geometry",
       Microvasc. Res. 4, 1972.
    """
    oval = draw.uniform(0.08, 0.16) if draw.chance(0.12) else _RED_HARMONICS[0]
    outline = radial_outline(draw, radius_um, (oval, *_RED_HARMONICS[1:]))
    whole = radial_distance(window, outline)
    rho, index = window.polar
    whole = _flattened(whole, cuts, window, 1.2)
    shift = draw.uniform(0.0, 0.35)
    towards = draw.angle()
    relative = rho / outline[index]
    if shift > 0.1:
        off = (window.u * math.cos(towards) + window.v * math.sin(towards)) * np.float32(shift / radius_um)
        relative = np.abs(relative + 0.5 * off)
    inner = draw.uniform(0.0, 0.3)
    outer = draw.uniform(0.55, 0.9)
    t = np.clip((relative - inner) * np.float32(1 / (outer - inner)), 0.0, 1.0)
    pallor = 0.7 * draw.uniform(0.05, 1.0) ** 1.4
    dish = 1.0 - np.float32(pallor) * (1.0 - t * t * (3.0 - 2.0 * t))
    rim = 1.0 + 0.10 * np.exp(-((whole + np.float32(0.4)) ** 2) * np.float32(1 / 0.35**2))
    amount = np.float32(draw.normal(0.95, 0.08)) * dish * rim * window.coverage(whole, 0.3)
    return Painted(whole, None, {"haemoglobin": np.asarray(amount, dtype=np.float32)})


def _precipitate(radius_um: float, draw: Draw, cuts: tuple[Cut, ...], window: Window) -> Painted:
    """Undissolved stain: a few dense dots."""
    amount = np.zeros_like(window.u)
    for _ in range(1 + draw.pick((0.45, 0.3, 0.15, 0.1))):
        angle, away = draw.angle(), draw.uniform(0.0, radius_um)
        dot = window.blob(away * math.cos(angle), away * math.sin(angle), draw.uniform(0.1, 0.28))
        amount = np.maximum(amount, np.float32(draw.uniform(0.5, 1.1)) * dot)
    return Painted(
        window.polar[0] - np.float32(radius_um), None, {"chromatin": amount, "azure": 0.6 * amount}
    )


_PAINTERS: dict[PaintedKind, Callable[[float, Draw, tuple[Cut, ...], Window], Painted]] = {
    "blast": _blast,
    "lymphocyte": _lymphocyte,
    "neutrophil": _neutrophil,
    "monocyte": _monocyte,
    "eosinophil": _eosinophil,
    "smudge": _smudge,
    "platelet": _platelet,
    "red_cell": _red_cell,
    "precipitate": _precipitate,
}
