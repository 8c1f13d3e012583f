"""What the loop does when it is asked: captures, previews, a new configuration."""

from __future__ import annotations

import base64
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bloodlog import BloodLog, LoggedField
from edge.counting.sample import OpenSample
from edge.daemon.live import CountedView
from edge.daemon.served import ServedLog
from edge.errors import CameraError, ConfigError, ControlError
from edge.rendered import RenderSettings, Slide
from edge.structures import Frame
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.usefixtures("short")
MakeBench = Callable[..., Any]


def test_manual_counts_on_request_only(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        beats = len(bench.told.messages)
        bench.wait(lambda: len(bench.told.messages) > beats + 5, "some beats")
        assert bench.source.reads_s == []
        answers = [bench.ask("capture") for _ in range(3)]
        assert bench.ask("status")["fields"]["logged"] == 3
    assert [answer["field"] for answer in answers] == [1, 2, 3]
    assert answers[0] | {"at": ""} == {
        "field": 1, "at": "", "source": "script#1", "status": "counted", "reasons": [], "warnings": [],
        "wbc": 0, "blasts": 0, "seen_before": 0, "sample": None, "ms": 12.5,
    }  # fmt: skip


def test_a_button_captures(make_bench: MakeBench) -> None:
    presses: list[Callable[[], None]] = []

    @contextmanager
    def button(press: Callable[[], None]) -> Iterator[None]:
        presses.append(press)
        yield
        presses.clear()

    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    bench.button = button
    with bench.running():
        presses[0]()
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] == 1, "a field")
    assert presses == []


