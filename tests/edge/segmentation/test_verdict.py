"""Judging what was found: white cell, smudge, or neither."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.light.density import FINE_LEVELS
from edge.light.field import Field
from edge.rendered import RenderedField, RenderSettings, render_field
from edge.segmentation import segment
from edge.segmentation.canvas import CanvasPlanes
from edge.segmentation.stain import CONTRAST_LEVELS
from edge.segmentation.verdict import NOTHING, SMUDGE, WHITE_CELL, Measures, judge, measure
from edge.structures import Frame

UM_PER_PX = 0.25
SIDE = 400


class Drawn:
    """Nuclei drawn with a stated stain; every cell is its nucleus widened by 1 µm."""

    def __init__(self) -> None:
        self.levels = np.zeros((SIDE, SIDE), np.uint8)
        self.red = np.zeros((SIDE, SIDE), np.int16)
        self.nuclei = np.zeros((SIDE, SIDE), np.uint16)
        self.cells = np.zeros((SIDE, SIDE), np.uint16)
        self.count = 0

    def add(
        self, x_um: float, y_um: float, across_um: float, stain: float, blue: float, frayed: bool = False
    ) -> None:
        """One object: a disc, or a star of the same reach."""
        self.count += 1
        centre = (round(x_um / UM_PER_PX), round(y_um / UM_PER_PX))
        radius = across_um / 2 / UM_PER_PX
        mask = np.zeros((SIDE, SIDE), np.uint8)
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        reach = radius * np.where(np.arange(24) % 2 == 0, 1.0, 0.55 if frayed else 1.0)
        if frayed:
            points = np.stack([centre[0] + reach * np.cos(angle), centre[1] + reach * np.sin(angle)], 1)
            cv2.fillPoly(mask, [points.round().astype(np.int32)], (1,))
        else:
            cv2.circle(mask, centre, round(radius), (1,), cv2.FILLED)
        self.cells[cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0] = self.count
        self.nuclei[mask > 0] = self.count
        self.levels[mask > 0] = round(CONTRAST_LEVELS * stain)
        self.red[mask > 0] = round(FINE_LEVELS * blue)

    def ring(self, x_um: float, y_um: float, across_um: float, width_um: float, stain: float) -> None:
        """A stained rim around a red cell."""
        self.count += 1
        centre = (round(x_um / UM_PER_PX), round(y_um / UM_PER_PX))
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.circle(mask, centre, round(across_um / 2 / UM_PER_PX), (1,), max(1, round(width_um / UM_PER_PX)))
        self.cells[mask > 0] = self.count
        self.nuclei[mask > 0] = self.count
        self.levels[mask > 0] = round(CONTRAST_LEVELS * stain)

    def measured(self, red_cell_red: float) -> Measures:
        edge = np.ones((SIDE, SIDE), np.bool_)
        edge[1:-1, 1:-1] = False
        everywhere = np.ones((SIDE, SIDE), np.bool_)
        planes = CanvasPlanes(
            total=self.levels,
            contrast=self.levels,
            red=self.red,
            red_cell_coloured=~everywhere,
            in_frame=everywhere,
            frame_edge=edge,
            roi=everywhere,
            isolated=~everywhere,
            um_per_px=UM_PER_PX,
        )
        return measure(planes, red_cell_red, self.nuclei, self.cells, self.count)

    def judged(self) -> list[int]:
        """Kinds of the objects in the order they were added."""
        return judge(self.measured(0.0), self.nuclei, UM_PER_PX).tolist()[1:]


def test_measures_of_a_disc() -> None:
    field = Drawn()
    field.add(50, 50, 8.0, 0.4, 0.3)
    m = field.measured(0.1)
    assert m.nucleus_um2[1] == pytest.approx(np.pi * 16, rel=0.06)
    assert m.cell_um2[1] == pytest.approx(np.pi * 25, rel=0.15)
    assert (m.stain[1], m.blue[1]) == pytest.approx((0.4, 0.2), abs=1e-3)
    assert m.dye[1] == pytest.approx(0.6 * m.nucleus_um2[1], rel=0.01)
    assert m.radius_um[1] == pytest.approx(4.0, abs=0.3)
    assert m.roundness[1] == pytest.approx(1.0, abs=0.07)
    assert not m.border[1]
    # An excess of red is never negative dye.
    paler = field.measured(0.5)
    assert paler.blue[1] == pytest.approx(-0.2)
    assert paler.density[1] == pytest.approx(0.4, abs=1e-3)


@dataclass(frozen=True)
class Object:
    """What is measured of an object; its nucleus is drawn as a rectangle of that raggedness."""

    nucleus_um2: float = 60.0
    cell_um2: float = 110.0
    stain: float = 0.5
    blue: float = 0.4
    roundness: float = 0.9
    border: bool = False
    ragged: float = 1.0


def judged(objects: list[Object], **circumstances: bool) -> list[int]:
    """Kinds of objects with just these measures."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([0.0, *(float(getattr(each, name)) for each in objects)])

    nucleus_um2 = column("nucleus_um2")
    measures = Measures(
        nucleus_um2,
        column("cell_um2"),
        column("stain"),
        column("blue"),
        column("roundness") * np.sqrt(nucleus_um2 / np.pi),
        column("border") > 0,
    )
    # Fine pixels, so that a rectangle has the raggedness that is asked for.
    um_per_px = 0.04
    nuclei = np.zeros((3, len(objects) * 1000), np.uint16)
    for i, each in enumerate(objects, start=1):
        perimeter_px = np.sqrt(each.ragged * 4 * np.pi * each.nucleus_um2) / um_per_px
        nuclei[1, (i - 1) * 1000 + 2 : (i - 1) * 1000 + 3 + round(perimeter_px / 2)] = i
    return judge(measures, nuclei, um_per_px, **circumstances).tolist()[1:]


