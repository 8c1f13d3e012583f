"""Colours that can be read, and nothing that is told by colour alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.web.words import PICTURE_SCALES

STATIC = Path(__file__).resolve().parents[3] / "edge" / "web" / "static"
CSS = (STATIC / "review.css").read_text(encoding="utf-8")
#: Ink on ground; WCAG 2.2, 1.4.3: 4.5 for text. Lines and marks of controls need 3 (1.4.11).
TEXT = [
    *(("--ink", "--ground"), ("--ink", "--raised"), ("--faint", "--ground"), ("--faint", "--raised")),
    *(
        ("--link", "--ground"),
        ("--link", "--raised"),
        ("--warn-ink", "--warn-ground"),
        ("--link", "--warn-ground"),
    ),
    *(("--mark-ink", "--mark"), ("--ground", "--link"), ("--ground", "--ink")),
    *(("#ffffff", "--blast"), ("#ffffff", "--normal"), ("#000000", "--uncertain"), ("#ffffff", "--smudge")),
]
MARKS = [("--line", "--ground"), ("--focus", "--ground"), ("--focus", "--raised")]


def variables(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{([^}]*)\}", CSS)
    assert block is not None
    return dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6})", block[1]))


LIGHT = variables(":root")
THEMES = {"light": LIGHT, "dark": LIGHT | variables(':root[data-theme="dark"]')}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777", "#ffffff") < 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_marks_have_contrast(theme: str) -> None:
    colours = THEMES[theme]
    for ink, ground in TEXT:
        assert contrast(colours.get(ink, ink), colours[ground]) >= 4.5, (ink, ground)
    for mark, ground in MARKS:
        assert contrast(colours[mark], colours[ground]) >= 3.0, (mark, ground)


def test_the_device_chooses_the_same_dark() -> None:
    assert variables('  :root[data-theme="auto"]') == variables(':root[data-theme="dark"]')


def test_classes_differ_in_shape_too() -> None:
    shapes = {
        name: re.search(rf"\.chip\.{name} \{{[^}}]*border-radius: ([^;]+);", CSS)
        for name in ("blast", "normal", "uncertain", "smudge")
    }
    assert all(shapes.values())
    assert len({shape[1] for shape in shapes.values() if shape}) == 4


def test_sizes_follow_the_readers_letters() -> None:
    """No font size in px but in the drawn bar, whose picture grows as a whole."""
    assert re.findall(r"font(?:-size)?:[^;]*px", CSS.replace(".interval text { font-size: 13px;", "")) == []


@pytest.mark.parametrize(("name", "px_per_um"), PICTURE_SCALES)
def test_the_bar_in_a_picture_is_10_um_long(name: str, px_per_um: float) -> None:
    rules = re.findall(rf"\.{name}::after[^{{]*\{{([^}}]*)\}}", CSS)
    (width,) = re.findall(r"width: (\d+)px", rules[-1])
    assert int(width) == 10 * px_per_um


def test_nothing_is_loaded_from_anywhere() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|@import|url\(|eval\(", text), path
