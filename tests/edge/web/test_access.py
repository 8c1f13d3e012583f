"""The token's file, the lock and the sessions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge.errors import ConfigError, OutputError
from edge.web import access
from edge.web.access import Lock, Sessions, new_token, read_token_file, write_token_file


def test_a_token_opens_the_lock_and_nothing_else_does(tmp_path: Path) -> None:
    path, token = tmp_path / "token", new_token()
    write_token_file(path, token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stored = path.read_text()
    assert token not in stored
    lock = Lock(read_token_file(path))
    assert lock.opens(token)
    for wrong in ("", token[:-1], token + "0", token.upper() + "x", stored.strip(), "\x00", "ü" * 99):
        assert not lock.opens(wrong)
    # Never written over, or somebody is locked out by mistake.
    with pytest.raises(OutputError, match="exists already"):
        write_token_file(path, new_token())
    assert path.read_text() == stored


def test_tokens_are_long_and_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(bytes.fromhex(new_token())) == 16


def test_token_files_that_cannot_be_made_or_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_token_file(tmp_path / "nowhere" / "token", new_token())
    with pytest.raises(ConfigError, match="at least 12 characters, got 11"):
        write_token_file(tmp_path / "token", "x" * 11)
    with pytest.raises(ConfigError, match="make it with `blastcount review --new-token"):
        read_token_file(tmp_path / "token")


@pytest.mark.parametrize("content", [b"", b"secret\n", b"scrypt:1:1:1$salt", b"plain$a$b", b"scrypt\xff$$"])
def test_a_file_without_a_hash_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no hash|cannot be read"):
        read_token_file(path)


@pytest.fixture
def clock() -> list[float]:
    """One entry: the seconds that it is."""
    return [0.0]


@pytest.fixture
def sessions(clock: list[float]) -> Sessions:
    return Sessions(lambda: clock[0])


def test_a_session_ends_when_nobody_does_anything(sessions: Sessions, clock: list[float]) -> None:
    identity = sessions.begin()
    for by_person in (True, False):  # a page that refreshes itself keeps nothing open
        clock[0] += access.IDLE_S - 1
        assert sessions.holds(identity, by_person=by_person)
    clock[0] += 1
    assert not sessions.holds(identity, by_person=True)


def test_a_session_ends_after_a_shift_in_any_case(sessions: Sessions, clock: list[float]) -> None:
    identity = sessions.begin()
    while clock[0] + 600 < access.LONGEST_S:
        clock[0] += 600
        assert sessions.holds(identity, by_person=True)
    clock[0] = access.LONGEST_S
    assert not sessions.holds(identity, by_person=False)


def test_an_ended_session_cannot_be_replayed(sessions: Sessions) -> None:
    identity = sessions.begin()
    assert sessions.holds(identity, by_person=True)
    for _ in range(2):
        sessions.end(identity)
        assert not sessions.holds(identity, by_person=True)


def test_sessions_are_bounded_and_the_one_idle_for_longest_ends(
    sessions: Sessions, clock: list[float]
) -> None:
    first, second, *_ = (sessions.begin() for _ in range(access.MOST_SESSIONS))
    clock[0] += 1
    assert sessions.holds(first, by_person=True)
    sessions.begin()
    assert sessions.holds(first, by_person=True)
    assert not sessions.holds(second, by_person=True)
