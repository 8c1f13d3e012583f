"""Image files of every kind become the same 8-bit RGB, and no damaged one passes."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from edge.camera.decode import MAX_PIXELS, decode_image, to_8_bit
from edge.errors import ImageError

SHAPE = (40, 56)


def colours(seed: int = 0) -> NDArray[np.uint8]:
    """A smooth colour image, so that JPEG keeps it within a few levels."""
    rng = np.random.default_rng(seed)
    small = rng.integers(30, 226, (3, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((SHAPE[1], SHAPE[0]), Image.Resampling.BICUBIC))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["f.png", "f.tif", "f.bmp", "f.webp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path / name, Image.fromarray(colours()), **options)
    pixels = decode_image(path)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, colours())


def test_jpeg_is_rgb_in_the_right_order(tmp_path: Path) -> None:
    path = saved(tmp_path / "f.jpg", Image.fromarray(colours()), quality=98, subsampling=0)
    difference = decode_image(path).astype(int) - colours()
    assert np.abs(difference).max() <= 6
    # Negative control: with red and blue swapped the same bound fails.
    assert np.abs(difference[:, :, ::-1] + colours()[:, :, ::-1].astype(int) - colours()).max() > 6


def test_grey_is_replicated(tmp_path: Path) -> None:
    grey = colours()[:, :, 1]
    pixels = decode_image(saved(tmp_path / "grey.png", Image.fromarray(grey)))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[:, :, channel], grey)


def test_a_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    bits = colours()[:, :, 1] > 128
    pixels = decode_image(saved(tmp_path / "bits.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(pixels[:, :, 0], np.where(bits, 255, 0))


@pytest.mark.parametrize("name", ["rgba.png", "rgba.tif"])
def test_transparency_is_laid_on_white(tmp_path: Path, name: str) -> None:
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 128
    path = saved(tmp_path / name, Image.fromarray(np.dstack([colours(), alpha])))
    pixels = decode_image(path)
    assert (pixels[:, :20] == 255).all()
    np.testing.assert_array_equal(pixels[:, 40:], colours()[:, 40:])
    half = np.rint(255 + (colours()[:, 20:40].astype(float) - 255) * 128 / 255)
    np.testing.assert_allclose(pixels[:, 20:40], half, atol=1)


def test_grey_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.zeros(SHAPE, np.uint8)
    path = saved(tmp_path / "la.png", Image.fromarray(np.dstack([colours()[:, :, 0], alpha]), "LA"))
    assert (decode_image(path) == 255).all()


def test_palette_and_its_transparent_entry(tmp_path: Path) -> None:
    index = np.zeros(SHAPE, np.uint8)
    index[:, 28:] = 1
    image = Image.fromarray(index, "P")
    image.putpalette([10, 20, 30, 200, 150, 100])
    pixels = decode_image(saved(tmp_path / "p.png", image, transparency=0))
    assert (pixels[:, :28] == 255).all()
    assert (pixels[:, 28:] == (200, 150, 100)).all()


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(tmp_path / "cmyk.tif", Image.fromarray(colours()).convert("CMYK"))
    np.testing.assert_allclose(decode_image(path), colours(), atol=1)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_pixels_of_a_whole_jpeg_are_pillows(
    tmp_path: Path, mode: str, subsampling: int, progressive: bool
) -> None:
    image = Image.fromarray(colours()).convert(mode)
    path = saved(tmp_path / "f.jpg", image, subsampling=subsampling, progressive=progressive)
    with Image.open(path) as whole:
        np.testing.assert_array_equal(decode_image(path), np.asarray(whole.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["f.png", "f.tif", "f.jpg"])
def test_exif_orientation_gives_the_upright_picture(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(colours())
    image.getexif()[ExifTags.Base.Orientation] = orientation
    path = saved(tmp_path / name, image, exif=image.getexif())
    if name.endswith("jpg"):
        with Image.open(path) as stored:
            expected = np.asarray(ImageOps.exif_transpose(stored))
    else:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode_image(path), expected)


def test_an_impossible_orientation_is_upright(tmp_path: Path) -> None:
    image = Image.fromarray(colours())
    image.getexif()[ExifTags.Base.Orientation] = 99
    path = saved(tmp_path / "f.png", image, exif=image.getexif())
    np.testing.assert_array_equal(decode_image(path), colours())


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
@pytest.mark.parametrize(("bits", "seed"), [(10, 0), (12, 1), (14, 2), (16, 3)])
def test_16_bit_colour_uses_the_sensors_full_scale(tmp_path: Path, name: str, bits: int, seed: int) -> None:
    deep = (colours(seed).astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    deep[0, 0] = 2**bits - 1
    path = tmp_path / name
    assert cv2.imwrite(str(path), deep[:, :, ::-1])
    pixels = decode_image(path)
    np.testing.assert_allclose(pixels[1:], colours(seed)[1:], atol=1)
    assert (pixels[0, 0] == 255).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_grey(tmp_path: Path, name: str) -> None:
    deep = colours()[:, :, 0].astype(np.uint16) * 257
    path = tmp_path / name
    assert cv2.imwrite(str(path), deep)
    np.testing.assert_array_equal(decode_image(path), np.dstack([colours()[:, :, 0]] * 3))


def test_16_bit_transparency_is_laid_on_white(tmp_path: Path) -> None:
    deep = np.dstack([colours()[:, :, ::-1].astype(np.uint16) * 257, np.full(SHAPE, 65535, np.uint16)])
    deep[:, :20, 3] = 0
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), deep)
    pixels = decode_image(path)
    assert (pixels[:, :20] == 255).all()
    np.testing.assert_allclose(pixels[:, 20:], colours()[:, 20:], atol=1)


@given(st.integers(0, 65535))
def test_to_8_bit_keeps_order_and_stays_in_range(highest: int) -> None:
    values = np.linspace(0, highest, 50).astype(np.uint16)
    scaled = to_8_bit(values).astype(int)
    assert (np.diff(scaled) >= 0).all()
    # The smallest full scale that holds the highest value is less than four times it, but for dim 8-bit ones.
    assert scaled[-1] >= min(highest, 63)


def test_8_bit_values_in_16_bit_files_are_kept() -> None:
    np.testing.assert_array_equal(to_8_bit(np.arange(256, dtype=np.uint16)), np.arange(256))


def test_a_photograph_with_a_preview_gives_the_photograph(tmp_path: Path) -> None:
    path = tmp_path / "f.jpg"
    preview = Image.new("RGB", (32, 32))
    Image.fromarray(colours()).save(path, "MPO", save_all=True, append_images=[preview], quality=98)
    assert decode_image(path).shape == (*SHAPE, 3)


def test_a_reduced_page_of_a_tiff_is_no_second_field(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    reduced = Image.new("RGB", (32, 32))
    reduced.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(colours()).save(path, save_all=True, append_images=[reduced])
    np.testing.assert_array_equal(decode_image(path), colours())


@pytest.mark.parametrize("name", ["f.tif", "f.png", "f.webp"])
def test_several_pages_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    pages = [Image.fromarray(colours(seed)) for seed in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="holds 3 pages; save each field as a file of its own"):
        decode_image(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends behind its header and a little of its pixels."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes(300)))):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((8000, 6000), "8000x6000 px = 48 megapixels, at most 40"),
        ((12000, 9000), "12000x9000 px = 108 megapixels, at most 40"),  # Pillow would warn
        ((20000, 10000), "more than 179 megapixels, at most 40"),  # Pillow refuses it itself
    ],
)
def test_too_many_pixels_are_refused_by_the_header(
    tmp_path: Path, size: tuple[int, int], expected: str
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(ImageError, match=expected):
        decode_image(path)
    # Negative control: the same file within the limit is refused for its missing pixels instead.
    assert MAX_PIXELS >= 5000 * 4000
    path.write_bytes(png_header(5000, 4000))
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_image(path)


FILES: dict[str, Callable[[Path], object]] = {
    "f.jpg": lambda path: Image.fromarray(colours()).save(path, quality=95),
    "f.png": lambda path: Image.fromarray(colours()).save(path),
    "f.tif": lambda path: Image.fromarray(colours()).save(path),
    "f.bmp": lambda path: Image.fromarray(colours()).save(path),
    "lzw.tif": lambda path: Image.fromarray(colours()).save(path, compression="tiff_lzw"),
    "deep.png": lambda path: cv2.imwrite(str(path), colours().astype(np.uint16) * 257),
    "deep.tif": lambda path: cv2.imwrite(str(path), colours().astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    FILES[name](path)
    assert decode_image(path).shape == (*SHAPE, 3)  # negative control: whole, it is read
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=r"damaged or truncated|not an image, or its beginning is damaged"):
        decode_image(path)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("damage", ["half with an end marker", "one block lost"])
def test_a_jpeg_that_lacks_something_in_its_middle_is_refused(tmp_path: Path, damage: str, mode: str) -> None:
    """Pillow fills such a picture with grey and says nothing."""
    rng = np.random.default_rng(3)
    path = tmp_path / "f.jpg"
    noise = Image.fromarray(rng.integers(0, 256, (480, 640, 3)).astype(np.uint8))
    content = saved(path, noise.convert(mode), quality=92).read_bytes()
    assert decode_image(path).shape == (480, 640, 3)
    middle = len(content) // 2
    lost = len(content) if damage.startswith("half") else middle + 512
    path.write_bytes(content[:middle] + (content[lost:] or b"\xff\xd9"))
    with Image.open(path) as image:
        image.load()  # as this was read before
    with pytest.raises(ImageError, match=r"f\.jpg: damaged or truncated"):
        decode_image(path)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    contents = {}
    for name, write in FILES.items():
        path = tmp_path_factory.mktemp("whole") / name
        write(path)
        contents[name] = path.read_bytes()
    return contents


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_an_image_error_or_an_image(
    data: st.DataObject, whole_files: dict[str, bytes], tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(sorted(whole_files)))
    content = bytearray(whole_files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(content)
    try:
        pixels = decode_image(path)
    except ImageError:
        return
    assert pixels.ndim == 3
    assert pixels.dtype == np.uint8


def test_text_under_an_images_name(tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    path.write_text("I am no picture")
    with pytest.raises(
        ImageError, match="not an image, or its beginning is damaged; expected JPEG, PNG, TIFF"
    ):
        decode_image(path)


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    Image.fromarray(colours()).save(path, "EPS")
    with pytest.raises(ImageError, match="not an image"):
        decode_image(path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "f.jpg"
    path.touch()
    with pytest.raises(ImageError, match="the file is empty; copy it again from the camera"):
        decode_image(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"f\.jpg: cannot be read: No such file or directory"):
        decode_image(tmp_path / "f.jpg")


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "f.jpg"
    os.mkfifo(path)
    with pytest.raises(ImageError, match="not a regular file"):
        decode_image(path)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_that_are_neither_8_nor_16_bit(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "f.tif", Image.new(mode, (40, 40)))
    with pytest.raises(ImageError, match=f"pixels of mode {mode} and 32 bits are not supported"):
        decode_image(path)


def test_16_bit_pixels_that_opencv_cannot_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep.png"
    FILES["deep.png"](path)
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: None)
    with pytest.raises(ImageError, match="its 16-bit pixels cannot be decoded; save it as 8-bit RGB"):
        decode_image(path)


def test_the_pixels_of_a_field_are_copied_in_strips(tmp_path: Path) -> None:
    tall = np.random.default_rng(0).integers(0, 256, (700, 31, 3)).astype(np.uint8)  # more than two strips
    buffer = io.BytesIO()
    Image.fromarray(tall).save(buffer, "PNG")
    path = tmp_path / "tall.png"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(decode_image(path), tall)