PALE = Object(nucleus_um2=60.0, stain=0.10, blue=0.06)  # dye 10
FAINT_PEERS = [Object(stain=0.4, blue=0.2)] * 3  # density 0.6, dye 36
STRONG_PEERS = [Object(nucleus_um2=150.0, cell_um2=250.0, stain=0.6, blue=0.4)] * 3  # density 1, dye 150
INTACT = [Object(stain=0.5, blue=0.45)] * 3  # density 0.95, blueness 0.9
RAGGED = Object(nucleus_um2=120.0, cell_um2=150.0, stain=0.3, blue=0.06, ragged=1.45)
UNKNOWN_SCALE, BLUE = {"scale_known": False}, {"blue_red_cells": True}


@pytest.mark.parametrize(
    ("others", "this", "name", "no", "yes", "circumstances"),
    [
        pytest.param([], Object(nucleus_um2=30, blue=0.2), "stain", 0.43, 0.50, {}, id="dye of a nucleus"),
        pytest.param(
            [],
            Object(20, 30, blue=0.1, roundness=0.6, border=True),
            "stain",
            0.23,
            0.27,
            {},
            id="of a cut one",
        ),
        pytest.param([], Object(21, 60, 1.2, 0.2), "roundness", 0.46, 0.51, {}, id="radius of a nucleus"),
        pytest.param([], Object(80), "roundness", 0.28, 0.32, {}, id="thread"),
        pytest.param(
            [], Object(50, 80, 0.15, 0.09, border=True), "roundness", 0.43, 0.47, {}, id="faint thread, cut"
        ),
        pytest.param([], Object(stain=1.3, blue=0.0), "nucleus_um2", 19.0, 21.0, {}, id="area of a nucleus"),
        pytest.param([], Object(30, blue=0.1), "stain", 0.25, 0.29, UNKNOWN_SCALE, id="dye, scale unknown"),
        pytest.param([], PALE, "roundness", 0.63, 0.67, {}, id="a pale nucleus is round"),
        pytest.param([], PALE, "nucleus_um2", 44.0, 46.0, {}, id="... and larger than platelets"),
        pytest.param(
            FAINT_PEERS, Object(30, stain=0.4, blue=0.2), "cell_um2", 38.0, 42.0, {}, id="area of a cell"
        ),
        pytest.param(
            FAINT_PEERS,
            Object(10, stain=0.4, blue=0.2, border=True),
            "cell_um2",
            18.0,
            22.0,
            {},
            id="area of a cut cell",
        ),
        pytest.param([], Object(30, 60, 0.35, 0.55), "nucleus_um2", 12.0, 13.0, {}, id="area, condensed"),
        pytest.param([], Object(15, 60, 0.3), "blue", 0.38, 0.42, {}, id="density of a condensed nucleus"),
        pytest.param([], Object(15, 60, 0.4), "blue", 0.46, 0.50, {}, id="blueness of a condensed nucleus"),
        pytest.param(
            [],
            Object(30, 60, 0.3, 0.0, 0.66),
            "nucleus_um2",
            24.0,
            26.0,
            BLUE,
            id="area among blue red cells",
        ),
        pytest.param(
            [], Object(45.4, 60, 0.2, 0.0), "roundness", 0.48, 0.52, BLUE, id="circle among blue red cells"
        ),
        pytest.param(
            FAINT_PEERS, Object(30, 60, blue=0.2), "stain", 0.22, 0.27, {}, id="as dense as the others"
        ),
        pytest.param(
            FAINT_PEERS,
            Object(stain=0.4, blue=0.2),
            "nucleus_um2",
            23.0,
            25.0,
            {},
            id="as large as the others",
        ),
        pytest.param(
            STRONG_PEERS, Object(40, blue=0.2), "stain", 0.45, 0.50, {}, id="share of the others' dye"
        ),
        pytest.param(
            STRONG_PEERS[:1], Object(40, blue=0.2), "stain", 0.45, 0.50, {}, id="one other is enough"
        ),
        pytest.param(
            [Object(160.0, 250.0, 0.75, 0.5)] * 3,
            Object(15, 40, blue=0.2, roundness=0.6, border=True),
            "stain",
            0.37,
            0.43,
            {},
            id="... of a cut one",
        ),
        pytest.param(
            [Object()] * 3, Object(20, 40, border=True), "stain", 0.24, 0.26, BLUE, id="contrast of a cut one"
        ),
    ],
)
def test_a_white_cell_is_told_at_its_limits(
    others: list[Object], this: Object, name: str, no: float, yes: float, circumstances: dict[str, bool]
) -> None:
    kinds = [judged([*others, replace(this, **{name: value})], **circumstances)[-1] for value in (no, yes)]
    assert kinds == [NOTHING, WHITE_CELL]


