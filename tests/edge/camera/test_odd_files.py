"""Files as microscopes' programs write them, and damaged ones: the picture a person sees, or an error."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edge.camera import tiff
from edge.camera.containers import check_bmp, check_holes, check_webp
from edge.camera.decode import decode_picture
from edge.camera.files import read_image
from edge.camera.jpeg import read_header
from edge.camera.pixels import scaled
from edge.camera.signature import kind_of
from edge.errors import ImageError
from tests.edge.camera.files import decode_image
from tests.tools.damaged_files import cases, odd_files, silent_difference, smear

RNG = np.random.default_rng(5)
NOISE = RNG.integers(1, 255, (96, 128, 3)).astype(np.uint8)


def test_one_picture_in_many_ways(tmp_path: Path) -> None:
    wrong = {case.kind: said for case in odd_files() if (said := silent_difference(case, tmp_path))}
    assert not wrong


def test_the_way_of_the_last_file_does_not_matter_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "planar.tif"
    tifffile.imwrite(
        path, NOISE.astype(np.uint16).transpose(2, 0, 1) * 257, photometric="rgb", planarconfig="separate"
    )
    for other in (None, np.full((300, 400, 3), 7, np.uint8), smear(0)):
        if other is not None:
            Image.fromarray(other).save(tmp_path / "other.png")
            decode_image(tmp_path / "other.png")
        np.testing.assert_array_equal(decode_image(path), NOISE)


def test_what_is_missing_is_never_filled_in(tmp_path: Path) -> None:
    """Changed bytes are another matter: where they still mean something no decoder can tell."""
    tried: Counter[str] = Counter()
    wrong = {}
    for case in cases(seed=11, n=250):
        kind = case.kind.partition(": ")[2]
        if "changed" in kind or tried[kind] == 5:
            continue
        tried[kind] += 1
        if said := silent_difference(case, tmp_path):
            wrong[case.kind] = said
    assert not wrong
    assert set(tried.values()) == {5}
    assert len(tried) == 9


def ome(path: Path, *, x: float = 0.2, y: float = 0.2, unit: str = "µm", **more: Any) -> Path:
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": x,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": y,
        "PhysicalSizeYUnit": unit,
        **more,
    }
    tifffile.imwrite(path, NOISE, ome=True, photometric="rgb", metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("x", "unit", "expected"),
    [(0.2, "µm", 0.2), (100.0, "nm", 0.1), (0.0001, "mm", 0.1), (1.0, "pixel", None)],
)
def test_the_scale_of_an_ome_tiff(tmp_path: Path, x: float, unit: str, expected: float | None) -> None:
    path = ome(tmp_path / "f.ome.tif", x=x, y=x, unit=unit)
    assert decode_picture(path).um_per_px == pytest.approx(expected)
    assert read_image(path).um_per_px == pytest.approx(expected)
    assert read_image(path, um_per_px=0.3).um_per_px == 0.3


@pytest.mark.parametrize(
    ("x", "y", "named"),
    [(0.2, 0.3, "not square: 0.2 x 0.3 µm"), (1.3, 1.3, "a pixel is 1.3 µm; expected 0.01 to 1.25")],
)
def test_a_scale_that_cannot_be_counted(tmp_path: Path, x: float, y: float, named: str) -> None:
    with pytest.raises(ImageError, match=named):
        read_image(ome(tmp_path / "f.ome.tif", x=x, y=y))


def test_ome_data_of_another_picture_and_damaged_ones(tmp_path: Path) -> None:
    path = ome(tmp_path / "f.ome.tif")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeX="128"', b'SizeX="640"'))
    assert decode_picture(path).um_per_px is None
    path.write_bytes(content.replace(b"<Pixels", b"<Pi>els"))
    with pytest.raises(ImageError, match="its OME data"):
        decode_picture(path)


def test_bits_that_count_are_taken_from_ome_data(tmp_path: Path) -> None:
    dim = NOISE.astype(np.uint16)  # at most 254: without a word taken for 8 bits
    path = tmp_path / "f.ome.tif"
    tifffile.imwrite(path, dim, ome=True, photometric="rgb", metadata={"axes": "YXS", "SignificantBits": 12})
    assert b'SignificantBits="12"' in path.read_bytes()
    assert decode_image(path).max() == round(dim.max() * 255 / 4095)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bits_take_hardly_more_memory_than_8(tmp_path: Path, compression: str | None) -> None:
    picture = np.tile(NOISE, (12, 10, 1))
    taken = []
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / "f.tif"
        deep = picture.astype(dtype) * (257 if dtype == np.uint16 else 1)
        tifffile.imwrite(path, deep, photometric="rgb", compression=compression, rowsperstrip=len(deep))
        decode_image(path)
        tracemalloc.start()
        np.testing.assert_array_equal(decode_image(path)[:96], picture[:96])
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert taken[1] < 1.5 * taken[0]
    assert taken[0] > picture.nbytes  # negative control: NumPy's memory is traced


def test_a_value_that_needs_more_bits_than_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff, "_GROUP_BYTES", 1)
    deep = NOISE.astype(np.uint16)
    deep[40] = 4095
    deep[80] = 65535
    path = tmp_path / "f.tif"
    for options in ({}, {"planarconfig": "separate"}):
        stored = deep.transpose(2, 0, 1) if options else deep
        tifffile.imwrite(path, stored, photometric="rgb", rowsperstrip=8, **options)
        np.testing.assert_array_equal(decode_image(path), scaled(deep, 16))


def multi(path: Path, pages: int) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for _ in range(pages):
            writer.write(np.zeros((32, 32), np.uint8), metadata=None)
    return path


def test_pages_are_not_walked(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds 3 pages"):
        decode_image(multi(tmp_path / "three.tif", 3))
    with pytest.raises(ImageError, match="holds more than 64 pages"):
        decode_image(multi(tmp_path / "many.tif", 70))
    stack = tmp_path / "stack.tif"  # one page by its directory
    tifffile.imwrite(stack, np.zeros((5, 32, 32), np.uint8), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(ImageError, match="holds 5 pages"):
        decode_image(stack)


def test_a_sparse_tail_is_refused_by_its_length(tmp_path: Path) -> None:
    for name in ("f.tif", "f.jpg"):
        path = tmp_path / name
        Image.fromarray(NOISE).save(path)
        with path.open("r+b") as file:
            file.truncate(2_000_000_000)
        with pytest.raises(ImageError, match="2000 MB"):
            decode_image(path)
    with path.open("r+b") as file:
        file.truncate(60_000_000)
    with pytest.raises(ImageError, match="60 MB for 128x96 px"):
        decode_image(path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"photometric": "minisblack", "planarconfig": "separate"}, "3 grey channels"),
        ({"photometric": "cielab"}, "a TIFF of CIELAB"),
    ],
)
def test_a_tiff_that_nobody_sees_as_a_picture(tmp_path: Path, options: dict[str, str], named: str) -> None:
    path = tmp_path / "f.tif"
    picture = NOISE.transpose(2, 0, 1) if "planarconfig" in options else NOISE
    tifffile.imwrite(path, picture, **options)
    with pytest.raises(ImageError, match=named):
        decode_image(path)


def test_strips_that_overlap_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, NOISE, photometric="rgb", rowsperstrip=24)
    decode_image(path)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[273]
        where, second = tag.valueoffset + 4, tag.value[1]
    content = bytearray(path.read_bytes())
    content[where : where + 4] = (second - 30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ImageError, match="its strips overlap"):
        decode_image(path)


def test_alpha_that_was_multiplied_already(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    alpha = np.full((*NOISE.shape[:2], 1), 128, np.uint8)
    shown = np.rint(NOISE * (128 / 255)).astype(np.uint8)
    for kind, stored in (("assocalpha", shown), ("unassalpha", NOISE)):
        tifffile.imwrite(path, np.dstack([stored, alpha]), photometric="rgb", extrasamples=[kind])
        np.testing.assert_allclose(decode_image(path), NOISE * (128 / 255) + 255 * (127 / 255), atol=1.01)


def test_lzw_strips_are_given_to_libtiff_by_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(NOISE).save(path, compression="tiff_lzw", tiffinfo={278: 7})
    for group in (1, 4 << 20):
        monkeypatch.setattr(tiff, "_GROUP_BYTES", group)
        np.testing.assert_array_equal(decode_image(path), NOISE)


def scans(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "JPEG", **options)
    return file.getvalue()


def test_every_scan_of_a_progressive_jpeg_is_needed() -> None:
    content = scans(progressive=True)
    read_header(content)
    starts = [at for at in range(len(content)) if content.startswith(b"\xff\xda", at)]
    assert len(starts) > 5
    for start in starts:
        with pytest.raises(ValueError, match="a part of its data is missing"):
            read_header(content[:start] + b"\xff\xd9")
    with pytest.raises(ValueError, match="markers are damaged"):
        read_header(content[: starts[-1]])


def bmp(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "BMP")
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data, None),
        (lambda data: data + bytes(2), None),  # some round the size up
        (lambda data: data[:-1], "its end is missing"),
        (lambda data: data + bytes(500), "more than its header says"),
        (lambda data: data[:20_480] + bytes(512) + data[20_992:], "a block of it is lost"),
    ],
)
def test_a_bmp_is_as_long_as_it_says(change: Any, named: str | None) -> None:
    data = change(bmp(NOISE))
    if named is None:
        check_bmp(io.BytesIO(data), len(data))
    else:
        with pytest.raises(ValueError, match=named):
            check_bmp(io.BytesIO(data), len(data))


def test_a_black_part_of_a_picture_is_no_hole() -> None:
    picture = np.full((1024, 2048), 90, np.uint8)
    picture[200:800, 512:1536] = 0  # begins and ends with a sector in every row
    check_holes(picture.ravel(), 0, 2048)
    picture[0:100] = 0
    check_holes(picture.ravel(), 0, 2048)
    picture[900, 512:1024] = 0
    with pytest.raises(ValueError, match="a block of it is lost"):
        check_holes(picture.ravel(), 0, 2048)


def test_chunks_of_webp_fill_it() -> None:
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "WEBP", quality=80)
    content = file.getvalue()
    check_webp(io.BytesIO(content), len(content))
    for damaged in (content[:-4], content + bytes(4), content[:16] + b"\xff\xff\xff\0" + content[20:]):
        with pytest.raises(ValueError, match=r"size|does not end"):
            check_webp(io.BytesIO(damaged), len(damaged))


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\0\0\0\x1cftypheix", "HEIC"), (b"ZISRAWFILE", "CZI (Zeiss)"), (b"RIFF\0\0\0\0AVI ", "AVI video")],
)
def test_what_a_file_is_by_its_beginning(tmp_path: Path, head: bytes, kind: str) -> None:
    assert kind_of(head) == kind
    (tmp_path / "f.jpg").write_bytes(head.ljust(100, b"\1"))
    with pytest.raises(ImageError, match=r"by its content this is \w+"):
        decode_image(tmp_path / "f.jpg")


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_whose_data_go_on_behind_its_picture_is_damaged(tmp_path: Path, lossless: bool) -> None:
    """What a decoder makes of changed bytes is a picture; only that its data do not end with it is told."""
    whole = io.BytesIO()
    Image.fromarray(smear(0)[:96, :128]).save(whole, "WEBP", lossless=lossless, quality=90)
    path = tmp_path / "f.webp"
    path.write_bytes(whole.getvalue())
    assert decode_picture(path).pixels.shape == (96, 128, 3)
    length = int.from_bytes(whole.getvalue()[16:20], "little")
    body = b"WEBP" + whole.getvalue()[12:16] + (length + 10).to_bytes(4, "little")
    body += whole.getvalue()[20 : 20 + length] + b"\x35\x9a" * 5 + bytes(length & 1)
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    with Image.open(path) as lenient:  # negative control
        assert lenient.convert("RGB").size == (128, 96)
    with pytest.raises(ImageError, match="its data go on where the picture ends"):
        decode_picture(path)


def test_changed_bytes_of_a_lossy_webp_are_told(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(smear(0)[:240, :320]).save(whole, "WEBP", quality=90)
    path, lenient = tmp_path / "f.webp", 0
    for at in range(1000, len(whole.getvalue()) - 1000, len(whole.getvalue()) // 12):
        damaged = bytearray(whole.getvalue())
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with Image.open(path) as image:
            try:
                image.load()
                lenient += 1
            except OSError:
                pass
        with pytest.raises(ImageError):
            decode_picture(path)
    assert lenient > 2  # negative control


def test_an_uncompressed_strip_that_holds_more_than_its_picture_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(smear(0)[:96, :128]).save(path)
    content = bytearray(path.read_bytes())
    assert content[10:12] == struct.pack("<H", 256)  # the first tag is the width
    content[18:20] = struct.pack("<H", 120)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="a strip is too long"):
        decode_picture(path)


def test_libtiff_says_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.tif"
    Image.fromarray(smear(0)[:96, :128]).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[400:420] = b"\x7f" * 20  # codes that the table does not have yet
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_picture(path)
    assert capfd.readouterr() == ("", "")


def lzw(codes: list[tuple[int, int]]) -> bytes:
    """Codes of so many bits each, the highest bit first."""
    value = length = 0
    for code, bits in codes:
        value, length = value << bits | code, length + bits
    return (value << -length % 8).to_bytes(-(-length // 8), "big")


@pytest.mark.parametrize("end_bits", [9, 10])
@pytest.mark.parametrize(("more", "said"), [(0, ""), (-1, "damaged"), (1, "a strip has another length")])
def test_an_lzw_strip_has_as_many_bytes_as_the_picture(
    tmp_path: Path, more: int, said: str, end_bits: int
) -> None:
    """The table is full of codes of 9 bits at the end: some encoders write the end code in 9 bits, too."""
    n = 254
    pixels = np.random.default_rng(0).integers(0, 256, (2, n // 2), np.uint8)
    codes = [(value, 9) for value in [*pixels.ravel().tolist(), 7][: n + more]]
    strip = lzw([(256, 9), *codes, (257, end_bits if more == 0 else 10)])
    path = tmp_path / "f.tif"
    values = {256: n // 2, 257: 2, 258: 8, 259: 5, 262: 1, 273: 122, 277: 1, 278: 2, 279: len(strip)}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(values)) + tags + bytes(4) + strip)
    if said:
        with pytest.raises(ImageError, match=said):
            decode_picture(path)
    else:
        np.testing.assert_array_equal(decode_picture(path).pixels[..., 0], pixels)
