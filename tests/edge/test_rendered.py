from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.camera.rendered import (
    Lamp,
    Placement,
    Population,
    RenderedField,
    RenderedSource,
    RenderSettings,
    Sensor,
    Slide,
    Stain,
    render_field,
)
from edge.camera.rendered.settings import OBJECT_KINDS, WHITE_KINDS
from edge.camera.rendered.world import MAX_TILES, TILE_UM, World
from edge.camera.source import FrameSource
from edge.errors import ConfigError, SourceError

SMALL = RenderSettings(width=600, height=480, um_per_px=0.2)
#: No noise and even light, for tests that measure levels.
EVEN = Lamp(vignetting=0.0, tilt=0.0)
QUIET = Sensor(full_well_e=1e7, read_noise_e=0.0)
BLANK = RenderSettings(width=200, height=160, population=Population.only(), lamp=EVEN, sensor=QUIET)


@pytest.fixture(scope="module")
def field() -> RenderedField:
    """A field of 120×96 µm with cells of every sort at its border and inside."""
    return render_field(11, SMALL)


def alone(kind: Any, seed: int = 3, **changes: Any) -> RenderedField:
    """One object in the middle of an otherwise empty, quiet field."""
    settings = dataclasses.replace(BLANK, width=260, height=260, **changes)
    return Slide(seed, settings, [Placement(kind, 0.0, 0.0)]).view()


def sharpness(image: NDArray[np.uint8]) -> float:
    return float(cv2.Laplacian(image[..., 1].astype(np.float32), cv2.CV_32F).var())


class TestDeterminism:
    def test_same_seed_and_settings_same_bytes(self, field: RenderedField) -> None:
        again = render_field(11, SMALL)
        assert again.image.tobytes() == field.image.tobytes()
        assert again.cell_labels.tobytes() == field.cell_labels.tobytes()
        assert again.cells == field.cells

    def test_another_seed_is_another_field(self, field: RenderedField) -> None:
        assert render_field(12, SMALL).cells != field.cells

    def test_a_place_does_not_depend_on_what_was_looked_at_before(self) -> None:
        fresh, used = Slide(4, SMALL), Slide(4, SMALL)
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

    def test_exposures_differ_by_noise_alone(self) -> None:
        slide = Slide(2, SMALL)
        first, second = slide.view(), slide.view(exposure=1)
        assert first.cells == second.cells
        difference = first.image.astype(int) - second.image
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

    def test_nuclei_lie_inside_their_cells(self, field: RenderedField) -> None:
        inside = field.nucleus_labels > 0
        assert inside.any()
        np.testing.assert_array_equal(field.nucleus_labels[inside], field.cell_labels[inside])

    def test_ids_follow_reading_order(self, field: RenderedField) -> None:
        places = [(c.y, c.x) for c in field.cells if c.kind in (*WHITE_KINDS, "smudge")]
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
        first = field.cells[0]
        assert truth["cells"][0] == {
            "id": 1,
            "kind": first.kind,
            "x": round(first.x, 2),
            "y": round(first.y, 2),
            "bbox": list(first.bbox),
            "area_px": first.area_px,
            "nucleus_area_px": first.nucleus_area_px,
            "touches_border": first.touches_border,
            "x_um": round(first.x_um, 3),
            "y_um": round(first.y_um, 3),
            "key": first.key,
        }


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

    def test_populations_have_groups_where_asked(self) -> None:
        def pairs(share: float) -> int:
            world = World(5, Population.only(blast=250.0, clustered_blasts=share))
            cells = world.objects("white", (0.0, 0.0, 900.0, 900.0))
            return sum(
                math.hypot(a.x_um - b.x_um, a.y_um - b.y_um) < a.radius_um + b.radius_um
                for i, a in enumerate(cells)
                for b in cells[:i]
            )

        assert pairs(0.0) == 0
        assert pairs(1.0) > 30

    def test_red_cells_overlap_where_asked(self) -> None:
        def overlaps(share: float) -> int:
            world = World(5, Population.only(red_cell=5000.0, stacked_red_cells=share))
            cells = world.objects("red", (0.0, 0.0, 240.0, 240.0))
            return sum(
                math.hypot(a.x_um - b.x_um, a.y_um - b.y_um) < 0.9 * (a.radius_um + b.radius_um)
                for i, a in enumerate(cells)
                for b in cells[:i]
            )

        assert overlaps(0.0) == 0
        assert overlaps(0.5) > 20

    def test_densities_are_met(self) -> None:
        asked = Population()
        world = World(9, asked)
        side_um = 1200.0
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


