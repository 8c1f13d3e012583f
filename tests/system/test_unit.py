"""The unit file, judged by systemd's own tools. Quick: nothing is started."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from edge.config import CameraConfig
from edge.errors import ConfigError, EdgeError, GateError, ModelError, RuntimeMissingError

#: Exposure level of `systemd-analyze security`, 0 (best) to 10. The unit has 0.9 with systemd 252; the rest
#: is for versions that look at more.
WORST_EXPOSURE = 1.5


@pytest.fixture
def unit(repository: Path) -> Path:
    return repository / "systemd" / "blastcount.service"


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def verify(unit: Path, folder: Path, change: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    # systemd wants the program to be there, which it is only on a device.
    text = unit.read_text(encoding="utf-8").replace("/opt/blastcount/bin/blastcount", sys.executable)
    copy = folder / unit.name
    copy.write_text(text.replace(*change) if change[0] else text, encoding="utf-8")
    return analyze("verify", "--recursive-errors=yes", copy)


def test_systemd_takes_every_line(unit: Path, tmp_path: Path) -> None:
    found = verify(unit, tmp_path)
    assert found.returncode == 0, found.stderr
    assert unit.name not in found.stderr


@pytest.mark.parametrize(
    "change",
    [
        ("ProtectSystem=strict", "ProtectSystm=strict"),
        ("WatchdogSec=60s", "WatchdogSec=soon"),
        (sys.executable, "/absent/blastcount"),
    ],
)
def test_a_mistake_in_the_unit_is_seen(unit: Path, tmp_path: Path, change: tuple[str, str]) -> None:
    found = verify(unit, tmp_path, change)
    assert found.returncode != 0 or unit.name in found.stderr


def test_the_service_is_locked_down(unit: Path, tmp_path: Path) -> None:
    threshold = round(WORST_EXPOSURE * 10)
    found = analyze("security", "--offline=true", f"--threshold={threshold}", unit)
    assert found.returncode == 0, found.stdout[-2000:]
    assert float(re.findall(r"exposure level for \S+: ([0-9.]+)", found.stdout)[0]) <= WORST_EXPOSURE
    # Without its locks the same service fails the same test.
    open_unit = tmp_path / "open.service"
    open_unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=true", f"--threshold={threshold}", open_unit).returncode != 0


def test_it_agrees_with_the_program(unit: Path, repository: Path) -> None:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case, as configparser documents
    parser.read(unit)
    service = parser["Service"]
    assert service["ExecStart"].split()[1:] == ["run"]
    # What a restart cannot mend: usage (click's 2), configuration, model, interpreter, gate.
    for_ever = {2, *(error.exit_code for error in (ConfigError, ModelError, RuntimeMissingError, GateError))}
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == for_ever
    assert EdgeError.exit_code not in for_ever
    # A wait for a frame must fit into the watchdog and into the time to stop, many times over.
    longest_wait_s = CameraConfig.__dataclass_fields__["timeout_s"].metadata["high"]
    for key in ("WatchdogSec", "TimeoutStopSec"):
        assert int(service[key].removesuffix("s")) > 3 * longest_wait_s
    assert (service["StateDirectory"], service["ConfigurationDirectory"]) == ("blastcount", "blastcount")
    users = (repository / "systemd" / "blastcount.sysusers").read_text(encoding="utf-8")
    for group in service["SupplementaryGroups"].split():
        assert f"\ng {group} " in users
    assert f"\nu {service['User']} " in users