@pytest.mark.parametrize(
    ("this", "name", "white", "smudge"),
    [
        pytest.param(replace(RAGGED, stain=0.42, ragged=2.0), "blue", 0.125, 0.10, id="pale"),
        pytest.param(RAGGED, "blue", 0.19, 0.17, id="drained of blue"),
        pytest.param(RAGGED, "ragged", 1.30, 1.40, id="ragged where it is drained"),
        pytest.param(replace(RAGGED, blue=0.22), "ragged", 1.55, 1.65, id="very ragged where it is not"),
        pytest.param(replace(RAGGED, stain=0.465), "nucleus_um2", 39.0, 41.0, id="larger than a platelet"),
    ],
)
def test_a_smudge_is_told_at_its_limits(this: Object, name: str, white: float, smudge: float) -> None:
    kinds = [judged([*INTACT, replace(this, **{name: value})])[-1] for value in (white, smudge)]
    assert kinds == [WHITE_CELL, SMUDGE]


def test_a_smudge_is_drained_only_beside_nuclei_that_are_bluer_than_red_cells() -> None:
    this = replace(RAGGED, blue=0.0)
    kinds = [judged([*[Object(stain=0.7, blue=blue)] * 3, this])[-1] for blue in (0.168, 0.182)]
    assert kinds == [WHITE_CELL, SMUDGE]
    assert SMUDGE not in judged([this])  # nor without any to compare with


@pytest.mark.parametrize("width_um", [1.0, 2.0])
def test_rim_of_a_red_cell_is_none(width_um: float) -> None:
    field = Drawn()
    field.ring(50, 50, 7.5, width_um, 0.12)
    assert field.nuclei.any()
    assert field.judged() == [NOTHING]


