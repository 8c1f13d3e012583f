"""Masks as polygons: other libraries get the same pixels back from them, and every polygon is valid."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from edge.results import polygons as module
from edge.results.polygons import Polygon, cell_polygons, polygons


def filled(parts: list[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in the polygons, by scikit-image."""
    inside = np.zeros(shape, bool)
    for outer, *holes in parts:
        for number, ring in enumerate((outer, *holes)):
            inside[polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)] = number == 0
    return inside


@settings(max_examples=50)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@example(np.array([[1, 0], [0, 1]], bool))
@example(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], bool))
@example(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool))
def test_the_same_pixels_come_back_from_valid_polygons(mask: NDArray[np.bool_]) -> None:
    parts = polygons(mask)
    assert (filled(parts, (mask.shape[0], mask.shape[1])) == mask).all()
    assert (module.filled(parts, (mask.shape[0], mask.shape[1])) == mask).all()
    shapes = [shapely.Polygon(outer, holes) for outer, *holes in parts]
    together = shapely.MultiPolygon(shapes)
    assert together.is_valid
    assert together.area == mask.sum()
    for shape in shapes:
        # RFC 7946, 3.1.6: outer rings counterclockwise, holes clockwise.
        assert shape.exterior.is_ccw
        assert not any(hole.is_ccw for hole in shape.interiors)
    assert polygons(mask, 3, 5) == [[[(x + 3, y + 5) for x, y in ring] for ring in part] for part in parts]


@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8))
@example([(0.5, 0.5), (4.5, 0.5), (4.5, 4.5)])  # through pixels' centres
def test_a_pixel_is_in_a_drawn_outline_where_its_centre_is(ring: list[tuple[float, float]]) -> None:
    """By shapely, which knows no pixels. On the line itself it may be either."""
    drawn = shapely.Polygon(ring)
    if not drawn.is_valid:
        return
    found = module.filled([[ring]], (9, 7))
    centres = [shapely.Point(x + 0.5, y + 0.5) for y in range(9) for x in range(7)]
    for centre, inside in zip(centres, found.ravel().tolist(), strict=True):
        if drawn.exterior.distance(centre) > 1e-9:
            assert inside == drawn.contains(centre)


def test_a_corner_is_where_a_ring_turns() -> None:
    ((corners,),) = polygons(np.ones((70, 90), bool))
    assert sorted(corners) == [(0, 0), (0, 70), (90, 0), (90, 70)]


def test_cells_of_label_images_by_their_ids() -> None:
    cells, nuclei = np.zeros((2, 20, 30), np.uint16)
    cells[2:8, 1:9], cells[0:20, 15:30] = 4, 7
    nuclei[3:5, 2:4] = 4
    found = cell_polygons(cells, nuclei)
    assert set(found) == {4, 7}
    assert (filled(found[4].cell, (20, 30)) == (cells == 4)).all()
    assert (filled(found[4].nucleus, (20, 30)) == (nuclei == 4)).all()
    assert (filled(found[7].cell, (20, 30)) == (cells == 7)).all()
    assert found[7].nucleus == []
    assert cell_polygons(np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.uint16)) == {}
