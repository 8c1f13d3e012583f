"""docs/pi.md says what the units, the constants and the packaging say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edge.config import SYSTEM_CONFIG
from edge.config.trigger import TriggerMode
from edge.daemon import loop, reconnect
from edge.daemon.inspection import MAX_FAULTY
from edge.daemon.protocol import COMMANDS, SOCKET_NAME, SYSTEM_RUNTIME
from edge.daemon.status import HEARTBEAT_NAME, METRICS_NAME

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "pi.md").read_text()
FLAT = " ".join(PAGE.split())
UNIT = (ROOT / "systemd" / "blastcount.service").read_text()


def test_the_offline_command_names_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=;\[ ]", line)[0] for line in project["dependencies"]]
    command = re.search(r"pip download.*?setuptools", PAGE, re.DOTALL)
    assert command is not None
    missing = [name for name in names if not re.search(rf"[ ']{name}\b", command[0])]
    assert missing == ["sdnotify"]  # published as source only: the second command builds it
    assert "--no-deps sdnotify ." in PAGE


@pytest.mark.parametrize(
    "words",
    [
        f"again after {reconnect.FIRST_RETRY_S:g}, 1, 2 and then every {reconnect.LONGEST_RETRY_S:g} s",
        f"{reconnect.MAX_FAILURES} failures within {reconnect.FAILURE_WINDOW_S:g} s end the process",
        f"{({3: 'three'})[MAX_FAULTY]} in a row are a failure of the camera",
        f"written every {({5.0: 'five'})[loop.BEAT_S]} seconds",
        f"`{SYSTEM_RUNTIME / SOCKET_NAME}`",
        f"`{HEARTBEAT_NAME}`",
        f"`{METRICS_NAME}`",
        f"The configuration is `{SYSTEM_CONFIG}`",
        "systemd kills and restarts it after 60 s"
        if "WatchdogSec=60s" in UNIT
        else "WatchdogSec has changed",
        "starts it again after 5 s" if "RestartSec=5s" in UNIT else "RestartSec has changed",
        "Every night at three"
        if "03:00:00" in (ROOT / "systemd" / "blastcount-upkeep.timer").read_text()
        else "the timer has changed",
    ],
)
def test_the_page_has_the_program_s_own_figures(words: str) -> None:
    assert words in FLAT


def test_every_mode_and_command_is_explained() -> None:
    for mode in TriggerMode.__args__:  # type: ignore[attr-defined]  # of a Literal
        assert re.search(rf"^\| `{mode}`", PAGE, re.MULTILINE), mode
    for command in COMMANDS:
        assert f"`{command}`" in PAGE, command


def test_exit_codes_that_leave_the_service_down() -> None:
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", UNIT, re.MULTILINE)
    down = re.findall(r"^\| (\d) \|.*\| leaves it down \|$", PAGE, re.MULTILINE)
    assert down == codes.split()
