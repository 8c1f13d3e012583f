"""Outlines of cells and nuclei against the exact masks of drawn and rendered fields."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation import segment
from edge.segmentation.canvas import CanvasPlanes
from edge.segmentation.outline import partition_cells, smooth_cells
from edge.structures import Frame

BLANK = (225, 220, 210)
RED_CELL = (200, 165, 160)
NUCLEUS = (95, 45, 140)
UM_PER_PX = 0.1
Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> float:
    return 2.0 * int((a & b).sum()) / max(1, int(a.sum()) + int(b.sum()))


def disc(image: NDArray[np.uint8], x: float, y: float, diameter: float, colour: tuple[int, ...]) -> None:
    centre = (round(x / UM_PER_PX * 16), round(y / UM_PER_PX * 16))
    radius = round(diameter / 2 / UM_PER_PX * 16)
    cv2.circle(image, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, shift=4)


def drawn(
    cytoplasm: tuple[int, int, int], *, red: list[tuple[float, float]], width_um: float = 60.0
) -> tuple[NDArray[np.uint8], Mask, Mask]:
    """A white cell of 13 µm in the middle, red cells at the given distances (µm), its exact masks."""
    middle = width_um / 2
    side = round(width_um / UM_PER_PX)
    image = np.full((side, side, 3), BLANK, np.uint8)
    for x, y in red:
        disc(image, middle + x, middle + y, 7.5, RED_CELL)
    disc(image, middle, middle, 13.0, cytoplasm)
    disc(image, middle, middle, 8.0, NUCLEUS)
    cell, nucleus = np.zeros((2, side, side), np.uint8)
    disc(cell, middle, middle, 13.0, (1,))
    disc(nucleus, middle, middle, 8.0, (1,))
    noise = np.random.default_rng(5).normal(0, 2, image.shape)
    soft = cv2.GaussianBlur(image, (0, 0), 1.5) + noise
    return np.clip(soft, 0, 255).astype(np.uint8), cell > 0, nucleus > 0


FAR = [(x, y) for x in (-24.0, -14.0, 14.0, 24.0) for y in (-24.0, -14.0, 0.0, 14.0, 24.0)]


@pytest.mark.parametrize(
    "cytoplasm",
    [(170, 165, 205), (205, 200, 205), (190, 140, 150), (205, 180, 172)],
    ids=["blue", "pale", "dense pink", "of the red cells' own colour"],
)
@pytest.mark.parametrize("red", [FAR, []], ids=["among red cells", "alone"])
def test_cell_and_nucleus_are_drawn_where_they_are(
    cytoplasm: tuple[int, int, int], red: list[tuple[float, float]]
) -> None:
    image, cell, nucleus = drawn(cytoplasm, red=red)
    found = segment(Field(Frame(image, "drawn", um_per_px=UM_PER_PX)))
    assert len(found.cells) == 1
    cells, nuclei = found.label_images()
    assert dice(cells > 0, cell) > 0.92
    assert dice(nuclei > 0, nucleus) > 0.92


def test_cytoplasm_does_not_leak_into_a_red_cell_that_touches() -> None:
    image, cell, _ = drawn((170, 165, 205), red=[*FAR, (10.0, 0.0), (0.0, -10.0)])
    cells, _ = segment(Field(Frame(image, "drawn", um_per_px=UM_PER_PX))).label_images()
    assert dice(cells > 0, cell) > 0.92
    beyond = cv2.dilate(cell.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert int(((cells > 0) & beyond).sum()) < 0.03 * int(cell.sum())


def test_outline_out_of_focus_lies_at_its_share_of_the_edge() -> None:
    """What is blurred over 1.5 µm tells where between inside and outside the outline is drawn."""
    image, cell, nucleus = drawn((190, 140, 150), red=FAR)
    blurred = cv2.GaussianBlur(image, (0, 0), 6).astype(np.uint8)
    cells, nuclei = segment(Field(Frame(blurred, "drawn", um_per_px=UM_PER_PX))).label_images()
    assert (cells > 0).sum() / cell.sum() == pytest.approx(1.19, abs=0.06)  # at 0.4: the rim is drawn in full
    assert (nuclei > 0).sum() / nucleus.sum() == pytest.approx(0.93, abs=0.06)  # at 0.45: chromatin's plateau


def test_lone_cell_gives_the_scale_where_there_are_no_red_cells() -> None:
    image, cell, _ = drawn((190, 140, 150), red=[], width_um=22.0)
    found = segment(Field(Frame(image, "drawn")))
    assert found.scale.source == "assumed"
    assert found.scale.um_per_px == pytest.approx(UM_PER_PX, rel=0.15)
    assert dice(found.label_images()[0] > 0, cell) > 0.92


def test_rendered_cells_agree_with_their_exact_masks() -> None:
    nuclei_dice, cells_dice = [], []
    for seed in range(3):
        field = render_field(seed, RenderSettings(width=900, height=700, um_per_px=0.15))
        labels, nuclei = segment(Field(Frame(field.image, "rendered", um_per_px=0.15))).label_images()
        for truth in field.cells:
            mask = field.cell_labels == truth.id
            ids, counts = np.unique(labels[mask & (labels > 0)], return_counts=True)
            if truth.kind == "smudge" or truth.touches_border or not ids.size:
                continue
            best = ids[counts.argmax()]
            cells_dice.append(dice(mask, labels == best))
            nuclei_dice.append(dice(field.nucleus_labels == truth.id, nuclei == best))
    assert len(cells_dice) >= 3
    assert np.mean(cells_dice) > 0.9
    assert np.mean(nuclei_dice) > 0.9


#: Where the drawn canvas below has what: px from the edge of its nucleus, which is a disc of 8 µm.
CANVAS_UM_PER_PX = 0.25
FOREGROUND_DENSITY = 0.12


class Canvas:
    """Planes of a canvas with one nucleus in the middle, levels as :class:`CanvasPlanes` has them."""

    def __init__(self) -> None:
        side = round(60 / CANVAS_UM_PER_PX)
        self.nucleus = np.zeros((side, side), np.uint16)
        cv2.circle(self.nucleus, (side // 2, side // 2), round(4 / CANVAS_UM_PER_PX), (1,), cv2.FILLED)
        away_px = cv2.distanceTransform((self.nucleus == 0).astype(np.uint8), cv2.DIST_L2, 5)
        self.away_um = away_px * CANVAS_UM_PER_PX
        self.total, self.contrast = np.zeros((2, side, side), np.uint8)
        self.red_cell_coloured = np.zeros((side, side), np.bool_)

    def ring(self, first_um: float, last_um: float) -> Mask:
        return (self.away_um > first_um) & (self.away_um <= last_um)

    def red_cells(self, first_um: float, last_um: float, total: int) -> None:
        where = self.ring(first_um, last_um)
        self.red_cell_coloured |= where
        self.total[where] = total

    def planes(self) -> CanvasPlanes:
        everywhere = np.ones(self.total.shape, np.bool_)
        return CanvasPlanes(
            total=self.total,
            contrast=self.contrast,
            red=np.zeros(self.total.shape, np.int16),
            red_cell_coloured=self.red_cell_coloured,
            in_frame=everywhere,
            frame_edge=~everywhere,
            roi=everywhere,
            isolated=~everywhere,
            um_per_px=CANVAS_UM_PER_PX,
        )

    def cell_mask(self, foreground_density: float = FOREGROUND_DENSITY) -> Mask:
        return partition_cells(self.planes(), self.nucleus, foreground_density)[1]

    def smoothed(self, cell: Mask) -> Mask:
        """What is left of a cell's mask, all of one density."""
        self.total[cell] = 100
        voronoi = np.ones(cell.shape, np.uint16)
        return smooth_cells(self.planes(), voronoi, cell | (self.nucleus > 0), self.nucleus, 1) > 0


