"""What ``blastcount update`` does with a package that it takes; the script of the package stands in here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from edge.bloodlog import BloodLog
from edge.bloodlog.updates import updates
from tests.edge.commands.invoking import blastcount
from tests.edge.updating.packages import Maker

#: Puts the other version in use, as systemd/install.sh does.
INSTALL = """#!/bin/sh
[ -e "$1/requirements.txt" ] || exit 9
ln -sfn blastcount.b {opt}/blastcount
"""


@pytest.fixture
def opt(
    device: Callable[[Path], Result],
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_system_config: None,
) -> Path:
    """A device with a log, where two versions are this environment."""
    opt = tmp_path / "opt"
    for version in ("a", "b"):
        (opt / f"blastcount.{version}" / "bin").mkdir(parents=True)
        python = opt / f"blastcount.{version}" / "bin" / "python"
        # In a version's environment -I is right; these tests run from a tree.
        python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={repository} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
    (opt / "blastcount").symlink_to("blastcount.a")
    config = tmp_path / "b.toml"
    config.write_text(f'[log]\npath = "{tmp_path / "log.db"}"\n')
    BloodLog.open(tmp_path / "log.db").close()
    monkeypatch.setenv("BLASTCOUNT_CONFIG", str(config))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.prefix", str(opt / "blastcount.a"))
    monkeypatch.setattr("edge.commands.update.IN_USE", opt / "blastcount")
    monkeypatch.setattr("edge.commands.update._WORKSPACE", opt / "blastcount.update")
    return opt


@pytest.mark.parametrize(
    ("script", "code", "result", "said"),
    [
        (INSTALL + "exit 1\n", 0, "installed", "warning: it is in use, but not all went well, see above"),
        ("#!/bin/sh\nexit 1\n", 4, "went_back", "error: went_back: version 1.1.0 was not put in use, see"),
    ],
    ids=["installed", "went_back"],
)
def test_the_log_tells_how_it_ended(
    opt: Path, maker: Maker, tmp_path: Path, script: str, code: int, result: str, said: str
) -> None:
    package = maker.makes(script=script.format(opt=opt))
    done = blastcount("update", package)
    assert done.exit_code == code, done.stderr
    assert said in done.stdout + done.stderr
    used = (opt / "blastcount").readlink().name
    assert (used == "blastcount.b") == (result == "installed")
    with BloodLog.open(tmp_path / "log.db", read_only=True) as log:
        (_, begun), (_, ended) = updates(log)
        assert log.verify() == ()
    assert (begun.result, ended.result) == ("begun", result)
    assert (ended.from_version, ended.to_version) == ("1.0.0", "1.1.0")
    assert ended.signer.startswith("maker@example (ED25519 key SHA256:")
    assert not (opt / "blastcount.update").exists()


def test_a_damaged_package_is_seen_before_any_of_it_is_run(opt: Path, maker: Maker, tmp_path: Path) -> None:
    package = maker.makes(script=INSTALL.format(opt=opt))
    (package / "wheels" / "x86_64-cp313" / "requirements.txt").write_text("numpy==2.4.1\n")
    assert blastcount("update", package).exit_code == 4
    assert (opt / "blastcount").readlink().name == "blastcount.a"
    with BloodLog.open(tmp_path / "log.db", read_only=True) as log:
        assert updates(log) == ()
    assert not (opt / "blastcount.update").exists()


def test_a_log_that_takes_no_row_stops_no_update(opt: Path, maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_text("no log")
    done = blastcount("update", maker.makes(script=INSTALL.format(opt=opt)))
    assert (done.exit_code, "1.1.0 is in use, after 1.0.0; to go back: sudo /opt/" in done.stdout) == (
        0,
        True,
    )
    assert done.stderr.count("warning: the log has no row of it: ") == 2
    assert "is not a SQLite database" in done.stderr


def test_a_device_without_room(opt: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.commands.update.copy_checked", full)
    done = blastcount("update", maker.makes())
    assert done.exit_code == 1
    assert "the package cannot be copied: No space left on device" in done.stderr
