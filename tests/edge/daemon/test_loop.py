"""The loop: what it logs, how it fails, how it stops, and what it answers meanwhile."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.daemon.reconnect import MAX_FAILURES
from edge.errors import CameraError, ConfigError, ControlError, LogError, SourceError

pytestmark = pytest.mark.usefixtures("short")
MakeBench = Callable[..., Any]


def unplugged() -> CameraError:
    return CameraError("script: gave no frame; was it unplugged?", "unplugged")


def test_a_field_every_interval(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.run(fields=5)
    assert [field.result.source for field in bench.fields()] == [f"script#{n}" for n in range(1, 6)]
    steps = [later - earlier for earlier, later in pairwise(bench.source.reads_s)]
    assert sum(steps) >= 0.15  # no burst; that there is no drift is the trigger's test
    assert (bench.source.opened, bench.source.closed) == (1, 1)
    first = bench.fields()[0]
    assert (first.software_version, first.runtime, first.source_kind) == (
        "0.1.0",
        "ai_edge_litert 2.3.0",
        "rendered",
    )


def test_the_end_of_the_source_ends_the_run(make_bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_bench("frame", "frame", None)
    with caplog.at_level(logging.INFO):
        bench.run()
    assert len(bench.fields()) == 2
    assert "script has come to its end" in caplog.text
    assert "stopped: 2 fields logged, 0 of them rejected; 0 camera failures" in caplog.text


def test_one_line_a_state_change_and_none_a_field(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.configure(camera={"interval_s": 0.05})
    with caplog.at_level(logging.INFO):
        bench.run(fields=10)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "counting from script, mode interval",
        "stopped",
    ]


def test_rejected_fields_are_logged_with_their_reasons(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.counter.reasons = ("out_of_focus", "underexposed")
    with caplog.at_level(logging.DEBUG):
        bench.run(fields=2)
    assert [field.result.reasons for field in bench.fields()] == [("out_of_focus", "underexposed")] * 2
    assert "field 1: script#1 rejected: out_of_focus, underexposed" in caplog.text
    assert any(
        "2 fields logged, 2 of them rejected (2 out_of_focus, 2 underexposed)" in m
        for m in bench.told.messages
    )


def test_stopping_is_quick_and_clean(make_bench: MakeBench) -> None:
    bench = make_bench()
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 2, "fields")
        started = time.monotonic()
    assert time.monotonic() - started < 5.0
    assert bench.error is None
    assert bench.source.closed == 1
    assert not (bench.folder / "run/control.sock").exists()
    assert json.loads((bench.folder / "run/status.json").read_text())["state"] == "stopped"


@contextmanager
def hanging() -> Iterator[Callable[[], None]]:
    """A call into a driver that does not come back until the block ends."""
    released = threading.Event()

    def hang() -> None:
        released.wait(30.0)

    try:
        yield hang
    finally:
        released.set()


def test_stopping_while_the_camera_hangs_as_it_opens(make_bench: MakeBench) -> None:
    bench = make_bench()
    with hanging() as hang:
        bench.source.open_steps = [hang]
        threading.Timer(0.1, bench.requests.stop).start()
        started = time.monotonic()
        bench.run()
        assert time.monotonic() - started < 5.0
    assert "READY=1" not in bench.told.messages
    assert bench.fields() == []


def test_stopping_while_a_read_hangs(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "interval"})
    with hanging() as hang:
        bench.source.steps = ["frame", hang]
        with bench.running():
            bench.wait(lambda: len(bench.source.reads_s) == 2, "the read that hangs")
            started = time.monotonic()
        assert time.monotonic() - started < 5.0
    assert bench.error is None


def test_a_camera_that_hangs_is_left_and_opened_anew(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "interval"})
    with hanging() as hang:
        bench.source.steps = ["frame", hang]
        with bench.running():
            bench.wait(lambda: len(bench.source.reads_s) >= 4, "fields after the hang")
            status = bench.ask("status")
    assert status["camera"]["by_reason"] == {"hung": 1}
    assert status["camera"]["restarts"] == 1
    assert re.search(r"script: no answer for \d+ s while reading; the camera hangs, check its", caplog.text)
    # What the hanging call gave in the end is not counted.
    assert [field.result.source for field in bench.fields()][:2] == ["script#1", "script#3"]


def test_a_large_file_may_take_its_time(make_bench: MakeBench) -> None:
    bench = make_bench(lambda: time.sleep(1.0) or "frame")  # beyond what a camera may take here
    bench.run(fields=2)
    assert bench.source.opened == 1
    assert len(bench.fields()) == 2


def test_failures_are_counted_logged_and_forgotten_after_a_frame(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench("frame", *[unplugged() for _ in range(4)], "frame", CameraError("torn", "torn"))
    with caplog.at_level(logging.INFO), bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 9, "fields")
        status = bench.ask("status")
    assert status["camera"]["by_reason"] == {"unplugged": 4, "torn": 1}
    assert status["camera"]["failures_in_a_row"] == 0
    assert status["camera"]["last_failure"] == {"reason": "torn", "message": "torn"}
    assert "camera failure 4 in a row (unplugged), next try in 0.15 s: script: gave no frame" in caplog.text
    assert caplog.text.count("script gives frames again") == 2
    # Each failure closes the camera, and the next try opens it afresh.
    assert bench.source.opened == bench.source.closed == 6
    assert any("no frames, camera failure 4 in a row: script: gave no" in m for m in bench.told.messages)


def test_a_driver_s_many_lines_are_one_for_systemd(make_bench: MakeBench) -> None:
    bench = make_bench("frame", *[CameraError("bus error\nWATCHDOG=trigger\nREADY=1") for _ in range(6)])
    bench.run(fields=2)
    about = [message for message in bench.told.messages if "bus error" in message]
    assert about
    assert all(": bus error WATCHDOG=trigger READY=1" in message for message in about)


def test_too_many_failures_end_the_run(make_bench: MakeBench) -> None:
    bench = make_bench("frame", *[unplugged() for _ in range(99)])
    with pytest.raises(CameraError, match=rf"gave up after {MAX_FAILURES} failures within 300 s"):
        bench.run()
    assert len(bench.fields()) == 1
    assert bench.source.opened == bench.source.closed == MAX_FAILURES


def test_a_camera_that_is_not_there_at_the_start_ends_the_run(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.source.open_steps = [CameraError("no such camera", "missing")]
    with pytest.raises(CameraError, match=r"^no such camera$"):
        bench.run()
    assert "READY=1" not in bench.told.messages


def test_other_errors_are_not_swallowed(make_bench: MakeBench) -> None:
    bench = make_bench(SourceError("files gone"))
    with pytest.raises(SourceError, match="files gone"):
        bench.run()
    assert bench.source.closed == 1
    bench = make_bench(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        bench.run()


def test_a_log_that_cannot_be_written_ends_the_run(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise LogError("not logged")

    monkeypatch.setattr(BloodLog, "append", refuse)
    bench = make_bench()
    with pytest.raises(LogError, match="not logged"):
        bench.run()
    assert bench.source.closed == 1


def test_faulty_frames_of_a_camera_are_not_counted(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "interval"})
    good = cv2.blur(np.random.default_rng(1).integers(0, 255, (200, 240, 3), np.uint8), (9, 9))
    torn = np.vstack([good[:100], good[::-1][100:] // 2])
    bench.source.steps = [good.copy(), good.copy(), torn, "frame"]
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 6, "frames")
        status = bench.ask("status")
    assert status["camera"]["refused_frames"] == {"frozen": 1, "torn": 1}
    assert status["camera"]["failures"] == 0
    assert [field.result.source for field in bench.fields()][:2] == ["script#1", "script#4"]


def test_a_camera_whose_picture_stands_still_is_opened_anew(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "interval"})
    good = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    bench.source.steps = [good.copy() for _ in range(4)]
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 6, "frames after the reopening")
        status = bench.ask("status")
    assert status["camera"]["by_reason"] == {"frozen": 1}
    assert bench.source.opened == 2


def test_the_watchdog_is_fed_by_the_loop_and_by_nothing_else(make_bench: MakeBench) -> None:
    bench = make_bench()
    with hanging() as hang, bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 2, "fields")
        bench.counter.work = hang  # the loop hangs, camera and control socket do not
        bench.wait(lambda: bench.ask("status")["loop_age_s"] > 0.3, "a loop that is late")
        fed = bench.told.messages.count("WATCHDOG=1")
        time.sleep(0.3)
        assert bench.told.messages.count("WATCHDOG=1") == fed
        bench.counter.work = lambda: None
        bench.requests.stop()
        hang.__closure__[0].cell_contents.set()  # type: ignore[index]
    assert bench.error is None


def test_the_watchdog_is_fed_often_enough_while_the_camera_is_gone(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.told.watchdog_s = 0.2
    bench.live = True
    bench.configure(trigger={"mode": "manual"})
    sleeps: list[float] = []
    wait = bench.requests.wait
    bench.requests.wait = lambda timeout_s: (sleeps.append(timeout_s), wait(timeout_s))[1]
    with bench.running():
        bench.source.steps = [unplugged() for _ in range(5)]
        bench.wait(lambda: len(sleeps) > 30, "the loop's turns")
    # Never longer without a sign of life than half of what systemd allows.
    assert max(sleeps) <= 0.1
    assert bench.told.messages.count("WATCHDOG=1") >= 30


def test_manual_counts_on_request_only(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        time.sleep(0.2)
        assert bench.source.reads_s == []
        answers = [bench.ask("capture") for _ in range(3)]
        assert bench.ask("status")["fields"]["logged"] == 3
    assert [answer["field"] for answer in answers] == [1, 2, 3]
    assert answers[0] | {"at": ""} == {
        "field": 1, "at": "", "source": "script#1", "status": "counted", "reasons": [],
        "wbc": 0, "blasts": 0, "seen_before": 0, "sample": None, "ms": 12.0,
    }  # fmt: skip


def test_captures_without_a_camera_are_refused_at_once(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        bench.source.steps = [unplugged()]
        bench.source.open_steps = [CameraError("no such camera", "missing") for _ in range(3)]
        with pytest.raises(ControlError, match="nothing counted: script: gave no frame") as refusal:
            bench.ask("capture")
        assert refusal.value.reason == "no_camera"
        with pytest.raises(ControlError, match="nothing counted"):
            bench.ask("capture")
        bench.wait(lambda: bench.ask("status")["state"] == "counting", "the camera's return")
        assert bench.ask("capture")["status"] == "counted"


def test_a_camera_that_nobody_asks_is_still_watched(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        bench.source.open_steps = [CameraError("no such camera", "missing") for _ in range(5)]
        bench.source.steps = ["frame", unplugged()]
        bench.wait(lambda: bench.ask("status")["state"] == "no_camera", "the loss being noticed")
        bench.wait(lambda: bench.ask("status")["state"] == "counting", "the return being noticed")
    assert bench.fields() == []


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
    bench = make_bench(*[np.full((1500, 2000, 3), (200, 30, 90), np.uint8) for _ in range(50)])
    with bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        preview = bench.ask("preview")
    assert (preview["width"], preview["height"]) == (2000, 1500)
    assert 0.0 <= preview["age_s"] < 5.0
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(preview["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (500, 667, 3)
    np.testing.assert_allclose(picture[250, 300], (90, 30, 200), atol=4)


def test_a_live_preview_asks_for_newer_frames(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.loop.KEEP_ALIVE_S", 3600.0)  # nobody else asks
    bench = make_bench()
    bench.live = True
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        for _ in range(5):
            before = len(bench.source.reads_s)

            def newer(reads: int = before) -> bool:
                with suppress(ControlError):  # the first frame is still to come
                    assert bench.ask("preview")["age_s"] < 5.0
                return len(bench.source.reads_s) > reads

            bench.wait(newer, "a newer frame")
    assert bench.fields() == []


def test_a_full_disk_stops_counting_and_nothing_else(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    with caplog.at_level(logging.INFO), bench.running():
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        bench.disk_problem = "3 MB free on /var, 100 MB are needed; free some space"
        bench.wait(lambda: bench.ask("status")["state"] == "disk_full", "the stop")
        before = bench.ask("status")["fields"]["logged"]
        with pytest.raises(ControlError, match="3 MB free") as refusal:
            bench.ask("capture")
        assert refusal.value.reason == "disk_full"
        time.sleep(0.2)
        assert bench.ask("status")["fields"]["logged"] == before
        assert bench.ask("status")["disk"]["problem"] == bench.disk_problem
        assert any("not counting: 3 MB free on /var" in m for m in bench.told.messages)
        bench.disk_problem = None
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] > before, "fields again")
    assert "not counting: 3 MB free on /var" in caplog.text
    assert "there is room on the disk again" in caplog.text


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


def test_a_bad_new_configuration_leaves_the_old_one_and_says_so(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    with bench.running():
        before = bench.ask("status")["config"]["sha256"]
        bench.reload_error = ConfigError("unknown key camera.intervall")
        with pytest.raises(ControlError, match=r"kept the old configuration: unknown key camera\.intervall"):
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


def test_a_second_daemon_with_the_same_log_is_refused(make_bench: MakeBench) -> None:
    bench = make_bench()
    second = make_bench()
    second.folder = bench.folder
    with bench.running():
        with pytest.raises(ControlError, match="another daemon with this log is running; stop it first"):
            second.run(fields=1)
        assert bench.ask("status")["state"] == "counting"


def test_the_heartbeat_is_whole_and_private(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.counter.reasons = ("blank",)
    with bench.running():
        run = bench.folder / "run"
        for _ in range(50):
            assert json.loads((run / "status.json").read_text())["schema"] == "blastcount.status/1"
            time.sleep(0.01)
        bench.wait(lambda: bench.ask("status")["fields"]["logged"] >= 1, "a field")
        metrics = (run / "metrics.prom").read_text()
        assert (run / "control.sock").stat().st_mode & 0o777 == 0o600
        assert run.stat().st_mode & 0o777 == 0o700
    assert 'blastcount_rejected_total{reason="blank"} ' in metrics
    assert "blastcount_up 1" in metrics
    assert sorted(path.name for path in run.iterdir()) == ["metrics.prom", "status.json"]