def test_cytoplasm_is_looked_for_within_reach_of_the_nucleus() -> None:
    canvas = Canvas()
    canvas.total[:] = 100
    cell = canvas.cell_mask()
    assert cell[canvas.ring(0, 4.7)].all()
    assert not cell[canvas.ring(5.3, 99)].any()


@pytest.mark.parametrize(
    ("plane", "level", "foreground_density", "is_cell"),
    [
        # 200 levels a unit of density: half the foreground's density, within 0.04 and 0.08 ...
        ("total", 7, 0.06, False), ("total", 9, 0.06, True), ("total", 11, 0.12, False),
        ("total", 13, 0.12, True), ("total", 15, 0.3, False), ("total", 17, 0.3, True),
        # ... or 0.02 of contrast, of 360 levels a unit.
        ("contrast", 7, 0.12, False), ("contrast", 8, 0.12, True),
    ],
)  # fmt: skip
def test_palest_cytoplasm(plane: str, level: int, foreground_density: float, is_cell: bool) -> None:
    canvas = Canvas()
    getattr(canvas, plane)[canvas.ring(0, 3)] = level
    assert canvas.cell_mask(foreground_density)[canvas.ring(0, 3)].all() == is_cell


@pytest.mark.parametrize(("share", "is_cell"), [(0.45, True), (0.55, False), (2.3, False), (2.5, True)])
def test_red_cells_have_their_own_density_or_that_of_two(share: float, is_cell: bool) -> None:
    canvas = Canvas()
    canvas.red_cells(3.8, 9.0, 80)
    canvas.red_cells(0.0, 3.0, round(share * 80))
    assert canvas.cell_mask()[canvas.ring(0, 3)].all() == is_cell


