"""Cells as QuPath's objects and back: what RFC 7946 and QuPath ask for, and no word that nobody said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import shapely

from edge.bloodlog import BloodLog
from edge.errors import DataSetError
from edge.results.geojson import counted_again, encode_field, read_words
from edge.results.polygons import cell_polygons
from edge.structures import CellRef
from tests.edge.results.conftest import NAME, cell, result
from tests.edge.results.test_annotate import labels

Feature = dict[str, Any]


@pytest.fixture
def field() -> dict[str, Any]:
    typed = replace(cell(2, "normal", 0.1), type="monocyte", p_type=0.7)
    found = result(1, (cell(1, "blast", 0.9), typed, cell(3, None, None)))
    drawn = labels(found)
    decoded: dict[str, Any] = json.loads(encode_field(found, cell_polygons(drawn, drawn * (drawn < 3))))
    return decoded


def test_what_rfc_7946_and_qupath_ask_for(field: dict[str, Any]) -> None:
    assert field["type"] == "FeatureCollection"
    assert len(field["features"]) == 3
    for number, feature in enumerate(field["features"], start=1):
        assert feature["type"] == "Feature"
        assert UUID(feature["id"]).version == 5  # QuPath passes over an id that is no UUID
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
        assert shapely.get_num_geometries(shape) == 1
        assert shape.exterior.is_ccw
        if number < 3:
            assert shape.covers(shapely.geometry.shape(feature["nucleusGeometry"]))
        else:
            assert "nucleusGeometry" not in feature
        properties = feature["properties"]
        assert (properties["objectType"], properties["name"]) == ("cell", str(number))
        assert properties["classification"]["name"] == ("blast", "normal", "smudge")[number - 1]
        assert all(0 <= level <= 255 for level in properties["classification"]["color"])
        assert all(isinstance(value, int | float) for value in properties["measurements"].values())
        assert all(isinstance(value, str) for value in properties["metadata"].values())
    first, second, smudge = (feature["properties"]["measurements"] for feature in field["features"])
    types = [feature["properties"]["metadata"].get("type") for feature in field["features"]]
    assert (types, second["p_type"]) == ([None, "monocyte", None], 0.7)
    assert (first["p_blast"], first["area_px"]) == (0.9, 1250)
    assert first["area_um2"] == pytest.approx(1250 * 0.2**2)
    assert "p_blast" not in smudge


def left_in_qupath(path: Path, classes: dict[int, str | None], *others: Feature) -> Path:
    """Write the first field's objects as a person left them in QuPath, which gives a list of features."""
    with BloodLog.open(path, read_only=True) as log:
        first = next(log.fields()).result
    drawn = labels(first)
    features = json.loads(encode_field(first, cell_polygons(drawn, drawn)))["features"]
    for number, name in classes.items():
        features[number - 1]["properties"]["classification"] = name and {"name": name, "color": [1, 2, 3]}
    file = path.with_name("seen.geojson")
    file.write_text(json.dumps([*features, *others]))
    return file


def test_a_changed_class_is_a_word_and_one_that_was_left_is_none(sample_log: Path) -> None:
    drawn: Feature = {"type": "Feature", "geometry": None, "properties": {}}
    derived: Feature = {"names": ["blast", "seen"]}
    classes = {2: "normal", 4: "blast", 5: "not_a_cell", 6: None, 9: "blast", 3: "Tumor"}
    file = left_in_qupath(sample_log, classes, drawn)
    with BloodLog.open(sample_log) as log:
        read = read_words([file], log.fields(log.sample(NAME).id))
        assert read.words == {
            CellRef(1, 2): "normal",
            CellRef(1, 4): "blast",
            CellRef(1, 5): "not_a_cell",
            CellRef(1, 9): "blast",
        }
        assert read.same == 3
        assert sum(read.left_out.values()) == 3
        assert [reason for reason in read.left_out if "'Tumor'" in reason]
    content = json.loads(file.read_text())
    content[0]["properties"]["classification"] = derived
    file.write_text(json.dumps(content))
    with BloodLog.open(sample_log) as log:
        read = read_words([file], log.fields(log.sample(NAME).id))
    assert [reason for reason in read.left_out if "'blast: seen'" in reason]


def test_cells_of_another_count_of_the_frame_are_not_taken_for_these(sample_log: Path) -> None:
    """Ids are given anew by every count: only a cell of the same id in the same place is the same."""
    file = left_in_qupath(sample_log, {2: "normal"})
    with BloodLog.open(sample_log) as log:
        first = next(log.fields())
        moved = tuple(
            replace(found, cell=replace(found.cell, bbox=(found.cell.bbox[0] + 1, *found.cell.bbox[1:])))
            for found in first.result.cells
        )
        read = read_words([file], [replace(first, result=replace(first.result, cells=moved))])
    assert (read.words, read.same, dict(read.left_out)) == ({}, 0, {"no cell of this sample": 9})


def test_a_frame_that_was_counted_twice_has_cells_of_its_own_each_time(sample_log: Path) -> None:
    """The class may be another one the second time, as when the scale was pooled anew."""
    with BloodLog.open(sample_log, read_only=True) as log:
        first = next(log.fields())
    uncertain = replace(
        first.result,
        cells=tuple(
            found if found.label is None else replace(found, label="uncertain")
            for found in first.result.cells
        ),
    )
    second = replace(first, id=99, result=uncertain)
    drawn = labels(first.result)
    files = [sample_log.with_name(name) for name in ("a.geojson", "b.geojson")]
    for file, logged_field, again in zip(files, (first, second), (None, 99), strict=True):
        file.write_bytes(encode_field(logged_field.result, cell_polygons(drawn, drawn), again))
    assert counted_again([first, second]) == {99}
    read = read_words(files, [first, second])
    assert (read.words, read.same, dict(read.left_out)) == ({}, 2 * len(first.result.cells), {})


def test_two_files_that_differ_are_refused(sample_log: Path) -> None:
    one = left_in_qupath(sample_log, {2: "normal"})
    other = one.with_name("other.geojson")
    other.write_text(one.read_text())
    one = left_in_qupath(sample_log, {2: "smudge"})
    with BloodLog.open(sample_log) as log:
        fields = list(log.fields())
    assert read_words([one, one], fields).words == {CellRef(1, 2): "smudge"}
    with pytest.raises(DataSetError, match=r"other.geojson: calls cell .* normal, another object smudge"):
        read_words([one, other], fields)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"features": 3}',
        "<svg/>",
        pytest.param('[{"id": "\xff"}]', id="no UTF-8"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_geojson_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.geojson").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataSetError, match=r"a.geojson: no GeoJSON of cells"):
        read_words([tmp_path / "a.geojson"], [])
    with pytest.raises(DataSetError, match=r"b.geojson: cannot be read"):
        read_words([tmp_path / "b.geojson"], [])
