"""The users beside a log: kept whole, read by their owner alone, gone when they are removed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.bloodlog.users import User, UserFile, user_name
from edge.device.passwords import nobodys_hash
from edge.errors import LogError

HASH = nobodys_hash()


@pytest.fixture
def users(tmp_path: Path) -> UserFile:
    return UserFile.beside(tmp_path / "blood.db")


def test_users_come_and_go(users: UserFile) -> None:
    assert (users.all(), users.exists()) == ({}, False)
    users.add(User("Sari", "supervisor", HASH))
    users.add(User("Budi", "reader", HASH))
    other = UserFile(users.path)  # another process
    assert list(other.all()) == ["Sari", "Budi"]
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    # A phone begins a name with a capital; two names that differ in it alone would be one person.
    assert users.find("  sARI ") == User("Sari", "supervisor", HASH)
    assert users.find("Sari\x00") is users.find("") is None
    with pytest.raises(LogError, match="user Sari is there already"):
        users.add(User("sari", "reader", HASH))
    new = HASH.replace("0" * 32, "1" * 32)
    assert users.replace("budi", new) == User("Budi", "reader", new) == other.all()["Budi"]
    users.remove("Sari")
    assert list(other.all()) == ["Budi"]
    with pytest.raises(LogError, match="there is no user Sari; there are: Budi"):
        users.remove("Sari")
    users.remove("Budi")
    assert (users.exists(), other.all()) == (False, {})
    with pytest.raises(LogError, match="there is no user Budi; there are: none"):
        users.known("Budi")


def test_a_log_has_one_file_of_users_whatever_name_it_is_called_by(users: UserFile, tmp_path: Path) -> None:
    (tmp_path / "blood.db").touch()
    (tmp_path / "other.db").symlink_to(tmp_path / "blood.db")
    assert UserFile.beside(tmp_path / "other.db").path == users.path


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"schema":"blastcount.users/2","users":[]}',
        '{"schema":"blastcount.users/1","users":[{"name":"A","role":"admin","password":"x"}]}',
        '{"schema":"blastcount.users/1","users":[{"name":"A","role":"reader","password":"x"}]}',
        f'{{"schema":"blastcount.users/1","users":[{{"name":" A","role":"reader","password":"{HASH}"}}]}}',
        "\xff",
    ],
)
def test_a_file_that_is_none_lets_nobody_in(users: UserFile, content: str) -> None:
    users.path.write_bytes(content.encode("latin-1"))
    users.path.chmod(0o600)
    with pytest.raises(LogError, match=r"blood\.db\.users: .*add them anew"):
        users.all()


def test_a_file_that_others_may_use_lets_nobody_in(users: UserFile) -> None:
    users.add(User("Sari", "reader", HASH))
    for mode in (0o644, 0o640, 0o660, 0o666, 0o602, 0o611):
        users.path.chmod(mode)  # of a page that has read it already, too
        for reader in (users, UserFile(users.path)):
            with pytest.raises(LogError, match=f"mode {mode:04o}.*chmod 600"):
                reader.all()
    users.path.chmod(0o600)
    assert list(users.all()) == ["Sari"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_file_of_somebody_else_lets_nobody_in(users: UserFile) -> None:
    users.add(User("Sari", "reader", HASH))
    log = users.path.with_name("blood.db")
    log.touch()
    for owner, of_log, is_good in (
        (4321, 0, False),
        (4321, 1234, False),
        (1234, 1234, True),
        (0, 1234, True),
    ):
        os.chown(users.path, owner, -1)
        os.chown(log, of_log, -1)
        if is_good:
            assert list(UserFile(users.path).all()) == ["Sari"]
        else:
            with pytest.raises(LogError, match="belongs to 4321, who could change who signs in; expected"):
                UserFile(users.path).all()


def test_a_link_that_leads_nowhere_lets_nobody_in(users: UserFile) -> None:
    for target in (users.path.with_name("gone"), users.path):
        users.path.symlink_to(target)
        assert users.exists()
        with pytest.raises(LogError, match=r"blood\.db\.users: cannot be read"):
            users.all()
        users.path.unlink()


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    users = UserFile.beside(tmp_path / "nowhere" / "blood.db")
    with pytest.raises(LogError, match="no user was changed: No such file"):
        users.add(User("Sari", "reader", HASH))


@pytest.mark.parametrize("typed", ["", " ", "x" * 41, "a\x00b", "a\u200bb"])
def test_names_that_cannot_be(typed: str) -> None:
    assert user_name(typed) is None
