"""The fields that are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bench.fields import CROWDED, find_images, render_images
from edge.camera.files import read_image
from edge.errors import SourceError
from edge.rendered import RenderSettings


def test_images_of_folders_each_once(field_folder: Path) -> None:
    image = field_folder / "rendered_0001.jpg"
    assert find_images([field_folder, image], None) == [image]


def test_a_limit_and_videos(tmp_path: Path) -> None:
    for name in ("f1.jpg", "f2.jpg", "f3.avi"):
        (tmp_path / name).touch()
    assert [file.name for file in find_images([tmp_path], None)] == ["f1.jpg", "f2.jpg"]
    assert [file.name for file in find_images([tmp_path], 1)] == ["f1.jpg"]
    with pytest.raises(SourceError, match="only videos"):
        find_images([tmp_path / "f3.avi"], None)
    with pytest.raises(SourceError, match="no such file"):
        find_images([tmp_path / "absent"], None)


def test_rendered_fields_differ_and_come_again(tmp_path: Path) -> None:
    settings = RenderSettings(width=160, height=120, um_per_px=0.2)
    first, second = render_images(tmp_path, 2, settings)
    content = first.read_bytes()
    assert content != second.read_bytes()
    assert read_image(first).image.shape == (120, 160, 3)
    assert render_images(tmp_path, 1, settings)[0].read_bytes() == content


def test_the_crowded_field_holds_about_110_white_cells() -> None:
    population = CROWDED.population
    per_mm2 = sum((population.blast, population.lymphocyte, population.neutrophil, population.monocyte,
                   population.eosinophil, population.smudge))  # fmt: skip
    assert per_mm2 * CROWDED.width_um * CROWDED.height_um / 1e6 == pytest.approx(110, abs=2)