class TestViews:
    def test_other_scales_show_the_same_slide(self) -> None:
        fine = render_field(6, dataclasses.replace(SMALL, width=960, height=800, um_per_px=0.1))
        coarse = render_field(6, dataclasses.replace(SMALL, width=240, height=200, um_per_px=0.4))
        places = {c.key: c for c in coarse.cells}
        whole = [c for c in fine.cells if not c.touches_border and c.key in places and c.kind != "platelet"]
        assert len(whole) > 30
        for cell in whole:
            other = places[cell.key]
            assert (other.x_um, other.y_um, other.kind) == (cell.x_um, cell.y_um, cell.kind)
            # Pixel centres are whole numbers, the field's centre lies between the middle two.
            for position, seen, size in ((cell.x, other.x, (960, 240)), (cell.y, other.y, (800, 200))):
                fine_um = (position + 0.5 - size[0] / 2) * 0.1
                assert (seen + 0.5 - size[1] / 2) * 0.4 == pytest.approx(fine_um, abs=0.15)
            assert other.area_px * 0.16 == pytest.approx(cell.area_px * 0.01, rel=0.08)

    def test_overlapping_views_show_the_same_cells(self) -> None:
        slide = Slide(8, SMALL)
        left, right = slide.view(0.0, 0.0), slide.view(40.0, 10.0)
        there = {c.key: c for c in right.cells}
        shared = [c for c in left.cells if c.key in there]
        shared = [c for c in shared if not c.touches_border and not there[c.key].touches_border]
        assert len(shared) > 20
        for cell in shared:
            # 40 µm are 200 px: a whole number, so that the pixels agree too.
            assert there[cell.key].x == pytest.approx(cell.x - 200, abs=1e-6)
            assert there[cell.key].y == pytest.approx(cell.y - 50, abs=1e-6)
            assert there[cell.key].area_px == cell.area_px

    def test_rotation(self) -> None:
        settings = dataclasses.replace(BLANK, width=400, height=400)
        one = Slide(1, settings, [Placement("lymphocyte", 10.0, 0.0)])
        straight, turned = one.view().cells[0], one.view(rotation_deg=90.0).cells[0]
        # The centroid of an irregular outline lies within half a µm of its centre.
        assert (straight.x - 199.5, straight.y - 199.5) == pytest.approx((100, 0), abs=5)
        # The field's x axis now points down the slide: what lay to its right lies above.
        assert (turned.x - 199.5, turned.y - 199.5) == pytest.approx((0, -100), abs=5)
        slide = Slide(8, dataclasses.replace(SMALL, width=500, height=500))
        plain, quarter = slide.view(), slide.view(rotation_deg=90.0)
        back = np.rot90(quarter.cell_labels > 0, -1)
        assert np.mean(back == (plain.cell_labels > 0)) > 0.999

    def test_defocus_of_one_view(self) -> None:
        slide = Slide(8, dataclasses.replace(SMALL, sensor=QUIET))
        assert sharpness(slide.view(defocus_um=3.0).image) < 0.5 * sharpness(slide.view().image)


