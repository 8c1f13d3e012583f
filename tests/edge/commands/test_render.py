"""``blastcount render``: pictures with their truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from edge.camera.files import read_frames, read_image
from edge.commands import render as render_module
from edge.rendered import Lamp, Population, RenderSettings, Sensor, Stain, render_field
from tests.edge.commands.invoking import blastcount

SMALL = ("--width", "240", "--height", "200", "--um-per-px", "0.2")


def render(*arguments: str | Path) -> Result:
    return blastcount("render", *arguments)


def test_fields_and_their_truth(tmp_path: Path) -> None:
    out = tmp_path / "new" / "fields"
    result = render("--out", out, "--fields", "2", "--seed", "7", *SMALL)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(out / f"rendered_{seed:04d}.jpg") for seed in (7, 8)]
    assert len(list(out.iterdir())) == 4
    for seed in (7, 8):
        expected = render_field(seed, RenderSettings(240, 200, 0.2))
        image = out / f"rendered_{seed:04d}.jpg"
        truth = json.loads(image.with_suffix(".truth.json").read_text())
        assert truth == expected.truth_json() | {"image": image.name, "seed": seed}
        assert np.abs(read_image(image).image.astype(int) - expected.image).mean() < 4
        # Annotated pictures of this program are left out; these are to be counted.
        assert [frame.source for frame in read_frames(image)] == [str(image)]


def test_every_setting_reaches_the_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, RenderSettings]] = []
    field = render_field(1, RenderSettings(60, 50, 0.2))

    def spy(seed: int, settings: RenderSettings) -> object:
        seen.append((seed, settings))
        return field

    monkeypatch.setattr(render_module, "render_field", spy)
    options = ("--blasts", "0", "--stain", "0.8", "--brightness", "0.6", "--colour-temperature", "3200")
    render("--out", tmp_path, "--seed", "5", *SMALL, *options, "--gain", "2", "--defocus", "1.5")
    expected = RenderSettings(
        240,
        200,
        0.2,
        population=Population(blast=0.0),
        stain=Stain(strength=0.8),
        lamp=Lamp(brightness=0.6, colour_temperature_k=3200.0),
        sensor=Sensor(gain=2.0),
        defocus_um=1.5,
    )
    assert seen == [(5, expected)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Missing option '--out'"),
        (("--out", "x", "--width", "5"), "width must be 30 to"),
        (("--out", "x", "--stain", "9"), "strength must be"),
        (("--out", "x", "--fields", "0"), "0 is not in the range x>=1"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = render(*arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert list(tmp_path.iterdir()) == []
