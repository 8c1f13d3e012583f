"""Each limit that decides whether a field is refused, from both sides: a wrong value fails here."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.light.field import Field
from edge.light.pyramid import columns_of
from edge.light.sharpness import Blur
from edge.quality import Reference, assess, assess_scaled, gate
from edge.quality.cover import cover_reasons, crowding_reasons
from edge.quality.focus import focus_judgement
from edge.quality.integrity import damage
from edge.quality.light import is_noisy, light_reasons
from edge.quality.look import Look, look_at
from edge.quality.reference import REFERENCE_FIELDS, drift_judgement
from edge.structures import Background, Frame, UInt8Image
from tests.edge.quality.drawn import COLOUR, FIELD

LOOK = Look(blank=(2.3, 2.3, 2.3), cover=0.4, opaque=0.0, common=(0.1, 0.3, 0.2))
#: A slide of level 200 and a patch of another colour over half of it.
BLANK = Background(np.full((1, 1, 3), 200, np.float32), 400, 300)


def field(*patch: float, blank: int = 200, rows: int = 150) -> Field:
    image = np.full((300, 400, 3), blank, np.uint8)
    if patch:
        image[:rows] = np.rint(patch)
    return Field(Frame(image, "drawn"), replace(BLANK, grid=np.full((1, 1, 3), blank, np.float32)))


def stained(*densities: float) -> Field:
    return field(*(200 * 10**-density for density in densities))


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (field(blank=31), ("underexposed",)),
        (field(blank=33), ()),
        (field(blank=250), ("overexposed",)),
        (field(blank=249), ()),
        (field(104, 100, 100), ("no_colour",)),
        (field(105, 100, 100), ()),
        (field(179, 179, 179), ("no_colour",)),
        (field(180, 180, 180), ()),
    ],
)
def test_light(seen: Field, reasons: tuple[str, ...]) -> None:
    assert light_reasons(seen) == reasons


@pytest.mark.parametrize(("dark_px", "reasons"), [(55, ("overexposed",)), (65, ())])
def test_what_is_left_of_a_burnt_out_field(dark_px: int, reasons: tuple[str, ...]) -> None:
    image = np.full((300, 400, 3), 255, np.uint8)
    image[100, :dark_px] = (110, 60, 140)
    assert light_reasons(Field(Frame(image, "drawn"))) == reasons


@pytest.mark.parametrize(("change", "noisy"), [(6, False), (7, True)])
def test_noise(change: int, noisy: bool) -> None:
    image = np.full((90, 120, 3), 150, np.uint8)
    image[:, ::2, 1] += np.uint8(change)
    assert is_noisy(image) == noisy
    # Edges are few, and no noise.
    image[:, 48:] = 150
    assert not is_noisy(image)
    seen = Field(Frame(np.repeat(np.repeat(image, 4, 0), 4, 1), "drawn"))
    assert "noisy" not in assess(seen).warnings


def test_noise_is_a_warning_of_any_picture() -> None:
    noise = np.random.default_rng(0).normal(0, 15, FIELD.shape)
    seen = Field(Frame(np.clip(FIELD + noise, 0, 255).astype(np.uint8), "drawn"))
    assert "noisy" in assess(seen).warnings


@pytest.mark.parametrize(("opaque", "reasons"), [(0.0068, ()), (0.0072, ("obstructed",))])
def test_obstruction(opaque: float, reasons: tuple[str, ...]) -> None:
    assert cover_reasons(replace(LOOK, opaque=opaque)) == reasons


@pytest.mark.parametrize(
    ("cover", "shorter_um", "reasons"),
    [(0.83, 100.0, ()), (0.85, 100.0, ("too_dense",)), (0.95, 44.0, ()), (0.95, 46.0, ("too_dense",))],
)
def test_crowding(cover: float, shorter_um: float, reasons: tuple[str, ...]) -> None:
    assert crowding_reasons(cover, shorter_um) == reasons


@pytest.mark.parametrize(
    ("blur_um", "cover", "reasons"),
    [
        (0.71, 0.4, ()),
        (0.73, 0.4, ("out_of_focus",)),
        (None, 0.048, ()),
        (None, 0.052, ("out_of_focus",)),
    ],
)
def test_focus(
    monkeypatch: pytest.MonkeyPatch, blur_um: float | None, cover: float, reasons: tuple[str, ...]
) -> None:
    blur = None if blur_um is None else Blur(blur_um, (), ())
    monkeypatch.setattr(Field, "blur", lambda *_: blur)
    assert focus_judgement(field(), 0.2, cover) == (reasons, ())


@pytest.mark.parametrize(
    ("parts_um", "directions_um", "um_per_px", "warnings"),
    [
        ((1.19, 0.59, 0.3), (0.3, 0.5), 0.2, ()),
        ((1.21, 0.3), (), 0.2, ("partly_blurred",)),
        ((0.61, 0.61, 0.3), (0.3,), 0.2, ("partly_blurred",)),
        ((0.9, 0.9), (0.3, 0.57), 0.2, ("partly_blurred",)),
        ((0.3, 0.3), (0.3, 0.59, 0.4), 0.2, ("moved",)),
        ((0.9, 0.9), (0.3, 0.9), 0.2, ("moved", "partly_blurred")),
        ((0.9, 0.9), (0.3, 0.9), 0.1, ()),  # the crop of one cell
    ],
)
def test_blur_of_a_part_and_along_one_direction(
    monkeypatch: pytest.MonkeyPatch,
    parts_um: tuple[float, ...],
    directions_um: tuple[float, ...],
    um_per_px: float,
    warnings: tuple[str, ...],
) -> None:
    monkeypatch.setattr(Field, "blur", lambda *_: Blur(0.3, parts_um, directions_um))
    seen = Field(Frame(np.full((320, 320, 3), 200, np.uint8), "drawn"))
    assert focus_judgement(seen, um_per_px, 0.4) == ((), warnings)


def test_a_scale_beyond_the_coarsest_is_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    scales: list[float] = []
    monkeypatch.setattr(
        gate, "focus_judgement", lambda _field, um_per_px, _cover: scales.append(um_per_px) or ((), ())
    )
    for um_per_px in (0.39, 0.41, 2.0):
        assess_scaled(field(), um_per_px)
    assert scales == [0.39, 0.4, 0.4]


@pytest.mark.parametrize(
    ("densities", "cover", "opaque"),
    [
        ((0.0367,) * 3, 0.0, 0.0),  # 0.11 together
        ((0.0433,) * 3, 0.5, 0.0),
        ((0.24, 0.24, 0.24), 0.5, 0.0),
        ((0.26, 0.26, 0.26), 0.5, 0.5),
        ((0.6, 0.6, 0.41), 0.5, 0.0),  # a dye
        ((0.6, 0.6, 0.43), 0.5, 0.5),  # dirt
    ],
)
def test_what_is_stain_and_what_is_opaque(densities: tuple[float, ...], cover: float, opaque: float) -> None:
    seen = stained(*densities)
    seen.colour = None
    look = look_at(seen)
    assert look.cover == pytest.approx(cover, abs=0.02)
    assert look.opaque == pytest.approx(opaque, abs=0.02)


@pytest.mark.parametrize(
    ("red_cells", "spot", "opaque"),
    [(0.5, 0.29, 0.0), (0.5, 0.31, 0.5), (0.3, 0.26, 0.5), (1.0, 0.39, 0.0), (1.0, 0.41, 0.5)],
)
def test_dark_grey_red_cells_over_each_other_are_not_opaque(
    red_cells: float, spot: float, opaque: float
) -> None:
    seen = stained(spot, spot, spot)
    usual = np.array([0.3, 0.4, 0.3], np.float32)
    seen.colour = replace(COLOUR, usual=usual, density=red_cells)
    assert look_at(seen).opaque == pytest.approx(opaque, abs=0.02)


def changed(blank: tuple[float, float, float] = (0.0, 0.0, 0.0), **common: float) -> Look:
    """A later field: brighter by powers of ten, its stain shifted in mix and by a factor in amount."""
    red, green, blue = (0.1, 0.3, 0.2)
    mix, factor = common.get("mix", 0.0) * 0.6, common.get("factor", 1.0)
    return replace(
        LOOK,
        blank=tuple(was + by for was, by in zip(LOOK.blank, blank, strict=True)),
        common=((red + mix) * factor, (green - mix) * factor, blue * factor),
        cover=common.get("cover", LOOK.cover),
    )


@pytest.mark.parametrize(
    ("later", "reasons"),
    [
        (changed(), ()),
        (changed((0.0435, 0.0, 0.0)), ()),  # 0.029 over the mean of the three
        (changed((0.0465, 0.0, 0.0)), ("colour_drift",)),
        (changed((-math.log10(1.55),) * 3), ()),
        (changed((-math.log10(1.65),) * 3), ("underexposed",)),
        (replace(LOOK, blank=(2.38,) * 3), ()),
        (replace(LOOK, blank=(2.392,) * 3), ("overexposed",)),  # burnt out, by less than the factor
        (changed(mix=0.078), ()),
        (changed(mix=0.082), ("stain_drift",)),
        (changed(factor=1.85), ()),
        (changed(factor=1.89), ("stain_drift",)),
        (changed(factor=1 / 1.85), ()),
        (changed(factor=1 / 1.89), ("stain_drift",)),
        (changed(cover=0.00052), ()),
        (changed(cover=0.00048), ("blank",)),
    ],
)
def test_drift(later: Look, reasons: tuple[str, ...]) -> None:
    assert drift_judgement(later, Reference((LOOK,) * REFERENCE_FIELDS)) == (reasons, ())


@pytest.mark.parametrize("fields", [1, REFERENCE_FIELDS - 1])
def test_of_the_first_fields_nobody_knows_which_is_the_odd_one(fields: int) -> None:
    few = Reference((LOOK,) * fields)
    doubt = ("first_fields_differ",)
    for later in (changed((0.0465, 0.0, 0.0)), changed((-math.log10(1.65),) * 3), changed(mix=0.082)):
        assert drift_judgement(later, few) == ((), doubt)
    assert drift_judgement(replace(LOOK, blank=(2.392,) * 3), few) == (("overexposed",), ())
    assert drift_judgement(changed((0.0465, 0.0, 0.0), cover=0.0), few) == (("blank",), doubt)
    assert drift_judgement(LOOK, few) == ((), ())


def test_an_odd_first_field_does_not_decide_alone() -> None:
    odd = changed(factor=2.2)
    reference = Reference((odd, LOOK, LOOK))
    assert drift_judgement(LOOK, reference) == ((), ())
    assert drift_judgement(odd, reference) == (("stain_drift",), ())


@pytest.mark.parametrize(("factor", "reasons"), [(1.58, ()), (1.62, ("overexposed",))])
def test_a_brighter_lamp(factor: float, reasons: tuple[str, ...]) -> None:
    dim = replace(LOOK, blank=(2.0, 2.0, 2.0))
    brighter = replace(dim, blank=(2.0 + math.log10(factor),) * 3)
    assert drift_judgement(brighter, Reference((dim,) * REFERENCE_FIELDS)) == (reasons, ())


def rows(usual: int = 1, tear: int = 0, row: int = 100, segments: int = 8) -> UInt8Image:
    """Rows that differ by a usual number of levels, and by more at one of them in some of eight segments."""
    image = np.full((200, 1024, 3), 100, np.uint8)
    image[1::2] += np.uint8(usual)
    image[row + 1 :, : 128 * segments] += np.uint8(tear)
    return image


@pytest.mark.parametrize(
    ("picture", "reasons"),
    [
        (rows(tear=4), ()),  # with the usual change of one level: 5
        (rows(tear=5), ("torn",)),
        (rows(tear=20, segments=3), ()),
        (rows(tear=20, segments=4), ("torn",)),
        (rows(usual=3, tear=9), ()),  # four times the usual
        (rows(usual=3, tear=10), ("torn",)),
        (rows(tear=20, row=2), ()),  # a sensor's outermost rows
        (rows(tear=20, row=6), ("torn",)),
    ],
)
def test_tears(picture: UInt8Image, reasons: tuple[str, ...]) -> None:
    assert damage(columns_of(picture)) == reasons


@pytest.mark.parametrize(("missing", "reasons"), [(9, ()), (10, ("incomplete",))])
def test_missing_rows(missing: int, reasons: tuple[str, ...]) -> None:
    picture = rows()
    picture[-missing:] = picture[-missing - 1]
    assert damage(columns_of(picture)) == reasons