class TestCamera:
    def test_blank_slide_has_the_level_of_the_lamp(self) -> None:
        neutral = dataclasses.replace(EVEN, colour_temperature_k=5500.0)
        for brightness in (0.4, 0.8):
            lamp = dataclasses.replace(neutral, brightness=brightness)
            image = render_field(1, dataclasses.replace(BLANK, lamp=lamp)).image
            np.testing.assert_allclose(image.mean(axis=(0, 1)), brightness * 255, atol=0.6)

    def test_gain_brightens_and_clips(self) -> None:
        double = dataclasses.replace(BLANK, sensor=dataclasses.replace(QUIET, gain=2.0))
        assert render_field(1, double).image.min() == 255

    def test_colour_temperature(self) -> None:
        def blue_over_red(kelvin: float) -> float:
            lamp = dataclasses.replace(EVEN, colour_temperature_k=kelvin)
            red, _, blue = render_field(1, dataclasses.replace(BLANK, lamp=lamp)).image.mean(axis=(0, 1))
            return float(blue / red)

        assert blue_over_red(4000.0) < 0.9 < blue_over_red(5500.0) == pytest.approx(1.0, abs=0.01)
        assert blue_over_red(7500.0) > 1.1

    def test_vignetting_and_tilt(self) -> None:
        lamp = Lamp(vignetting=0.4, tilt=0.0)
        image = render_field(1, dataclasses.replace(BLANK, lamp=lamp)).image[..., 1].astype(float)
        assert image[0, 0] / image[80, 100] == pytest.approx(0.6, abs=0.02)
        lamp = Lamp(vignetting=0.0, tilt=0.3, tilt_deg=0.0)
        image = render_field(1, dataclasses.replace(BLANK, lamp=lamp)).image[..., 1].astype(float)
        # 200 of the diagonal's 256 px: the tilt over the width is 0.3 * 200 / 256.
        assert (image[80, -1] - image[80, 0]) / image[80, 100] == pytest.approx(0.234, abs=0.01)
        assert image[0, 100] == image[-1, 100]

    def test_noise(self) -> None:
        def deviation(sensor: Sensor) -> float:
            return float(render_field(1, dataclasses.replace(BLANK, sensor=sensor)).image[..., 1].std())

        assert deviation(QUIET) < 0.3
        # Shot noise at 0.76 of 2,000 electrons: 255 * sqrt(0.76 / 2000) = 4.97 levels.
        assert deviation(Sensor(full_well_e=2000.0, read_noise_e=0.0)) == pytest.approx(4.97, rel=0.03)
        # Read noise of 80 electrons adds 255 * 80 / 2000 = 10.2 levels: together 11.35.
        assert deviation(Sensor(full_well_e=2000.0, read_noise_e=80.0)) == pytest.approx(11.35, rel=0.03)

    def test_focus_and_aperture(self) -> None:
        sharp = sharpness(alone("red_cell").image)
        assert sharpness(alone("red_cell", defocus_um=1.0).image) < 0.5 * sharp
        assert sharpness(alone("red_cell", defocus_um=-1.0).image) < 0.5 * sharp
        assert sharpness(alone("red_cell", numerical_aperture=0.4).image) < 0.8 * sharp

    def test_stain_strength(self) -> None:
        weak, strong = (
            alone("blast", stain=Stain(strength=strength)).image[130, 130, 1] for strength in (0.5, 1.0)
        )
        blank = 255 * EVEN.brightness
        # Beer–Lambert: half the dye, half the density.
        assert math.log10(blank / weak) == pytest.approx(0.5 * math.log10(blank / strong), rel=0.1)

    def test_a_dye_can_be_left_out(self) -> None:
        colourless = Stain(haemoglobin=(0.0, 0.0, 0.0))
        assert np.ptp(alone("red_cell", stain=colourless).image[..., 1]) <= 2
        assert np.ptp(alone("red_cell").image[..., 1]) > 30


class TestSettings:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: RenderSettings(width=29), "RenderSettings.width must be 30 to 8192 px, got 29"),
            (lambda: RenderSettings(height=10_000), "RenderSettings.height must be 30 to 8192 px, got 10000"),
            (lambda: RenderSettings(width=640.0), "RenderSettings.width must be a whole number of px"),  # type: ignore[arg-type]  # on purpose
            (lambda: RenderSettings(um_per_px=0.04), "RenderSettings.um_per_px must be 0.05 to 0.4 µm/px"),
            (lambda: RenderSettings(um_per_px=float("nan")), "um_per_px must be 0.05 to 0.4 µm/px, got nan"),
            (lambda: RenderSettings(um_per_px="0.1"), "um_per_px must be 0.05 to 0.4 µm/px, got '0.1'"),  # type: ignore[arg-type]  # on purpose
            (lambda: RenderSettings(numerical_aperture=1.6), "numerical_aperture must be 0.2 to 1.45"),
            (lambda: RenderSettings(defocus_um=11), "RenderSettings.defocus_um must be -10 to 10 µm, got 11"),
            (lambda: Population(blast=-1), "Population.blast must be 0 to 2500 per mm², got -1"),
            (lambda: Population(blast=2000, lymphocyte=1000), "white cells and smudges per mm² do not fit"),
            (lambda: Population(red_cell=20_000), "Population.red_cell must be 0 to 15000 per mm²"),
            (lambda: Population(platelet=-1), "Population.platelet must be 0 to 10000 per mm²"),
            (lambda: Population(precipitate=1e9), "Population.precipitate must be 0 to 10000 per mm²"),
            (lambda: Population(clustered_blasts=1.1), "Population.clustered_blasts must be 0 to 1, got 1.1"),
            (
                lambda: Population(stacked_red_cells=True),
                "Population.stacked_red_cells must be 0 to 1, got T",
            ),
            (lambda: Population.only(basophil=3.0), "Population has no basophil; it has blast, lymphocyte"),
            (lambda: Stain(azure=(0.1, 0.2)), "Stain.azure must be three absorbances (R, G, B), got (0.1"),  # type: ignore[arg-type]  # on purpose
            (lambda: Stain(eosin=(0.1, -0.2, 0.1)), "Stain.eosin must be 0 to 3, got -0.2"),
            (lambda: Stain(strength=0.0), "Stain.strength must be 0.1 to 3, got 0.0"),
            (lambda: Lamp(brightness=0), "Lamp.brightness must be 0.02 to 2 of full scale, got 0"),
            (lambda: Lamp(colour_temperature_k=500), "Lamp.colour_temperature_k must be 2000 to 12000 K"),
            (lambda: Lamp(vignetting=1.0), "Lamp.vignetting must be 0 to 0.9, got 1.0"),
            (lambda: Lamp(tilt=-0.1), "Lamp.tilt must be 0 to 0.9, got -0.1"),
            (lambda: Lamp(tilt_deg=400), "Lamp.tilt_deg must be -360 to 360 degrees, got 400"),
            (lambda: Sensor(full_well_e=0), "Sensor.full_well_e must be 50 to 1e+07 electrons, got 0"),
            (lambda: Sensor(read_noise_e=-1), "Sensor.read_noise_e must be 0 to 1000 electrons, got -1"),
            (lambda: Sensor(gain=0.0), "Sensor.gain must be 0.05 to 16, got 0.0"),
            (lambda: Placement("dust", 0, 0), "Placement.kind must be one of blast, lymphocyte"),  # type: ignore[arg-type]  # on purpose
            (lambda: Placement("blast", math.inf, 0), "Placement: expected a finite place in µm"),
            (lambda: Placement("blast", 0, 0, 30.0), "Placement.diameter_um must be 1 to 22 µm, got 30.0"),
            (lambda: Slide(-1), "seed of a rendered smear must be a whole number from 0 to 2^63 - 1, got -1"),
            (lambda: render_field(1.5), "seed of a rendered smear must be a whole number"),  # type: ignore[arg-type]  # on purpose
            (lambda: Slide(1, BLANK).view(math.nan), "a view needs a place in µm within ±1e9, got (nan"),
            (lambda: Slide(1, BLANK).view(exposure=-1), "exposure must be 0 or more, got -1"),
            (lambda: Slide(1, BLANK).view(defocus_um=50.0), "view.defocus_um must be -10 to 10 µm, got 50.0"),
            (lambda: RenderedSource(1, BLANK, limit=-1), "limit of a rendered source must be a number of"),
            (lambda: RenderedSource(1, BLANK).field(0), "rendered fields are numbered from 1, got 0"),
        ],
    )
    def test_refused(self, make: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(message)):
            make()

    def test_limits_are_allowed(self) -> None:
        settings = RenderSettings(width=30, height=30, um_per_px=0.4)
        assert render_field(0, settings).image.shape == (30, 30, 3)
        assert render_field(2**63 - 1, dataclasses.replace(settings, um_per_px=0.05)).image.shape == (
            30,
            30,
            3,
        )


