"""A rendered field: repeatable, with the truth about every cell in it."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import cv2
import numpy as np
import pytest

from edge.rendered import Placement, Population, RenderedField, Slide, render_field
from edge.rendered.settings import OBJECT_KINDS, WHITE_KINDS
from edge.rendered.world import MAX_TILES, TILE_UM, World, world_of
from tests.edge.rendered.scenery import BLANK, EVEN, SMALL, alone


class TestDeterminism:
    @pytest.fixture(autouse=True)
    def unremembered(self) -> None:
        """Every slide of these tests has a world of its own."""
        world_of.cache_clear()

    def test_same_seed_and_settings_same_bytes(self, field: RenderedField) -> None:
        again = render_field(11, SMALL)
        assert again.image.tobytes() == field.image.tobytes()
        assert again.cell_labels.tobytes() == field.cell_labels.tobytes()
        assert again.cells == field.cells
        assert render_field(12, SMALL).cells != field.cells

    def test_a_place_does_not_depend_on_what_was_looked_at_before(self) -> None:
        small = dataclasses.replace(SMALL, width=300, height=240)
        fresh = Slide(4, small)
        world_of.cache_clear()
        used = Slide(4, small)
        used.view(400.0, -300.0)
        used.view(-250.0, 130.0, 20.0)
        assert used.view(90.0, 60.0).image.tobytes() == fresh.view(90.0, 60.0).image.tobytes()

    def test_forgotten_tiles_come_back_equal(self) -> None:
        world = World(7, Population.only(blast=300.0))
        box = (0.0, 0.0, TILE_UM, TILE_UM)
        before = world.objects("white", box)
        far = MAX_TILES * TILE_UM
        world.objects("white", (TILE_UM, 0.0, far, TILE_UM))
        world.objects("white", (far, 0.0, far + TILE_UM, TILE_UM))
        assert before == world.objects("white", box)
        assert before

    def test_exposures_differ_by_noise_alone(self, field: RenderedField) -> None:
        second = Slide(11, SMALL).view(exposure=1)
        assert field.cells == second.cells
        difference = field.image.astype(int) - second.image
        assert difference.any()
        assert abs(difference.mean()) < 0.05


class TestTruth:
    def test_labels_agree_with_records(self, field: RenderedField) -> None:
        labelled = [c for c in field.cells if c.kind in (*WHITE_KINDS, "smudge")]
        assert [c.id for c in field.cells] == list(range(1, len(field.cells) + 1))
        assert set(np.unique(field.cell_labels)) == {0, *(c.id for c in labelled)}
        assert field.cell_labels.dtype == field.nucleus_labels.dtype == np.uint16
        for cell in labelled:
            ys, xs = np.nonzero(field.cell_labels == cell.id)
            x, y, width, height = cell.bbox
            assert (x, y) == (xs.min(), ys.min())
            assert (width, height) == (np.ptp(xs) + 1, np.ptp(ys) + 1)
            assert cell.area_px == len(xs)
            assert (cell.x, cell.y) == pytest.approx((xs.mean(), ys.mean()))
            assert cell.nucleus_area_px == np.count_nonzero(field.nucleus_labels == cell.id)

        inside = field.nucleus_labels > 0
        assert inside.any()
        np.testing.assert_array_equal(field.nucleus_labels[inside], field.cell_labels[inside])
        places = [(c.y, c.x) for c in labelled]
        assert places == sorted(places)

    def test_nuclei_are_darker_in_red_light_than_red_cells(self, field: RenderedField) -> None:
        red = field.image[..., 0]
        reds = [c for c in field.cells if c.kind == "red_cell" and not c.touches_border]
        beside = [c for c in reds if not field.cell_labels[round(c.y), round(c.x)]]
        red_cells = np.median([red[round(c.y), round(c.x)] for c in beside])
        for cell in field.cells:
            if cell.kind in WHITE_KINDS and cell.nucleus_area_px > 50:
                nucleus = np.median(red[field.nucleus_labels == cell.id])
                assert nucleus < 0.65 * red_cells

    def test_counts(self, field: RenderedField) -> None:
        counts = field.truth_counts()
        white = [c for c in field.cells if c.kind in WHITE_KINDS]
        assert counts["wbc"] == len(white) == sum(counts[k] for k in WHITE_KINDS)
        assert counts["blasts"] == counts["blast"] > 0
        assert 0 < counts["wbc_whole"] == len([c for c in white if not c.touches_border]) < counts["wbc"]
        assert counts["blasts_whole"] <= counts["wbc_whole"]
        assert sum(counts[k] for k in OBJECT_KINDS) == len(field.cells)

    def test_border_flags(self, field: RenderedField) -> None:
        height, width = field.cell_labels.shape
        for cell in field.cells:
            x, y, w, h = cell.bbox
            assert cell.touches_border == (x == 0 or y == 0 or x + w == width or y + h == height)
        labels = field.cell_labels
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        flagged = {c.id for c in field.cells if c.touches_border and c.kind not in ("red_cell", "platelet")}
        assert set(np.unique(rim)) - {0} == flagged

    def test_json(self, field: RenderedField) -> None:
        truth = json.loads(json.dumps(field.truth_json()))
        assert truth["schema"] == "blastcount.rendered_truth/1"
        assert (truth["width"], truth["height"], truth["um_per_px"]) == (600, 480, 0.2)
        assert truth["counts"] == field.truth_counts()
        first, cell = truth["cells"][0], field.cells[0]
        assert (first["id"], first["kind"], first["bbox"]) == (1, cell.kind, list(cell.bbox))
        for name in ("x", "y", "x_um", "y_um", "area_px", "nucleus_area_px"):
            assert first[name] == pytest.approx(getattr(cell, name), abs=0.005)
        assert (first["touches_border"], first["key"]) == (cell.touches_border, cell.key)


class TestCells:
    @pytest.mark.parametrize(
        ("kind", "low_um", "high_um"),
        [
            ("blast", 11.5, 18.5),
            ("lymphocyte", 7.5, 14.0),
            ("neutrophil", 11.5, 15.5),
            ("monocyte", 13.0, 20.0),
            ("eosinophil", 11.5, 16.5),
            ("smudge", 9.0, 22.0),
            ("platelet", 1.3, 3.3),
            ("red_cell", 5.8, 9.2),
        ],
    )
    def test_sizes(self, kind: str, low_um: float, high_um: float) -> None:
        diameters = []
        for seed in range(6):
            (cell,) = alone(kind, seed).cells
            assert cell.kind == kind
            diameters.append(math.sqrt(cell.area_px * 4 / math.pi) * BLANK.um_per_px)
        assert low_um < min(diameters)
        assert max(diameters) < high_um
        assert np.std(diameters) > 0.05  # no two alike

    def test_blasts_have_the_high_nc_ratio_and_neutrophils_have_not(self) -> None:
        def ratio(kind: str) -> float:
            cells = [alone(kind, seed).cells[0] for seed in range(8)]
            return float(np.median([c.nucleus_area_px / c.area_px for c in cells]))

        assert ratio("blast") > 0.8
        assert ratio("neutrophil") < 0.4
        assert ratio("monocyte") < 0.5

    def test_outlines_are_no_circles(self) -> None:
        for kind in ("blast", "red_cell", "platelet", "neutrophil"):
            labels = alone(kind).image[..., 1] < 0.93 * 255 * EVEN.brightness
            contours, _ = cv2.findContours(labels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            outline = max(contours, key=len).reshape(-1, 2).astype(np.float64)
            centre = outline.mean(axis=0)
            radii = np.hypot(*(outline - centre).T)
            assert radii.std() / radii.mean() > 0.01, kind

    def test_blasts_of_a_group_touch_and_do_not_overlap(self) -> None:
        placements = [Placement("blast", -6.5, 0.0, 14.0), Placement("blast", 6.5, 0.0, 14.0)]
        settings = dataclasses.replace(BLANK, width=400)
        touching = Slide(1, settings, placements).view()
        apart = [dataclasses.replace(p, x_um=1.5 * p.x_um) for p in placements]
        for scene, expected in ((touching, True), (Slide(1, settings, apart).view(), False)):
            first, second = (scene.cell_labels == c.id for c in scene.cells)
            assert first.sum() == scene.cells[0].area_px  # neither has taken pixels of the other
            assert second.sum() == scene.cells[1].area_px
            near = cv2.dilate(first.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            assert bool((near & second).any()) is expected

    @pytest.mark.parametrize(
        ("layer", "asked", "side_um", "reach", "least"),
        [
            ("white", {"blast": 250.0, "clustered_blasts": 1.0}, 900.0, 1.0, 30),
            ("white", {"blast": 250.0, "clustered_blasts": 0.0}, 900.0, 1.0, 0),
            ("red", {"red_cell": 5000.0, "stacked_red_cells": 0.5}, 240.0, 0.9, 20),
            ("red", {"red_cell": 5000.0, "stacked_red_cells": 0.0}, 240.0, 0.9, 0),
        ],
    )
    def test_cells_form_groups_and_overlap_where_asked(
        self, layer: Any, asked: dict[str, float], side_um: float, reach: float, least: int
    ) -> None:
        cells = World(5, Population.only(**asked)).objects(layer, (0.0, 0.0, side_um, side_um))
        pairs = sum(
            math.hypot(a.x_um - b.x_um, a.y_um - b.y_um) < reach * (a.radius_um + b.radius_um)
            for i, a in enumerate(cells)
            for b in cells[:i]
        )
        assert pairs > least if least else pairs == 0

    def test_densities_are_met(self) -> None:
        asked, side_um = Population(), 1200.0
        world = World(9, asked)
        box = (0.0, 0.0, side_um, side_um)
        area_mm2 = side_um**2 * 1e-6
        found = [o.kind for layer in ("white", "small") for o in world.objects(layer, box)]  # type: ignore[arg-type]  # the loop's strings are layers
        for kind in (*WHITE_KINDS, "smudge", "platelet", "precipitate"):
            expected = getattr(asked, kind) * area_mm2
            # 4 deviations of a Poisson count; groups make blasts vary twice as much.
            assert abs(found.count(kind) - expected) < 8 * math.sqrt(expected), kind

    def test_precipitate_is_seen_but_is_no_object(self) -> None:
        speckled = dataclasses.replace(BLANK, population=Population.only(precipitate=10_000.0))
        dirty = render_field(1, speckled)
        assert dirty.cells == ()
        assert dirty.image.min() < 0.6 * render_field(1, BLANK).image.min()
