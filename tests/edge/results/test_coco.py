"""A sample's cells from the contours that its log keeps: as COCO reads them, and as QuPath does."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from edge.bloodlog import BloodLog
from edge.bloodlog.contours import encode_contours
from edge.results.outlines import read_geojson
from edge.results.polygons import logged_polygons
from edge.structures import CellRef, Contours
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.commands.invoking import blastcount
from tests.edge.results.conftest import NAME, SIDE, cell, export, field_image, place, result
from tests.edge.results.test_polygons import filled

pytestmark = pytest.mark.usefixtures("no_system_config")


def disc(number: int, radius: int) -> tuple[tuple[int, int], ...]:
    points = cv2.ellipse2Poly(place(number), (radius, radius), 0, 0, 359, 20)
    return tuple((int(x), int(y)) for x, y in points)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a field whose contours are kept, one without them and one without its picture."""
    path = tmp_path_factory.mktemp("kept") / "b.db"
    cells = (*(cell(n, "blast" if n < 3 else "normal", 0.5) for n in range(1, 6)), cell(6, None, None))
    contours = {
        n: encode_contours(Contours((disc(n, 20),), (disc(n, 9),)), (place(n)[0] - 20, place(n)[1] - 20))
        for n in range(1, 7)
    }
    with BloodLog.open(path) as log:
        sample = log.open_sample(NAME, "blood", 200)
        store = log.pictures
        for number, image, kept_contours in ((1, True, True), (2, True, False), (3, False, True)):
            log.append(
                result(number, cells),
                **PROVENANCE,
                sample_id=sample.id,
                image_sha256=store.put(field_image(number)) if image else None,
                contours=contours if kept_contours else None,
            )
        words = {
            CellRef(1, 1): "blast",
            CellRef(1, 3): "lymphocyte",
            CellRef(1, 4): "not_a_cell",
            CellRef(1, 6): "erythroblast",
        }
        log.add_reviews({**words, CellRef(1, 5): "blast"}, "AK")  # type: ignore[dict-item]
        log.add_reviews({CellRef(1, 5): "normal"}, "BT")
    return path


@pytest.mark.requirement(24)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs, with NumPy 2
def test_coco_s_own_tools_read_every_pixel(kept: Path, tmp_path: Path) -> None:
    said = export(kept, "--coco", tmp_path / "coco").stderr
    assert "1 of 3 counted fields written" in said
    assert ": 2" in said
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "coco" / "annotations.json")
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["width"], image["height"], image["um_per_px"]) == (SIDE, SIDE, 0.2)
    assert image["source_kind"] == PROVENANCE["source_kind"]
    assert (tmp_path / "coco" / image["file_name"]).read_bytes().startswith(b"\xff\xd8")
    found = {a["attributes"]["cell"]: a for a in coco.loadAnns(coco.getAnnIds())}
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    # Cell 4 is none and 6 no white one by a person's word; on 5 two people differ; on 2 nobody has a word.
    assert {number: names[a["category_id"]] for number, a in found.items()} == {
        1: "blast",
        2: "unknown",
        3: "normal",
        5: "unknown",
    }
    assert found[2]["attributes"]["program"] == "blast"
    for number, annotation in found.items():
        drawn = cv2.fillPoly(np.zeros((SIDE, SIDE), np.uint8), [np.array(disc(number, 20))], (1,))
        assert (coco.annToMask(annotation) == drawn).all()


def test_qupath_s_objects_of_a_sample_hold_the_pixels_of_its_contours(kept: Path, tmp_path: Path) -> None:
    assert "2 of 3 counted fields written" in export(kept, "--geojson", tmp_path / "out").stderr
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["field-000001.geojson", "field-000003.geojson"]
    features = json.loads((tmp_path / "out" / files[0]).read_text())["features"]
    assert len(features) == 6
    for number, feature in enumerate(features, start=1):
        for key, radius in (("geometry", 20), ("nucleusGeometry", 9)):
            drawn = cv2.fillPoly(np.zeros((SIDE, SIDE), np.uint8), [np.array(disc(number, radius))], (1,))
            assert feature[key]["type"] == "Polygon"
            assert (filled([feature[key]["coordinates"]], (SIDE, SIDE)) == drawn).all()
    back = read_geojson(tmp_path / "out" / files[0])
    with BloodLog.open(kept, read_only=True) as log:
        logged = next(log.fields())
    outlines = logged_polygons(logged)
    assert [(c.id, c.cell, c.nucleus) for c in back.cells] == [
        (number, outline.cell, outline.nucleus) for number, outline in outlines.items()
    ]
    # They come back as words: nobody has changed a class.
    arguments = ("sample", "import", NAME, tmp_path / "out" / files[0], "--observer", "CD", "--log", kept)
    assert "6 cells of the program's class" in blastcount(*arguments).stdout
