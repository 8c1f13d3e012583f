"""Judging what was found: white cell, smudge, or neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.light.field import Field
from edge.rendered import RenderedField, RenderSettings, render_field
from edge.segmentation import segment
from edge.segmentation.canvas import CanvasPlanes
from edge.segmentation.stain import CONTRAST_LEVELS, FINE_LEVELS
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

    def judged(self, *, scale_known: bool = True, blue_red_cells: bool = False) -> list[int]:
        """Kinds of the objects in the order they were added."""
        m = self.measured(0.0)
        kinds = judge(m, self.nuclei, UM_PER_PX, scale_known=scale_known, blue_red_cells=blue_red_cells)
        return [int(k) for k in kinds[1:]]


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


def test_excess_of_red_is_never_negative_dye() -> None:
    field = Drawn()
    field.add(50, 50, 8.0, 0.4, 0.0)
    m = field.measured(0.3)
    assert m.blue[1] == pytest.approx(-0.3)
    assert m.density[1] == pytest.approx(0.4, abs=1e-3)


def test_giant_platelet_is_none_and_the_smallest_lymphocyte_of_the_same_size_is_one() -> None:
    field = Drawn()
    field.add(30, 30, 6.5, 0.22, 0.18)  # 33 µm², as the largest of pbc's platelets
    field.add(60, 60, 6.5, 0.45, 0.40)  # 33 µm², condensed chromatin
    assert field.judged() == [NOTHING, WHITE_CELL]


def test_platelet_strong_in_stain_is_none_beside_nuclei_that_are_stronger() -> None:
    alone, beside = Drawn(), Drawn()
    for field in (alone, beside):
        field.add(20, 20, 6.5, 0.40, 0.25)
    for x in (50, 80):
        beside.add(x, 60, 13.0, 0.7, 0.6)
    assert alone.judged() == [WHITE_CELL]
    assert beside.judged() == [NOTHING, WHITE_CELL, WHITE_CELL]


@pytest.mark.parametrize(
    ("across_um", "stain", "blue", "kind"),
    [
        (5.0, 0.35, 0.48, WHITE_CELL),  # 20 µm²: late erythroblast of pbc
        (5.0, 0.40, 0.36, NOTHING),  # as dense, purple instead of blue: a platelet
        (5.0, 0.25, 0.35, NOTHING),  # as blue, not as dense
        (3.5, 0.35, 0.48, NOTHING),  # smaller than any nucleus
    ],
)
def test_small_condensed_nucleus_is_told_by_density_and_blueness(
    across_um: float, stain: float, blue: float, kind: int
) -> None:
    field = Drawn()
    field.add(50, 50, across_um, stain, blue)
    assert field.judged() == [kind]


def test_condensed_nucleus_needs_red_cells_without_blue() -> None:
    field = Drawn()
    field.add(50, 50, 4.6, 0.35, 0.48)
    assert field.judged() == [WHITE_CELL]
    assert field.judged(blue_red_cells=True) == [NOTHING]


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


def test_large_pale_nucleus_counts_by_its_size() -> None:
    field = Drawn()
    field.add(50, 50, 9.0, 0.12, 0.05)
    assert field.judged() == [WHITE_CELL]


def test_small_nucleus_counts_where_it_looks_like_the_others() -> None:
    alone, beside = Drawn(), Drawn()
    for field in (alone, beside):
        field.add(20, 20, 6.8, 0.15, 0.10)
    for x in (50, 80):
        beside.add(x, 60, 8.6, 0.16, 0.10)
    assert alone.judged() == [NOTHING]
    assert beside.judged() == [WHITE_CELL, WHITE_CELL, WHITE_CELL]


def test_blue_red_cells_leave_the_judgement_to_size() -> None:
    field = Drawn()
    field.add(30, 30, 6.5, 0.12, 0.0)
    field.add(60, 60, 4.5, 0.30, 0.0)  # 16 µm²: a platelet
    assert field.judged() == [NOTHING, NOTHING]
    assert field.judged(blue_red_cells=True) == [WHITE_CELL, NOTHING]


def test_doubtful_scale_asks_for_less_dye() -> None:
    field = Drawn()
    field.add(50, 50, 6.0, 0.35, 0.20)
    assert field.judged() == [NOTHING]
    assert field.judged(scale_known=False) == [WHITE_CELL]


def test_part_of_a_nucleus_at_the_border_counts_and_a_speck_does_not() -> None:
    field = Drawn()
    field.add(1.0, 50, 9.0, 0.45, 0.35)
    field.add(1.0, 20, 3.0, 0.25, 0.15)
    assert field.judged() == [WHITE_CELL, NOTHING]


@pytest.mark.parametrize(
    ("stain", "blue", "frayed", "kind"),
    [
        (0.22, 0.06, True, SMUDGE),  # pale, drained, ragged
        (0.22, 0.20, True, SMUDGE),  # pale and very ragged
        (0.22, 0.06, False, WHITE_CELL),  # round: a pale cell
        (0.50, 0.12, True, WHITE_CELL),  # dark: an odd nucleus
        (0.45, 0.40, True, WHITE_CELL),  # a segmented nucleus is ragged too
    ],
)
def test_smudge_needs_more_than_one_sign(stain: float, blue: float, frayed: bool, kind: int) -> None:
    field = Drawn()
    for x, y in ((20, 20), (50, 20), (80, 20)):
        field.add(x, y, 10.0, 0.5, 0.45)
    field.add(50, 65, 22.0, stain, blue, frayed)
    assert field.judged() == [WHITE_CELL] * 3 + [kind]


def test_smudge_is_not_called_without_intact_nuclei_to_compare_with() -> None:
    field = Drawn()
    field.add(50, 50, 22.0, 0.22, 0.06, True)
    assert SMUDGE not in field.judged()


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
