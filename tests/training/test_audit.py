"""The leakage audit: what is there twice is found, and a split that leaks is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge.errors import DataSetError, GateError
from training import audit_cli
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.data.duplicates import find_duplicates, fingerprint
from training.protocol.audit import audit, leaks, read_split


@pytest.fixture(scope="module")
def found(collection: Collection) -> dict[str, Any]:
    return audit(collection)


def run(collection: Collection, *arguments: object) -> Result:
    words = ["--data", str(collection.root), "--cache", str(collection.cache.folder), *map(str, arguments)]
    return CliRunner().invoke(audit_cli.command, words)


def write_split(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("source", "side"), *rows])
    return path


def test_every_crop_is_found_where_it_was_cut(found: dict[str, Any], tree: Any) -> None:
    rows = {row["crop"]: row for row in found["all_idb2"]["crops"]}
    assert {name: (r["field"], r["left"], r["top"]) for name, r in rows.items()} == tree.cuts
    assert found["all_idb2"]["pixel_exact"]["k"] == found["all_idb2"]["located"]["n"] == 18
    assert all(row["marked"] in ("xyc", "other_xyc") for row in rows.values())


def test_the_camera_gives_the_class_away_where_it_does(found: dict[str, Any]) -> None:
    """Drawn so: one camera a class."""
    alone = found["laboratories"]["all-idb"]["camera_alone"]["fields"]
    assert (alone["value"], alone["k"], alone["n"]) == (1.0, 12, 12)
    assert alone["ci95"][0] == pytest.approx(0.7353, abs=1e-4)  # exact, 12 of 12


def test_copies_and_overlaps_are_found(make_tree: Callable[..., Any], tmp_path: Path) -> None:
    tree = make_tree(fields_per_class=2)
    folder = tree.root / "ALL_IDB1"
    (folder / "im" / "Im109_1.jpg").write_bytes((folder / "im" / "Im001_1.jpg").read_bytes())
    (folder / "xyc" / "Im109_1.xyc").write_bytes((folder / "xyc" / "Im001_1.xyc").read_bytes())
    found = audit(collect(tree.root, Cache(tmp_path / "cache")))
    about = found["laboratories"]["all-idb"]
    assert "; 1 exact copies" in next(audit_cli.brief(found))
    assert about["exact_copies"] == [["all-idb/Im001_1", "all-idb/Im109_1"]]
    assert about["overlapping"][0][:4] == ["all-idb/Im001_1", "all-idb/Im109_1", 0, 0]
    assert (about["fields"], about["groups"]) == (5, 4)


@pytest.mark.parametrize("change", ["jpeg", "darker", "smaller"])
def test_a_picture_is_known_again_when_it_was_changed(draw: Callable[..., Any], change: str) -> None:
    image = draw(3, blasts=True).image
    other = Image.fromarray(image)
    if change == "smaller":
        other = other.resize((400, 343))
    elif change == "darker":
        other = Image.fromarray((image * 0.8).astype(np.uint8))
    else:
        import io

        buffer = io.BytesIO()
        other.save(buffer, "JPEG", quality=50)
        other = Image.open(buffer).convert("RGB")
    prints = {
        "a": fingerprint(image),
        "b": fingerprint(np.asarray(other)),
        "c": fingerprint(draw(4, blasts=True).image),
    }
    assert [(pair.first, pair.second, pair.exact) for pair in find_duplicates(prints)] == [("a", "b", False)]


def test_a_leaked_crop_is_found_and_named(tree: Any, collection: Collection, tmp_path: Path) -> None:
    crop, (field, _, _) = next(iter(tree.cuts.items()))
    other = next(name for name in tree.fields if name != field)
    rows = [
        (f"ALL_IDB2/img/{crop}.tif", "test"),
        (f"ALL_IDB1/im/{other}.jpg", "train"),
    ]
    clean = run(collection, "--split", write_split(tmp_path / "clean.csv", rows))
    assert clean.exit_code == 0, clean.output
    rows.append((f"ALL_IDB1/im/{field}.jpg", "train"))
    leaky = run(collection, "--split", write_split(tmp_path / "leaky.csv", rows))
    assert isinstance(leaky.exception, GateError)
    assert leaky.exception.exit_code == 4
    assert f"all-idb/{field}" in str(leaky.exception)


def test_one_cell_on_both_sides_is_told_from_one_field(
    tree: Any, collection: Collection, tmp_path: Path
) -> None:
    crop, (field, _, _) = next(iter(tree.cuts.items()))
    cells = tree.fields[field].cells
    path = tmp_path / "split.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("source", "side", "field", "x", "y"),
                (f"ALL_IDB2/img/{crop}.tif", "test", "", "", ""),
                (f"ALL_IDB1/im/{field}.jpg", "train", field, *cells[0]),
            ]
        )
    found = leaks(collection, read_split(path))
    assert found["cells"] == [[f"ALL_IDB2/img/{crop}.tif", f"ALL_IDB1/im/{field}.jpg"]]
    path.write_text(path.read_text().replace(f"{cells[0][0]},{cells[0][1]}", f"{cells[1][0]},{cells[1][1]}"))
    found = leaks(collection, read_split(path))
    assert (found["cells"], found["groups"]) == ([], [f"all-idb/{field}"])


def test_json_and_words_say_the_same(collection: Collection) -> None:
    printed = json.loads(run(collection, "--json").stdout)
    words = run(collection).stdout
    assert printed["schema"] == "blastcount.audit/1"
    assert f"ALL_IDB2: {printed['all_idb2']['located']['n']} crops" in words
    assert "12 fields in 12 groups" in words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,side\na.jpg,neither\n", "expected train or test"),
        ("source\na.jpg\n", "no side; expected the columns source and side"),
        ("source,side\nnowhere.jpg,test\n", "which is no image of the data sets"),
    ],
)
def test_a_bad_split_is_refused(collection: Collection, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DataSetError, match=message):
        leaks(collection, read_split(path))


def test_a_split_that_is_not_there_or_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="cannot be read as a split"):
        read_split(tmp_path / "none.csv")
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DataSetError, match="cannot be read as a split"):
        read_split(tmp_path / "manifest.json")


@pytest.mark.slow
@pytest.mark.real_data
def test_the_known_copies_of_the_real_data_are_found(real_data: Path, tmp_path: Path) -> None:
    """A minute: every picture of all laboratories is read."""
    found = audit(collect(real_data, Cache(tmp_path)))
    fields = found["laboratories"]["all-idb"]
    assert fields["exact_copies"] == [["all-idb/Im093_0", "all-idb/Im108_0"]]
    ties = {(a[8:13], b[8:13]) for a, b, *_ in fields["overlapping"]}
    known_ties = "009 010, 013 015, 014 015, 020 022, 038 044, 039 044, 078 089, 102 103"
    for pair in known_ties.split(", "):
        known = tuple(f"Im{number}" for number in pair.split())
        assert known in ties
    assert ["Im223_0", "Im257_0"] in found["all_idb2"]["same_cell"]
    assert found["all_idb2"]["pixel_exact"]["k"] == 203
    assert len(found["laboratories"]["all-taleqani"]["exact_copies"]) == 40
