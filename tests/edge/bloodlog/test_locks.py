"""One process at a time counts into a sample, wherever it came from and whatever it calls the log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.locks import Patience
from edge.errors import LogBusyError

#: Holds the counting lock of a log until its input is closed, and says when it does.
HOLDER = (
    "import sys\n"
    "from edge.bloodlog import BloodLog\n"
    "with BloodLog.open(sys.argv[1]) as log, log.counting_lock(log.current_sample()):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "log.db").symlink_to("real/blood.db")
    path = tmp_path / "real/blood.db"
    with BloodLog.open(path) as log:
        log.open_sample("S-1", "blood", 200)
    return path


def test_another_process_is_kept_out_by_whatever_name(
    path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    environment = os.environ | {"PYTHONPATH": str(repository), "RUNTIME_DIRECTORY": "/elsewhere"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path.parent.parent / "link/blood.db")],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for name in (path, path.parent.parent / "log.db", Path("blood.db")):
            with (
                BloodLog.open(name, patience=Patience(0.0)) as log,
                pytest.raises(LogBusyError, match=rf"sample S-1: process {holder.pid} holds "),
                log.counting_lock(log.sample("S-1")),
            ):
                pass
        holder.communicate()
    with BloodLog.open(path, patience=Patience(0.0)) as log, log.counting_lock(log.sample("S-1")):
        pass


def test_two_users_in_one_process_exclude_each_other_and_a_stop_ends_the_wait(path: Path) -> None:
    asked = iter([False, False, True])
    with (
        BloodLog.open(path) as one,
        BloodLog.open(path, patience=Patience(3600.0, lambda: next(asked))) as other,
        one.counting_lock(one.sample("S-1")),
        pytest.raises(LogBusyError),
        other.counting_lock(other.sample("S-1")),
    ):
        pass


def test_a_lock_on_a_removed_file_keeps_nobody_out_and_is_not_taken(path: Path) -> None:
    with BloodLog.open(path, patience=Patience(0.0)) as log:
        sample = log.sample("S-1")
        with log.counting_lock(sample):
            pass
        (path.parent / "blood.db.lock").unlink()
        with log.counting_lock(sample), pytest.raises(LogBusyError), log.counting_lock(sample):
            pass
