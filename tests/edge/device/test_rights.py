"""Who may not reach a file is told in one line what to do."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.bloodlog import BloodLog
from edge.daemon.client import ask, find_socket
from edge.device.rights import refusal, user_name
from edge.errors import ControlError, LogError


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that its owner and group alone may enter, for somebody else: root may everywhere."""
    folder = tmp_path / "service"
    folder.mkdir(mode=0o750)
    allowed = os.access
    looked_up = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if folder in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        return looked_up(self, **options)

    monkeypatch.setattr("os.access", lambda path, mode: path != folder and allowed(path, mode))
    monkeypatch.setattr("os.getgroups", lambda: [54321])
    monkeypatch.setattr("os.getegid", lambda: 54321)
    monkeypatch.setattr(Path, "stat", stat)
    return folder


def of_group(closed: Path, monkeypatch: pytest.MonkeyPatch, *members: str) -> None:
    found = closed.stat()
    described = SimpleNamespace(st_gid=970, st_mode=found.st_mode, st_uid=found.st_uid)
    looked_up = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **o: described if self == closed else looked_up(self, **o))
    group = SimpleNamespace(gr_name="blastcount", gr_mem=list(members))
    monkeypatch.setattr("grp.getgrgid", lambda gid: group if gid == 970 else None)


def test_whoever_is_no_member_is_told_how_to_be_one(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    of_group(closed, monkeypatch, "siti")
    join = f"you are not a member of group blastcount: `sudo adduser {me} blastcount`, then log in again"
    assert refusal(closed / "blood.db") == join
    with pytest.raises(LogError, match=f"blood.db: {join}"):
        BloodLog.open(closed / "blood.db", read_only=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(closed))
    assert find_socket(closed / "blood.db") == closed / "control.sock"
    of_group(closed, monkeypatch, "siti", me)
    again = refusal(closed / "blood.db")
    assert again == "you were made a member of group blastcount after you had logged in: log out and in again"


def test_a_private_folder_names_its_owner(closed: Path) -> None:
    closed.chmod(0o700)
    owner = user_name(os.geteuid())
    assert refusal(closed / "blood.db") == f"only user {owner} may read {closed}"
    assert refusal(closed / "s", os.W_OK) == f"only user {owner} may write {closed}"


def test_what_can_be_reached_is_not_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.db") is None
    assert refusal(tmp_path) is None
    with pytest.raises(ControlError, match="no daemon listens here"):
        ask(tmp_path / "none.sock", "status")
    assert user_name(4_000_000_000) == "4000000000"
