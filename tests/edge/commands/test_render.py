"""``blastcount render``: pictures with their truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge import cli
from edge.commands import render as render_module
from edge.rendered import Lamp, Population, RenderSettings, Sensor, Stain, render_field

SMALL = ("--width", "240", "--height", "200", "--um-per-px", "0.2")


def render(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["render", *map(str, arguments)])


def test_fields_and_their_truth(tmp_path: Path) -> None:
    out = tmp_path / "new" / "fields"
    result = render("--out", out, "--fields", "3", "--seed", "7", *SMALL)
    assert result.exit_code == 0, result.stderr
    names = [f"rendered_{seed:04d}" for seed in (7, 8, 9)]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"{n}{s}" for n in names for s in (".jpg", ".truth.json")
    )
    assert result.stdout.splitlines() == [str(out / f"{name}.jpg") for name in names]
    for seed, name in zip((7, 8, 9), names, strict=True):
        expected = render_field(seed, RenderSettings(240, 200, 0.2))
        truth = json.loads((out / f"{name}.truth.json").read_text())
        assert truth == expected.truth_json() | {"image": f"{name}.jpg", "seed": seed}
        with Image.open(out / f"{name}.jpg") as image:
            difference = np.asarray(image).astype(int) - expected.image
        assert np.abs(difference).mean() < 4


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert render("--out", tmp_path / folder, *SMALL).exit_code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


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


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    result = render("--out", tmp_path / "f" / "g", *SMALL)
    assert result.exit_code == 1
    assert "cannot make this folder" in result.stderr
