"""The open sample: resumed by itself, each cell counted once, pictures stored, drift refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Barrier
from time import sleep
from typing import Any

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up
from edge.bloodlog.inspection import inspect
from edge.bloodlog.pictures import ThumbnailStore, decode
from edge.bloodlog.retention import Policy, retain
from edge.classification.card import load_bundle
from edge.classification.classifier import Classifier
from edge.counting import sample as sample_module
from edge.counting.pipeline import Pipeline, ProcessedField
from edge.counting.recorder import Recorded, Recorder
from edge.counting.tally import tally
from edge.daemon.lines import sample_line
from edge.errors import FieldError
from edge.rendered import Population, RenderSettings, Slide
from edge.structures import Frame, UInt8Image
from tests.edge.made_by import PROVENANCE
from tests.edge.telling import TellingTypes

SLIDE = Slide(
    11,
    RenderSettings(
        width=856, height=684, um_per_px=0.2, population=Population(blast=400.0, clustered_blasts=0.0)
    ),
)


@dataclass
class Desk:
    """A log, a store and a pipeline; a recorder is made anew as after a restart."""

    folder: Path
    pipeline: Pipeline
    log: BloodLog

    def recorder(self) -> Recorder:
        return Recorder(self.pipeline, PROVENANCE, log=self.log)

    def scan(self, recorder: Recorder, *places_um: float) -> list[Recorded]:
        recorder.refresh()
        return [recorder.record(view(x_um)) for x_um in places_um]


@cache
def drawn(x_um: float) -> UInt8Image:
    return SLIDE.view(x_um).image


@cache
def view(x_um: float, factor: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Frame:
    image = np.clip(drawn(x_um) * np.array(factor), 0, 255).astype(np.uint8)
    return Frame(image, f"x={x_um:g}", um_per_px=0.2)


@pytest.fixture
def desk(tmp_path: Path, tiny_model: Path) -> Iterator[Desk]:
    with BloodLog.open(tmp_path / "blood.db") as log:
        yield Desk(tmp_path, Pipeline(Classifier(load_bundle(tiny_model))), log)


def test_a_picture_that_comes_again_adds_nothing(desk: Desk) -> None:
    """Nor do the cells that its edge cuts, nor smudges, which may be in the denominator."""
    image = decode((files("edge") / "samples/rendered_0001.jpg").read_bytes())
    desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    recorder.refresh()
    for name in ("once", "again"):
        recorder.record(Frame(image, name, um_per_px=0.098))
    after_a_restart = desk.recorder()
    after_a_restart.refresh()
    after_a_restart.record(Frame(image, "and again", um_per_px=0.098))
    results = [logged.result for logged in desk.log.fields()]
    alone, together = (tally(some, "with_smudges") for some in (results[:1], results))
    assert alone.border > 2
    assert alone.smudges > 0
    found = len(results[0].cells)
    assert together == replace(alone, fields=3, seen_before=2 * found)


def new_cells(recorded: Recorded) -> list[int]:
    return [c.cell.id for c in recorded.result.cells if c.seen_before is None and c.cell.kind == "wbc"]


def test_without_a_sample_fields_are_logged_alone(desk: Desk) -> None:
    recorder = desk.recorder()
    (field,) = desk.scan(recorder, 0.0)
    assert field.sample is None
    assert recorder.sample_status() is None
    (logged,) = desk.log.fields()
    assert (logged.sample_id, logged.image_sha256, logged.result.stage_um) == (None, None, None)
    assert list(ThumbnailStore.beside(desk.log.path).files()) == []


@pytest.mark.requirement(4)
def test_each_cell_is_counted_once(desk: Desk) -> None:
    sample = desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    first, shifted, again = desk.scan(recorder, 0.0, 60.0, 0.0)
    assert first.sample == "S-1"
    assert len(new_cells(first)) > 5
    assert first.result.stage_um == (0.0, 0.0)
    assert shifted.result.stage_um == pytest.approx((60.0, 0.0), abs=1.0)
    seen = [c for c in shifted.result.cells if c.seen_before is not None]
    assert seen
    assert {c.seen_before.field_id for c in seen if c.seen_before} == {first.field_id}
    # The same field once more has nothing new but what its edge had cut.
    assert all(c.seen_before is not None for c in again.result.cells if not c.cell.touches_border)
    status = recorder.sample_status()
    assert status is not None
    counted = tally(logged.result for logged in desk.log.fields(sample.id))
    assert (status["name"], status["fields"], status["wbc"]) == ("S-1", 3, counted.wbc)
    assert (status["ci_low"], status["ci_high"]) == (counted.ci_low, counted.ci_high)  # rounded by nobody


def test_the_status_has_the_differential_where_types_are_named(desk: Desk, tiny_model: Path) -> None:
    types = TellingTypes(("lymphocyte", 0.9))
    typed = Pipeline(Classifier(load_bundle(tiny_model)), types=types)
    desk.log.open_sample("S-1", "marrow", 500)
    recorder = Recorder(typed, PROVENANCE, log=desk.log)
    desk.scan(recorder, 0.0)
    status = recorder.sample_status()
    assert status is not None
    counted = status["differential"]
    assert (counted["n"], counted["denominator"]) == (status["wbc"], "nucleated")
    assert counted["shares"]["lymphocyte"]["k"] == status["normal"]
    # A restart finds it in the log.
    after = desk.recorder()
    after.refresh()
    assert after.sample_status() == status


def test_a_restart_resumes_the_open_sample(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    before = desk.recorder()
    desk.scan(before, 0.0, 60.0, 120.0)
    told: list[dict[str, Any] | None] = []
    after = desk.recorder()
    told.append(after.sample_status())
    assert after.refresh(lambda: told.append(after.sample_status()) is None)
    # Never "none is open", however long it takes.
    assert [seen and (seen["name"], seen["resuming"]) for seen in told] == [
        ("S-1", {"fields": n, "of": 3}) for n in range(4)
    ]
    assert after.sample_status() == before.sample_status()
    # What the first process would have said of a field, the second says, too.
    (by_after,) = desk.scan(after, 30.0)
    assert by_after.result.stage_um == pytest.approx((30.0, 0.0), abs=1.0)
    assert [c for c in by_after.result.cells if c.seen_before is None and not c.cell.touches_border] == []


def test_fields_that_others_counted_meanwhile_are_taken_up(desk: Desk) -> None:
    sample = desk.log.open_sample("S-1", "blood", 200)
    daemon = desk.recorder()
    daemon.refresh()
    with BloodLog.open(desk.log.path) as second_log:
        count = Recorder(desk.pipeline, PROVENANCE, log=second_log)
        count.refresh(name="S-1")
        assert new_cells(count.record(view(0.0)))
    assert not daemon.refresh()  # it is the same sample
    status = daemon.sample_status()
    assert status is not None
    assert status["fields"] == 1
    again = daemon.record(view(0.0))
    assert all(c.seen_before is not None for c in again.result.cells if not c.cell.touches_border)
    status = daemon.sample_status()
    counted = tally(logged.result for logged in desk.log.fields(sample.id))
    assert status is not None
    assert (status["fields"], status["wbc"]) == (2, counted.wbc)


@pytest.mark.requirement(4)
def test_each_cell_is_counted_once_by_many_at_a_time(
    desk: Desk, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three count the same two fields at once, two of them by links: to the log, and to its folder."""
    sample = desk.log.open_sample("S-1", "blood", 200)
    alone = BloodLog.open(desk.folder / "alone.db")
    with alone:
        alone.open_sample("S-1", "blood", 200)
        desk.scan(Recorder(desk.pipeline, PROVENANCE, log=alone), 0.0, 300.0)
        expected = tally(logged.result for logged in alone.fields())
    link = desk.folder / "link"
    link.symlink_to(desk.folder, target_is_directory=True)
    other_name = desk.folder / "elsewhere" / "other.db"
    other_name.parent.mkdir()
    other_name.symlink_to(desk.log.path)  # its pictures are where the log is, not where the link is
    start = Barrier(3)
    append = BloodLog.append

    def slowly(log: BloodLog, *arguments: Any, **named: Any) -> int:
        sleep(0.1)  # time enough for the others to place their fields, where nothing keeps them from it
        return append(log, *arguments, **named)

    monkeypatch.setattr(BloodLog, "append", slowly)

    def count(path: Path) -> None:
        with BloodLog.open(path) as log:
            recorder = Recorder(Pipeline(Classifier(load_bundle(tiny_model))), PROVENANCE, log=log)
            recorder.refresh(name="S-1")
            start.wait(60)
            for x_um in (0.0, 300.0):
                recorder.record(view(x_um))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count, [desk.log.path, other_name, link / desk.log.path.name]))
    total = tally(logged.result for logged in desk.log.fields(sample.id))
    assert total.fields == 6
    assert (total.wbc, total.blasts) == (expected.wbc, expected.blasts)


