"""Where something is stained: what is large enough for a white cell, and what is looked at together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.light.field import Field
from edge.rendered import Population, RenderSettings, render_field
from edge.segmentation import segment
from edge.segmentation.labels import as_mask, connected_components, numbered, relabel_sequential
from edge.segmentation.nuclei import find_parts
from edge.segmentation.windows import find_rois, nucleus_threshold, pack_windows
from edge.structures import Frame

UM_PER_PX = 0.1
THRESHOLD = 100


def squares(places: list[tuple[float, float]], area_um2: float, level: int = 200) -> NDArray[np.uint8]:
    """Contrast of a field of 40 x 40 µm with squares whose left upper corners lie there (µm)."""
    contrast = np.zeros((400, 400), np.uint8)
    side = np.sqrt(area_um2)
    for x, y in places:
        x0, y0, x1, y1 = (round(v / UM_PER_PX) for v in (x, y, x + side, y + side))
        contrast[y0:y1, x0:x1] = level
    return contrast


@pytest.mark.parametrize(
    ("places", "area_um2", "level", "regions"),
    [
        ([(20, 20)], 9.0, 200, 0), ([(20, 20)], 11.0, 200, 1),  # smaller than any nucleus
        ([(0, 20)], 3.6, 200, 0), ([(0, 20)], 4.6, 200, 1),  # cut by the border
        ([(5 + 3 * i, 20) for i in range(8)], 1.7, 200, 0),  # specks, together as large as a nucleus
        ([(5 + 3 * i, 20) for i in range(8)], 2.3, 200, 1),  # lobes
        ([(20, 20)], 20.0, 66, 0), ([(20, 20)], 20.0, 74, 1),  # of the threshold
        ([(5, 20), (5 + 4 + 10.4, 20)], 16.0, 200, 1),  # within reach of each other
        ([(5, 20), (5 + 4 + 11.6, 20)], 16.0, 200, 2),
    ],
)  # fmt: skip
def test_regions_of_interest(
    places: list[tuple[float, float]], area_um2: float, level: int, regions: int
) -> None:
    boxes, labels = find_rois(squares(places, area_um2, level), THRESHOLD, UM_PER_PX)
    assert len(boxes) == labels.max() == regions


def speckled() -> NDArray[np.uint8]:
    """420,000 specks of one px each, and below them all one nucleus."""
    contrast = np.zeros((1300, 1300), np.uint8)
    contrast[::2, ::2] = 200
    contrast[1100:] = 0
    contrast[1220:1270, 600:650] = 200
    return contrast


def test_more_components_than_16_bits_can_number() -> None:
    labels, stats = connected_components(as_mask(speckled() > 0))
    assert labels.max() == len(stats) - 1 == 550 * 650 + 1
    assert stats[labels[1240, 620], cv2.CC_STAT_AREA] == 2500
    boxes, rois = find_rois(speckled(), THRESHOLD, UM_PER_PX)
    assert len(boxes) == 1
    assert rois[1240, 620] == 1


def test_more_objects_than_a_label_image_holds_are_refused() -> None:
    with pytest.raises(ImageError, match="70000 stained objects in one field, at most 65535 expected"):
        numbered(np.ones(70_000, np.bool_))
    with pytest.raises(ImageError, match="70000"):
        relabel_sequential(np.arange(70_001, dtype=np.int32))
    assert numbered(np.array([False, True, False, True])).tolist() == [0, 1, 0, 2]


def test_a_window_narrower_than_a_px_of_a_reduced_copy_shows_the_next_px() -> None:
    """A blank slide's picture of 128 px is 31 times smaller than a frame of 4056 px."""
    windows = pack_windows(
        np.array([[4, 10, 18, 30], [0, 60, 12, 72], [4046, 3030, 4056, 3040]]),
        (3040, 4056),
        np.zeros((3040, 4056, 3), np.uint8),
        1.0,
        1.0,
    )
    copy = np.arange(128 * 128, dtype=np.int16).reshape(128, 128)
    canvas = windows.gather(copy, -1)
    for (x0, y0, x1, y1), value in zip(windows.places.tolist(), (0, 2 * 128, 128 * 128 - 1), strict=True):
        assert (abs(canvas[y0:y1, x0:x1] - value) <= 129).all()


