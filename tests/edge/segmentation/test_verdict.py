"""Judging what was found: white cell, smudge, or neither."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.light.density import FINE_LEVELS
from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
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
        self, x_um: float, y_um: float, across_um: float, stain: float, blue: float, rim_um: float = 0.0
    ) -> None:
        """One object: a disc, or a rim of a stated width."""
        self.count += 1
        mask = np.zeros((SIDE, SIDE), np.uint8)
        centre = (round(x_um / UM_PER_PX), round(y_um / UM_PER_PX))
        width = max(1, round(rim_um / UM_PER_PX)) if rim_um else cv2.FILLED
        cv2.circle(mask, centre, round(across_um / 2 / UM_PER_PX), (1,), width)
        self.cells[cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0] = self.count
        self.nuclei[mask > 0] = self.count
        self.levels[mask > 0] = round(CONTRAST_LEVELS * stain)
        self.red[mask > 0] = round(FINE_LEVELS * blue)

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
    cytoplasm: float = 0.1


def judged(objects: list[Object], **circumstances: Any) -> list[int]:
    """Kinds of objects with just these measures."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([0.0, *(float(getattr(each, name)) for each in objects)])

    nucleus_um2 = column("nucleus_um2")
    measures = Measures(
        nucleus_um2,
        column("cell_um2"),
        column("stain"),
        column("blue"),
        column("cytoplasm"),
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
DARK_PEERS = [Object(nucleus_um2=160.0, cell_um2=250.0, stain=0.75, blue=0.5)] * 3  # dye 200
INTACT = [Object(stain=0.5, blue=0.45)] * 3  # density 0.95, blueness 0.9
RAGGED = Object(nucleus_um2=120.0, cell_um2=150.0, stain=0.3, blue=0.06, ragged=1.45)
BLUE = {"blue_red_cells": True}
FAINT = {"red_cell_total": 0.2}
THIN = Object(40.0, 100.0, stain=0.14, blue=0.06)  # dye 8
CUT = Object(30.0, 60.0, stain=0.08, blue=0.06, border=True)  # dye 4.2


@pytest.mark.parametrize(
    ("others", "this", "name", "no", "yes", "circumstances"),
    [
        # Dye of a nucleus, of a cut one, and where the scale is not known.
        ([], Object(30, blue=0.2), "stain", 0.43, 0.50, {}),
        ([], Object(20, 30, blue=0.1, roundness=0.6, border=True), "stain", 0.23, 0.27, {}),
        ([], Object(30, blue=0.1), "stain", 0.25, 0.29, {"scale_known": False}),
        # Its area and the radius of its inscribed circle; threads, and faint ones that are cut.
        ([], Object(stain=1.3, blue=0.0), "nucleus_um2", 19.0, 21.0, {}),
        ([], Object(21, 60, 1.2, 0.2), "roundness", 0.46, 0.51, {}),
        ([], Object(80), "roundness", 0.28, 0.32, {}),
        ([], Object(50, 80, 0.15, 0.09, border=True), "roundness", 0.43, 0.47, {}),
        # A pale nucleus is round and larger than platelets.
        ([], PALE, "roundness", 0.63, 0.67, {}),
        ([], PALE, "nucleus_um2", 44.0, 46.0, {}),
        # Area of a cell, and of a cut one.
        (FAINT_PEERS, Object(30, stain=0.4, blue=0.2), "cell_um2", 38.0, 42.0, {}),
        (FAINT_PEERS, Object(10, stain=0.4, blue=0.2, border=True), "cell_um2", 18.0, 22.0, {}),
        # Area, density and blueness of a condensed nucleus, which needs red cells without blue.
        ([], Object(30, 60, 0.35, 0.55), "nucleus_um2", 12.0, 13.0, {}),
        ([], Object(15, 60, 0.3), "blue", 0.38, 0.42, {}),
        ([], Object(15, 60, 0.4), "blue", 0.46, 0.50, {}),
        ([], Object(15, 60, 0.4, 0.5, 0.8), "nucleus_um2", 15.0, 26.0, BLUE),
        # Area and inscribed circle among blue red cells.
        ([], Object(30, 60, 0.3, 0.0, 0.66), "nucleus_um2", 24.0, 26.0, BLUE),
        ([], Object(45.4, 60, 0.2, 0.0), "roundness", 0.48, 0.52, BLUE),
        # Little dye among faint red cells, or far out of their spread.
        ([], THIN, "stain", 0.10, 0.11, FAINT),
        ([], replace(THIN, blue=0.2), "nucleus_um2", 24.0, 26.0, FAINT),
        ([], THIN, "cell_um2", 43.0, 47.0, FAINT),
        ([], replace(THIN, nucleus_um2=30.0, blue=0.1), "roundness", 0.47, 0.50, FAINT),
        ([], replace(THIN, nucleus_um2=60.0), "roundness", 0.41, 0.43, FAINT),
        ([], THIN, "stain", 0.135, 0.145, {"red_cell_spread": 0.025}),
        ([], THIN, "cell_um2", 63.0, 67.0, {"red_cell_spread": 0.025}),
        ([], CUT, "stain", 0.05, 0.06, FAINT),
        ([], CUT, "cell_um2", 39.0, 41.0, FAINT),
        ([], CUT, "roundness", 0.80, 0.82, FAINT),
        # As dense and as large as the others.
        (FAINT_PEERS, Object(30, 60, blue=0.2), "stain", 0.22, 0.27, {}),
        (FAINT_PEERS, Object(stain=0.4, blue=0.2), "nucleus_um2", 23.0, 25.0, {}),
        # Share of the others' dye, where one other is enough, and of a cut one; contrast of a cut one.
        (STRONG_PEERS, Object(40, blue=0.2), "stain", 0.45, 0.50, {}),
        (STRONG_PEERS[:1], Object(40, blue=0.2), "stain", 0.45, 0.50, {}),
        (DARK_PEERS, Object(15, 40, blue=0.2, roundness=0.6, border=True), "stain", 0.37, 0.43, {}),
        ([Object()] * 3, Object(20, 40, border=True), "stain", 0.24, 0.26, BLUE),
    ],
)  # fmt: skip
def test_a_white_cell_is_told_at_its_limits(
    others: list[Object], this: Object, name: str, no: float, yes: float, circumstances: dict[str, Any]
) -> None:
    kinds = [judged([*others, replace(this, **{name: value})], **circumstances)[-1] for value in (no, yes)]
    assert kinds == [NOTHING, WHITE_CELL]


def test_little_dye_is_enough_where_the_red_cells_are_faint() -> None:
    assert [judged([THIN], red_cell_total=total)[0] for total in (0.23, 0.21)] == [NOTHING, WHITE_CELL]


@pytest.mark.parametrize(
    ("this", "name", "white", "smudge"),
    [
        (replace(RAGGED, stain=0.42, ragged=2.0), "blue", 0.125, 0.10),  # pale
        (RAGGED, "blue", 0.19, 0.17),  # drained of blue
        (RAGGED, "ragged", 1.30, 1.40),
        (replace(RAGGED, blue=0.22), "ragged", 1.55, 1.65),  # very ragged where it is not drained
        (replace(RAGGED, stain=0.465), "nucleus_um2", 39.0, 41.0),
    ],
)
def test_a_smudge_is_told_at_its_limits(this: Object, name: str, white: float, smudge: float) -> None:
    kinds = [judged([*INTACT, replace(this, **{name: value})])[-1] for value in (white, smudge)]
    assert kinds == [WHITE_CELL, SMUDGE]


@pytest.mark.parametrize(
    ("stain", "name", "white", "smudge"),
    [
        (0.5, "nucleus_um2", 58.0, 62.0),
        (0.5, "cytoplasm", 0.042, 0.038),
        (0.2, "cytoplasm", 0.030, 0.026),
        (0.5, "border", True, False),
    ],
)
def test_a_nucleus_without_cytoplasm_is_a_smudge(
    stain: float, name: str, white: float, smudge: float
) -> None:
    naked = Object(80.0, 100.0, stain=stain, cytoplasm=0.02)
    assert [judged([replace(naked, **{name: value})])[0] for value in (white, smudge)] == [WHITE_CELL, SMUDGE]


def test_a_smudge_is_drained_only_beside_nuclei_that_are_bluer_than_red_cells() -> None:
    this = replace(RAGGED, blue=0.0)
    kinds = [judged([*[Object(stain=0.7, blue=blue)] * 3, this])[-1] for blue in (0.168, 0.182)]
    assert kinds == [WHITE_CELL, SMUDGE]
    assert SMUDGE not in judged([this])  # nor without any to compare with


@pytest.mark.parametrize(
    ("across_um", "rim_um", "stain", "kind"),
    [
        (7.5, 1.0, 0.12, NOTHING), (7.5, 2.0, 0.12, NOTHING),  # of a red cell
        (20.0, 1.5, 0.7, NOTHING), (9.0, 3.5, 0.7, WHITE_CELL),  # ring-shaped nuclei are thick
    ],
)  # fmt: skip
def test_rims_are_no_nuclei(across_um: float, rim_um: float, stain: float, kind: int) -> None:
    field = Drawn()
    field.add(50, 50, across_um, stain, 0.0, rim_um)
    assert field.judged() == [kind]


def test_part_of_a_nucleus_at_the_border_counts_and_a_speck_does_not() -> None:
    field = Drawn()
    field.add(1.0, 50, 9.0, 0.45, 0.35)
    field.add(1.0, 20, 3.0, 0.25, 0.15)
    assert field.judged() == [WHITE_CELL, NOTHING]


def test_nothing_found_is_judged_without_complaint() -> None:
    assert Drawn().judged() == []


def test_rendered_platelets_are_no_cells_and_blasts_no_smudges() -> None:
    plain = RenderSettings(width=856, height=684, um_per_px=0.2)
    settings = replace(plain, population=replace(plain.population, smudge=90.0, platelet=1500.0))
    whole: list[str] = []
    pairs: list[tuple[str, str]] = []
    for field in (render_field(seed, settings) for seed in (0, 1)):
        result = segment(Field(Frame(field.image, "rendered")))
        label, _ = result.label_images()
        painted = {0: "none"} | {c.id: c.kind for c in field.cells}
        whole += [c.kind for c in field.cells if not c.touches_border]
        for cell in result.cells:
            truth = np.bincount(field.cell_labels[label == cell.id], minlength=2)
            truth[0] = 0
            pairs.append((painted[int(truth.argmax()) if truth.any() else 0], cell.kind))
    assert whole.count("platelet") > 20
    assert "none" not in [kind for kind, _ in pairs]
    assert pairs.count(("blast", "wbc")) >= whole.count("blast") >= 5
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
