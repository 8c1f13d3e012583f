"""The token's file, the lock and the sessions."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.errors import ConfigError, OutputError
from edge.web import access
from edge.web.access import Lock, LockBusyError, Sessions, new_token, read_token_file, write_token_file


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


GOOD = "scrypt:32768:8:1$saltsaltsaltsalt$" + "0a" * 64
MALFORMED = {
    "": "token: holds no hash of a token; remove it",
    "# nothing yet\n\n": "token: holds no hash of a token; remove it",
    "secret": "token, line 1: holds no hash of a token, expected scrypt:N:r:p",
    "# made by hand\nplain$a$b": "token, line 2: holds no hash",
    "scrypt:32768:8:1$salt": "line 1: holds no hash",
    GOOD[:-1]: "line 1: holds no hash",
    GOOD.replace("0a", "zz"): "line 1: holds no hash",
    # Each of these would be an error, or a minute, at the first login.
    GOOD.replace("32768", "32767"): "line 1: the hash's costs are out of range, got scrypt:32767:8:1",
    GOOD.replace("32768", "2"): "got scrypt:2:8:1",
    GOOD.replace("32768", "1048576"): "got scrypt:1048576:8:1",
    GOOD.replace(":1$", ":9$"): "got scrypt:32768:8:9",
    f"{GOOD}\n{GOOD}\n": "token, line 2: is a second hash, a file holds one",
}


@pytest.mark.parametrize("content", MALFORMED)
def test_a_line_that_no_token_can_be_compared_with_is_named_at_the_start(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_token_file(path)
    assert MALFORMED[content] in str(caught.value)
    assert "make it with `blastcount review --new-token" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_is_refused_and_comments_are_none_of_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"scrypt\xff$$")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token_file(path)
    path.write_text(f"# of the laboratory\n\n  {GOOD}  \n")
    assert read_token_file(path) == GOOD
    assert not Lock(GOOD).opens("x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_token_that_root_makes_is_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = pwd.getpwnam("nobody")
    monkeypatch.setattr(access, "SERVICE", service.pw_name)
    path = tmp_path / "token"
    write_token_file(path, new_token())
    made = path.stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (service.pw_uid, service.pw_gid, 0o640)


def test_a_token_file_of_somebody_else_says_who_may_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(access, "read_bounded", refuse)
    with pytest.raises(ConfigError, match=r"may not be read by \S+; as root: chown blastcount:blastcount"):
        read_token_file(tmp_path / "token")


def test_few_wait_at_the_lock_and_the_next_is_sent_away() -> None:
    lock = Lock(GOOD)
    with ExitStack() as places:
        for _ in range(access.MOST_TRIES):
            places.enter_context(lock.place())
        with pytest.raises(LockBusyError, match="too many tries at once"), lock.place():
            pass
    with lock.place():
        pass


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