def test_ring_as_dark_as_a_nucleus_is_none_where_it_is_thin_and_a_cell_where_it_is_a_nucleus() -> None:
    thin, nucleus = Drawn(), Drawn()
    thin.ring(50, 50, 20.0, 1.5, 0.7)
    nucleus.ring(50, 50, 9.0, 3.5, 0.7)  # ring-shaped nuclei of granulocytes are thick
    assert thin.judged() == [NOTHING]
    assert nucleus.judged() == [WHITE_CELL]


def test_part_of_a_nucleus_at_the_border_counts_and_a_speck_does_not() -> None:
    field = Drawn()
    field.add(1.0, 50, 9.0, 0.45, 0.35)
    field.add(1.0, 20, 3.0, 0.25, 0.15)
    assert field.judged() == [WHITE_CELL, NOTHING]


def test_round_or_dark_or_blue_nuclei_are_no_smudges() -> None:
    field = Drawn()
    for x, y in ((20, 20), (50, 20), (80, 20)):
        field.add(x, y, 10.0, 0.5, 0.45)
    for x, (stain, blue, frayed) in enumerate(((0.22, 0.06, True), (0.22, 0.06, False), (0.5, 0.12, True))):
        field.add(20 + 30 * x, 65, 22.0, stain, blue, frayed)
    assert field.judged() == [WHITE_CELL] * 3 + [SMUDGE, WHITE_CELL, WHITE_CELL]


def test_nothing_found_is_judged_without_complaint() -> None:
    assert Drawn().judged() == []


def found_kinds(field: RenderedField) -> tuple[list[str], list[tuple[str, str]]]:
    """Kinds of all painted cells well inside, and (painted, found) kinds of what segmentation gave."""
    result = segment(Field(Frame(field.image, "rendered")))
    label, _ = result.label_images()
    painted = {c.id: c.kind for c in field.cells}
    pairs: list[tuple[str, str]] = []
    for cell in result.cells:
        truth: NDArray[np.int64] = np.bincount(field.cell_labels[label == cell.id])
        truth[0] = 0
        pairs.append((painted[int(truth.argmax())] if truth.any() else "none", cell.kind))
    return [c.kind for c in field.cells if not c.touches_border], pairs


@pytest.fixture(scope="module")
def crowded() -> tuple[list[str], list[tuple[str, str]]]:
    """Two fields with many platelets and smudges."""
    plain = RenderSettings(width=856, height=684, um_per_px=0.2)
    settings = replace(plain, population=replace(plain.population, smudge=90.0, platelet=1500.0))
    painted: list[str] = []
    pairs: list[tuple[str, str]] = []
    for seed in (0, 1):
        kinds, found = found_kinds(render_field(seed, settings))
        painted += kinds
        pairs += found
    return painted, pairs


def test_rendered_platelets_are_not_cells(crowded: tuple[list[str], list[tuple[str, str]]]) -> None:
    painted, pairs = crowded
    assert painted.count("platelet") > 20
    assert "none" not in [kind for kind, _ in pairs]


def test_no_rendered_white_cell_is_called_smudge(crowded: tuple[list[str], list[tuple[str, str]]]) -> None:
    painted, pairs = crowded
    inside = painted.count("blast")
    assert inside >= 5
    assert pairs.count(("blast", "wbc")) >= inside
    assert {kind for kind, called in pairs if called == "smudge"} == {"smudge"}


@pytest.mark.real_data
def test_smudges_and_platelets_of_real_fields(real_data: Path) -> None:
    """Field 56 has several smudges, fields 84 and 86 a giant platelet each beside their white cells."""

    def kinds(stem: str) -> list[str]:
        image = cv2.imread(str(real_data / "all-idb1" / "im" / f"{stem}.jpg"))
        cells = segment(Field(Frame(np.ascontiguousarray(image[..., ::-1]), stem))).cells
        return [c.kind for c in cells if not c.touches_border]

    assert kinds("Im056_1").count("smudge") >= 2
    assert len(kinds("Im084_0")) == 2
    assert kinds("Im086_0") == ["wbc"]