@pytest.mark.parametrize(
    ("first_um", "last_um", "is_cell"),
    [(2.5, 3.3, True), (3.7, 4.5, False), (3.7, 4.0, True), (3.7, 4.3, False)],
    ids=["near", "away", "a scrap", "half a red cell"],
)
def test_red_cells_are_known_from_half_of_one_away_from_every_nucleus(
    first_um: float, last_um: float, is_cell: bool
) -> None:
    canvas = Canvas()
    canvas.red_cells(0.0, 2.0, 80)
    canvas.red_cells(first_um, last_um, 80)
    assert canvas.cell_mask()[canvas.ring(0, 2)].all() == is_cell


@pytest.mark.parametrize(("offset", "held"), [(18, True), (36, False)])
def test_blank_slide_is_what_it_is_around_the_cell(offset: int, held: bool) -> None:
    """Where the fitted light is off by 0.09, blank slide is no cytoplasm; more than 0.1 is not blank."""
    canvas = Canvas()
    canvas.total[:] = offset
    canvas.total[canvas.ring(0, 3)] += 16
    cell = canvas.cell_mask()
    assert cell[canvas.ring(0, 3)].all()
    assert cell[canvas.ring(3.5, 4.5)].any() != held


def arms(canvas: Canvas, directions_deg: list[int], width_um: float) -> Mask:
    """Strips that reach 6 µm out of a cell of 12 µm in the middle."""
    out = np.zeros(canvas.total.shape, np.uint8)
    middle, far = len(out) // 2, 12 / CANVAS_UM_PER_PX
    for angle in np.radians(directions_deg):
        end = (round(middle + far * np.cos(angle)), round(middle + far * np.sin(angle)))
        cv2.line(out, (middle, middle), end, (1,), round(width_um / CANVAS_UM_PER_PX))
    return out > 0


@pytest.mark.parametrize(
    ("directions_deg", "width_um", "most_um2"),
    [([20], 3.0, 10.0), ([20, 140], 3.0, 20.0), ([0, 60, 120, 180, 240, 300], 2.5, 25.0)],
)
def test_what_reaches_out_of_a_cell_is_cut_off(
    directions_deg: list[int], width_um: float, most_um2: float
) -> None:
    canvas = Canvas()
    cell = canvas.away_um <= 2.0
    left = canvas.smoothed(cell | arms(canvas, directions_deg, width_um))
    assert left[cell].mean() > 0.98
    assert (left & ~cell).sum() * CANVAS_UM_PER_PX**2 < most_um2


def test_oval_cells_with_a_nucleus_at_one_end_are_kept() -> None:
    canvas = Canvas()
    cell = np.zeros(canvas.total.shape, np.uint8)
    middle = len(cell) // 2
    centre = (middle + round(3 / CANVAS_UM_PER_PX), middle)
    axes = (round(8.5 / CANVAS_UM_PER_PX), round(6 / CANVAS_UM_PER_PX))
    cv2.ellipse(cell, centre, axes, 0, 0, 360, (1,), cv2.FILLED)
    assert canvas.smoothed(cell > 0)[cell > 0].mean() > 0.98
