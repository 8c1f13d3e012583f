"""What ``blastcount check`` looks at beside the model; each check has a control that fails it."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge.selfcheck as camera_check
from edge.bloodlog import BloodLog
from edge.config import Config, parse_config
from edge.daemon.control import ControlServer
from edge.device.clock import WallClock
from edge.device.disk import DiskGuard
from edge.device.pi import Condition
from edge.errors import CameraError
from edge.quality import Judgement
from edge.rendered import RenderSettings, render_field
from edge.selfcheck import (
    check_calibration,
    check_camera,
    check_clock,
    check_disk,
    check_log,
    check_rights,
    check_served,
    check_supply,
)
from edge.structures import Frame
from tests.edge.bloodlog.fields import PROVENANCE, make_result


def rendered(folder: Path, **camera: Any) -> Config:
    table = {"source": "rendered", "width": 480, "height": 360} | camera
    return parse_config({"camera": table, "log": {"path": str(folder / "blood.db")}})


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    return folder


class Camera:
    """A source of given frames."""

    name = "camera"

    def __init__(self, *frames: Any) -> None:
        self.frames = list(frames)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, timeout_s: float) -> Frame:
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame if isinstance(frame, Frame) else Frame(frame, "/dev/video0")


def with_camera(monkeypatch: pytest.MonkeyPatch, *frames: Any) -> Config:
    monkeypatch.setattr(camera_check, "make_source", lambda config: Camera(*frames))
    return parse_config({"camera": {"source": "v4l2"}})


def test_a_camera_that_gives_good_frames(tmp_path: Path) -> None:
    found = check_camera(rendered(tmp_path))
    assert found.passed, found.detail
    assert "rendered:1#2, 480x360 px, " in found.detail


def test_a_machine_without_a_camera_is_not_held_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_check, "SERVICE_UNITS", ())
    found = check_camera(Config())
    assert (found.passed, found.reason) == (True, "not_looked_at")
    # One that was asked for is looked for.
    monkeypatch.setitem(sys.modules, "picamera2", None)
    found = check_camera(parse_config({"camera": {"device": 1}}))
    assert (found.passed, found.exit_code, found.reason) == (False, 4, "no_camera")


def test_cameras_that_do_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    good = render_field(2, RenderSettings(width=400, height=300, um_per_px=0.2)).image
    torn = np.vstack([good[:150], np.roll(good[150:], 90, axis=1) // 2])
    for frames, named in (
        ([CameraError("/dev/video0: no such camera", "missing")], "no such camera"),
        ([good, good], "frozen"),
        ([good, torn], "torn"),
        ([good, np.zeros_like(good)], "underexposed"),
        (
            [good, Frame(good[::-1], "/dev/video0", warnings=("exposure_unsettled",))],
            "exposure was still moving",
        ),
    ):
        found = check_camera(with_camera(monkeypatch, *frames))
        assert (found.passed, found.exit_code) == (False, 4)
        assert named in found.detail
        assert found.reason == ("no_camera" if "no such" in named else None)


def test_what_a_field_would_be_counted_with_a_warning_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    good = render_field(2, RenderSettings(width=400, height=300, um_per_px=0.2)).image
    config = with_camera(monkeypatch, good, good[::-1])
    assert check_camera(config).passed
    monkeypatch.setattr(camera_check, "assess", lambda _: Judgement(warnings=("background_clipped",)))
    found = check_camera(with_camera(monkeypatch, good, good[::-1]))
    assert (found.passed, "the blank slide is burnt out" in found.detail) == (False, True)


def daemon_says(**change: Any) -> Callable[[str], dict[str, Any]]:
    camera = {"connected": True, "last_failure": None} | change.pop("camera", {})
    status = {"source": "picamera:0", "pid": 99, "queue_age_s": 0.4, "mode": "auto", "camera": camera}
    return lambda command: status | change


@pytest.mark.parametrize(
    ("change", "passed", "words"),
    [
        ({}, True, "held by the daemon (process 99), newest frame 0.4 s old"),
        ({"queue_age_s": None}, True, "no frame yet"),
        ({"queue_age_s": 99.0}, False, "no frame for 99 s"),
        ({"camera": {"connected": False, "last_failure": {"message": "unplugged"}}}, False, "unplugged"),
    ],
)
def test_a_camera_that_the_daemon_holds_is_asked_about(
    runtime: Path, tmp_path: Path, change: dict[str, Any], passed: bool, words: str
) -> None:
    with ControlServer(runtime / "control.sock", daemon_says(**change)):
        found = check_camera(rendered(tmp_path))
    assert found.passed is passed
    assert words in found.detail


@pytest.mark.parametrize(
    ("disk", "passed", "words"),
    [
        ({"free_bytes": 12e9, "problem": None}, True, "12.0 GB free"),
        ({"free_bytes": 1, "problem": "1 MB left"}, False, "1 MB left"),
        ({"free_bytes": None, "problem": None}, False, "is gone"),
    ],
)
def test_a_member_of_the_group_asks_the_service_whether_it_can_write(
    runtime: Path, tmp_path: Path, disk: dict[str, Any], passed: bool, words: str
) -> None:
    with ControlServer(runtime / "control.sock", lambda command: {"disk": disk}):
        rights, found = check_served(tmp_path / "blood.db")
    assert (rights.name, rights.passed, found.name, found.passed) == ("permissions", True, "disk", passed)
    assert words in found.detail
    (alone,) = check_served(tmp_path / "blood.db")
    assert (alone.passed, alone.exit_code) == (False, 4)


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check_disk(tmp_path / "not" / "there" / "yet")
    assert found.passed
    assert f"GB free at {tmp_path}" in found.detail
    monkeypatch.setattr(DiskGuard, "free_mb", lambda self: 12.0)
    found = check_disk(tmp_path)
    assert (found.passed, found.exit_code) == (False, 4)
    assert "12 MB left" in found.detail


@pytest.mark.parametrize(
    ("newest_days", "year", "synchronised", "battery", "passed", "named"),
    [
        (None, 2027, False, True, True, ""),
        (9, 2027, True, False, True, ""),
        (None, 2027, False, False, True, "no time server and no hardware clock"),
        (9, 2027, False, True, False, "earlier than 2027-05-10"),
        (9, 2027, False, False, False, "earlier than 2027-05-10"),
        (None, 1970, False, False, False, ""),
    ],
)
def test_clock(
    newest_days: int | None, year: int, synchronised: bool, battery: bool, passed: bool, named: str
) -> None:
    now = datetime(year, 5, 1, tzinfo=UTC)

    def make(is_battery_backed: Callable[[], bool] = lambda: battery) -> WallClock:
        return WallClock(lambda: now, lambda: 0.0, lambda: synchronised, is_battery_backed)

    found = check_clock(None if newest_days is None else now + timedelta(days=newest_days), make)
    assert (found.passed, found.exit_code) == (passed, 0 if passed else 4)
    assert named in found.detail


def test_rights(tmp_path: Path) -> None:
    assert check_rights(tmp_path / "blood.db").passed
    assert "can be made" in check_rights(tmp_path / "new" / "blood.db").detail
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    for above in (tmp_path, *tmp_path.parents[:-1]):
        above.chmod(above.stat().st_mode | stat.S_IXOTH)
    code = (
        "import os; from pathlib import Path; from edge.selfcheck import check_rights; "
        "os.setgid(65534); os.setuid(65534)\n"
        f"for name in ('blood.db', 'new/blood.db'): found = check_rights(Path({str(tmp_path)!r}) / name); "
        "print(found.passed, found.exit_code, found.detail)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    there, absent = done.stdout.splitlines()
    assert there.startswith("False 4 ")
    assert absent.startswith("False 4 ")
    assert "user 65534 may not write" in there
    assert "may not make it in" in absent


def test_supply_and_heat() -> None:
    for celsius, throttled, passed, named in (
        (None, None, True, ""),
        (60.0, (), True, "60 °C, never throttled"),
        (82.0, (), False, "cool the Pi"),
        (60.0, ("under-voltage since boot", "throttled"), False, "supply made for this Pi.*cool the Pi"),
    ):
        found = check_supply(Condition({} if celsius is None else {"cpu": celsius}, throttled, 0.1))
        assert (found.passed, found.exit_code) == (passed, 0 if passed else 4)
        assert re.search(named, found.detail)


def test_log(tmp_path: Path) -> None:
    path = tmp_path / "blood.db"
    found, newest = check_log(path)
    assert (found.passed, newest) == (True, None)
    assert "nothing has been counted" in found.detail
    with BloodLog.open(path) as log:
        for _ in range(3):
            log.append(make_result(), **PROVENANCE, clock_trusted=True)
    found, newest = check_log(path)
    assert found.passed
    assert "3 fields, the hash chain is whole" in found.detail
    assert newest is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        connection.execute("UPDATE field SET source = 'another' WHERE id = 2")
        connection.commit()
    found, _ = check_log(path)
    assert (found.passed, found.exit_code) == (False, 4)
    assert "field 2" in found.detail
    (tmp_path / "other.db").write_text("not a database")
    assert not check_log(tmp_path / "other.db")[0].passed


def test_calibration(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert check_calibration(path, required=False).passed
    assert not check_calibration(path, required=True).passed
    path.write_text("{")
    found = check_calibration(path, required=False)
    assert (found.passed, found.exit_code) == (False, 4)
