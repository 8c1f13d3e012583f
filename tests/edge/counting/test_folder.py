"""The scale that a folder's pictures have in common: whatever their order, and never of two cameras."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.camera.files import read_image
from edge.counting.folder import CommonScale, FolderScales, spread_evenly
from edge.light.field import Field
from edge.rendered import RenderSettings, render_field
from edge.segmentation.pooled import scale_of_red_cells
from edge.structures import Frame, RedCellScale, Scale, UInt8Image


@cache
def picture(seed: int, um_per_px: float, width: int) -> UInt8Image:
    return render_field(seed, RenderSettings(width=width, height=220, um_per_px=um_per_px)).image


def write(folder: Path, um_per_px: float, count: int = 3, width: int = 300) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"{width}_{seed}.png" for seed in range(1, count + 1)]
    for seed, file in enumerate(files, start=1):
        Image.fromarray(picture(seed, um_per_px, width)).save(file)
    return files


def scales_of(files: list[Path]) -> FolderScales:
    scales = FolderScales(files, lambda frame: frame)
    scales.look(files[0])
    return scales


def frame(width: int = 300, height: int = 220) -> Frame:
    return Frame(np.full((height, width, 3), 220, np.uint8), "f")


def own(um_per_px: float, confidence: float = 0.35) -> Scale:
    return scale_of_red_cells(RedCellScale(um_per_px, confidence))


def tinted(scale: Scale, blue: float) -> tuple[Scale, np.ndarray]:
    return scale, np.array([0.02, blue])


def test_a_folders_pictures_have_one_scale_whatever_their_order(tmp_path: Path) -> None:
    files = write(tmp_path / "a", 0.25)
    (tmp_path / "a" / "f0.png").write_bytes(b"damaged")
    files.append(tmp_path / "a" / "f0.png")
    found = scales_of(files).pooled(files[0], frame())
    assert found is not None
    assert found.um_per_px == pytest.approx(0.25, rel=0.1)
    assert found.fields == 3
    assert scales_of(files[::-1]).pooled(files[0], frame()) == found
    # An upright picture of the same camera has it, too; one of another size, and another folder, have not.
    assert scales_of(files).pooled(files[0], frame(220, 300)) == found
    assert scales_of(files).pooled(files[0], frame(301, 220)) is None
    assert scales_of(files).pooled(tmp_path / "b" / "f1.png", frame()) is None


def test_what_the_look_at_a_folder_saw_is_given_once(tmp_path: Path) -> None:
    files = write(tmp_path, 0.25)
    scales = scales_of(files)
    for file in files:
        seen = scales.seen(file)
        assert seen is not None
        assert seen.checksum == Field(read_image(file)).checksum
        assert scales.seen(file) is None
    assert scales.seen(tmp_path / "another.png") is None


def test_one_picture_is_not_looked_at_before_it_is_counted(tmp_path: Path) -> None:
    (file,) = write(tmp_path, 0.25, count=1)

    def read(path: Path) -> Frame:
        raise AssertionError(f"{path} was read")

    scales = FolderScales([file], lambda frame: frame, read)
    scales.look(file)
    assert scales.pooled(file, frame()) is None
    assert scales.seen(file) is None


def test_sizes_are_pooled_apart(tmp_path: Path) -> None:
    files = [*write(tmp_path, 0.25), *write(tmp_path, 0.35, width=302)]
    scales = scales_of(files)
    for width, um_per_px in ((300, 0.25), (302, 0.35)):
        found = scales.pooled(files[0], frame(width))
        assert found is not None
        assert found.um_per_px == pytest.approx(um_per_px, rel=0.1)


def test_a_given_scale_is_no_evidence(tmp_path: Path) -> None:
    """The red cells of a folder say their scale also where another one is given, and may contradict it."""
    files = write(tmp_path, 0.25)
    scales = FolderScales(files, lambda frame: replace(frame, um_per_px=0.5))
    scales.look(files[0])
    found = scales.pooled(files[0], frame())
    assert found is not None
    assert found.um_per_px == pytest.approx(0.25, rel=0.1)


def test_every_beginning_of_the_order_is_spread_over_the_folder() -> None:
    files = [Path(f"{number:03}") for number in range(100)]
    order = spread_evenly(files)
    assert sorted(order) == files
    places = np.sort([int(file.name) for file in order[:20]])
    assert np.diff([0, *places, 100]).max() <= 8
    assert spread_evenly([]) == []


@pytest.mark.parametrize(
    ("count", "factor", "blue", "cameras"),
    [
        (30, 1.2, -0.1, 2),
        (30, 1.05, -0.1, 1),  # persons differ by as much
        (6, 1.12, -0.1, 1),  # too few to say so
        (30, 1.2, 0.0, 1),  # one colour of the slide: nothing tells them apart
    ],
)
def test_two_cameras_of_one_size_are_told_apart_by_the_colour_of_the_slide(
    count: int, factor: float, blue: float, cameras: int
) -> None:
    generator = np.random.default_rng(1)
    noise, tints = np.exp(generator.normal(0.0, 0.06, count)), generator.normal(0.0, 0.01, (2, count))
    pictures = [
        tinted(own(um_per_px * factor_of), blue_of + tint)
        for um_per_px, blue_of, row in ((0.09, blue, tints[0]), (0.09 * factor, 0.0, tints[1]))
        for factor_of, tint in zip(noise.tolist(), row.tolist(), strict=True)
    ]
    common = CommonScale.of_pictures(pictures)
    assert (1 if common.axis is None else 2) == cameras
    fine, coarse = common.of(np.array([0.02, blue])), common.of(np.array([0.02, 0.0]))
    assert fine is not None
    assert coarse is not None
    if cameras == 2:
        assert fine.um_per_px == pytest.approx(0.09, rel=0.03)
        assert coarse.um_per_px == pytest.approx(0.09 * factor, rel=0.03)
    else:
        assert fine == coarse
