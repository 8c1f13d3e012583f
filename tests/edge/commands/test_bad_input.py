"""Bad input to ``count``: one clear line for each, the other files still counted, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from edge import cli
from edge.commands import outputs
from edge.device.printable import printable
from tests.edge.camera.files import png_header
from tests.edge.commands.invoking import CountCommand


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


#: Name of a file, how it is made, and what must be said of it.
UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.jpg": (truncated, "damaged or truncated"),
    "cut.png": (truncated, "damaged or truncated"),
    "cut.tif": (truncated, "damaged"),
    "text.png": (lambda path: path.write_text("no picture"), "not an image"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty"),
    "dot.png": (lambda path: Image.new("RGB", (1, 1)).save(path), "1x1 px is smaller than the 30 px"),
    "thin.png": (lambda path: Image.new("RGB", (900, 2)).save(path), "900x2 px is smaller than the 30 px"),
    "huge.png": (lambda path: path.write_bytes(png_header(20000, 10000)), "megapixels, at most 40"),
    "float.tif": (lambda path: Image.new("F", (60, 60)).save(path), "a 32-bit float TIFF"),
    "v.mp4": (lambda path: path.write_text("no video"), "not a video by its beginning"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "not a regular file"),
    "dangling.jpg": (lambda path: path.symlink_to("nowhere"), "dangling.jpg: "),
    "line\nbreak.png": (lambda path: path.write_text("no picture"), r"line\nbreak.png: not an image"),
    "esc\x1b[2J.png": (lambda path: path.write_text("no picture"), r"esc\x1b[2J.png: not an image"),
}


@pytest.mark.requirement(13)
@pytest.mark.requirement(15)
def test_unreadable_files_are_named_and_the_others_are_counted(count: CountCommand, tmp_path: Path) -> None:
    for name, (write, _) in UNREADABLE.items():
        write(count.folder / name)
    out = tmp_path / "out"
    named = [count.folder / name for name in UNREADABLE]
    for arguments in ([count.folder], [*named, count.field]):
        result = count("--json", "--masks", out, "--annotate", out, *arguments)
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert len(lines) == len(UNREADABLE)
        for name, (_, expected) in UNREADABLE.items():
            (line,) = (line for line in lines if f"{printable(name)}: " in line)
            assert line.startswith("blastcount: error: ")
            assert expected in line
        (record,) = map(json.loads, result.stdout.splitlines())
        assert record["source"] == str(count.field)
        assert record["wbc"] > 0
    assert {path.name.split(".")[0] for path in out.iterdir()} == {"rendered_0001"}
    assert f"1 counted, 0 rejected; {len(UNREADABLE)} could not be read" in count(count.folder).stdout


@pytest.mark.parametrize("colour", [True, False])
def test_16_bit_images_count_like_8_bit_ones(count: CountCommand, tmp_path: Path, colour: bool) -> None:
    with Image.open(count.field) as image:
        pixels = np.asarray(image) if colour else np.asarray(image)[:, :, 1]
    deep = pixels.astype(np.uint16) * 16  # 12 bits
    paths = [tmp_path / name for name in ("shallow.png", "deep.png", "deep.tif")]
    Image.fromarray(pixels).save(paths[0])
    for path in paths[1:]:
        assert cv2.imwrite(str(path), deep[:, :, ::-1] if colour else deep)
    shallow, *others = count.records(*paths)
    # 255 * 16 is 4080 of 4095: the deep image is at most one level darker, which may move a border pixel.
    assert [record["wbc"] for record in others] == [shallow["wbc"]] * 2
    assert shallow["cells"] or not colour


def test_other_modes_are_counted(count: CountCommand, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("RGB.png", "RGBA.png", "CMYK.tif", "P.png")]
    with Image.open(count.field) as image:
        for path in paths:
            image.convert(path.stem).save(path)
    plain, rgba, cmyk, palette = count.records(*paths)
    assert plain["wbc"] == rgba["wbc"] == cmyk["wbc"]
    assert palette["status"] == "counted"
    assert "few_colours" in palette["warnings"]


def test_grey_images_are_rejected_with_a_reason(count: CountCommand, tmp_path: Path) -> None:
    """Cells are told apart by colour; without it the count would be a wrong 0."""
    with Image.open(count.field) as image:
        for mode in ("L", "LA"):
            image.convert(mode).save(tmp_path / f"{mode}.png")
    for record in count.records(tmp_path / "L.png", tmp_path / "LA.png"):
        assert (record["status"], record["reasons"], record["cells"]) == ("rejected", ["no_colour"], [])


def test_a_missing_path_and_an_empty_folder_beside_a_good_one(count: CountCommand, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = count("--json", "/no/such/place", count.field, tmp_path / "none")
    assert result.exit_code == 1
    assert "/no/such/place: no such file or folder" in result.stderr
    assert f"{tmp_path}/none: no images or videos in this folder" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_names_in_every_script_are_counted(count: CountCommand) -> None:
    names = [
        "Blut ä.jpg",
        "血液.jpg",
        "new\nline.jpg",
        os.fsdecode(b"latin\xe4.jpg"),
        "-dash.jpg",
        "100%d.jpg",
    ]
    for name in names:
        Image.new("RGB", (64, 48), (220, 214, 205)).save(count.folder / name)
    result = count(count.folder)
    assert result.exit_code == 0, result.stderr
    assert "fields: 7 counted" in result.stdout
    assert "new\\nline.jpg" in result.stdout
    assert "latin\\udce4.jpg" in result.stdout
    found = {Path(record["source"]).name for record in count.records(count.folder)}
    assert found == {*names[:3], "latin\\udce4.jpg", *names[4:], count.field.name}


def test_names_as_long_as_the_system_allows(count: CountCommand, tmp_path: Path) -> None:
    name = "ä" * 125 + "a.jpg"
    shutil.move(count.field, count.folder / name)
    out = tmp_path / "out"
    (record,) = count.records("--masks", out, "--annotate", out, count.folder)
    assert Path(record["source"]).name == name
    assert len(list(out.iterdir())) == 3
    assert count(count.folder).stderr == ""
    result = count("n" * 300)
    assert (result.exit_code, "File name too long" in result.stderr) == (1, True)


@pytest.mark.parametrize("damaged", [".tflite", ".json", ".golden.npz", ".field.npz", None])
def test_a_bundle_that_is_missing_or_damaged(
    count: CountCommand, own_model: Path, damaged: str | None
) -> None:
    if damaged is None:
        count.model = own_model.with_name("absent")
    else:
        count.model = own_model
        path = own_model.with_name(own_model.name + damaged)
        path.write_bytes(path.read_bytes()[:-9])
    result = count(count.field)
    assert (result.exit_code, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert count.model.name in line


def test_a_configuration_with_an_error(count: CountCommand) -> None:
    count.configure("[scale]\num_per_pixel = 0.1\n")
    result = count(count.field)
    assert (result.exit_code, "um_per_pixel" in result.stderr) == (3, True)


def test_an_output_that_cannot_be_written(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.db").write_text("this is no database, but a text of some length" * 20)
    for option, path in (
        ("--masks", count.field / "m"),
        ("--annotate", count.field / "m"),
        ("--log", tmp_path / "log.db"),
    ):
        result = count(option, path, count.field)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert path.name in line
    refusing = SimpleNamespace(access=lambda path, mode: False, W_OK=os.W_OK, X_OK=os.X_OK)
    monkeypatch.setattr(outputs, "os", refusing)  # the superuser may write everywhere
    result = count("--masks", tmp_path / "m", count.field)
    assert (result.exit_code, "no permission to write" in result.stderr) == (1, True)


def test_a_full_disk_leaves_nothing_half_written(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = count("--masks", tmp_path / "m", count.field)
    assert result.exit_code == 1
    assert "rendered_0001.cells.png: cannot be written: No space left on device" in result.stderr
    assert list((tmp_path / "m").iterdir()) == []


def test_the_real_program_says_one_line_too(count: CountCommand, tiny_model: Path) -> None:
    """In a process of its own, where OpenCV's and FFmpeg's own words would reach stderr."""
    for name in ("cut.jpg", "cut.png", "text.png", "v.mp4", "huge.png"):
        UNREADABLE[name][0](count.folder / name)
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "count", "--json", "--model", str(tiny_model), str(count.folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(cli.__file__).parent.parent,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 5
    assert all(line.startswith("blastcount: error: ") for line in done.stderr.splitlines())
    assert len(done.stdout.splitlines()) == 1
