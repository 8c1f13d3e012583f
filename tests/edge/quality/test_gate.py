"""Bad optics are refused by name; the same field before them is not."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.light.field import Field
from edge.light.sharpness import measure_blur
from edge.quality import ADVICE, WARNINGS, Judgement, Reference, assess, assess_scaled
from edge.quality.focus import MAX_BLUR_UM
from edge.rendered import Lamp, Population, RenderSettings, Slide, Stain
from edge.structures import Background, Frame, UInt8Image
from training.evaluation.degrade import DEGRADATIONS, Degradation

SETTINGS = RenderSettings(width=480, height=400, um_per_px=0.25)
SLIDE = Slide(4, SETTINGS)
FIELD = SLIDE.view().image


def verdict(
    image: UInt8Image, reference: Reference | None = None, um_per_px: float | None = 0.25
) -> tuple[str, ...]:
    return assess(Field(Frame(image, "test", um_per_px=um_per_px)), reference).reasons


def reference_of(*images: UInt8Image) -> Reference:
    reference = Reference.start()
    for image in images:
        reference = reference.after(Field(Frame(image, "test")))
    return reference


@pytest.mark.requirement(1)
@pytest.mark.parametrize("way", [d for d in DEGRADATIONS if d.mode != "camera"], ids=lambda d: d.name)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_picture_that_went_bad_is_refused_for_the_right_reason(way: Degradation, seed: int) -> None:
    """What only a sample can tell is told with its reference."""
    bad = way.apply(FIELD, 0.25, np.random.default_rng(seed))
    reference = reference_of(*(FIELD,) * 3) if way.mode == "live" else None
    assert set(verdict(bad, reference)) & set(way.reasons)
    assert verdict(FIELD, reference) == ()


def test_other_fields_of_the_sample_pass() -> None:
    reference = reference_of(*(SLIDE.view(x).image for x in (300.0, 600.0, 900.0)))
    for x_um in (1200.0, 1500.0):
        dimmer = Lamp(brightness=0.7, colour_temperature_k=5150)
        assert verdict(SLIDE.view(x_um, defocus_um=0.5, lamp=dimmer).image, reference) == ()


def test_a_file_is_not_refused_for_what_only_a_sample_can_tell() -> None:
    blank = Slide(4, replace(SETTINGS, population=Population.only())).view().image
    assert verdict(blank) == ()
    assert verdict(blank, Reference.start()) == ("blank",)
    one_cell = Slide(4, replace(SETTINGS, population=Population.only(blast=150.0))).view().image
    assert verdict(one_cell, Reference.start()) == ()


def test_the_reference_is_the_first_three_fields_and_the_calibrated_white_point_before_them() -> None:
    reference = reference_of(*(FIELD,) * 3)
    assert reference.after(Field(Frame(FIELD, "more"))) is reference
    white_point = np.median(Field(Frame(FIELD, "first")).background.grid, axis=(0, 1))
    calibrated = Reference.start(tuple(map(float, white_point)))
    assert verdict(FIELD, calibrated) == ()
    yellow = SLIDE.view(lamp=Lamp(colour_temperature_k=3200)).image
    assert verdict(yellow, calibrated) == ("colour_drift",)
    assert verdict(yellow, Reference.start()) == ()


@pytest.mark.parametrize(("strength", "brightness"), [(0.5, 0.4), (1.0, 0.76), (1.6, 0.9)])
@pytest.mark.parametrize(
    "population", [Population(), Population(red_cell=1500.0), Population.only(blast=80.0)]
)
def test_blur_is_measured_in_um_whatever_the_field_holds(
    strength: float, brightness: float, population: Population
) -> None:
    lamp = Lamp(brightness=brightness)
    slide = Slide(6, replace(SETTINGS, stain=Stain(strength=strength), lamp=lamp, population=population))
    sharp, soft = (slide.view(defocus_um=z).image for z in (0.0, 1.6))
    in_focus, blurred = (measure_blur(image, 0.25) for image in (sharp, soft))
    assert in_focus is not None
    assert blurred is not None
    assert in_focus.um < 0.5
    assert blurred.um > MAX_BLUR_UM
    assert assess_scaled(Field(Frame(soft, "test")), 0.25) == Judgement(("out_of_focus",))


def test_a_crop_that_one_cell_fills_is_not_too_dense() -> None:
    """The same stain without a gap is the thick end of a smear when it is a whole field."""
    rng = np.random.default_rng(1)
    purple = (130 + rng.normal(0, 20, (200, 200, 1)) + np.array([0, -70, 40])).clip(0, 255).astype(np.uint8)
    blank = Background(np.full((1, 1, 3), 230, np.float32), 200, 200)
    assert "too_dense" in assess(Field(Frame(purple, "test", um_per_px=0.25), blank)).reasons
    assert "too_dense" not in assess(Field(Frame(purple, "test", um_per_px=0.1), blank)).reasons
    assert "too_dense" in assess_scaled(Field(Frame(purple, "test"), blank), 0.25).reasons
    assert "too_dense" not in assess(Field(Frame(purple, "test"), blank)).reasons


def test_every_reason_has_its_advice() -> None:
    assert {reason for way in DEGRADATIONS for reason in way.reasons} < set(ADVICE)


def test_stain_without_any_edge_is_out_of_focus() -> None:
    lost = DEGRADATIONS[0].apply(FIELD, 0.25, np.random.default_rng(1))
    for _ in range(12):
        lost = DEGRADATIONS[2].apply(lost, 0.25, np.random.default_rng(1))
    assert "out_of_focus" in verdict(lost)


@pytest.mark.parametrize("said", [(("no_such_reason",), ()), ((), ("no_such_warning",)), ((), ("blank",))])
def test_a_name_without_advice_is_refused(said: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match=f"no such reason or warning: {(said[0] + said[1])[0]}"):
        Judgement(*said)


def test_every_reason_and_every_warning_is_given_somewhere() -> None:
    """A name that nobody gives is a promise that nobody keeps."""
    written = Counter(
        node.value
        for path in Path(edge.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    )
    in_tables = Counter([*ADVICE, *WARNINGS])
    assert [name for name, tables in in_tables.items() if written[name] <= tables] == []