def test_a_stop_ends_a_long_resumption(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    desk.scan(desk.recorder(), 0.0, 60.0, 120.0)
    after = desk.recorder()
    asked: list[int] = []
    assert not after.refresh(lambda: asked.append(1) is not None)
    assert len(asked) == 1
    status = after.sample_status()
    assert status is not None
    assert status["resuming"] == {"fields": 0, "of": 3}
    assert after.refresh()  # taken up the next time


def test_another_configuration_goes_on_with_the_sample(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    before = desk.recorder()
    desk.scan(before, 0.0, 60.0)
    after, other = (
        desk.recorder(),
        Recorder(desk.pipeline, PROVENANCE, log=desk.log, denominator="with_smudges"),
    )
    after.take_over(before)
    assert after.sample_status() == before.sample_status()
    assert not after.refresh(lambda: pytest.fail("nothing has to be taken up"))
    # Where the change has a say in what the sample adds up to, it is taken up anew.
    other.take_over(before)
    status = other.sample_status()
    assert status is not None
    assert status["resuming"] == {"fields": 0, "of": 2}


def test_rejections_of_the_sample_are_told_by_reason_after_a_restart_too(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 1)
    before = desk.recorder()
    desk.scan(before, 0.0)
    before.record(view(0.0, (0.0, 0.0, 0.0)))
    after = desk.recorder()
    after.refresh()
    status = after.sample_status()
    assert status is not None
    assert status["rejected_by_reason"] == {"underexposed": 1}
    assert status["quota_reached"]
    assert "quota reached, close S-1 (" in sample_line(status)


def test_samples_opened_and_closed_elsewhere_are_noticed(desk: Desk) -> None:
    recorder = desk.recorder()
    assert not recorder.refresh()
    desk.log.open_sample("S-1", "blood", 200)
    assert recorder.refresh()
    assert not recorder.refresh()
    (first,) = desk.scan(recorder, 0.0)
    desk.log.change_sample("S-1", "closed")
    desk.log.open_sample("S-2", "marrow", 500)
    assert recorder.refresh()
    (other,) = desk.scan(recorder, 0.0)
    # Another sample's fields are not compared with: the same place is new again.
    assert (other.sample, new_cells(other)) == ("S-2", new_cells(first))
    desk.log.change_sample("S-2", "closed")
    assert recorder.refresh()
    assert recorder.sample_status() is None


def test_a_sample_that_is_closed_meanwhile_does_not_take_the_field(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    desk.scan(recorder, 0.0)
    process = desk.pipeline.process

    def slowly(frame: Frame, *given: Any) -> ProcessedField:
        desk.log.change_sample("S-1", "closed")
        return process(frame, *given)

    monkeypatch.setattr(desk.pipeline, "process", slowly)
    with pytest.raises(FieldError, match="sample S-1 was closed while it was counted"):
        recorder.record(view(60.0))
    assert desk.log.count() == desk.log.count(sample.id) == 1
    # The next one goes on without a sample.
    monkeypatch.undo()
    (alone,) = desk.scan(recorder, 60.0)
    assert alone.sample is None


def test_pictures_of_fields_and_new_cells_are_stored(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    first, shifted = desk.scan(desk.recorder(), 0.0, 60.0)
    store = ThumbnailStore.beside(desk.log.path)
    for recorded, logged in zip((first, shifted), desk.log.fields(), strict=True):
        assert sorted(logged.thumbnails) == new_cells(recorded)
        assert logged.image_sha256 is not None
        image = store.get(logged.image_sha256)
        assert image is not None
        assert np.abs(image.astype(int) - view(0.0 if recorded is first else 60.0).image).mean() < 4.0
        boxes = {c.cell.id: c.cell.bbox for c in recorded.result.cells}
        for cell_id, sha256 in logged.thumbnails.items():
            picture = store.get(sha256)
            assert picture is not None
            x, y, width, height = boxes[cell_id]
            assert picture.shape[0] >= height
            assert picture.shape[1] >= width
            centre = image[y + height // 2, x + width // 2].astype(int)
            assert x + width // 2 < 856
            assert np.abs(centre).sum() > 0


DARK = (0.05, 0.05, 0.05)
BRIGHT = (255.0, 255.0, 255.0)


def test_a_rejected_field_keeps_a_small_picture_to_see_why(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    recorder.refresh()
    dark = recorder.record(view(0.0, DARK))
    (logged,) = desk.log.fields()
    assert (logged.result.status, logged.result.reasons) == ("rejected", ("underexposed",))
    assert (logged.result.width, logged.result.height, logged.thumbnails) == (856, 684, {})
    image = desk.log.pictures.get(logged.image_sha256 or "")
    assert image is not None
    assert image.shape == (511, 640, 3)
    assert abs(float(image.mean()) - float(view(0.0, DARK).image.mean())) < 2.0
    assert dark.field_id == logged.id
    assert inspect(desk.log, store=desk.log.pictures).faults == ()


def test_a_camera_that_is_left_on_an_empty_slide_fills_no_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of each kind keep a picture, whoever counted them and however often it was started again."""
    monkeypatch.setattr(sample_module, "REJECTED_PICTURES", 2)
    desk.log.open_sample("S-1", "blood", 200)

    def refuse(recorder: Recorder, *places_um: float, light: tuple[float, float, float]) -> None:
        recorder.refresh()
        for x_um in places_um:
            assert recorder.record(view(x_um, light)).result.status == "rejected"

    first = desk.recorder()
    refuse(first, 0.0, light=DARK)
    with BloodLog.open(desk.log.path) as second_log:
        refuse(Recorder(desk.pipeline, PROVENANCE, log=second_log), 30.0, 60.0, light=DARK)
    refuse(first, 120.0, light=DARK)
    refuse(desk.recorder(), 300.0, light=DARK)
    refuse(first, 0.0, light=BRIGHT)
    kept = [(logged.result.reasons[0], logged.image_sha256 is not None) for logged in desk.log.fields()]
    assert kept == [
        *(("underexposed", True), ("underexposed", True), ("underexposed", False), ("underexposed", False)),
        *(("underexposed", False), ("overexposed", True)),
    ]
    assert len(list(desk.log.pictures.files())) == 3


def test_without_a_sample_a_rejected_field_keeps_no_picture(desk: Desk) -> None:
    assert desk.recorder().record(view(0.0, DARK)).result.status == "rejected"
    (logged,) = desk.log.fields()
    assert logged.image_sha256 is None


def test_pictures_of_rejected_fields_are_backed_up_and_make_room_as_others_do(
    desk: Desk, tmp_path: Path
) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    desk.scan(desk.recorder(), 0.0)
    recorder = desk.recorder()
    recorder.refresh()
    recorder.record(view(0.0, DARK))
    made = back_up(desk.log, desk.log.pictures, tmp_path / "backup")
    sha256 = desk.log.image(2) or ""
    assert (made.faults, ThumbnailStore(tmp_path / "backup" / "pictures").get(sha256) is not None) == (
        (),
        True,
    )
    no_room = Policy(days=1, room_mb=0.0)
    assert retain(desk.log, desk.log.pictures, no_room).by_space == ()  # the sample is open
    desk.log.change_sample("S-1", "closed")
    assert retain(desk.log, desk.log.pictures, no_room).by_space == (1, 2)
    assert list(desk.log.pictures.files()) == []
    assert inspect(desk.log, store=desk.log.pictures).faults == ()


def test_a_lamp_that_changes_is_refused_within_a_sample(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    desk.scan(recorder, 0.0, 60.0, 120.0)
    yellow = recorder.record(view(300.0, (1.0, 0.85, 0.6)))
    assert yellow.result.status == "rejected"
    assert "colour_drift" in yellow.result.reasons
    assert (yellow.result.cells, yellow.sample) == ((), "S-1")
    # The reference survives a restart.
    after = desk.recorder()
    after.refresh()
    assert after.record(view(300.0, (1.0, 0.85, 0.6))).result.status == "rejected"
    assert after.record(view(300.0)).result.status == "counted"


def test_an_odd_first_field_does_not_refuse_the_rest(desk: Desk) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    recorder.refresh()
    yellow = (1.0, 0.85, 0.6)
    first, *others = (
        recorder.record(view(x_um, tint))
        for x_um, tint in ((0.0, yellow), (120.0, (1, 1, 1)), (240.0, (1, 1, 1)), (360.0, (1, 1, 1)))
    )
    assert [entry.result.status for entry in (first, *others)] == ["counted"] * 4
    assert ["first_fields_differ" in entry.result.warnings for entry in (first, *others)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert recorder.record(view(480.0, yellow)).result.reasons == ("colour_drift",)


def test_missing_pictures_are_said_and_counting_goes_on(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    desk.scan(desk.recorder(), 0.0, 60.0)
    for path in (desk.folder / "pictures").glob("*/*.jpg"):
        path.unlink()
    after = desk.recorder()
    assert after.refresh()
    assert "pictures of 2 of its fields are missing" in caplog.text
    assert after.record(view(0.0)).result.status == "counted"


def test_a_row_never_names_a_picture_that_is_not_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.log.open_sample("S-1", "blood", 200)
    recorder = desk.recorder()
    recorder.refresh()
    put: Callable[..., str] = ThumbnailStore.put
    calls: list[str] = []
    monkeypatch.setattr(ThumbnailStore, "put", lambda *a, **k: (calls.append("put"), put(*a, **k))[1])
    append = BloodLog.append
    monkeypatch.setattr(BloodLog, "append", lambda *a, **k: (calls.append("append"), append(*a, **k))[1])
    recorder.record(view(0.0))
    assert calls[-1] == "append"
    assert calls.count("put") > 5
