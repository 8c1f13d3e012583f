"""Label images and photographs, drawn here and real ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edge.camera.files import OWN_MARK, read_frames
from edge.camera.label_image import is_label_image
from edge.errors import NotAFieldError
from edge.rendered import RenderedField
from edge.structures import UInt8Image


def discs(colours: list[tuple[int, int, int]], *, side: int = 400, radius: int = 9) -> UInt8Image:
    """A mask: a disc for each colour, in a grid."""
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    across = side // (2 * radius + 2)
    for number, colour in enumerate(colours):
        y, x = divmod(number, across)
        draw.circle(((x + 0.5) * (2 * radius + 2), (y + 0.5) * (2 * radius + 2)), radius, colour)
    return np.asarray(picture)


def noisy(image: UInt8Image, rows: slice = slice(None)) -> UInt8Image:
    values = image.astype(np.int16)
    values[rows] += np.random.default_rng(1).integers(-6, 7, values[rows].shape, dtype=np.int16)
    return values.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        discs([(255, 255, 255)]),
        discs([(255, 255, 0), (255, 0, 0)] * 40),
        discs([(i, i, i) for i in range(1, 256)]),  # an id a cell
        discs([(7 * i % 256, 91 * i % 256, 13 * i % 256) for i in range(1, 300)]),  # a colour a cell
        discs([(1, 1, 1)], radius=3),  # one platelet
    ],
)
def test_masks(image: UInt8Image) -> None:
    assert is_label_image(image)
    assert not is_label_image(noisy(image))


def as_jpeg(image: UInt8Image, quality: int) -> UInt8Image:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize(
    "colours", [[(255, 255, 0)], [(255, 0, 0), (0, 0, 255)], [(128, 128, 128), (255, 255, 255)]]
)
def test_masks_saved_as_jpeg(quality: int, colours: list[tuple[int, int, int]]) -> None:
    assert is_label_image(as_jpeg(discs(colours * 2, radius=40), quality))


def test_burnt_out_photographs_saved_as_jpeg(small_field: RenderedField) -> None:
    """White where nothing is, and black around a round field of view: two flat colours, and cells in one."""
    rows, columns = np.ogrid[:480, :640]
    burnt = np.where(small_field.image.min(axis=2, keepdims=True) > 150, 255, small_field.image).astype(
        np.uint8
    )
    surround = np.where(np.hypot(rows - 240, columns - 320)[..., None] > 230, 0, burnt).astype(np.uint8)
    for photograph in (burnt, surround):
        for quality in (30, 75, 95):
            assert not is_label_image(as_jpeg(photograph, quality))


@pytest.mark.parametrize(("every", "expected"), [(8, False), (12, True)])
def test_the_least_share_of_flat_pixels(every: int, expected: bool) -> None:
    """One pixel of so many of the objects is another one than those beside it: 87.5 and 91.7 % are flat."""
    image = np.full((120, 240, 3), 60, np.uint8)
    image[:60] = 90
    image[:60, ::every] = 110
    assert is_label_image(image) is expected


@pytest.mark.parametrize(("cells", "expected"), [(170, True), (230, False)])
def test_the_most_colours(cells: int, expected: bool) -> None:
    """200 for the 40,000 pixels looked at."""
    mask = discs([(i % 256, 255 - i // 2, 40) for i in range(cells)], side=200, radius=4)
    assert is_label_image(mask) is expected


def test_photographs(small_field: RenderedField) -> None:
    field = small_field.image
    assert not is_label_image(field)
    # As a person may have saved it: burnt out but for a few rows with cells, with a black surround, enlarged,
    # of few colours.
    burnt = np.full_like(field, 255)
    burnt[200:212] = field[200:212]
    assert not is_label_image(burnt)
    surround = burnt.copy()
    surround[:, :200] = 0
    assert not is_label_image(surround)
    assert not is_label_image(field.repeat(2, axis=0).repeat(2, axis=1))
    few = Image.fromarray(field).quantize(64).convert("RGB")
    assert not is_label_image(np.asarray(few))


def test_a_picture_of_one_colour_is_none() -> None:
    assert not is_label_image(np.zeros((60, 60, 3), np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_files_of_masks_are_refused_by_name(tmp_path: Path, mode: str) -> None:
    mask = discs([(255, 255, 255)])
    path = tmp_path / "m.png"
    values: NDArray[np.uint16] = mask[:, :, 0].astype(np.uint16) * 3
    picture = Image.fromarray(values) if mode == "I;16" else Image.fromarray(mask).convert(mode)
    picture.save(path)
    with pytest.raises(NotAFieldError, match=r"m\.png: a label image \(mask\) or a drawing") as raised:
        list(read_frames(path))
    assert raised.value.kind == "label images"


def test_a_marked_picture_is_refused_under_any_name(tmp_path: Path, small_field: RenderedField) -> None:
    path = tmp_path / "f.jpg"
    Image.fromarray(small_field.image).save(path, comment=OWN_MARK)
    with pytest.raises(NotAFieldError, match=r"f\.jpg: written by this program") as raised:
        list(read_frames(path))
    assert raised.value.kind == "written by this program"
    Image.fromarray(small_field.image).save(path, comment=b"blastcount")
    assert len(list(read_frames(path))) == 1


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("all-idb1/masks/*", True),
        ("all-idb2/masks/*", True),
        ("wbc-seg/*/*.png", True),
        ("wbc-seg/*/*.bmp", False),
        ("all-idb1/im/*", False),
        ("all-idb2/img/*", False),
        ("bccd/images/*", False),
        ("lisc/*", False),
        ("all-taleqani/*/*", False),
        ("pbc/*/*", False),
        ("wbc-chula/images/*", False),
    ],
)
def test_real_pictures(real_data: Path, pattern: str, expected: bool) -> None:
    files = sorted(real_data.glob(pattern))
    for file in files[:: max(1, len(files) // 6)]:
        with Image.open(file) as picture:
            assert is_label_image(np.asarray(picture.convert("RGB"))) is expected, file