def test_small_nuclei_of_a_very_wide_field_are_found() -> None:
    image = np.full((160, 4800, 3), (225, 220, 210), np.uint8)
    for x in range(60, 4800, 140):
        cv2.circle(image, (x, 80), 15, (95, 45, 140), cv2.FILLED)
    found = segment(Field(Frame(image, "drawn", um_per_px=0.4)))
    assert len(found.cells) == len(range(60, 4800, 140))


@pytest.mark.parametrize(
    ("levels", "floor", "threshold"),
    [
        ([100] * 70 + [200] * 30, 0.05, 70),  # 0.35 of the upper quartile
        ([100] * 80 + [200] * 20, 0.05, 35),
        ([100] * 80 + [200] * 20, 0.20, 72),  # but the floor, of 360 levels a unit
        ([100] * 19, 0.05, 18),  # too little to have a quartile
        ([100] * 20, 0.05, 35),
    ],
)
def test_threshold_of_nuclei(levels: list[int], floor: float, threshold: int) -> None:
    assert nucleus_threshold(np.array([levels], np.uint8), floor) == threshold


@pytest.mark.parametrize(
    ("width_um", "height_um", "parts"),
    [(1.9, 1.4, 0), (1.9, 1.9, 1), (1.6, 6.0, 0), (2.0, 6.0, 1)],
    ids=["too small", "large enough", "too thin", "wide enough"],
)
def test_parts_of_nuclei(width_um: float, height_um: float, parts: int) -> None:
    contrast = np.zeros((200, 200), np.uint8)
    contrast[50 : 50 + round(height_um / UM_PER_PX), 50 : 50 + round(width_um / UM_PER_PX)] = 200
    everywhere = np.ones(contrast.shape, np.bool_)
    assert find_parts(contrast, THRESHOLD, everywhere, UM_PER_PX)[1] == parts


@pytest.mark.parametrize(("apart_um", "parts"), [(3.0, 1), (6.0, 2)])
def test_a_nucleus_is_cut_only_where_it_narrows(apart_um: float, parts: int) -> None:
    contrast = np.zeros((300, 300), np.uint8)
    for x in (150 - round(5 * apart_um), 150 + round(5 * apart_um)):
        cv2.circle(contrast, (x, 150), 35, (200,), cv2.FILLED)
    everywhere = np.ones(contrast.shape, np.bool_)
    labels, count = find_parts(contrast, THRESHOLD, everywhere, UM_PER_PX)
    assert count == labels.max() == parts
    assert (labels > 0).sum() == pytest.approx((contrast > 0).sum(), rel=0.02)


def test_two_cells_that_touch_on_the_canvas_alone_stay_two() -> None:
    """Cells cut by opposite edges of the frame had one number, and a centroid outside the frame."""
    population = Population(blast=500, lymphocyte=400)
    drawn = render_field(9, RenderSettings(width=1280, height=960, um_per_px=0.16, population=population))
    jpeg = cv2.imencode(".jpg", drawn.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])[1]
    image = np.ascontiguousarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1])
    found = segment(Field(Frame(image, "two edges")))
    assert len(found.cells) > 20
    for cell in found.cells:
        x, y, width, height = cell.bbox
        assert x <= cell.x < x + width, cell
        assert y <= cell.y < y + height, cell
        assert cell.area_px <= width * height, cell


def test_what_goes_on_into_the_next_window_has_a_number_of_its_own() -> None:
    wide, *two = [20, 40, 90, 90], [0, 10, 20, 30], [80, 10, 100, 30]
    windows = pack_windows(
        np.array([wide, *two]), (100, 100), np.zeros((100, 100, 3), np.uint8), shrink=1.0, um_per_px=1.0
    )
    labels = np.zeros((windows.height, windows.width), np.uint16)
    _, (left, top, right, _), other = windows.places.tolist()
    assert (other[0], other[1]) == (right, top), "the windows lie edge to edge"
    labels[top + 4 : top + 8, right - 3 : right + 3] = 1
    labels[top + 9, left : left + 2] = 2
    separated, count = windows.separate(labels, 2)
    assert count == 3
    assert np.unique(separated[:, :right]).tolist() == [0, 2, 3]
    assert np.unique(separated[:, right:]).tolist() == [0, 1]
