"""The unit file, judged by systemd's own tools. Quick: nothing is started."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config import parse_config
from edge.errors import ConfigError, EdgeError, GateError, ModelError, RuntimeMissingError

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
#: Exposure level of `systemd-analyze security`, 0 (best) to 10. With systemd 252 the daemon has 1.4, the
#: upkeep 1.0 and the review page, which has a network, 1.5; the rest is for versions that look at more.
WORST_EXPOSURE = 2.0


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


ALL_UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))
SERVICES = [name for name in ALL_UNITS if name.endswith(".service")]


def test_every_unit_is_looked_at() -> None:
    assert ALL_UNITS == [
        "blastcount-forward.service",
        "blastcount-review.service",
        "blastcount-upkeep.service",
        "blastcount-upkeep.timer",
        "blastcount.service",
    ]


@pytest.mark.parametrize("name", ALL_UNITS)
def test_systemd_takes_every_line(name: str, repository: Path, tmp_path: Path) -> None:
    for other in ALL_UNITS:  # a timer is verified with its service
        verify(repository / "systemd" / other, tmp_path)
    found = verify(repository / "systemd" / name, tmp_path)
    assert found.returncode == 0, found.stderr
    assert name not in found.stderr


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


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_is_locked_down(name: str, repository: Path, tmp_path: Path) -> None:
    unit = repository / "systemd" / name
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
    for key in ("WatchdogSec", "TimeoutStopSec"):
        with pytest.raises(ConfigError, match=r"camera\.timeout_s"):
            parse_config({"camera": {"timeout_s": int(service[key].removesuffix("s")) / 3}})
    assert (service["StateDirectory"], service["ConfigurationDirectory"]) == ("blastcount", "blastcount")
    users = (repository / "systemd" / "blastcount.sysusers").read_text(encoding="utf-8")
    for group in service["SupplementaryGroups"].split():
        assert f"\ng {group} " in users
    assert f"\nu {service['User']} " in users


@pytest.mark.parametrize("name", ["blastcount daemon", "blastcount: a daemon"])
def test_systemd_makes_the_users(repository: Path, tmp_path: Path, name: str) -> None:
    """Where it does not, an installation ends half-way; a colon in a user's name is such a case."""
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("needs systemd-sysusers: apt-get install systemd")
    text = (repository / "systemd" / "blastcount.sysusers").read_text(encoding="utf-8")
    users = re.findall(r"^u (\S+)", text, re.MULTILINE)
    (tmp_path / "etc").mkdir()
    (tmp_path / "users.conf").write_text(text.replace("blastcount daemon", name), encoding="utf-8")
    made = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", tmp_path / "users.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (made.returncode == 0) == (":" not in name), made.stderr
    if made.returncode == 0:
        passwd = (tmp_path / "etc" / "passwd").read_text()
        assert all(f"\n{user}:" in f"\n{passwd}" for user in users)


def test_every_command_in_the_units_is_one(repository: Path) -> None:
    for name in SERVICES:
        text = (repository / "systemd" / name).read_text()
        for line in re.findall(r"^Exec(?:Start|Reload)=(.*)$", text, re.MULTILINE):
            words = [word for word in line.split()[1:] if not word.startswith("/")]
            result = CliRunner().invoke(main, [*words, "--help"])
            assert result.exit_code == 0, f"{name}: {line}: {result.output}"


def test_the_install_script_installs_every_file_of_the_folder(repository: Path) -> None:
    script = (repository / "systemd" / "install.sh").read_text()
    for path in (repository / "systemd").iterdir():
        if path.suffix != ".sh":
            assert path.name in script, path.name
    checked = subprocess.run(
        ["sh", "-n", repository / "systemd" / "install.sh"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
