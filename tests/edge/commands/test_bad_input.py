"""Bad input to ``count``: one clear line for each, the other files still counted, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge import cli
from edge.commands import outputs
from edge.device.printable import printable
from edge.errors import EdgeError

pytestmark = pytest.mark.usefixtures("no_system_config")


def png_of_200_megapixels(path: Path) -> None:
    chunks = b""
    ihdr = struct.pack(">IIBBBBB", 20000, 10000, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes(300)))):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def truncated(suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
        whole = path.with_suffix(suffix)
        Image.fromarray(noise).save(whole)
        content = whole.read_bytes()
        whole.unlink()
        path.write_bytes(content[: len(content) * 2 // 3])

    return write


#: Name of a file, how it is made, and what must be said of it.
UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.jpg": (truncated(".jpg"), "damaged or truncated"),
    "cut.png": (truncated(".png"), "damaged or truncated"),
    "cut.tif": (truncated(".tif"), "damaged"),
    "text.png": (lambda path: path.write_text("no picture"), "not an image"),
    "empty.jpg": (lambda path: path.touch(), "the file is empty"),
    "dot.png": (lambda path: Image.new("RGB", (1, 1)).save(path), "1x1 px is smaller than the 30 px"),
    "thin.png": (lambda path: Image.new("RGB", (900, 2)).save(path), "900x2 px is smaller than the 30 px"),
    "huge.png": (png_of_200_megapixels, "megapixels, at most 40"),
    "float.tif": (lambda path: Image.new("F", (60, 60)).save(path), "pixels of mode F"),
    "v.mp4": (lambda path: path.write_text("no video"), "not a video that OpenCV can read"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "not a regular file"),
    "dangling.jpg": (lambda path: path.symlink_to("nowhere"), "dangling.jpg: "),
    "line\nbreak.png": (lambda path: path.write_text("no picture"), r"line\nbreak.png: not an image"),
    "esc\x1b[2J.png": (lambda path: path.write_text("no picture"), r"esc\x1b[2J.png: not an image"),
}


def deep(path: Path, *, colour: bool, small_field: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    values = small_field.astype(np.uint16) * 16  # 12 bits
    assert cv2.imwrite(str(path), values[:, :, ::-1] if colour else values[:, :, 1])


@pytest.fixture
def good(field_folder: Path) -> Path:
    return field_folder / "rendered_0001.jpg"


@pytest.fixture
def count(tiny_model: Path) -> Callable[..., Result]:
    def run(*arguments: str | Path, model: Path = tiny_model) -> Result:
        command = ["count", "--model", str(model), *map(str, arguments)]
        result = CliRunner().invoke(cli.main, command)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_unreadable_files_are_named_and_the_others_are_counted(
    count: Callable[..., Result], good: Path, tmp_path: Path
) -> None:
    for name, (write, _) in UNREADABLE.items():
        write(good.parent / name)
    out = tmp_path / "out"
    named = [good.parent / name for name in UNREADABLE]
    for arguments in ([good.parent], [*named, good]):
        result = count("--json", "--masks", out, "--annotate", out, *arguments)
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert len(lines) == len(UNREADABLE)
        for name, (_, expected) in UNREADABLE.items():
            (line,) = (line for line in lines if f"{printable(name)}: " in line)
            assert line.startswith("blastcount: error: ")
            assert expected in line
        (record,) = map(json.loads, result.stdout.splitlines())
        assert record["source"] == str(good)
        assert record["wbc"] > 0
    assert {path.name.split(".")[0] for path in out.iterdir()} == {"rendered_0001"}
    assert f"1 counted, 0 rejected; {len(UNREADABLE)} could not be read" in count(good.parent).stdout


@pytest.mark.parametrize("colour", [True, False])
def test_16_bit_images_count_like_8_bit_ones(
    count: Callable[..., Result], good: Path, tmp_path: Path, colour: bool
) -> None:
    with Image.open(good) as image:
        pixels = np.asarray(image)
    paths = [tmp_path / name for name in ("shallow.png", "deep.png", "deep.tif")]
    Image.fromarray(pixels if colour else pixels[:, :, 1]).save(paths[0])
    for path in paths[1:]:
        deep(path, colour=colour, small_field=pixels)
    shallow, *others = [json.loads(line) for line in count("--json", *paths).stdout.splitlines()]
    # 255 * 16 is 4080 of 4095: the deep image is at most one level darker, which may move a border pixel.
    assert [record["wbc"] for record in others] == [shallow["wbc"]] * 2
    assert shallow["cells"] or not colour


def test_other_modes_are_counted(count: Callable[..., Result], good: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("plain.png", "RGBA.png", "CMYK.tif", "P.png")]
    with Image.open(good) as image:
        image.save(paths[0])
        for path in paths[1:]:
            image.convert(path.stem).save(path)
    result = count("--json", *paths)
    assert result.exit_code == 0, result.stderr
    plain, rgba, cmyk, palette = map(json.loads, result.stdout.splitlines())
    assert plain["wbc"] == rgba["wbc"] == cmyk["wbc"]
    assert palette["status"] == "counted"


def test_grey_images_are_rejected_with_a_reason(
    count: Callable[..., Result], good: Path, tmp_path: Path
) -> None:
    """Cells are told apart by colour; without it the count would be a wrong 0."""
    with Image.open(good) as image:
        for mode in ("L", "LA"):
            image.convert(mode).save(tmp_path / f"{mode}.png")
    result = count("--json", tmp_path / "L.png", tmp_path / "LA.png")
    assert result.exit_code == 0, result.stderr
    for record in map(json.loads, result.stdout.splitlines()):
        assert (record["status"], record["reasons"], record["cells"]) == ("rejected", ["no_colour"], [])


def test_a_missing_path_and_an_empty_folder_beside_a_good_one(
    count: Callable[..., Result], good: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    result = count("--json", "/no/such/place", good, tmp_path / "none")
    assert result.exit_code == 1
    assert "/no/such/place: no such file or folder" in result.stderr
    assert f"{tmp_path}/none: no images or videos in this folder" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_names_in_every_script_are_counted(count: Callable[..., Result], good: Path) -> None:
    names = [
        "Blut ä.jpg",
        "血液.jpg",
        "new\nline.jpg",
        os.fsdecode(b"latin\xe4.jpg"),
        "-dash.jpg",
        "100%d.jpg",
    ]
    for name in names:
        shutil.copy(good, good.with_name(name))
    result = count(good.parent)
    assert result.exit_code == 0, result.stderr
    assert "fields: 7 counted" in result.stdout
    assert "new\\nline.jpg" in result.stdout
    assert "latin\\udce4.jpg" in result.stdout
    records = [json.loads(line) for line in count("--json", good.parent).stdout.splitlines()]
    assert {Path(record["source"]).name for record in records} == {*names, good.name}


def test_a_missing_model(count: Callable[..., Result], good: Path, tmp_path: Path) -> None:
    result = count(good, model=tmp_path / "absent")
    assert result.exit_code == 3
    assert "absent.json cannot be read (No such file or directory)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path) -> Path:
    for suffix in (".tflite", ".json", ".golden.npz", ".field.npz"):
        shutil.copy(f"{tiny_model}{suffix}", tmp_path / f"own{suffix}")
    return tmp_path / "own"


@pytest.mark.parametrize("damaged", [".tflite", ".json", ".golden.npz", ".field.npz"])
def test_a_bundle_that_is_damaged(
    count: Callable[..., Result], good: Path, own_model: Path, damaged: str
) -> None:
    path = own_model.with_name(own_model.name + damaged)
    path.write_bytes(path.read_bytes()[:-9])
    result = count(good, model=own_model)
    assert (result.exit_code, result.stdout) == (3, "")
    assert len(result.stderr.splitlines()) == 1


def test_a_configuration_with_an_error(
    count: Callable[..., Result], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.toml").write_text("[scale]\num_per_pixel = 0.1\n")
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(tmp_path / "b.toml"))
    result = count(good)
    assert result.exit_code == 3
    assert "um_per_pixel" in result.stderr


@pytest.mark.parametrize("option", ["--masks", "--annotate"])
def test_a_folder_that_cannot_be_made(count: Callable[..., Result], good: Path, option: str) -> None:
    result = count(option, good / "below", good)
    assert result.exit_code == 1
    assert "below: cannot make this folder: Not a directory" in result.stderr
    assert result.stdout == ""


def test_a_folder_without_permission(
    count: Callable[..., Result], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = SimpleNamespace(access=lambda path, mode: False, W_OK=os.W_OK, X_OK=os.X_OK)
    monkeypatch.setattr(outputs, "os", refusing)  # the superuser may write everywhere
    result = count("--masks", tmp_path / "m", good)
    assert result.exit_code == 1
    assert "no permission to write into this folder; name another one" in result.stderr


def test_a_full_disk_leaves_nothing_half_written(
    count: Callable[..., Result], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = count("--masks", tmp_path / "m", good)
    assert result.exit_code == 1
    assert "rendered_0001.cells.png: cannot be written: No space left on device" in result.stderr
    assert list((tmp_path / "m").iterdir()) == []


def test_a_log_that_cannot_be_opened(count: Callable[..., Result], good: Path, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("this is no database, but a text of some length" * 20)
    result = count("--log", tmp_path / "log.db", good)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "log.db" in result.stderr


def test_the_real_program_says_one_line_too(good: Path, tiny_model: Path) -> None:
    """In a process of its own, where OpenCV's and FFmpeg's own words would reach stderr."""
    for name in ("cut.jpg", "cut.png", "text.png", "v.mp4", "huge.png"):
        UNREADABLE[name][0](good.parent / name)
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "count", "--json", "--model", str(tiny_model), str(good.parent)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(cli.__file__).parent.parent,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 5
    assert all(line.startswith("blastcount: error: ") for line in done.stderr.splitlines())
    assert len(done.stdout.splitlines()) == 1


def test_every_error_class_has_a_published_exit_code() -> None:
    classes = [EdgeError, *EdgeError.__subclasses__()]
    assert {error.exit_code for error in classes} == {1, 3, 4}
