"""Image files of every kind become the same 8-bit RGB, and no damaged one passes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from edge.camera.decode import decode_picture
from edge.camera.pixels import scaled, sensor_bits
from edge.errors import ImageError
from tests.edge.camera.files import decode_image, png_header

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
    # Taller than two of the strips in which pixels are copied.
    tall = np.random.default_rng(0).integers(0, 256, (700, 31, 3)).astype(np.uint8)
    options = {"lossless": True} if name.endswith("webp") else {}
    pixels = decode_image(saved(tmp_path / name, Image.fromarray(tall), **options))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, tall)


def test_grey_is_replicated_and_a_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    grey = colours()[..., 1]
    pixels = decode_image(saved(tmp_path / "grey.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(pixels, np.dstack([grey] * 3))
    pixels = decode_image(saved(tmp_path / "bits.png", Image.fromarray(grey > 128)))
    np.testing.assert_array_equal(pixels[..., 0], np.where(grey > 128, 255, 0))


@pytest.mark.parametrize("name", ["rgba.png", "rgba.tif", "la.png"])
def test_transparency_is_laid_on_white_and_told(tmp_path: Path, name: str) -> None:
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 128
    planes = colours() if name.startswith("rgba") else colours()[..., 0]
    picture = decode_picture(saved(tmp_path / name, Image.fromarray(np.dstack([planes, alpha]))))
    assert picture.warnings == ("transparent",)
    assert not decode_picture(
        saved(tmp_path / name, Image.fromarray(np.dstack([planes, alpha | 255])))
    ).warnings
    pixels = picture.pixels
    opaque = planes if planes.ndim == 3 else np.dstack([planes] * 3)
    assert (pixels[:, :20] == 255).all()
    np.testing.assert_array_equal(pixels[:, 40:], opaque[:, 40:])
    half = np.rint(255 + (opaque[:, 20:40].astype(float) - 255) * 128 / 255)
    np.testing.assert_allclose(pixels[:, 20:40], half, atol=1)


def test_palette_and_its_transparent_entry(tmp_path: Path) -> None:
    index = np.zeros(SHAPE, np.uint8)
    index[:, 28:] = 1
    image = Image.fromarray(index, "P")
    image.putpalette([10, 20, 30, 200, 150, 100])
    pixels = decode_image(saved(tmp_path / "p.png", image, transparency=0))
    assert (pixels[:, :28] == 255).all()
    assert (pixels[:, 28:] == (200, 150, 100)).all()


@pytest.mark.parametrize("name", ["cmyk.tif", "cmyk.jpg"])
def test_cmyk_becomes_rgb(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(colours()).convert("CMYK")
    path = saved(tmp_path / name, image, **({"subsampling": 0} if name.endswith("jpg") else {}))
    with Image.open(path) as whole:
        np.testing.assert_array_equal(decode_image(path), np.asarray(whole.convert("RGB")))
    if name.endswith("tif"):
        np.testing.assert_allclose(decode_image(path), colours(), atol=1)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_pixels_of_a_whole_jpeg_are_pillows(
    tmp_path: Path, mode: str, subsampling: int, progressive: bool
) -> None:
    image = Image.fromarray(colours()).convert(mode)
    path = saved(tmp_path / "f.jpg", image, subsampling=subsampling, progressive=progressive)
    with Image.open(path) as whole:
        np.testing.assert_array_equal(decode_image(path), np.asarray(whole.convert("RGB")))


@pytest.mark.parametrize("orientation", [*range(1, 9), 99])
@pytest.mark.parametrize("name", ["f.png", "f.tif", "f.jpg"])
def test_exif_orientation_gives_the_upright_picture(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(colours())
    image.getexif()[ExifTags.Base.Orientation] = orientation
    path = saved(tmp_path / name, image, exif=image.getexif())
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(decode_image(path), expected)


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
def test_16_bit_grey_and_transparency(tmp_path: Path, name: str) -> None:
    deep = colours().astype(np.uint16) * 257
    path = tmp_path / name
    assert cv2.imwrite(str(path), deep[..., 0])
    np.testing.assert_array_equal(decode_image(path), np.dstack([colours()[..., 0]] * 3))
    alpha = np.full(SHAPE, 65535, np.uint16)
    alpha[:, :20] = 0
    if name.endswith("png"):
        assert cv2.imwrite(str(path), np.dstack([deep[..., ::-1], alpha]))
    else:
        tifffile.imwrite(path, np.dstack([deep, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    pixels = decode_image(path)
    assert (pixels[:, :20] == 255).all()
    np.testing.assert_allclose(pixels[:, 20:], colours()[:, 20:], atol=1)


@given(st.integers(0, 65535))
def test_scaling_keeps_order_and_stays_in_range(highest: int) -> None:
    values = np.linspace(0, highest, 50).astype(np.uint16)
    levels = scaled(values, sensor_bits(highest)).astype(int)
    assert (np.diff(levels) >= 0).all()
    # The smallest full scale that holds the highest value is less than four times it, but for dim 8-bit ones.
    assert levels[-1] >= min(highest, 63)


@pytest.mark.parametrize("bits", range(8, 17))
def test_every_value_of_a_depth_is_rounded_as_by_a_division(bits: int) -> None:
    values = np.arange(2**bits, dtype=np.uint16)[:, None]
    np.testing.assert_array_equal(scaled(values, bits), np.rint(values * (255 / (2**bits - 1))))


def png_of_16_bits(values: NDArray[np.uint16], colour_type: int, *between: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">IIBBBBB", values.shape[1], len(values), 16, colour_type, 0, 0, 0)
    for kind, data in ((b"IHDR", size), *between, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


@pytest.mark.parametrize(("colour_type", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_both_bytes_of_a_png_of_16_bits_count(
    tmp_path: Path, bits: int, colour_type: int, samples: int
) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (130, 40, samples)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    if samples in (2, 4):
        values[..., -1] = 65535
    path = tmp_path / "f.png"
    path.write_bytes(png_of_16_bits(values, colour_type))
    colours = values[..., :3] if samples > 2 else np.repeat(values[..., :1], 3, axis=2)
    np.testing.assert_array_equal(decode_image(path), np.rint(colours * (255 / (2**bits - 1))))


def test_8_bit_values_in_16_bit_files_are_kept() -> None:
    values = np.arange(256, dtype=np.uint16)
    np.testing.assert_array_equal(scaled(values, sensor_bits(255)), values)


def test_a_preview_or_a_reduced_page_is_no_second_field(tmp_path: Path) -> None:
    small, reduced = Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32))
    photo, pages = tmp_path / "f.jpg", tmp_path / "f.tif"
    Image.fromarray(colours()).save(photo, "MPO", save_all=True, append_images=[small], quality=98)
    np.testing.assert_allclose(decode_image(photo), colours(), atol=20)
    reduced.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(colours()).save(pages, save_all=True, append_images=[reduced])
    np.testing.assert_array_equal(decode_image(pages), colours())


@pytest.mark.parametrize("name", ["f.tif", "f.png", "f.webp"])
def test_several_pages_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    pages = [Image.fromarray(colours(seed)) for seed in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="holds 3 pages"):
        decode_image(path)


@pytest.mark.parametrize(
    ("size", "named"),
    [
        ((8000, 6000), "8000x6000 px = 48 megapixels, at most 40"),
        ((12000, 9000), "12000x9000 px = 108 megapixels, at most 40"),  # Pillow would warn
        ((20000, 10000), "more than 179 megapixels, at most 40"),  # Pillow refuses it itself
        ((5000, 4000), "damaged or truncated"),  # negative control: refused for its missing pixels instead
    ],
)
def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path, size: tuple[int, int], named: str) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(ImageError, match=named):
        decode_image(path)


def written(path: Path) -> Path:
    """Write the picture as the name says; of 16 bits where it begins with "deep"."""
    if path.stem == "deep":
        assert cv2.imwrite(str(path), colours().astype(np.uint16) * 257)
        return path
    return saved(
        path, Image.fromarray(colours()), **({"compression": "tiff_lzw"} if path.stem == "lzw" else {})
    )


FILES = ["f.jpg", "f.png", "f.tif", "f.bmp", "lzw.tif", "deep.png", "deep.tif"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = written(tmp_path / name)
    assert decode_image(path).shape == (*SHAPE, 3)  # negative control: whole, it is read
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=r"damaged"):
        decode_image(path)


@pytest.mark.requirement(13)
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
    folder = tmp_path_factory.mktemp("whole")
    return {name: written(folder / name).read_bytes() for name in FILES}


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_what_holds_no_pixels_of_8_or_16_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    Image.fromarray(colours()).save(path, "EPS")  # formats that run programs are not opened
    with pytest.raises(ImageError, match="by its content this is PostScript"):
        decode_image(path)
    with pytest.raises(ImageError, match="a 32-bit signed TIFF"):
        decode_image(saved(tmp_path / "f.tif", Image.new("I", (40, 40))))
    deep = png_of_16_bits(np.full((40, 40, 3), 9000, np.uint16), 2, (b"tRNS", bytes(6)))
    path.write_bytes(deep)
    with pytest.raises(ImageError, match="16 bits and a transparent colour"):
        decode_image(path)