def test_a_preview_is_the_newest_frame(make_bench: MakeBench) -> None:
    bench = make_bench(np.full((1500, 2000, 3), (200, 30, 90), np.uint8))
    bench.configure(camera={"interval_s": 3600.0})  # no second frame
    with bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        preview = bench.ask("preview")
    assert (preview["width"], preview["height"]) == (2000, 1500)
    assert 0.0 <= preview["age_s"] < PATIENCE_S
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(preview["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (500, 667, 3)
    np.testing.assert_allclose(picture[250, 300], (90, 30, 200), atol=4)


SLIDE = Slide(4, RenderSettings(width=428, height=342, um_per_px=0.4))


def test_a_preview_says_where_the_field_that_was_counted_lies_in_it(make_bench: MakeBench) -> None:
    view = SLIDE.view(0.0).image
    noise = np.random.default_rng(1).integers(0, 4, (40, *view.shape), np.uint8)  # cameras have some
    bench = make_bench(*[cv2.add(view, noise[n % 40]) for n in range(200)])
    bench.configure(trigger={"mode": "manual"})
    bench.live = True
    here = {"field": 1, "x": pytest.approx(0.0, abs=1.0), "y": pytest.approx(0.0, abs=1.0)}
    with bench.running():
        assert bench.ask("capture")["field"] == 1
        assert bench.ask("preview")["counted"] == here
        bench.counter.reasons = ("blank",)
        bench.ask("capture")  # a field that was rejected has no outlines
        assert bench.ask("preview")["counted"] == here


def test_a_counted_view_is_found_where_the_stage_has_moved_it() -> None:
    counted = CountedView(7, Frame(SLIDE.view(0.0).image, "counted"))
    place = counted.offset_px(Frame(SLIDE.view(60.0, -30.0).image, "moved"))
    assert place == pytest.approx((-150.0, 75.0), abs=1.5)
    assert counted.offset_px(Frame(SLIDE.view(900.0).image, "elsewhere")) is None
    assert counted.offset_px(Frame(np.full((342, 428, 3), 230, np.uint8), "blank")) is None
    assert counted.offset_px(Frame(np.zeros((60, 80, 3), np.uint8), "another size")) is None


def test_a_counted_view_does_not_keep_the_frame() -> None:
    image = np.zeros((1520, 2028, 3), np.uint8)
    frame = weakref.ref(image)
    counted = CountedView(7, Frame(image, "counted"))
    del image
    assert frame() is None
    assert counted.field_id == 7


def test_a_live_preview_asks_for_newer_frames(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.loop.KEEP_ALIVE_S", 3600.0)  # nobody else asks
    bench = make_bench(live="manual")
    with bench.running():
        for _ in range(5):
            before = len(bench.source.reads_s)

            def newer(reads: int = before) -> bool:
                with suppress(ControlError):  # the first frame is still to come
                    bench.ask("preview")
                return len(bench.source.reads_s) > reads

            bench.wait(newer, "a newer frame")
    assert bench.fields() == []


def test_a_new_configuration_is_taken_over(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        before = bench.ask("status")["config"]["sha256"]
        bench.configure(trigger={"mode": "interval"}, camera={"interval_s": 0.06})
        sha256 = bench.ask("reload")["sha256"]
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 2, "fields by themselves")
        status = bench.ask("status")
    assert status["config"]["sha256"] == sha256 != before
    assert status["last_reload"]["ok"]
    assert {field.config_sha256 for field in bench.fields()} == {sha256}
    # The camera's section has changed: it was opened again.
    assert bench.source.opened == bench.source.closed == 2
    assert bench.told.messages.count("READY=1") == 2
    assert "RELOADING=1" in bench.told.messages


@pytest.mark.parametrize("kind", [ConfigError, RuntimeError])
def test_a_bad_new_configuration_leaves_the_old_one_and_says_so(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture, kind: type[Exception]
) -> None:
    bench = make_bench()
    with bench.running():
        before = bench.ask("status")["config"]["sha256"]
        bench.reload_error = kind("unknown key camera.intervall")
        with pytest.raises(ControlError, match=r"kept the old .*: unknown key camera\.intervall"):
            bench.ask("reload")
        bench.requests.reload()  # as SIGHUP does
        bench.wait(lambda: caplog.text.count("the old one stays in force") == 2, "the second refusal")
        logged = bench.ask("status")["fields"]["logged"]
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > logged, "fields as before")
        status = bench.ask("status")
    assert status["config"]["sha256"] == before
    assert status["last_reload"]["ok"] is False
    assert "unknown key camera.intervall" in status["last_reload"]["message"]
    assert bench.source.opened == 1


def test_the_sample_is_told_while_it_is_taken_up_again_and_after_a_reload(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, after = make_bench(), make_bench()
    bench.counter.reasons = after.counter.reasons = ("blank",)
    with BloodLog.open(bench.log) as log:
        log.open_sample("S-1", "blood", 200)
    bench.run(fields=3)
    after.folder, after.log = bench.folder, bench.log
    after.configure(log={"path": str(bench.log)}, trigger={"mode": "manual"})
    taken_up, go_on = OpenSample._take_up, threading.Event()

    def slowly(sample: OpenSample, logged: LoggedField) -> bool:
        if logged.id == 3:
            assert go_on.wait(PATIENCE_S)
        return taken_up(sample, logged)

    monkeypatch.setattr(OpenSample, "_take_up", slowly)
    monkeypatch.setattr("edge.daemon.loop._RESUMING_BEAT_S", 0.0)
    with after.running():

        def resumes() -> bool:
            sample = after.ask("status")["sample"]
            assert sample["name"] == "S-1"  # never "none is open"
            return bool(sample["resuming"] == {"fields": 2, "of": 3})

        after.wait(resumes, "two fields taken up")
        go_on.set()
        after.wait(lambda: after.ask("status")["sample"]["resuming"] is None, "the sample")
        monkeypatch.setattr(OpenSample, "_take_up", lambda *_: pytest.fail("it has been taken up"))
        after.ask("reload")
        sample = after.ask("status")["sample"]
        assert (sample["resuming"], sample["rejected_by_reason"]) == (None, {"blank": 3})


def test_a_sample_that_is_opened_through_the_service_is_told_at_once(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon.loop.BEAT_S", 3600.0)
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(bench.folder / "run"))
    with bench.running():
        assert bench.ask("status")["sample"] is None
        with ServedLog.open(bench.log, read_only=True) as log:
            log.open_sample("S-1", "blood", 200)
        bench.wait(lambda: bench.ask("status")["sample"] is not None, "the sample in the status")
        assert bench.ask("status")["sample"]["name"] == "S-1"


@pytest.mark.parametrize("what", ["button", "camera"])
def test_a_reload_whose_button_or_camera_does_not_open_leaves_all_as_it_was(
    make_bench: MakeBench, what: str
) -> None:
    pressed: list[Callable[[], None]] = []

    @contextmanager
    def good(press: Callable[[], None]) -> Iterator[None]:
        pressed.append(press)
        yield

    @contextmanager
    def bad(press: Callable[[], None]) -> Iterator[None]:
        raise ConfigError("gpio.button_pin = 17 cannot be used")
        yield

    bench = make_bench()
    bench.button = good
    with bench.running():
        before = bench.ask("status")["config"]["sha256"]
        if what == "button":
            bench.configure(gpio={"button_pin": 17})
            bench.button = bad
        else:
            bench.configure(camera={"width": 320, "height": 240})
            bench.source.open_steps = [CameraError("/dev/video7: no such camera", "missing")]
        with pytest.raises(ControlError, match=r"kept the old .*(cannot be used|no such camera)"):
            bench.ask("reload")
        logged = bench.ask("status")["fields"]["logged"]
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > logged, "fields as before")
        presses = bench.ask("status")["fields"]["logged"]
        pressed[-1]()
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > presses, "the old button's field")
        status = bench.ask("status")
    assert bench.error is None
    assert status["config"]["sha256"] == before
    assert status["last_reload"]["ok"] is False
    assert len(pressed) == (2 if what == "button" else 3)  # the old one was opened again
    assert {field.config_sha256 for field in bench.fields()} == {before}
