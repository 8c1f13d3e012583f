"""The loop and its camera: a camera that hangs, is unplugged, is not there, or gives faulty frames."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pytest

from edge.daemon.capture import MAX_FAILURES
from edge.errors import CameraError, ControlError, DamagedFrameError, ImageError, RuntimeMissingError
from tests.edge.daemon.troubles import hanging, unplugged
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.usefixtures("short")
MakeBench = Callable[..., Any]


def test_stopping_while_the_camera_hangs_as_it_opens(make_bench: MakeBench) -> None:
    bench = make_bench()
    with hanging() as hang:
        bench.source.open_steps = [hang]
        threading.Timer(0.1, bench.requests.stop).start()
        bench.run()  # the hang goes on for longer than the test's own limit
    assert "READY=1" not in bench.told.messages
    assert bench.fields() == []


def test_stopping_while_a_read_hangs(make_bench: MakeBench) -> None:
    bench = make_bench(live="interval")
    with hanging() as hang:
        bench.source.steps = ["frame", hang]
        with bench.running():
            bench.wait(lambda: len(bench.source.reads_s) == 2, "the read that hangs")
    assert bench.error is None


def test_a_camera_that_hangs_is_left_and_opened_anew(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon.capture.READ_GRACE_S", 0.1)
    bench = make_bench(live="interval")
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


def test_a_large_file_may_take_its_time(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.capture.READ_GRACE_S", 0.1)
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
    told = "waiting for the camera, failure 4 in a row: script: gave no"
    assert any(told in message for message in bench.told.messages)


@pytest.mark.parametrize(
    "error",
    [
        cv2.error("(-215) failed"),
        MemoryError(),
        RuntimeError("codec"),
        ZeroDivisionError("a bug"),
        ImageError("8x8 px is small"),
    ],
)
def test_whatever_a_driver_raises_is_the_camera_s_failure(make_bench: MakeBench, error: Exception) -> None:
    bench = make_bench("frame", error)
    with bench.running():
        bench.wait(lambda: len(bench.fields()) >= 2, "fields after the failure")
        camera = bench.ask("status")["camera"]
    assert bench.error is None
    reason = "no_memory" if isinstance(error, MemoryError) else "failed"
    assert camera["by_reason"] == {reason: 1}
    assert type(error).__name__ in camera["last_failure"]["message"]
    # At the start it may pass, too; a new camera of a reload has to open.
    at_start = make_bench()
    at_start.source.open_steps = [error]
    at_start.run(fields=1)
    assert at_start.daemon.status()["camera"]["by_reason"] == {reason: 1}


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


class Absent(list[object]):
    """Steps of opening a camera that is not there, and then is."""

    tries = 0
    is_there = False

    def __len__(self) -> int:
        return 0 if self.is_there else 1

    def pop(self, *_: object) -> object:
        self.tries += 1
        if self.tries == 1:
            return RuntimeMissingError("picamera2 cannot be imported")
        return CameraError("no such camera", "missing")


def test_a_service_waits_for_a_camera_that_is_not_there(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    bench.live = bench.told.is_there = True
    bench.configure(trigger={"mode": "interval"})
    absent = bench.source.open_steps = Absent()
    with bench.running(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.daemon.capture.LONGEST_RETRY_S", 0.01)
        bench.wait(lambda: "READY=1" in bench.told.messages, "readiness without a camera")
        bench.wait(lambda: absent.tries > MAX_FAILURES + 5, "more failures than end a run")
        assert bench.ask("status")["state"] == "no_camera"
        assert any("waiting for the camera, " in message for message in bench.told.messages)
        with pytest.raises(ControlError, match="nothing counted: "):
            bench.ask("capture")
        # What is configured meanwhile is taken, whether or not its camera is there.
        bench.configure(camera={"interval_s": 0.06})
        assert bench.ask("reload")["sha256"] == bench.ask("status")["config"]["sha256"]
        absent.is_there = True
        bench.wait(lambda: len(bench.fields()) > 0, "a field once it is there")
    assert bench.error is None
    failures = [record for record in caplog.records if "in a row" in record.msg]
    told = {record.args[0] for record in failures if record.args and record.levelname == "WARNING"}
    assert {1, 2, 4, 8, 16} <= told <= {2**n for n in range(20)}


def test_a_camera_that_is_there_and_fails_ends_a_service_all_the_same(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.live = bench.told.is_there = True
    bench.source.open_steps = [CameraError("busy", "busy") for _ in range(99)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.daemon.capture.LONGEST_RETRY_S", 0.01)
        with pytest.raises(CameraError, match=r"^busy .gave up after"):
            bench.run()


def test_faulty_frames_of_a_camera_are_not_counted(make_bench: MakeBench) -> None:
    bench = make_bench(live="interval")
    good = cv2.blur(np.random.default_rng(1).integers(0, 255, (200, 240, 3), np.uint8), (9, 9))
    torn = np.vstack([good[:100], good[::-1][100:] // 2])
    bench.source.steps = [good.copy(), good.copy(), torn, "frame"]
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 6, "frames")
        status = bench.ask("status")
    assert status["camera"]["refused_frames"] == {"frozen": 1, "torn": 1}
    assert status["camera"]["failures"] == 0
    assert [field.result.source for field in bench.fields()][:2] == ["script#1", "script#4"]


@pytest.mark.parametrize("live", [True, False])
def test_a_damaged_frame_is_dropped_and_three_are_a_failure(make_bench: MakeBench, live: bool) -> None:
    bench = make_bench()
    bench.live = live
    bench.configure(trigger={"mode": "interval"})
    damaged = DamagedFrameError("script: damaged frames came", "damaged")
    bench.source.steps = ["frame", damaged, "frame", damaged, damaged, damaged]
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 8, "frames after the damage")
        camera = bench.ask("status")["camera"]
    assert camera["refused_frames"] == {"damaged": 3 if live else 4}
    assert camera["by_reason"] == ({"damaged": 1} if live else {})


def test_a_camera_whose_picture_stands_still_is_opened_anew(make_bench: MakeBench) -> None:
    bench = make_bench(live="interval")
    good = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    bench.source.steps = [good.copy() for _ in range(4)]
    with bench.running():
        bench.wait(lambda: len(bench.source.reads_s) >= 6, "frames after the reopening")
        status = bench.ask("status")
    assert status["camera"]["by_reason"] == {"frozen": 1}
    assert bench.source.opened == 2


def test_a_start_that_fails_at_first_is_told(make_bench: MakeBench) -> None:
    bench = make_bench()
    with hanging() as hang:
        bench.source.open_steps = [MemoryError(), hang]
        thread = threading.Thread(target=bench.run)
        thread.start()
        bench.wait(lambda: any("failure 1 in a row" in m for m in bench.told.messages), "the failure")

        def is_told() -> bool:
            with suppress(ControlError):  # the socket comes at about the same time
                return bool(bench.ask("status")["state"] == "no_camera")
            return False

        bench.wait(is_told, "a status without a camera")
        bench.requests.stop()
        thread.join(PATIENCE_S)
    assert "READY=1" not in bench.told.messages


def test_captures_without_a_camera_are_refused_at_once(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.configure(trigger={"mode": "manual"})
    with bench.running():
        bench.source.steps = [unplugged()]
        bench.source.open_steps = [CameraError("no such camera", "missing") for _ in range(3)]
        # The loop may look only after the camera has failed again.
        with pytest.raises(
            ControlError, match=r"nothing counted: (script: gave no frame|no such)"
        ) as refusal:
            bench.ask("capture")
        assert refusal.value.reason == "no_camera"
        with pytest.raises(ControlError, match="nothing counted"):
            bench.ask("capture")
        bench.wait(lambda: bench.ask("status")["state"] == "counting", "the camera's return")
        assert bench.ask("capture")["status"] == "counted"


def test_a_camera_that_nobody_asks_is_still_watched(make_bench: MakeBench) -> None:
    bench = make_bench(live="manual")
    with bench.running():
        bench.source.open_steps = [CameraError("no such camera", "missing") for _ in range(5)]
        bench.source.steps = ["frame", unplugged()]
        bench.wait(lambda: bench.ask("status")["state"] == "no_camera", "the loss being noticed")
        bench.wait(lambda: bench.ask("status")["state"] == "counting", "the return being noticed")
    assert bench.fields() == []


def test_the_watchdog_is_fed_often_enough_while_the_camera_is_gone(make_bench: MakeBench) -> None:
    bench = make_bench(live="manual")
    bench.told.watchdog_s = 0.2
    sleeps: list[float] = []
    wait = bench.requests.wait
    bench.requests.wait = lambda timeout_s: (sleeps.append(timeout_s), wait(timeout_s))[1]
    with bench.running():
        bench.source.steps = [unplugged() for _ in range(5)]
        bench.wait(lambda: len(sleeps) > 30, "the loop's turns")
    # Never longer without a sign of life than half of what systemd allows.
    assert max(sleeps) <= 0.1
    assert bench.told.messages.count("WATCHDOG=1") >= 30