class TestSource:
    SETTINGS = RenderSettings(width=150, height=120, um_per_px=0.2)

    def test_keeps_the_protocol(self) -> None:
        assert isinstance(RenderedSource(1, self.SETTINGS), FrameSource)

    def test_first_frame_is_the_rendered_field(self) -> None:
        with RenderedSource(21, self.SETTINGS) as source:
            frame = source.read(timeout_s=1.0)
        assert frame is not None
        assert source.name == "rendered:21"
        assert frame.source == "rendered:21#1"
        assert frame.captured_at is None
        np.testing.assert_array_equal(frame.image, render_field(21, self.SETTINGS).image)

    def test_limit(self) -> None:
        with RenderedSource(1, self.SETTINGS, limit=2) as source:
            assert source.read(1.0) is not None
            assert source.read(1.0) is not None
            assert source.read(1.0) is None
            assert source.read(1.0) is None

    def test_scale_is_told_only_when_asked(self) -> None:
        told = dataclasses.replace(self.SETTINGS, report_scale=True)
        assert [f.um_per_px for f in RenderedSource(1, told, limit=1)] == [0.2]
        assert [f.um_per_px for f in RenderedSource(1, self.SETTINGS, limit=1)] == [None]

    def test_goes_on_where_it_was_left(self) -> None:
        source = RenderedSource(1, self.SETTINGS, limit=3)
        with source:
            source.read(1.0)
        assert [f.source for f in source] == ["rendered:1#2", "rendered:1#3"]

    def test_closed_source_refuses(self) -> None:
        source = RenderedSource(1, self.SETTINGS)
        with pytest.raises(SourceError, match="rendered:1: the source is not open; read it inside a `with`"):
            source.read(1.0)
        with source:
            pass
        source.close()
        with pytest.raises(SourceError, match="not open"):
            source.read(1.0)

    def test_scan_goes_to_and_fro_side_by_side(self) -> None:
        source = RenderedSource(1, self.SETTINGS)
        places = [(f.x_um, f.y_um) for f in (source.field(n) for n in (1, 2, 20, 21, 40, 41))]
        assert places == [(0, 0), (30, 0), (570, 0), (570, 24), (0, 24), (0, 48)]

    def test_truth_of_a_frame(self) -> None:
        source = RenderedSource(3, self.SETTINGS)
        frames = iter(source)
        next(frames)
        second = next(frames)
        np.testing.assert_array_equal(second.image, source.field(2).image)
        frames.close()  # type: ignore[attr-defined]  # a generator: leaves its `with` block now
