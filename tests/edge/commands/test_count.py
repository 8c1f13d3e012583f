"""``blastcount count``: what it prints, writes and logs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import ExifTags, Image

from edge import cli
from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.calibration import Calibration, MeasuredScale
from edge.camera.files import read_frames
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.counting import pipeline
from edge.counting.tally import tally
from edge.light.field import Field
from edge.rendered import RenderedField
from edge.segmentation import Segmentation, segment
from edge.structures import Frame

#: The module; the package's attribute of this name is the command.
count_module = import_module("edge.commands.count")

pytestmark = pytest.mark.usefixtures("no_system_config")


@pytest.fixture
def count(tiny_model: Path) -> CountCommand:
    return CountCommand(tiny_model)


class CountCommand:
    """Runs ``blastcount count`` with the tiny model."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def __call__(self, *arguments: str | Path) -> Result:
        command = ["count", "--model", str(self.model), *map(str, arguments)]
        return CliRunner().invoke(cli.main, command, catch_exceptions=False)

    def records(self, *arguments: str | Path) -> list[dict[str, Any]]:
        result = self("--json", *arguments)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]


def blank(path: Path, level: int = 220, size: tuple[int, int] = (320, 240)) -> Path:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def exif(artist: str) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Artist] = artist
    return tags


def video(path: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], frames: int) -> Path:
    height, width = image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (width, height))
    for _ in range(frames):
        writer.write(image[:, :, ::-1])
    writer.release()
    return path


def test_json_follows_the_published_schema(
    count: CountCommand, field_folder: Path, small_field: RenderedField
) -> None:
    result = count("--json", field_folder)
    assert result.stderr == ""
    (record,) = map(json.loads, result.stdout.splitlines())
    card = load_bundle(count.model).card
    assert record["schema"] == "blastcount.field/1"
    assert record["source"] == str(field_folder / "rendered_0001.jpg")
    assert (record["width"], record["height"]) == (640, 480)
    assert record["um_per_px"] is None or record["um_per_px"] == pytest.approx(0.2, rel=0.2)
    assert (record["status"], record["reasons"]) == ("counted", [])
    assert record["model"] == {"name": "tiny", "sha256": card.sha256}
    cells = record["cells"]
    assert isinstance(cells, list)
    assert cells
    assert [cell["id"] for cell in cells] == list(range(1, len(cells) + 1))
    assert record["wbc"] == sum(cell["kind"] == "wbc" for cell in cells)
    assert record["blasts"] == sum(cell["class"] == "blast" for cell in cells)
    for cell in cells:
        assert set(cell) >= {"id", "x", "y", "bbox", "area_px", "kind", "class", "p_blast", "touches_border"}
        x, y, width, height = cell["bbox"]
        assert 0 <= x < x + width <= 640
        assert 0 <= y < y + height <= 480
        assert x <= cell["x"] <= x + width
        assert y <= cell["y"] <= y + height
        if cell["kind"] == "smudge":
            assert (cell["class"], cell["p_blast"]) == (None, None)
        else:
            assert cell["class"] in ("blast", "normal", "uncertain")
            assert 0.0 <= cell["p_blast"] <= 1.0
    tally = record["tally"]
    assert isinstance(tally, dict)
    whole = [cell for cell in cells if cell["kind"] == "wbc" and not cell["touches_border"]]
    assert tally["border"] == record["wbc"] - len(whole)
    for name, label in (("blasts", "blast"), ("normal", "normal"), ("uncertain", "uncertain")):
        assert tally[name] == sum(cell["class"] == label for cell in whole)
    assert tally["smudge"] == sum(cell["kind"] == "smudge" for cell in cells)
    assert (tally["seen_before"], tally["denominator"]) == (0, "classified")
    assert tally["share"] == pytest.approx(tally["blasts"] / len(whole), abs=1e-4)
    assert tally["interval"][0] <= tally["share"] <= tally["interval"][1]
    # Negative control that cells are found at all: at least half of the true ones.
    assert len(cells) >= small_field.truth_counts()["wbc"] / 2


def test_fields_come_in_the_order_given(count: CountCommand, tmp_path: Path) -> None:
    second, first = blank(tmp_path / "z.png", 221), blank(tmp_path / "a.png", 222)
    folder = tmp_path / "folder"
    folder.mkdir()
    ten, two = blank(folder / "f10.png", 223), blank(folder / "f2.png", 224)
    sources = [record["source"] for record in count.records(second, folder, first)]
    assert sources == [str(second), str(two), str(ten), str(first)]


