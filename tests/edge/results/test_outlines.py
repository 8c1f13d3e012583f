"""GeoJSON back into outlines: nothing of a field is lost, and nothing that is none is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import DataSetError
from edge.results.geojson import encode_field
from edge.results.outlines import read_geojson
from edge.results.polygons import cell_polygons
from tests.edge.results.conftest import SIDE, cell, result

Feature = dict[str, Any]


def square(left: float, top: float, side: float) -> list[list[float]]:
    right, bottom = left + side, top + side
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def drawn(geometry: Feature, name: str | None = None) -> Feature:
    """An object as QuPath writes it, whose properties are many."""
    properties = {"objectType": "annotation", "isLocked": False, **({} if name is None else {"name": name})}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


@pytest.mark.requirement(24)
def test_all_that_was_written_comes_back(tmp_path: Path) -> None:
    """With a hole, a nucleus in two pieces, parts that touch at a corner alone, and the last pixel."""
    cells, nuclei = (np.zeros((SIDE, SIDE), np.uint16) for _ in range(2))
    cells[2:30, 3:40], cells[10:12, 10:12] = 1, 0
    nuclei[4:8, 5:9], nuclei[8:12, 9:10], nuclei[20:25, 20:25] = 1, 1, 1
    cells[SIDE - 3 :, SIDE - 5 :] = 2
    cells[100, 50], cells[101, 51] = 3, 3
    typed = replace(cell(2, "normal", 0.125), type="monocyte", p_type=0.75)
    field = replace(result(1, (cell(1, "blast", 0.9), typed, cell(3, None, None))), warnings=("moved",))
    outlines = cell_polygons(cells, nuclei)
    file = tmp_path / "a.geojson"
    file.write_bytes(encode_field(field, outlines))
    back = read_geojson(file)
    assert (back.width, back.height) == (SIDE, SIDE)
    assert (back.about["frame_sha256"], back.about["warnings"]) == (field.frame_sha256, ["moved"])
    for found, written in zip(back.cells, field.cells, strict=True):
        outline = outlines[written.cell.id]
        assert (found.id, found.name, found.type) == (written.cell.id, written.word, written.type)
        assert (found.cell, found.nucleus) == (outline.cell, outline.nucleus)
        assert found.measurements.get("p_blast") == written.p_blast
        assert found.measurements.get("p_type") == written.p_type
        assert found.measurements["nucleus_area_px"] == written.cell.nucleus_area_px
    for labels, were in zip(back.labels(), (cells, nuclei), strict=True):
        assert labels.dtype == np.uint16
        assert (labels == were).all()
    # QuPath writes a list of the features, which does not tell of the picture.
    content = json.loads(file.read_text())["features"]
    content[0]["properties"]["classification"] = {"names": ["blast", "seen"], "color": [1, 2, 3]}
    file.write_text(json.dumps(content))
    with pytest.raises(DataSetError, match=r"a\.geojson: does not tell the size of the image"):
        read_geojson(file)
    seen = read_geojson(file, (SIDE, SIDE))
    assert (seen.about, [found.name for found in seen.cells]) == ({}, ["blast: seen", "normal", "smudge"])
    assert all(np.array_equal(*pair) for pair in zip(seen.labels(), back.labels(), strict=True))


def test_what_people_have_drawn(tmp_path: Path) -> None:
    """Anew, beyond the picture's edge, over another cell, and as a line, which has no area."""
    file = tmp_path / "a.geojson"
    objects = [
        drawn({"type": "Polygon", "coordinates": [square(0, 0, 4)]}, "2"),
        drawn({"type": "Polygon", "coordinates": [square(-3.2, 2.4, 5)]}, "my cell"),
        drawn({"type": "LineString", "coordinates": [[0, 0], [9, 9]]}),
        drawn({"type": "MultiPolygon", "coordinates": [[square(6, 6, 2)], [square(40, 40, 3)]]}),
        {"type": "Feature", "geometry": None, "properties": None},
    ]
    file.write_text(json.dumps(objects))
    field = read_geojson(file, (10, 8))
    assert [(found.id, found.name) for found in field.cells] == [(2, None), (1, None), (3, None)]
    expected = np.zeros((8, 10), int)
    expected[:4, :4], expected[2:7, :2], expected[6:8, 6:8] = 2, 1, 3
    cells, nuclei = field.labels()
    assert cells.tolist() == expected.tolist()
    assert not nuclei.any()


@pytest.mark.parametrize(
    ("objects", "size", "said"),
    [
        (
            [drawn({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})],
            (9, 9),
            "none of GeoJSON: .* length",
        ),
        (
            [drawn({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1e9, 0]]]})],
            (9, 9),
            "none of GeoJSON",
        ),
        ([drawn({"type": "Polygon", "coordinates": 3})], (9, 9), "none of GeoJSON"),
        ([drawn({"type": "Polygon", "coordinates": [square(0, 0, 2)]}, "7")] * 2, (9, 9), "several cells 7"),
        ([drawn({"type": "Polygon", "coordinates": [square(0, 0, 2)]})] * 65_536, (9, 9), "has 65536 cells"),
        ([], (100_000, 100_000), "expected an image of 1 to"),
        ([], (0, 5), "expected an image of 1 to"),
        ({"features": [], "blastcount": {"width": "9", "height": 9}}, None, "does not tell the size"),
        ({"features": 3}, (9, 9), "no GeoJSON of cells"),
    ],
)
def test_what_is_no_field(tmp_path: Path, objects: Any, size: tuple[int, int] | None, said: str) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps(objects))
    with pytest.raises(DataSetError, match=rf"a\.geojson: .*{said}"):
        read_geojson(tmp_path / "a.geojson", size)
