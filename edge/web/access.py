"""Who may see the page: the token's hash in a file, and sessions that end."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from edge.device.reading import read_bounded
from edge.errors import ConfigError, EdgeError, OutputError

#: A password of a person's own must be at least this long; NIST SP 800-63B, 3.1.1.2, asks for 15 where it is
#: the only factor, and 8 otherwise. Guesses are limited to 5 a minute here.
MIN_PASSWORD = 12
#: Random bytes of a made token: 128 bits.
TOKEN_BYTES = 16
#: Account of the installed service.
SERVICE = "blastcount"
#: Tries at the lock at once: one is compared, one waits, and two of the page's four threads answer others.
MOST_TRIES = 2
#: What a hash looks like: werkzeug's form of scrypt, with 64 bytes of it.
_HASH = re.compile(
    r"scrypt:(?P<cost>[1-9][0-9]{0,9}):(?P<block>[1-9][0-9]?):(?P<lanes>[1-9])"
    r"\$[A-Za-z0-9./]{8,64}\$[0-9a-f]{128}",
    re.ASCII,
)
#: bytes that one comparison takes, and its lanes. Werkzeug's hashes take 32 MiB and one lane. Less than half
#: of that is weak (OWASP, password storage, 2023); the page's unit has room for twice.
LEAST_COST, MOST_COST, MOST_LANES = 2**24, 2**26, 8
#: A session ends after an hour without a person's doing, and after a long shift in any case.
IDLE_S = 3600.0
LONGEST_S = 12 * 3600.0
#: Sessions at once: everybody's phone in a clinic. Beyond it the one idle for longest ends.
MOST_SESSIONS = 64


def new_token() -> str:
    """Make a random token that can be read out and typed."""
    return secrets.token_hex(TOKEN_BYTES)


def token_hash(secret: str) -> str:
    """Give what :class:`Lock` compares a token or password with: by scrypt (RFC 7914), with a random salt."""
    return generate_password_hash(secret, method="scrypt")


def write_token_file(path: Path, secret: str) -> None:
    """Write the hash of a token or password into a new file that its owner can read, and the service.

    Made by root where the service is installed, the file is the service's own, and its group may read it: it
    is they who serve the page. Nobody else's file is readable for anybody else.

    Parameters
    ----------
    path : must not exist yet, so that nobody is locked out by mistake
    secret : not kept, only its :func:`token_hash`

    Raises
    ------
    ConfigError
        The secret is too short.
    OutputError
        The file exists or cannot be written.
    """
    if len(secret) < MIN_PASSWORD:
        raise ConfigError(f"the password must have at least {MIN_PASSWORD} characters, got {len(secret)}")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if (service := _service_user()) is not None:
                os.fchown(file.fileno(), service.pw_uid, service.pw_gid)
                os.fchmod(file.fileno(), 0o640)
            file.write(f"{token_hash(secret)}\n".encode("ascii"))
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; remove it to make another token") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def read_token_file(path: Path) -> str:
    """Read the hash that :func:`write_token_file` wrote; empty lines and such that begin with ``#`` are none.

    Raises
    ------
    ConfigError
        The file is missing, cannot be read, holds none or several, or one that cannot be compared with.
    """
    make = f"make it with `blastcount review --new-token {path}`"
    try:
        lines = read_bounded(path).decode("ascii").splitlines()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such token file; {make}") from error
    except PermissionError as error:
        raise ConfigError(
            f"{path}: the token file may not be read by {_own_name()}; as root: "
            f"chown {SERVICE}:{SERVICE} {path} && chmod 640 {path}, or remove it and {make}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the token file cannot be read: {error}") from error
    hashes = [(n, text) for n, line in enumerate(lines, 1) if (text := line.strip()) and text[0] != "#"]
    if not hashes:
        raise ConfigError(f"{path}: holds no hash of a token; remove it and {make}")
    for number, text in hashes:
        wrong = "is a second hash, a file holds one" if number != hashes[0][0] else _wrong_hash(text)
        if wrong is not None:
            raise ConfigError(f"{path}, line {number}: {wrong}; remove the file and {make}")
    return hashes[0][1]


def _wrong_hash(text: str) -> str | None:
    """Say what is wrong with a hash; it must be one that is compared at every login without an error."""
    found = _HASH.fullmatch(text)
    if found is None:
        return "holds no hash of a token, expected scrypt:N:r:p$salt$hash"
    cost, block, lanes = (int(found[name]) for name in ("cost", "block", "lanes"))
    if cost & (cost - 1) or not LEAST_COST <= 128 * cost * block <= MOST_COST or lanes > MOST_LANES:
        return f"the hash's costs are out of range, got scrypt:{cost}:{block}:{lanes}"
    return None


def _service_user() -> pwd.struct_passwd | None:
    """Give the account of the installed service, where it is root who asks; None elsewhere."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE)
    except KeyError:
        return None


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


class LockBusyError(EdgeError):
    """As many tries as may wait are waiting."""


class Lock:
    """The lock of the page: compares what was typed with the hash, one try at a time, and few wait.

    A try takes 32 MB and, on a Pi, a fifth of a second; many at once would take the memory that the count
    needs, and every thread of the page would wait for its turn.
    """

    def __init__(self, stored: str) -> None:
        """Take the hash of :func:`read_token_file` or :func:`token_hash`."""
        self._stored = stored
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_TRIES)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the few places at the lock.

        Raises
        ------
        LockBusyError
            All are taken.
        """
        if not self._places.acquire(blocking=False):
            raise LockBusyError("too many tries at once")
        try:
            yield
        finally:
            self._places.release()

    def opens(self, typed: str) -> bool:
        """Whether the token is the right one; to be asked at a :meth:`place`."""
        with self._one_at_a_time:
            return check_password_hash(self._stored, typed)


class Sessions:
    """Sessions that are open; they end with the process.

    Parameters
    ----------
    clock : monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: When each began and was used last, the one idle for longest first.
        self._open: dict[str, tuple[float, float]] = {}

    def begin(self) -> str:
        """Open a session and give its id."""
        identity = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[identity] = self._clock(), self._clock()
        return identity

    def holds(self, identity: str, *, by_person: bool) -> bool:
        """Whether a session is open.

        Parameters
        ----------
        identity : what :meth:`begin` gave
        by_person : a person did something, which keeps the session open; a page that refreshes itself
            does not
        """
        now = self._clock()
        with self._lock:
            if identity not in self._open:
                return False
            began_s, used_s = self._open[identity]
            is_open = now - used_s < IDLE_S and now - began_s < LONGEST_S
            if by_person or not is_open:
                del self._open[identity]
            if by_person and is_open:
                self._open[identity] = began_s, now
            return is_open

    def end(self, identity: str) -> None:
        """End a session; a cookie that was copied from it opens nothing any more."""
        with self._lock:
            self._open.pop(identity, None)
