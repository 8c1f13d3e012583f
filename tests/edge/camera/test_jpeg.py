"""Damage that leaves a JPEG decodable: shifted levels, changed tables, lost scans."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from edge.camera import jpeg
from edge.camera.decode import decode_picture
from edge.camera.jpeg import read_header
from edge.camera.seams import find_seam
from edge.errors import ImageError
from edge.structures import UInt8Image
from tests.edge.camera.files import decode_image
from tests.tools.damaged_files import smear


def encoded(picture: UInt8Image, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    return file.getvalue()


def shifted(
    levels: int, block: tuple[int, int], *, to_the_end: bool, channel: slice = slice(3)
) -> UInt8Image:
    """Add levels to all blocks of 16 px from one on, to the end of the picture or of its row."""
    picture = smear(0).astype(np.int16)
    row, column = 16 * block[0], 16 * block[1]
    picture[row : row + 16, column:, channel] += levels
    if to_the_end:
        picture[row + 16 :, :, channel] += levels
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("to_the_end", [True, False])
@pytest.mark.parametrize("block", [(0, 12), (5, 3), (12, 0), (20, 19), (29, 12)])
@pytest.mark.parametrize("channel", [slice(3), slice(2, 3)])
def test_blocks_that_are_shifted_from_one_on_are_seen(
    block: tuple[int, int], to_the_end: bool, channel: slice
) -> None:
    for levels in (12, -12):
        seam = find_seam(shifted(levels, block, to_the_end=to_the_end, channel=channel), 16, 16)
        assert seam == "sure"
    assert find_seam(shifted(2, block, to_the_end=to_the_end, channel=channel), 16, 16) == "none"


def test_a_seam_that_is_uneven_or_small_is_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "f.jpg"
    for levels, expected in ((0, ()), (4, ("possibly_damaged",))):
        picture = shifted(levels, (12, 4), to_the_end=True)
        path.write_bytes(encoded(picture, quality=95, subsampling=2))
        assert decode_picture(path).warnings == expected
    uneven = shifted(20, (12, 4), to_the_end=True)
    noise = np.random.default_rng(0).normal(0, 15, uneven[192].shape)
    uneven[192] = np.clip(uneven[192] + noise, 0, 255).astype(np.uint8)
    assert find_seam(uneven, 16, 16) == "doubtful"


def test_flat_blocks_of_a_coarse_jpeg_hide_no_seam() -> None:
    coarse = simplejpeg.decode_jpeg(encoded(shifted(-25, (21, 11), to_the_end=True), quality=40), "RGB")
    assert find_seam(coarse, 16, 16) == "sure"
    assert find_seam(simplejpeg.decode_jpeg(encoded(smear(0), quality=40), "RGB"), 16, 16) == "none"


def test_what_a_picture_may_have_is_no_seam() -> None:
    picture = smear(0).copy()
    assert find_seam(picture, 16, 16) == "none"
    picture[:32] = 0  # a margin that ends with a row of blocks
    picture[448:, :200] = 255  # a legend
    assert find_seam(picture, 16, 16) == "none"
    one_cell = shifted(12, (5, 3), to_the_end=True)[:, :368]
    assert find_seam(one_cell, 16, 16) == "none"


@pytest.mark.parametrize("left", [0, 320])
@pytest.mark.parametrize("seed", range(4))
def test_text_on_a_strip_or_box_of_one_colour_is_no_seam(seed: int, left: int) -> None:
    picture = smear(seed).copy()
    picture[-48:, left:] = 0  # from a border of blocks on
    cv2.putText(picture, "Sample 12, 100x", (left + 8, len(picture) - 10), 0, 0.8, (255,) * 3, 1, cv2.LINE_AA)
    stored = encoded(picture, quality=75, subsampling=2)
    assert find_seam(simplejpeg.decode_jpeg(stored, "RGB"), 16, 16) != "sure"


def test_a_changed_bit_of_coded_data_shifts_no_picture_in_silence(tmp_path: Path) -> None:
    content = encoded(smear(0)[..., 1], quality=88)
    whole = simplejpeg.decode_jpeg(content, "RGB").astype(np.int16)
    path = tmp_path / "f.jpg"
    start, lenient = content.index(b"\xff\xda"), 0
    for at in range(start + 2000, len(content) - 4000, 1500):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with Image.open(path) as image:
            lenient += np.abs(np.asarray(image.convert("RGB"), np.int16) - whole).mean() > 2
        try:
            pixels = decode_image(path)
        except ImageError:
            continue
        assert np.abs(pixels - whole).mean() < 2
    assert lenient > 5  # negative control: another decoder gives these pictures


def test_a_tiff_of_jpegs_is_looked_at_as_well(tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    for levels in (0, -25):
        picture = shifted(levels, (7, 4), to_the_end=False)
        Image.fromarray(picture).save(path, compression="jpeg", quality=90)
        if levels:
            with pytest.raises(ImageError, match="from one block on it is lighter"):
                decode_image(path)
        else:
            np.testing.assert_allclose(decode_image(path).mean(), picture.mean(), atol=1)


def test_tables_that_were_the_standards_before_a_byte_changed(tmp_path: Path) -> None:
    content = encoded(smear(0)[:96, :96], quality=85)
    read_header(content)
    for marker, length in ((b"\xff\xdb", 67), (b"\xff\xc4", 181)):
        at = content.index(marker + length.to_bytes(2, "big")) + 4 + 40
        damaged = bytearray(content)
        damaged[at] = (damaged[at] + 90) % 256
        with pytest.raises(ValueError, match="a table of its header was changed"):
            read_header(bytes(damaged))
    own = [min(255, 9 + 3 * i) for i in range(64)]  # an encoder's own table
    read_header(encoded(smear(0)[:96, :96], qtables=[own, own]))
    at = content.index(b"\xff\xdb\x00\x43") + 5 + 10
    rounded = content[:at] + bytes([content[at] + jpeg._ROUNDED]) + content[at + 1 :]
    read_header(rounded)


@pytest.mark.parametrize(
    ("marker", "bits", "named"), [(0xC1, 12, "a 12-bit JPEG"), (0xC3, 8, "a lossless JPEG")]
)
def test_jpegs_of_other_procedures_are_named(tmp_path: Path, marker: int, bits: int, named: str) -> None:
    content = bytearray(encoded(smear(0)[:64, :64]))
    at = content.index(b"\xff\xc0")
    content[at + 1], content[at + 4] = marker, bits
    path = tmp_path / "f.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=named):
        decode_image(path)