def test_files_of_the_camera_are_calibrated_as_in_the_daemon(
    count: CountCommand, field_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration, config = tmp_path / "calibration.json", tmp_path / "b.toml"
    measured = MeasuredScale(0.19, 0.18, 0.2, "micrometer", 4)
    Calibration(640, 480, datetime(2026, 5, 1, tzinfo=UTC), None, measured).save(calibration)
    config.write_text(f'[calibration]\npath = "{calibration}"\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    result = count("--json", blank(tmp_path / "a.png"), field_folder, blank(tmp_path / "b.png", 221))
    scales = [json.loads(line)["um_per_px"] for line in result.stdout.splitlines()]
    assert (result.exit_code, scales) == (0, [None, 0.19, None])
    # Pictures of another size are of another camera, which is said once.
    (warning,) = result.stderr.splitlines()
    assert "640x480" in warning
    assert "320x240" in warning


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
    assert "rejected: underexposed" in result.stdout
    assert "fields: 0 counted, 1 rejected" in result.stdout
    for part in ("cells", "nuclei"):
        labels = cv2.imread(str(tmp_path / "masks" / f"dark.{part}.png"), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (240, 320)
        assert not labels.any()


def test_the_table_adds_up(count: CountCommand, field_folder: Path) -> None:
    shutil.copy(field_folder / "rendered_0001.jpg", field_folder / "again.jpg")
    result = count(field_folder)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    rows = [line.split() for line in lines if ".jpg" in line]
    total = next(line for line in lines if line.startswith("total")).split()
    assert len(rows) == 2
    for row in rows:
        wbc, blasts, normal, uncertain, border, _smudge = map(int, row[1:7])
        assert wbc == blasts + normal + uncertain + border
    for column in range(1, 7):
        assert int(total[column]) == sum(int(row[column]) for row in rows)
    share = re.search(r"blasts: (\d+) of (\d+) whole white cells = ([\d.]+) %", result.stdout)
    assert share
    assert int(share[1]) == int(total[2])
    assert int(share[2]) == int(total[1]) - int(total[5])
    assert re.search(r"exact 95 % interval [\d.]+ to [\d.]+ %, n = \d+", result.stdout)
    assert "For research use only; not for diagnosis." in result.stdout
    assert f"model tiny {load_bundle(count.model).card.sha256[:12]}" in result.stdout
    assert "ai_edge_litert" in result.stdout


def test_known_truth_is_shown_and_marked_as_rendered(
    count: CountCommand, field_folder: Path, small_field: RenderedField
) -> None:
    lines = count(field_folder).stdout.splitlines()
    assert "rendered, known truth" in lines[0]
    truth = small_field.truth_counts()
    row = next(line for line in lines if "rendered_0001.jpg" in line).split()
    assert row[-2:] == [str(truth["wbc"]), str(truth["blasts_whole"])]
    total = next(line for line in lines if line.startswith("total")).split()
    assert total[-2:] == row[-2:]
    assert any("rendered" in line and "drawn" in line for line in lines)


def test_a_broken_truth_is_a_warning(count: CountCommand, field_folder: Path) -> None:
    (field_folder / "rendered_0001.truth.json").write_text('{"counts": 3}')
    result = count(field_folder)
    assert result.exit_code == 0
    assert "warning" in result.stderr
    assert "no truth of a rendered field" in result.stderr


def test_masks_hold_the_ids_of_the_cells(count: CountCommand, field_folder: Path, tmp_path: Path) -> None:
    (record,) = count.records("--masks", tmp_path / "masks", field_folder)
    cells = cv2.imread(str(tmp_path / "masks" / "rendered_0001.cells.png"), cv2.IMREAD_UNCHANGED)
    nuclei = cv2.imread(str(tmp_path / "masks" / "rendered_0001.nuclei.png"), cv2.IMREAD_UNCHANGED)
    assert cells.dtype == nuclei.dtype == np.uint16
    assert cells.shape == nuclei.shape == (480, 640)
    found = record["cells"]
    assert isinstance(found, list)
    assert set(np.unique(cells)) == {0, *(cell["id"] for cell in found)}
    assert set(np.unique(nuclei)) <= set(np.unique(cells))


def test_outputs_beside_the_inputs_are_not_counted_next_time(count: CountCommand, field_folder: Path) -> None:
    first = count.records("--masks", field_folder, "--annotate", field_folder, field_folder)
    made = sorted(field_folder.iterdir())
    with Image.open(field_folder / "rendered_0001.annotated.jpg") as picture:
        assert picture.width >= 640
    # The same field gives the same line, and its outputs are replaced.
    assert count.records("--masks", field_folder, "--annotate", field_folder, field_folder) == first
    assert sorted(field_folder.iterdir()) == made


def test_pictures_of_rendered_fields_say_so(count: CountCommand, field_folder: Path, tmp_path: Path) -> None:
    def legend(out: Path) -> int:
        assert count("--annotate", out, field_folder).exit_code == 0
        with Image.open(out / "rendered_0001.annotated.jpg") as picture:
            return int((np.asarray(picture)[480:] < 100).sum())

    marked = legend(tmp_path / "marked")
    (field_folder / "rendered_0001.truth.json").unlink()
    assert legend(tmp_path / "plain") < marked


def test_equal_stems_do_not_overwrite_each_other(count: CountCommand, tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        blank(tmp_path / folder / "f1.png", 220 if folder == "monday" else 215)
    out = tmp_path / "masks"
    assert count("--masks", out, tmp_path / "monday", tmp_path / "tuesday").exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "f1.cells.png",
        "f1.nuclei.png",
        "tuesday_f1.cells.png",
        "tuesday_f1.nuclei.png",
    ]


def test_a_video_gives_fields_and_masks_by_frame(
    count: CountCommand, small_field: RenderedField, tmp_path: Path
) -> None:
    path = video(tmp_path / "v.avi", small_field.image, 5)
    records = count.records("--every", "2", "--masks", tmp_path / "masks", path)
    assert [record["source"] for record in records] == [f"{path}#{n}" for n in (1, 3, 5)]
    assert sorted(p.name for p in (tmp_path / "masks").glob("*.cells.png")) == [
        f"v#{n}.cells.png" for n in (1, 3, 5)
    ]


def test_the_log_holds_every_field(count: CountCommand, field_folder: Path, tmp_path: Path) -> None:
    blank(field_folder / "dark.png", 3)
    log_path = tmp_path / "count.db"
    records = count.records("--log", log_path, "--um-per-px", "0.2", field_folder)
    with BloodLog.open(log_path, read_only=True) as log:
        rows = list(log.fields())
    assert [row.result.source for row in rows] == [record["source"] for record in records]
    assert [row.result.status for row in rows] == [record["status"] for record in records]
    assert [row.result.wbc for row in rows] == [record["wbc"] for record in records]
    assert {row.runtime.split()[0] for row in rows} == {"ai_edge_litert"}
    assert len({row.config_sha256 for row in rows}) == 1
    count.records("--log", log_path, field_folder)  # another scale, hence another configuration
    with BloodLog.open(log_path, read_only=True) as log:
        assert len({row.config_sha256 for row in log.fields()}) == 2


def test_files_counted_into_a_sample_with_its_report(
    count: CountCommand, field_folder: Path, tmp_path: Path
) -> None:
    log_path, page = tmp_path / "b.db", tmp_path / "r.json"
    with Image.open(field_folder / "rendered_0001.jpg") as image:
        image.save(field_folder / "rendered_0001.jpg", quality=92, comment="Jane Doe", exif=exif("Jane Doe"))
    with BloodLog.open(log_path) as log:
        sample = log.open_sample("S-0142", "blood", 200)
    into = ("--log", log_path, "--sample", "S-0142", "--um-per-px", "0.2")
    result = count(*into, "--report", page, field_folder)
    assert result.exit_code == 0, result.output
    share = re.search(r"blasts: (\d+) of (\d+) whole white cells", result.stdout)
    assert share
    program = json.loads(page.read_text())["program"]
    assert (program["blasts"], program["n"]) == (int(share[1]), int(share[2]))
    assert program["n"] > 0
    with BloodLog.open(log_path, read_only=True) as log:
        (logged,) = log.fields(sample.id)
    assert logged.image_sha256 is not None
    # The very file is kept, without what it may say of a person, so that the count is that without a sample.
    kept = ThumbnailStore.beside(log_path).read(logged.image_sha256)
    assert kept is not None
    assert b"Jane Doe" not in kept
    (alone,) = count.records("--um-per-px", "0.2", field_folder)
    assert logged.result.frame_sha256 == alone["frame_sha256"]
    assert len(logged.thumbnails) == logged.result.wbc
    # The same slide again: every cell was seen before, and the tally stays as it is.
    assert count(*into, "--report", page, field_folder).exit_code == 0
    assert json.loads(page.read_text())["program"]["n"] == program["n"]


@pytest.mark.parametrize("denominator", ["classified", "without_uncertain", "with_smudges"])
def test_every_output_has_the_configured_denominator(
    count: CountCommand, field_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denominator: str
) -> None:
    # Labels in turn, so that every denominator has another number of cells.
    labels = cycle(["blast", "uncertain", "normal"])
    monkeypatch.setattr(Classifier, "label", lambda self, p_blast: next(labels))
    config = tmp_path / "b.toml"
    config.write_text(f'[sample]\ndenominator = "{denominator}"\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    log_path, page = tmp_path / "b.db", tmp_path / "r.json"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-1", "blood", 200)
    result = count("--log", log_path, "--sample", "S-1", "--report", page, field_folder)
    program = json.loads(page.read_text())["program"]
    share = re.search(r"blasts: (\d+) of (\d+) .* = ([\d.]+) %", result.stdout)
    assert share
    assert (int(share[1]), int(share[2])) == (program["blasts"], program["n"])
    with BloodLog.open(log_path, read_only=True) as log:
        whole = tally(logged.result for logged in log.fields())
    added = {"classified": 0, "without_uncertain": -whole.uncertain, "with_smudges": whole.smudges}
    assert whole.uncertain
    assert whole.smudges
    assert program["n"] == whole.classified + added[denominator]
    labels = cycle(["blast", "uncertain", "normal"])
    (record,) = count.records(field_folder)
    assert record["tally"]["share"] == pytest.approx(program["blasts"] / program["n"], abs=1e-4)


@pytest.mark.parametrize(
    "raised",
    [cv2.error("OpenCV(4.11.0)\n assertion failed"), MemoryError(), RecursionError(), RuntimeError()],
)
def test_a_field_on_which_a_library_fails_is_named_and_the_others_are_counted(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def failing(field: Field) -> Segmentation:
        if field.frame.source.endswith("b.png"):
            raise raised
        return segment(field)

    monkeypatch.setattr(pipeline, "segment", failing)
    for level, name in enumerate("abc", start=220):
        blank(tmp_path / f"{name}.png", level)
    result = count("--json", tmp_path)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    (line,) = result.stderr.splitlines()
    assert "b.png: cannot be counted" in line
    assert type(raised).__name__ in line


def test_a_codec_that_fails_is_its_files_error(
    count: CountCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, **options: object) -> Iterator[Frame]:
        if path.name == "b.png":
            raise RuntimeError("out of step")
        return read_frames(path)

    monkeypatch.setattr(count_module, "read_frames", broken)
    for level, name in enumerate("abc", start=220):
        blank(tmp_path / f"{name}.png", level)
    result = count("--json", tmp_path)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    assert "b.png" in result.stderr


def test_a_closed_or_unknown_sample_takes_no_fields(
    count: CountCommand, field_folder: Path, tmp_path: Path
) -> None:
    log_path = tmp_path / "b.db"
    with BloodLog.open(log_path) as log:
        log.open_sample("S-0142", "blood", 200)
        log.close_sample("S-0142")
    for name, message in (("S-0142", "sample S-0142 is closed"), ("S-1", "there is no sample S-1")):
        result = count("--log", log_path, "--sample", name, field_folder)
        assert (result.exit_code, message in result.stderr) == (1, True)
    with BloodLog.open(log_path, read_only=True) as log:
        assert log.count() == 0


def test_a_file_given_twice_counts_once(count: CountCommand, field_folder: Path) -> None:
    result = count("--json", field_folder, field_folder / "rendered_0001.jpg")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert "is given twice and counted once" in result.stderr


def test_a_repeated_picture_is_counted_and_named(count: CountCommand, field_folder: Path) -> None:
    for number in range(2, 6):
        shutil.copy(field_folder / "rendered_0001.jpg", field_folder / f"copy_{number}.jpg")
    result = count("--json", field_folder)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 5
    assert "repeat the picture of another one, so that its cells count twice: 4 (" in result.stderr
    assert result.stderr.rstrip().endswith("...)")


def test_the_configured_model_and_scale_are_used(
    count: CountCommand, field_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.toml"
    path.write_text(f'[model]\npath = "{count.model}.tflite"\n[scale]\num_per_px = 0.21\n')
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(path))
    result = CliRunner().invoke(cli.main, ["count", "--json", str(field_folder)])
    record = json.loads(result.stdout)
    assert record["um_per_px"] == 0.21
    assert record["model"]["name"] == "tiny"
    # The command line wins over the file.
    (record,) = count.records("--um-per-px", "0.2", field_folder)
    assert (record["um_per_px"], record["scale_source"]) == (0.2, "configured")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing argument 'PATH...'"),
        (["--um-per-px", "9", "f"], "9.0 is not in the range 0.01<=x<=0.4"),
        (["--every", "0", "f"], "0 is not in the range x>=1"),
        (["--threads", "0", "f"], "0 is not in the range 1<=x<=64"),
        (["--report", "r.pdf", "f"], "--report is of a sample"),
        (["--report", "r.doc", "--sample", "S-1", "f"], "ends in .pdf, .html or .json"),
        (["--report", "no/such/r.pdf", "--sample", "S-1", "f"], "make it first"),
    ],
)
def test_wrong_usage_is_refused_before_counting(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(cli.main, ["count", *arguments])
    assert result.exit_code == 2
    assert expected in result.stderr


@pytest.mark.real_data
def test_real_fields_have_cells_where_experts_saw_blasts(count: CountCommand, real_data: Path) -> None:
    fields = sorted((real_data / "all-idb1" / "im").glob("*_1.jpg"))[:3]
    for record in count.records(*fields):
        assert record["status"] == "counted"
        assert record["wbc"]
        assert record["um_per_px"] is not None
