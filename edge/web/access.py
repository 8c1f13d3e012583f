"""Who may see the page: the token's hash in a file, and sessions that end."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from edge.device.reading import read_bounded
from edge.errors import ConfigError, OutputError

#: A password of a person's own must be at least this long; NIST SP 800-63B, 3.1.1.2, asks for 15 where it is
#: the only factor, and 8 otherwise. Guesses are limited to 5 a minute here.
MIN_PASSWORD = 12
#: Random bytes of a made token: 128 bits.
TOKEN_BYTES = 16
#: A session ends after an hour without a person's doing, and after a long shift in any case.
IDLE_S = 3600.0
LONGEST_S = 12 * 3600.0
#: Sessions at once: everybody's phone in a clinic. Beyond it the one idle for longest ends.
MOST_SESSIONS = 64


def new_token() -> str:
    """Make a random token that can be read out and typed."""
    return secrets.token_hex(TOKEN_BYTES)


def write_token_file(path: Path, secret: str) -> None:
    """Write the hash of a token or password into a new file that only its owner can read.

    Parameters
    ----------
    path : must not exist yet, so that nobody is locked out by mistake
    secret : hashed by scrypt (RFC 7914) with a random salt; not kept

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
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(generate_password_hash(secret, method="scrypt") + "\n", encoding="ascii")
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; remove it to make another token") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def read_token_file(path: Path) -> str:
    """Read the hash that :func:`write_token_file` wrote.

    Raises
    ------
    ConfigError
        The file is missing, cannot be read, or holds no such hash.
    """
    try:
        stored = read_bounded(path).decode("ascii").strip()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such token file; make it with `blastcount review --new-token {path}`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the token file cannot be read: {error}") from error
    if not stored.startswith("scrypt:") or stored.count("$") != 2:
        raise ConfigError(
            f"{path}: holds no hash of a token; remove it and make it again with "
            f"`blastcount review --new-token {path}`"
        )
    return stored


class Lock:
    """The lock of the page: compares what was typed with the hash, one try at a time.

    A try takes 32 MB and, on a Pi, a fifth of a second; many at once would take the memory that the count
    needs.
    """

    def __init__(self, stored: str) -> None:
        """Take the hash of :func:`read_token_file`."""
        self._stored = stored
        self._one_at_a_time = threading.Lock()

    def opens(self, typed: str) -> bool:
        """Whether the token is the right one."""
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
