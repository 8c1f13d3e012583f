"""What a field tells of its microscope follows what was changed about it, and only that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.light.field import Field
from edge.quality import readings_of
from edge.rendered import RenderSettings, Slide
from edge.results.control_charts import chart_values
from edge.segmentation import segment
from edge.structures import Frame, Readings, Scale

SETTINGS = RenderSettings(width=642, height=513, um_per_px=0.2)


def read(settings: RenderSettings) -> tuple[Readings, Scale]:
    field = Field(Frame(Slide(3, settings).view(0.0).image, "drawn", um_per_px=settings.um_per_px))
    found = segment(field)
    return readings_of(field, found.cells, found.scale), found.scale


@pytest.fixture(scope="module")
def usual() -> dict[str, float]:
    return chart_values(read(SETTINGS)[0], 0.2)


def test_a_dimmer_lamp_changes_the_light_and_no_density(usual: dict[str, float]) -> None:
    lamp = replace(SETTINGS.lamp, brightness=0.8 * SETTINGS.lamp.brightness)
    values = chart_values(read(replace(SETTINGS, lamp=lamp))[0], 0.2)
    assert 10 ** (values["light"] - usual["light"]) == pytest.approx(0.8, abs=0.01)
    for name in ("white_red", "white_blue", "nuclei", "nucleus_colour", "blur"):
        assert values[name] == pytest.approx(usual[name], abs=0.02)


def test_a_faded_stain_changes_densities_and_no_light(usual: dict[str, float]) -> None:
    stain = replace(SETTINGS.stain, strength=0.8)
    values = chart_values(read(replace(SETTINGS, stain=stain))[0], 0.2)
    assert 10 ** (values["nuclei"] - usual["nuclei"]) == pytest.approx(0.8, abs=0.05)
    assert values["red_cells"] < usual["red_cells"] - 0.04
    assert values["light"] == pytest.approx(usual["light"], abs=0.005)


def test_a_yellower_lamp_changes_the_white_point(usual: dict[str, float]) -> None:
    lamp = replace(SETTINGS.lamp, colour_temperature_k=4700)
    values = chart_values(read(replace(SETTINGS, lamp=lamp))[0], 0.2)
    assert values["white_blue"] < usual["white_blue"] - 0.02
    assert values["white_red"] > usual["white_red"] + 0.01


def test_defocus_changes_the_blur(usual: dict[str, float]) -> None:
    values = chart_values(read(replace(SETTINGS, defocus_um=0.8))[0], 0.2)
    assert values["blur"] > usual["blur"] + 0.1


def test_an_empty_field_has_light_and_nothing_else() -> None:
    field = Field(Frame(Slide(3, SETTINGS).view(0.0).image * 0 + 200, "blank"))
    read = readings_of(field, (), Scale(0.2, "assumed", 0.0))
    assert (read.blur_um, read.red_cells, read.nuclei) == (None, None, None)
    assert set(chart_values(read, None)) == {"light", "white_red", "white_blue", "unevenness"}
