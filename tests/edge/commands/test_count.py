"""``blastcount count``: what it prints, writes and logs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration import Calibration, MeasuredScale
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.commands.printing import TablePrinter
from edge.counting import pipeline
from edge.counting.folder import FolderScales
from edge.counting.golden import load_configured
from edge.counting.pipeline import TypeClassifier
from edge.counting.recorder import Recorded, Recorder, as_configured
from edge.counting.tally import tally
from edge.light.field import Field
from edge.rendered import RenderedField
from edge.results.outlines import read_geojson
from edge.structures import Denominator, Frame, PooledScale
from tests.edge.commands.invoking import CountCommand, blastcount
from tests.edge.results.test_polygons import filled
from tests.edge.telling import TellingTypes

#: The module; the package's attribute of this name is the command.
count_module = import_module("edge.commands.count")


def blank(path: Path, level: int = 220, size: tuple[int, int] = (320, 240)) -> Path:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def exif(artist: str) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Artist] = artist
    return tags


@pytest.mark.requirement(14)
def test_json_follows_the_published_schema(count: CountCommand, small_field: RenderedField) -> None:
    result = count("--json", count.folder)
    assert result.stderr == ""
    (record,) = map(json.loads, result.stdout.splitlines())
    card = load_bundle(count.model).card
    assert record["schema"] == "blastcount.field/1"
    assert record["source"] == str(count.field)
    assert (record["width"], record["height"]) == (640, 480)
    assert record["um_per_px"] is None or record["um_per_px"] == pytest.approx(0.2, rel=0.2)
    assert (record["status"], record["reasons"]) == ("counted", [])
    assert record["model"] == {"name": "tiny", "sha256": card.sha256}
    cells = record["cells"]
    # At least half of the true ones are found.
    assert len(cells) >= small_field.truth_counts()["wbc"] / 2 > 0
    assert [cell["id"] for cell in cells] == list(range(1, len(cells) + 1))
    assert record["wbc"] == sum(cell["kind"] == "wbc" for cell in cells)
    assert record["blasts"] == sum(cell["class"] == "blast" for cell in cells)
    for cell in cells:
        assert set(cell) >= {"id", "x", "y", "bbox", "area_px", "kind", "class", "p_blast", "touches_border"}
        x, y, width, height = cell["bbox"]
        assert 0 <= x <= cell["x"] <= x + width <= 640
        assert 0 <= y <= cell["y"] <= y + height <= 480
        if cell["kind"] == "smudge":
            assert (cell["class"], cell["p_blast"]) == (None, None)
        else:
            assert cell["class"] in ("blast", "normal", "uncertain")
            assert 0.0 <= cell["p_blast"] <= 1.0
    tally = record["tally"]
    whole = [cell["class"] for cell in cells if cell["kind"] == "wbc" and not cell["touches_border"]]
    assert tally["border"] == record["wbc"] - len(whole)
    for name, label in (("blasts", "blast"), ("normal", "normal"), ("uncertain", "uncertain")):
        assert tally[name] == whole.count(label)
    assert tally["smudge"] == sum(cell["kind"] == "smudge" for cell in cells)
    assert (tally["seen_before"], tally["denominator"]) == (0, "classified")
    assert tally["share"] == pytest.approx(tally["blasts"] / len(whole), abs=1e-4)
    assert tally["interval"][0] <= tally["share"] <= tally["interval"][1]


def test_fields_come_in_the_order_given(count: CountCommand, tmp_path: Path) -> None:
    second, first = blank(tmp_path / "z.png", 221), blank(tmp_path / "a.png", 222)
    folder = tmp_path / "folder"
    folder.mkdir()
    ten, two = blank(folder / "f10.png", 223), blank(folder / "f2.png", 224)
    sources = [record["source"] for record in count.records(second, folder, first)]
    assert sources == [str(second), str(two), str(ten), str(first)]


def test_files_of_the_camera_are_calibrated_as_in_the_daemon(count: CountCommand, tmp_path: Path) -> None:
    calibration = tmp_path / "calibration.json"
    measured = MeasuredScale(0.19, 0.18, 0.2, "micrometer", 4)
    Calibration(640, 480, datetime(2026, 5, 1, tzinfo=UTC), None, measured).save(calibration)
    count.configure(f'[calibration]\npath = "{calibration}"\n')
    result = count("--json", blank(tmp_path / "a.png"), count.folder, blank(tmp_path / "b.png", 221))
    scales = [json.loads(line)["um_per_px"] for line in result.stdout.splitlines()]
    assert (result.exit_code, scales) == (0, [None, 0.19, None])
    # Pictures of another size are of another camera, which is said once.
    (warning,) = result.stderr.splitlines()
    assert re.search("640x480.*320x240|320x240.*640x480", warning)


def test_a_blank_field_has_no_cells_and_no_share(count: CountCommand, tmp_path: Path) -> None:
    (record,) = count.records(blank(tmp_path / "blank.png"))
    assert (record["status"], record["wbc"], record["blasts"], record["um_per_px"]) == ("counted", 0, 0, None)
    assert (record["tally"]["share"], record["tally"]["interval"]) == (None, [0.0, 1.0])
    table = count(tmp_path / "blank.png").stdout
    assert "no share to report (n = 0)" in table
    assert "known truth" not in table


def test_a_rejected_field_is_reported_with_its_reason(count: CountCommand, tmp_path: Path) -> None:
    (record,) = count.records(blank(tmp_path / "dark.png", 3))
    assert (record["status"], record["reasons"], record["cells"]) == ("rejected", ["underexposed"], [])
    result = count("--masks", tmp_path / "masks", tmp_path / "dark.png")
    assert result.exit_code == 0
    assert "rejected: too dark" in result.stdout
    assert "fields: 0 counted, 1 rejected" in result.stdout
    for part in ("cells", "nuclei"):
        labels = cv2.imread(str(tmp_path / "masks" / f"dark.{part}.png"), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (240, 320)
        assert not labels.any()


def test_the_table_and_its_known_truth(count: CountCommand, small_field: RenderedField) -> None:
    """How a row reads and that columns line up is tested with the table."""
    shutil.copy(count.field, count.folder / "again.jpg")
    result = count(count.folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "rendered, known truth" in lines[0]
    rows = [line.split() for line in lines if ".jpg" in line]
    total = next(line for line in lines if line.startswith("total")).split()
    truth = small_field.truth_counts()
    assert rows[1][-2:] == total[-2:] == [str(truth["wbc"]), str(truth["blasts_whole"])]
    assert len(rows) == 2
    for row in rows:
        wbc, blasts, normal, uncertain, border, _smudge = map(int, row[1:7])
        assert wbc == blasts + normal + uncertain + border
    for column in range(1, 7):
        assert int(total[column]) == sum(int(row[column]) for row in rows)
    share = re.search(r"blasts: (\d+) of (\d+) .* [\d.]+ to [\d.]+ %, n = \d+", result.stdout)
    assert share
    assert (int(share[1]), int(share[2])) == (int(total[2]), int(total[1]) - int(total[5]))
    for named in ("not for diagnosis", f"tiny {load_bundle(count.model).card.sha256[:12]}", "ai_edge_litert"):
        assert named in result.stdout

    (count.folder / "rendered_0001.truth.json").write_text('{"counts": 3}')
    result = count(count.folder)
    assert (result.exit_code, "no truth of a rendered field" in result.stderr) == (0, True)


@pytest.mark.requirement(14)
def test_masks_hold_the_ids_of_the_cells(count: CountCommand, tmp_path: Path) -> None:
    (record,) = count.records("--masks", tmp_path / "masks", count.folder)
    cells, nuclei = (
        cv2.imread(str(tmp_path / "masks" / f"rendered_0001.{part}.png"), cv2.IMREAD_UNCHANGED)
        for part in ("cells", "nuclei")
    )
    assert cells.dtype == nuclei.dtype == np.uint16
    assert cells.shape == nuclei.shape == (480, 640)
    assert set(np.unique(cells)) == {0, *(cell["id"] for cell in record["cells"])}
    assert set(np.unique(nuclei)) <= set(np.unique(cells))


@pytest.mark.requirement(24)
def test_objects_for_qupath_hold_the_pixels_of_the_masks(count: CountCommand, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (record,) = count.records("--masks", out, "--geojson", out, count.folder)
    objects = json.loads((out / "rendered_0001.geojson").read_text())
    assert len(objects["features"]) == len(record["cells"]) > 5
    for part, key in (("cells", "geometry"), ("nuclei", "nucleusGeometry")):
        labels = cv2.imread(str(out / f"rendered_0001.{part}.png"), cv2.IMREAD_UNCHANGED)
        back = np.zeros(labels.shape, np.uint16)
        for feature in objects["features"]:
            parts = feature[key]["coordinates"]
            parts = [parts] if feature[key]["type"] == "Polygon" else parts
            back[filled(parts, labels.shape)] = int(feature["properties"]["name"])
        assert (back == labels).all()
    for feature, cell in zip(objects["features"], record["cells"], strict=True):
        properties = feature["properties"]
        assert properties["classification"]["name"] == (cell["class"] or "smudge")
        assert properties["measurements"].get("p_blast") == pytest.approx(cell["p_blast"], abs=1e-4)
    assert objects["blastcount"]["status"] == "counted"
    back = read_geojson(out / "rendered_0001.geojson")
    for part, labels in zip(("cells", "nuclei"), back.labels(), strict=True):
        written = cv2.imread(str(out / f"rendered_0001.{part}.png"), cv2.IMREAD_UNCHANGED)
        assert (labels == written).all()
    assert [(found.id, found.name) for found in back.cells] == [
        (cell["id"], cell["class"] or "smudge") for cell in record["cells"]
    ]

    blank(tmp_path / "dark.png", 1)
    assert count("--geojson", out, tmp_path / "dark.png").exit_code == 0
    refused = json.loads((out / "dark.geojson").read_text())
    assert (refused["features"], refused["blastcount"]["reasons"]) == ([], ["underexposed"])


def test_outputs_beside_the_inputs_are_not_counted_next_time(count: CountCommand) -> None:
    first = count.records("--masks", count.folder, "--annotate", count.folder, count.folder)
    made = sorted(count.folder.iterdir())
    with Image.open(count.folder / "rendered_0001.annotated.jpg") as picture:
        assert picture.width >= 640
    # The same field gives the same line, and its outputs are replaced.
    assert count.records("--masks", count.folder, "--annotate", count.folder, count.folder) == first
    assert sorted(count.folder.iterdir()) == made


def test_what_a_folder_holds_besides_fields_is_left_out_and_summed_up(
    count: CountCommand, tmp_path: Path
) -> None:
    """As data sets come: masks beside the fields, other formats, annotated pictures under other names."""
    whole = count.records("--masks", tmp_path / "out", "--annotate", count.folder / "seen", count.field)
    shutil.move(count.folder / "seen" / "rendered_0001.annotated.jpg", count.folder / "seen" / "look.jpg")
    (count.folder / "masks").mkdir()
    for number, name in enumerate(("cells", "nuclei")):
        shutil.copy(tmp_path / "out" / f"rendered_0001.{name}.png", count.folder / "masks" / f"m{number}.png")
    with Image.open(count.folder / "masks" / "m0.png") as mask:  # as another program would have saved it
        Image.fromarray(np.asarray(mask).astype(np.uint8)).save(count.folder / "masks" / "Im1.tif")
    (count.folder / "masks" / "slide.svs").touch()
    result = count("--json", count.folder)
    assert (result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]) == (0, whole)
    assert result.stderr == (
        "blastcount: 5 files left out: 3 written by this program, 1 .svs, 1 label image\n"
    )
    # Left-out files alone are no failure; named ones are.
    result = count(count.folder / "masks")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "4 files left out" in result.stderr
    result = count(
        "--json", count.folder / "masks" / "Im1.tif", count.folder / "seen" / "look.jpg", count.field
    )
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 1)
    label_image, annotated = result.stderr.splitlines()
    assert "Im1.tif: a label image" in label_image
    assert "look.jpg: written by this program; count the picture that it was made of" in annotated
    result = count("--json", "--no-recursive", count.folder)
    assert (result.exit_code, result.stderr) == (0, "blastcount: 2 subfolders not searched\n")


def test_ctrl_c_prints_the_sum_of_what_is_in_the_log(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        blank(count.folder / f"s{number}.png", 210 + number)
    honest = Recorder.record
    fields: list[str] = []

    def record(self: Recorder, frame: Frame, *seen: Any) -> Recorded:
        fields.append(frame.source)
        if len(fields) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return honest(self, frame, *seen)

    monkeypatch.setattr(Recorder, "record", record)
    before = signal.getsignal(signal.SIGINT)
    log = tmp_path / "log.db"
    result = count("--log", log, count.folder)
    assert result.exit_code == 130
    assert "fields: 3 counted, 0 rejected" in result.stdout
    assert "interrupted after 3 fields; the rest was not counted" in result.stderr
    with BloodLog.open(log) as opened:
        assert [logged.result.source for logged in opened.fields()] == fields
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_ends_at_once(count: CountCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(self: Recorder, frame: Frame, *seen: Any) -> Recorded:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(Recorder, "record", record)
    result = count(count.folder)
    assert (result.exit_code, result.stdout) == (130, "")


def test_pictures_of_rendered_fields_say_so(count: CountCommand, tmp_path: Path) -> None:
    def legend(out: Path) -> int:
        assert count("--annotate", out, count.folder).exit_code == 0
        with Image.open(out / "rendered_0001.annotated.jpg") as picture:
            return int((np.asarray(picture)[480:] < 100).sum())

    marked = legend(tmp_path / "marked")
    (count.folder / "rendered_0001.truth.json").unlink()
    assert legend(tmp_path / "plain") < marked


def test_equal_stems_do_not_overwrite_each_other_and_frames_are_told_apart(
    count: CountCommand, small_field: RenderedField, tmp_path: Path
) -> None:
    for level, folder in ((220, "monday"), (215, "tuesday")):
        (tmp_path / folder).mkdir()
        blank(tmp_path / folder / "f1.png", level)
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (640, 480))
    for _ in range(5):
        writer.write(small_field.image[:, :, ::-1])
    writer.release()
    inputs = (tmp_path / "monday", tmp_path / "tuesday", path)
    records = count.records("--every", "2", "--masks", tmp_path / "masks", *inputs)
    assert [record["source"] for record in records[2:]] == [f"{path}#{n}" for n in (1, 3, 5)]
    stems = ("f1", "tuesday_f1", "v#1", "v#3", "v#5")
    made = {file.name for file in (tmp_path / "masks").iterdir()}
    assert made == {f"{stem}.{part}.png" for stem in stems for part in ("cells", "nuclei")}


def test_the_log_holds_every_field(count: CountCommand, tmp_path: Path) -> None:
    blank(count.folder / "dark.png", 3)
    log_path = tmp_path / "count.db"
    records = count.records("--log", log_path, "--um-per-px", "0.2", count.folder)
    with BloodLog.open(log_path, read_only=True) as log:
        rows = list(log.fields())
    logged = [(row.result.source, row.result.status, row.result.wbc) for row in rows]
    assert logged == [(record["source"], record["status"], record["wbc"]) for record in records]
    assert {row.runtime.split()[0] for row in rows} == {"ai_edge_litert"}
    assert len({row.config_sha256 for row in rows}) == 1
    count.records("--log", log_path, count.folder)  # another scale, hence another configuration
    with BloodLog.open(log_path, read_only=True) as log:
        assert len({row.config_sha256 for row in log.fields()}) == 2


def test_files_counted_into_a_sample_with_its_report(count: CountCommand, tmp_path: Path) -> None:
    log_path, page = tmp_path / "b.db", tmp_path / "r.json"
    with Image.open(count.field) as image:
        image.save(count.field, quality=92, comment="Jane Doe", exif=exif("Jane Doe"))
    with BloodLog.open(log_path) as log:
        sample = log.open_sample("S-0142", "blood", 200)
    into = ("--log", log_path, "--sample", "S-0142", "--um-per-px", "0.2")
    result = count(*into, "--report", page, count.folder)
    assert result.exit_code == 0, result.output
    share = re.search(r"blasts: (\d+) of (\d+) whole white cells", result.stdout)
    assert share
    program = json.loads(page.read_text())["program"]
    assert (program["blasts"], program["n"]) == (int(share[1]), int(share[2]))
    assert program["n"] > 0
    with BloodLog.open(log_path, read_only=True) as log:
        (logged,) = log.fields(sample.id)
    assert logged.image_sha256 is not None
    # A truth lies beside the picture: every sheet and file of the sample says that it was drawn.
    assert (logged.source_kind, json.loads(page.read_text())["fields"]["drawn"]) == ("rendered", 1)
    # The very file is kept, without what it may say of a person, so that the count is that without a sample.
    kept = ThumbnailStore.beside(log_path).read(logged.image_sha256)
    assert kept is not None
    assert b"Jane Doe" not in kept
    (alone,) = count.records("--um-per-px", "0.2", count.folder)
    assert logged.result.frame_sha256 == alone["frame_sha256"]
    assert len(logged.thumbnails) == logged.result.wbc
    # The same slide again: every cell was seen before, and the tally stays as it is.
    assert count(*into, "--report", page, count.folder).exit_code == 0
    assert json.loads(page.read_text())["program"]["n"] == program["n"]


def test_types_are_beside_the_same_blast_calls_in_every_output(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = ("--um-per-px", "0.2", count.folder)

    def named_by(types: TypeClassifier | None) -> None:
        def configured(*given: Any, **keys: Any) -> Recorder:
            return as_configured(*given, **keys | {"types": types})

        monkeypatch.setattr("edge.commands.count.as_configured", configured)

    named_by(None)
    (plain,) = count.records(*scale)
    named_by(TellingTypes(("neutrophil", 0.9), ("other", 0.4)))
    (typed,) = count.records(*scale)
    named = [(cell.pop("type"), cell.pop("p_type")) for cell in typed["cells"]]
    assert {(kind, p) for kind, p in named if kind} == {("neutrophil", 0.9), ("other", 0.4)}
    whole = [kind for (kind, _), cell in zip(named, typed["cells"], strict=True) if cell["class"] == "normal"
             and not cell["touches_border"]]  # fmt: skip
    types = typed["tally"].pop("types")
    assert {kind: n for kind, n in types.items() if n} == dict(Counter(whole))
    assert typed.pop("type_model") == {"name": "told", "sha256": "7" * 64}
    assert typed == plain
    # In a sample the differential of the log is that of the table.
    log_path, page = tmp_path / "b.db", tmp_path / "r.json"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-1", "marrow", 200)
    printed = count("--log", log_path, "--sample", "S-1", "--report", page, *scale).stdout
    program = json.loads(page.read_text())["program"]
    assert program["differential"]["n"] == program["n"] > 0
    assert f"Differential of whole nucleated cells, n = {program['n']}:" in printed
    assert "types named by told 777777777777" in printed


@pytest.mark.requirement(2)
@pytest.mark.parametrize("denominator", get_args(Denominator))
def test_every_output_has_the_configured_denominator(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denominator: str
) -> None:
    def labelling_in_turn(*given: Any) -> Classifier:
        """Load and check the network, and from then on label in turn: every denominator has other cells."""
        classifier, labels = load_configured(*given), cycle(["blast", "uncertain", "normal"])
        monkeypatch.setattr(classifier, "label", lambda p_blast: next(labels))
        return classifier

    monkeypatch.setattr(count_module, "load_configured", labelling_in_turn)
    count.configure(f'[sample]\ndenominator = "{denominator}"\n')
    log_path, page = tmp_path / "b.db", tmp_path / "r.json"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-1", "blood", 200)
    result = count("--log", log_path, "--sample", "S-1", "--report", page, count.folder)
    program = json.loads(page.read_text())["program"]
    share = re.search(r"blasts: (\d+) of (\d+) .* = ([\d.]+) %", result.stdout)
    assert share
    assert (int(share[1]), int(share[2])) == (program["blasts"], program["n"])
    with BloodLog.open(log_path, read_only=True) as log:
        whole = tally(logged.result for logged in log.fields())
    added = {"without_uncertain": -whole.uncertain, "with_smudges": whole.smudges}
    assert whole.uncertain
    assert whole.smudges
    assert program["n"] == whole.classified + added.get(denominator, 0)
    (record,) = count.records(count.folder)
    assert record["tally"]["share"] == pytest.approx(program["blasts"] / program["n"], abs=1e-4)


@pytest.mark.parametrize(
    ("where", "raised"),
    [
        ("segment", cv2.error("OpenCV(4.11.0)\n assertion failed")),
        ("segment", MemoryError()),
        ("segment", RecursionError()),
        ("segment", RuntimeError()),
        ("read_frames", RuntimeError("out of step")),
    ],
)
def test_a_field_on_which_a_library_fails_is_named_and_the_others_are_counted(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, raised: Exception
) -> None:
    module = pipeline if where == "segment" else count_module
    honest = getattr(module, where)

    def failing(of: Field | Path, *seen: object, **options: object) -> object:
        if "b.png" in (of.frame.source if isinstance(of, Field) else of.name):
            raise raised
        return honest(of, *seen, **options)

    monkeypatch.setattr(module, where, failing)
    folder = tmp_path / "blank"
    folder.mkdir()
    for level, name in enumerate("abc", start=220):
        blank(folder / f"{name}.png", level)
    result = count("--json", folder)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    (line,) = result.stderr.splitlines()
    assert "b.png: " in line
    assert type(raised).__name__ in line or str(raised) in line


def test_a_closed_or_unknown_sample_takes_no_fields(count: CountCommand, tmp_path: Path) -> None:
    log_path = tmp_path / "b.db"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-0142", "blood", 200)
        log.change_sample("S-0142", "closed")
    for name, message in (("S-0142", "sample S-0142 is closed"), ("S-1", "there is no sample S-1")):
        result = count("--log", log_path, "--sample", name, count.folder)
        assert (result.exit_code, message in result.stderr) == (1, True)
    with BloodLog.open(log_path, read_only=True) as log:
        assert log.count() == 0


def test_where_a_sample_is_closed_meanwhile_the_sum_and_the_other_files_are_said(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_path = tmp_path / "b.db"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-0142", "blood", 200)
    others = [shutil.copy(count.field, count.folder / f"z{number}.jpg") for number in (2, 3)]
    printed = TablePrinter.field

    def closing(printer: TablePrinter, *given: Any) -> None:
        printed(printer, *given)
        with BloodLog.open(log_path) as log:
            log.change_sample("S-0142", "closed")

    monkeypatch.setattr(TablePrinter, "field", closing)
    result = count("--log", log_path, "--sample", "S-0142", "--um-per-px", "0.2", count.folder)
    assert result.exit_code == 1
    assert "sample S-0142 is closed" in result.stderr
    for other in others:
        assert f"not counted: {other}" in result.stderr
    assert f"not counted: {count.field}" not in result.stderr
    assert "1 counted, 0 rejected" in result.stdout
    assert "could not be read" not in result.stdout


def test_a_repeated_file_or_picture_is_named(count: CountCommand) -> None:
    result = count("--json", count.folder, count.field)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "given twice and counted once" in result.stderr
    for number in range(2, 6):
        shutil.copy(count.field, count.folder / f"copy_{number}.jpg")
    result = count("--json", count.folder)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 5)
    assert "repeat the picture of another one, so that its cells count twice: 4 (" in result.stderr


def test_the_configured_model_and_scale_are_used(count: CountCommand) -> None:
    count.configure(f'[model]\npath = "{count.model}.tflite"\n[scale]\num_per_px = 0.21\n')
    record = json.loads(blastcount("count", "--json", count.folder).stdout)
    assert (record["um_per_px"], record["model"]["name"]) == (0.21, "tiny")
    # The command line wins over the file.
    (record,) = count.records("--um-per-px", "0.2", count.folder)
    assert (record["um_per_px"], record["scale_source"]) == (0.2, "configured")


def test_pictures_of_a_folder_share_a_scale(count: CountCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone,) = count.records(count.folder)
    assert (alone["scale_source"], alone["warnings"]) == ("red_cells", [])
    assert 0.5 < alone["scale_confidence"] <= 1
    for number in range(2, 5):
        shutil.copy(count.field, count.folder / f"copy_{number}.jpg")
    for record in count.records(count.folder):
        low, high = record["um_per_px_interval"]
        assert (record["scale_source"], record["warnings"]) == ("pooled", [])
        assert low < 0.2 < high
        assert high - low < alone["um_per_px_interval"][1] - alone["um_per_px_interval"][0] + 1e-6
    # A field that is sure of another magnification keeps it, and says so.
    monkeypatch.setattr(FolderScales, "pooled", lambda *_: PooledScale(0.3, 0.05, 1.0, 20))
    jumped = count.records(count.folder)[0]
    assert (jumped["um_per_px"], jumped["scale_source"]) == (alone["um_per_px"], "red_cells")
    assert jumped["warnings"] == ["scale_changed"]


@pytest.mark.real_data
def test_real_fields_have_cells_where_experts_saw_blasts(count: CountCommand, real_data: Path) -> None:
    fields = sorted((real_data / "all-idb1" / "im").glob("*_1.jpg"))[:3]
    for record in count.records(*fields):
        assert record["status"] == "counted"
        assert record["wbc"]
        assert record["um_per_px"] is not None


@pytest.fixture
def cohort(count: CountCommand) -> Path:
    """Two folders of two fields, one of them damaged."""
    for name in ("a", "b"):
        (count.folder / name).mkdir()
        shutil.copy(count.field, count.folder / name / "f1.jpg")
    count.field.rename(count.folder / "a" / "f2.jpg")
    (count.folder / "b" / "f2.jpg").write_bytes(b"\xff\xd8\xff damaged")
    return count.folder


def test_shards_are_together_what_one_run_is(count: CountCommand, cohort: Path) -> None:
    whole = count("--json", cohort).stdout
    parts = [count("--json", "--shard", f"{number}/3", cohort) for number in (1, 2, 3)]
    assert "".join(part.stdout for part in parts) == whole
    assert [len(part.stdout.splitlines()) for part in parts] == [1, 1, 1]
    assert [part.exit_code for part in parts] == [0, 0, 1]


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "1/0", "-1/3", "1/3/3", "a/b"])
def test_a_shard_that_is_none_is_refused(count: CountCommand, shard: str) -> None:
    result = count("--shard", shard, count.folder)
    assert result.exit_code == 2
    assert f"{shard}: expected a part and their number" in result.stderr


def test_a_count_that_was_stopped_resumes(
    count: CountCommand, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the log is printed as if it were counted, and is not counted."""
    log = tmp_path / "log.sqlite"
    whole = count("--json", cohort).stdout
    processed = []
    honest = pipeline.Pipeline.process

    def process(self: pipeline.Pipeline, frame: Frame, *rest: Any) -> Any:
        processed.append(Path(frame.source).relative_to(cohort).as_posix())
        return honest(self, frame, *rest)

    monkeypatch.setattr(pipeline.Pipeline, "process", process)
    arguments = ("--json", "--resume", "--log", log)
    assert count(*arguments, "--shard", "1/2", cohort).stdout == "".join(whole.splitlines(True)[:2])
    assert processed == ["a/f1.jpg", "a/f2.jpg"]
    for _ in range(2):
        assert count(*arguments, cohort).stdout == whole
        assert processed == ["a/f1.jpg", "a/f2.jpg", "b/f1.jpg"]
    with BloodLog.open(log) as written:
        assert written.count() == 3
        assert not written.verify()
    # Another configuration makes other rows, and so does a folder with another scale.
    count(*arguments, "--um-per-px", "0.21", cohort / "b" / "f1.jpg")
    monkeypatch.setattr(FolderScales, "pooled", lambda *_: PooledScale(0.2, 0.01, 1.0, 9))
    count(*arguments, cohort / "b" / "f1.jpg")
    assert processed[3:] == ["b/f1.jpg", "b/f1.jpg"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "from the log that --log names"),
        (("--log", "log", "--sample", "S-1"), "without a --sample"),
        (("--log", "log", "--masks", "masks"), "draws nothing"),
    ],
)
def test_what_cannot_be_resumed_is_refused(count: CountCommand, more: tuple[str, ...], why: str) -> None:
    result = count("--resume", *more, count.folder)
    assert result.exit_code == 2
    assert why in result.stderr
