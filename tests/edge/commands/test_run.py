"""``blastcount run``: options, sources, and the real process with its log and its signals."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.bloodlog import BloodLog
from edge.camera.configured import make_source
from edge.camera.picamera import PiCameraSource
from edge.camera.replay import ReplaySource
from edge.camera.source import FrameSource
from edge.camera.v4l2 import V4L2Source
from edge.commands.journal import logging_to_stderr
from edge.commands.run import override
from edge.config import Config, load_config, parse_config
from edge.errors import ConfigError
from edge.rendered import RenderSettings, render_field
from tests.edge.commands.invoking import blastcount
from tests.waiting import PATIENCE_S, wait_for

#: A small field: a few cells, a tenth of a second.
SMALL = (
    '[camera]\nsource = "rendered"\nwidth = 400\nheight = 300\ninterval_s = 0.1\n[scale]\num_per_px = 0.2\n'
)


class Run:
    """The command, here or, where its end is the matter, in a process of its own."""

    def __init__(self, repository: Path, folder: Path, model: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.log = folder / "blood.db"
        self.config = folder / "blastcount.toml"
        self.config.write_text(f'[model]\npath = "{model}"\n{SMALL}')

    def __call__(self, *arguments: object) -> tuple[int, str]:
        result = blastcount("run", "--config", self.config, *arguments)
        assert result.stdout == ""
        return result.exit_code, result.stderr

    @contextmanager
    def process(self, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "edge.cli", "run", "--config", self.config, *arguments]
        found = os.environ | {"PYTHONPATH": str(self.repository)} | environment
        with subprocess.Popen(
            list(map(str, command)), cwd=self.folder, env=found, text=True, stderr=subprocess.PIPE
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def run(repository: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("BLASTCOUNT_CONFIG", "STATE_DIRECTORY", "NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Run(repository, tmp_path, tiny_model)


def count_of(path: Path) -> int:
    """Fields of a whole database, which may not be made yet."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (fields,) = connection.execute("SELECT count(*) FROM field").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(fields)


def test_three_rendered_fields_reach_the_log(run: Run) -> None:
    code, errors = run("--fields", 3, "--interval", 0.2, "--log", run.log)
    assert code == 0, errors
    assert "stopped: 3 fields logged" in errors
    with BloodLog.open(run.log, read_only=True) as log:
        fields = list(log.fields())
    assert [field.result.source for field in fields] == [f"rendered:1#{number}" for number in (1, 2, 3)]
    assert {field.source_kind for field in fields} == {"rendered"}
    assert len({field.result.frame_sha256 for field in fields}) == 3
    assert sum(field.result.wbc for field in fields) > 0
    overridden = override(load_config(run.config), interval_s=0.2, log_path=run.log)
    assert {field.config_sha256 for field in fields} == {overridden.sha256}


def test_a_signal_stops_it_cleanly(run: Run) -> None:
    with run.process("--log", run.log) as process:
        wait_for(lambda: count_of(run.log) >= 2)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert re.search(r"stopped: \d+ fields logged", errors)
    assert "Traceback" not in errors
    # Closing has put everything into the one file. (Looked at first: counting makes the others again.)
    assert not list(run.log.parent.glob("blood.db-*"))
    assert count_of(run.log) >= 2


def test_a_camera_that_hangs_as_it_opens_does_not_hold_up_a_stop(run: Run) -> None:
    (run.folder / "picamera2.py").write_text(
        "import pathlib, time\n"
        "class Picamera2:\n"
        "    @staticmethod\n"
        "    def global_camera_info(): return [{'Model': 'imx477'}]\n"
        "    def __init__(self, number):\n"
        "        pathlib.Path('opening').touch()\n"
        "        time.sleep(3600)\n"
    )
    shadowed = f"{run.folder}:{run.repository}"
    with run.process("--source", "picamera", "--log", run.log, PYTHONPATH=shadowed) as process:
        wait_for((run.folder / "opening").exists)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert "still opening; left behind" in errors


def test_the_log_is_in_the_state_folder_unless_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, errors = run("--fields", 1)
    assert code == 0, errors
    assert count_of(run.folder / "state" / "blastcount" / "blastcount.db") == 1
    monkeypatch.setenv("XDG_STATE_HOME", "/proc")
    code, errors = run("--fields", 1)
    assert code == 1
    assert "/proc/blastcount: the state folder cannot be made: " in errors


def test_another_user_s_log_is_his_daemon_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_system_config: None
) -> None:
    monkeypatch.setattr("edge.commands.run.writes_itself", lambda _path: False)
    result = blastcount("run", "--source", "rendered", "--log", tmp_path / "b.db")
    assert (result.exit_code, "name another with --log" in result.stderr) == (1, True)
    assert not list(tmp_path.iterdir())


