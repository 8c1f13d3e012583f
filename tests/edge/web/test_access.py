"""The token's file, the lock and the sessions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError, OutputError
from edge.web import access
from edge.web.access import Lock, Sessions, new_token, read_token_file, write_token_file


def test_a_token_opens_the_lock_and_nothing_else_does(tmp_path: Path) -> None:
    path, token = tmp_path / "token", new_token()
    write_token_file(path, token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    lock = Lock(read_token_file(path))
    assert lock.opens(token)
    for wrong in (
        "",
        token[:-1],
        token + "0",
        token.upper() + "x",
        path.read_text().strip(),
        "\x00",
        "ü" * 99,
    ):
        assert not lock.opens(wrong)


def test_tokens_are_long_and_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(bytes.fromhex(new_token())) == 16


def test_a_token_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_token_file(path, new_token())
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_token_file(path, new_token())
    assert path.read_bytes() == before


def test_a_token_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_token_file(tmp_path / "nowhere" / "token", new_token())


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 12 characters, got 11"):
        write_token_file(tmp_path / "token", "x" * 11)
    assert not (tmp_path / "token").exists()


def test_a_missing_token_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such token file; make it with `blastcount review --new-token"):
        read_token_file(tmp_path / "token")


@pytest.mark.parametrize("content", [b"", b"secret\n", b"scrypt:1:1:1$salt", b"plain$a$b", b"scrypt\xff$$"])
def test_a_file_without_a_hash_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no hash|cannot be read"):
        read_token_file(path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends_when_nobody_does_anything() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    identity = sessions.begin()
    clock.now += access.IDLE_S - 1
    assert sessions.holds(identity, by_person=True)
    clock.now += access.IDLE_S - 1
    assert sessions.holds(identity, by_person=False)  # a page that refreshes itself
    clock.now += 1
    assert not sessions.holds(identity, by_person=True)


def test_a_session_ends_after_a_shift_in_any_case() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    identity = sessions.begin()
    while clock.now + 600 < access.LONGEST_S:
        clock.now += 600
        assert sessions.holds(identity, by_person=True)
    clock.now = access.LONGEST_S
    assert not sessions.holds(identity, by_person=True)


def test_an_ended_session_cannot_be_replayed() -> None:
    sessions = Sessions()
    identity = sessions.begin()
    assert sessions.holds(identity, by_person=True)
    sessions.end(identity)
    assert not sessions.holds(identity, by_person=True)
    sessions.end(identity)  # twice does nothing


def test_sessions_are_bounded_and_the_one_idle_for_longest_ends() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    first, second = sessions.begin(), sessions.begin()
    for _ in range(access.MOST_SESSIONS - 2):
        sessions.begin()
    clock.now += 1
    assert sessions.holds(first, by_person=True)
    sessions.begin()
    assert sessions.holds(first, by_person=True)
    assert not sessions.holds(second, by_person=True)


@given(st.text())
def test_no_text_is_a_session(identity: str) -> None:
    sessions = Sessions()
    sessions.begin()
    assert not sessions.holds(identity, by_person=True)
    sessions.end(identity)
