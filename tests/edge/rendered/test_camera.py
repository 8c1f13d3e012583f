"""What view, lamp, sensor, lens and stain do to a rendered field."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.rendered import Placement, RenderedField, Sensor, Slide, Stain, render_field
from tests.edge.rendered.scenery import BLANK, EVEN, QUIET, SMALL, alone, sharpness


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

    def test_defocus_of_one_view(self, field: RenderedField) -> None:
        assert sharpness(Slide(11, SMALL).view(defocus_um=3.0).image) < 0.5 * sharpness(field.image)


def even_field(**lamp: float) -> NDArray[np.float64]:
    """A blank slide under a lamp that is even but for what is given."""
    return render_field(1, dataclasses.replace(BLANK, lamp=dataclasses.replace(EVEN, **lamp))).image.astype(
        float
    )


class TestCamera:
    def test_blank_slide_has_the_level_of_the_lamp(self) -> None:
        for brightness in (0.4, 0.8):
            image = even_field(colour_temperature_k=5500.0, brightness=brightness)
            np.testing.assert_allclose(image.mean(axis=(0, 1)), brightness * 255, atol=0.6)
        double = dataclasses.replace(BLANK, sensor=dataclasses.replace(QUIET, gain=2.0))
        assert render_field(1, double).image.min() == 255  # gain brightens and clips

    def test_colour_temperature(self) -> None:
        red, _, blue = np.array(
            [even_field(colour_temperature_k=k).mean(axis=(0, 1)) for k in (4e3, 5.5e3, 7.5e3)]
        ).T
        warm, neutral, cold = blue / red
        assert warm < 0.9
        assert neutral == pytest.approx(1.0, abs=0.01)
        assert cold > 1.1

    def test_vignetting_and_tilt(self) -> None:
        image = even_field(vignetting=0.4)[..., 1]
        assert image[0, 0] / image[80, 100] == pytest.approx(0.6, abs=0.02)
        image = even_field(tilt=0.3, tilt_deg=0.0)[..., 1]
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
        for change, most in (
            ({"defocus_um": 1.0}, 0.5),
            ({"defocus_um": -1.0}, 0.5),
            ({"numerical_aperture": 0.4}, 0.8),
        ):
            assert sharpness(alone("red_cell", **change).image) < most * sharp

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
