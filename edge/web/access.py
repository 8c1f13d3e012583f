"""Who may see the page: the token's hash in a file, the gate where tries wait, and sessions that end."""

from __future__ import annotations

import os
import pwd
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.bloodlog.users import User
from edge.device.passwords import MIN_PASSWORD, matches, password_hash, wrong_hash
from edge.device.reading import read_bounded
from edge.errors import ConfigError, EdgeError, OutputError

#: Random bytes of a made token: 128 bits.
TOKEN_BYTES = 16
#: Account of the installed service.
SERVICE = "blastcount"
#: Tries at the lock at once: one is compared, one waits, and two of the page's four threads answer others.
MOST_TRIES = 2
#: A session ends after an hour without a person's doing, and after a long shift in any case.
IDLE_S = 3600.0
LONGEST_S = 12 * 3600.0
#: Sessions at once: everybody's phone in a clinic. Beyond it the one idle for longest ends.
MOST_SESSIONS = 64
#: Forms to sign that one session may have open, in as many tabs.
MOST_OFFERS = 16


def new_token() -> str:
    """Make a random token that can be read out and typed."""
    return secrets.token_hex(TOKEN_BYTES)


def write_token_file(path: Path, secret: str) -> None:
    """Write the hash of a token or password into a new file that its owner can read, and the service.

    Made by root where the service is installed, the file is the service's own, and its group may read it: it
    is they who serve the page. Nobody else's file is readable for anybody else.

    Parameters
    ----------
    path : must not exist yet, so that nobody is locked out by mistake
    secret : not kept, only its :func:`edge.device.passwords.password_hash`

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
            file.write(f"{password_hash(secret)}\n".encode("ascii"))
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
        wrong = "is a second hash, a file holds one" if number != hashes[0][0] else wrong_hash(text)
        if wrong is not None:
            raise ConfigError(f"{path}, line {number}: {wrong}; remove the file and {make}")
    return hashes[0][1]


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


class Gate:
    """Compares what was typed with a hash, one try at a time, while few wait.

    A try takes 32 MB and, on a Pi, half a second; many at once would take the memory that the count needs,
    and every thread of the page would wait for its turn.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_TRIES)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the few places at the gate.

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

    def opens_by(self, stored: str, typed: str) -> bool:
        """Whether what was typed is what a hash was made of; to be asked at a :meth:`place`."""
        with self._one_at_a_time:
            return matches(stored, typed)


class Lock(Gate):
    """The lock of the page, which one token opens for all."""

    def __init__(self, stored: str) -> None:
        """Take the hash of :func:`read_token_file` or :func:`edge.device.passwords.password_hash`."""
        super().__init__()
        self._stored = stored

    def opens(self, typed: str) -> bool:
        """Whether the token is the right one; to be asked at a :meth:`place`."""
        return self.opens_by(self._stored, typed)


@dataclass(slots=True)
class _Session:
    """When one began and was used last, in s, who signed in, and the forms that may be sent once."""

    began_s: float
    used_s: float
    user: User | None
    offers: dict[str, str] = field(default_factory=dict)


class Sessions:
    """Sessions that are open; they end with the process.

    Parameters
    ----------
    clock : monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: The one idle for longest first.
        self._open: dict[str, _Session] = {}

    def begin(self, user: User | None = None) -> str:
        """Open a session, of a user or of whoever has the token, and give its id."""
        identity = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[identity] = _Session(self._clock(), self._clock(), user)
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
            found = self._open[identity]
            is_open = now - found.used_s < IDLE_S and now - found.began_s < LONGEST_S
            if by_person or not is_open:
                del self._open[identity]
            if by_person and is_open:
                found.used_s = now
                self._open[identity] = found
            return is_open

    def user(self, identity: str) -> User | None:
        """Give who signed in, as that user was then; None for a session of the token."""
        with self._lock:
            found = self._open.get(identity)
            return None if found is None else found.user

    def offer(self, identity: str, what: str) -> str:
        """Give a number that :meth:`redeem` takes once, from this session, for what was shown with it."""
        nonce = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            found = self._open.get(identity)
            if found is not None:
                if len(found.offers) >= MOST_OFFERS:
                    del found.offers[next(iter(found.offers))]
                found.offers[nonce] = what
        return nonce

    def redeem(self, identity: str, nonce: str) -> str | None:
        """Take a number back and give what was shown with it; None for one that is another's, or was used."""
        with self._lock:
            found = self._open.get(identity)
            return None if found is None else found.offers.pop(nonce, None)

    def end(self, identity: str) -> None:
        """End a session; a cookie that was copied from it opens nothing any more."""
        with self._lock:
            self._open.pop(identity, None)