def test_replay_of_files(run: Run) -> None:
    fields = run.folder / "fields"
    fields.mkdir()
    image = render_field(3, RenderSettings(width=400, height=300, um_per_px=0.2)).image
    assert cv2.imwrite(str(fields / "a.png"), image[..., ::-1])
    (fields / "b.png").write_text("not a picture")
    code, errors = run("--source", "replay", "--path", fields, "--log", run.log)
    assert code == 0, errors
    assert "b.png" in errors
    assert "has come to its end" in errors
    with BloodLog.open(run.log, read_only=True) as log:
        (field,) = log.fields()
    assert (field.source_kind, field.result.source) == ("replay", str(fields / "a.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--source", "v4l2"], 1, "/dev/video0: no such camera"),
        (["--source", "picamera"], 3, "apt install python3-picamera2"),
        (["--source", "replay"], 3, r"camera\.path"),
        (["--source", "replay", "--path", "absent"], 1, "absent: no such file or folder"),
        (["--interval", "0"], 3, r"camera\.interval_s .* 0\.05 to 86400"),
        (["--log", "absent/blood.db"], 1, r"absent/blood\.db: the folder absent does not exist"),
        (["--config", "absent.toml"], 3, r"absent\.toml"),
        (["--config", "no_model.toml", "--log", "blood.db"], 3, r"absent\."),
        (["--fields", "0"], 2, "--fields"),
        (["--source", "usb"], 2, "--source"),
        (["--interval", "often"], 2, "--interval"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, named: str
) -> None:
    if "v4l2" in arguments and Path("/dev/video0").exists():
        pytest.skip("a camera is connected to this machine")
    monkeypatch.setitem(sys.modules, "picamera2", None)  # it may be installed here
    Path("no_model.toml").write_text('[model]\npath = "absent.tflite"\n' + SMALL)
    found, errors = run("--fields", "1", *arguments)
    assert found == code, errors
    *_, last = errors.splitlines()
    assert re.search(named, last), errors
    assert code == 2 or last.startswith("blastcount: error: ")
    assert not run.log.exists()


def test_options_go_over_the_configuration() -> None:
    config = override(
        Config(), source="replay", path=Path("/fields"), interval_s=9.0, log_path=Path("/blood.db")
    )
    camera = config.camera
    assert (camera.source, camera.path, camera.interval_s) == ("replay", Path("/fields"), 9.0)
    assert config.log_path == Path("/blood.db")
    assert config.sha256 != Config().sha256
    assert override(Config()) == Config()
    with pytest.raises(ConfigError, match=r"camera\.interval_s"):
        override(Config(), interval_s=-1.0)


def test_the_configured_source_is_made() -> None:
    def made(**camera: object) -> FrameSource:
        return make_source(parse_config({"camera": camera, "scale": {"um_per_px": 0.2}}))

    cameras: list[tuple[dict[str, object], type[FrameSource], str]] = [
        ({"source": "picamera", "device": 1}, PiCameraSource, "picamera:1"),
        ({"source": "v4l2", "device": "/dev/video7"}, V4L2Source, "/dev/video7"),
    ]
    for table, kind, name in cameras:
        source: Any = made(width=640, height=480, **table)
        assert isinstance(source, kind)
        assert (source.name, source._size, source._um_per_px) == (name, (640, 480), 0.2)
    replay = made(source="replay", path="/fields", loop=True)
    assert isinstance(replay, ReplaySource)
    assert (replay.name, replay._loop, replay._um_per_px) == ("/fields", True, 0.2)
    with made(source="rendered", seed=5, width=320, height=240) as rendered:
        frame = rendered.read(1.0)
    assert frame is not None
    assert (rendered.name, frame.width, frame.height, frame.um_per_px) == ("rendered:5", 320, 240, 0.2)
    with pytest.raises(ConfigError, match="um_per_px"):
        make_source(parse_config({"camera": {"source": "rendered"}, "scale": {"um_per_px": 0.01}}))


def test_journald_gets_priorities(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("edge")
    before = (logger.level, list(logger.handlers))
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    with logging_to_stderr(logging.INFO):
        logging.getLogger("edge.daemon").warning("gone")
        logging.getLogger("edge.daemon").debug("not shown")
    monkeypatch.delenv("JOURNAL_STREAM")
    with logging_to_stderr(logging.DEBUG):
        logging.getLogger("edge.daemon").debug("shown")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "<4>gone"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d DEBUG shown", second)
    assert (logger.level, logger.handlers) == before
