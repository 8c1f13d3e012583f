"""Opening the log's file: write-ahead mode, schema, and what SQLite's refusals mean."""

from __future__ import annotations

import os
import shlex
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from edge.bloodlog.locks import USUAL, Patience
from edge.bloodlog.schema import check_schema, migrate, shipped_migrations
from edge.device.durable import make_private
from edge.device.rights import refusal
from edge.errors import NO_ROOM, DiskFullError, LogBusyError, LogDamagedError, LogError, NoLogError

_SAVE = "restore a backup, or save what can be read with `blastcount log repair --out FILE`"
_MAKE_ROOM = "make a backup, then `blastcount log retention`, or remove what else is on it"
#: What SQLite takes at once for the index of its journal; with less room left it cannot even be opened.
_INDEX_BYTES = 32_768
#: SQLite's own wait for another process; one that is asked to stop meanwhile does not hear it.
_SQLITE_WAITS_S = 0.2
#: What reading a file may raise. Where a broken schema is no text, Python cannot even say what SQLite said.
DAMAGE = (sqlite3.Error, UnicodeDecodeError)


class LogPart(ABC):
    """A part of what can be read in a log and written to it."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Read."""

    @abstractmethod
    def writing(self, failed: str) -> AbstractContextManager[sqlite3.Connection]:
        """Write in one transaction; ``failed`` begins the message where that cannot be."""


class Undisturbed:
    """A log without a journal, that nobody writes to, read without locks: whether that was so all the time.

    Parameters
    ----------
    path : the log's file
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = self._look()

    def _look(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size

    def check(self) -> None:
        """Look again.

        Raises
        ------
        LogBusyError
            Somebody has begun to write, so that what was read may not belong together.
        """
        if self._look() != self._state or _journal(self._path).exists():
            raise LogBusyError(f"{self._path}: the service began to write while this was read; ask again")


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def connect(
    path: Path, *, read_only: bool, must_exist: bool = False, patience: Patience = USUAL
) -> tuple[sqlite3.Connection, Undisturbed | None]:
    """Open the log's file; see :meth:`edge.bloodlog.BloodLog.open`.

    Returns
    -------
    the connection; and where it reads without locks, what tells whether somebody wrote meanwhile
    """
    check_name(path, makes_it=not (read_only or must_exist))
    if read_only or must_exist:
        check_there(path)
    if not read_only and path.is_file() and path.stat().st_nlink > 1:
        # Each name has a journal, locks and pictures of its own: writers by two names lose each other's rows
        # (https://www.sqlite.org/howtocorrupt.html, section 2.5).
        raise LogError(
            f"{path}: the log has more than one name (hard links), expected one; find the others with "
            f"`find -samefile` and remove them, or put symbolic links in their place"
        )
    # On a disk that nobody can write to there is no place for locks, nor for the journal and its index, and
    # no need of them. Rows that a crash left in the journal are read through an index in memory.
    alone = read_only and bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    has_journal = _journal(path).exists()
    options = f"mode={'ro' if read_only else 'rwc'}"
    undisturbed = None
    if read_only and not has_journal and (alone or not os.access(path.parent, os.W_OK)):
        # Nor can a reader without the right to write make them while the log's owner is away.
        undisturbed = Undisturbed(path)
        options += "&immutable=1"
    elif alone:
        options += "&vfs=unix-none"
    if not read_only:
        make_private(path)
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}",
            uri=True,
            timeout=_SQLITE_WAITS_S,
            isolation_level=None,  # transactions are begun and ended here, in plain sight
        )
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    try:
        if alone and has_journal:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _prepare_patiently(connection, path, read_only, patience)
    except DAMAGE as error:
        connection.close()
        raise unusable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection, undisturbed


def check_name(path: Path, *, makes_it: bool = True) -> None:
    """See whether a log can be under this name.

    Parameters
    ----------
    path : the name
    makes_it : a log that is not there is made, for which its folder has to be there

    Raises
    ------
    LogError
        Something else is, its folder is missing, or this user may not read it.
    """
    if (why := refusal(path)) is not None:
        raise LogError(f"{path}: {why}")
    if path.is_dir():
        raise LogError(f"{path}: is a folder; name a file for the log")
    if path.exists() and not path.is_file():  # opening a named pipe would wait for its writer
        raise LogError(f"{path}: is a device, a pipe or a socket; name a file for the log")
    if makes_it and not path.parent.is_dir():
        raise LogError(f"{path}: the folder {path.parent} does not exist; make it first")


def check_there(path: Path) -> None:
    """See that there is a log.

    Raises
    ------
    NoLogError
        There is none of this name.
    """
    if not path.exists():
        raise NoLogError(
            f"{path}: no such log; `blastcount sample open --id ID` makes the configured one, "
            "`blastcount count --log FILE` another"
        )


def _prepare_patiently(
    connection: sqlite3.Connection, path: Path, read_only: bool, patience: Patience
) -> None:
    """Prepare a connection, again and again while another process is making or recovering the same log."""
    if not _done_when_free(lambda: _prepare(connection, path, read_only=read_only), patience):
        raise LogBusyError(f"{path}: the log cannot be used: another process holds it; wait, or stop that")


def _done_when_free(work: Callable[[], object], patience: Patience) -> bool:
    """Do something as soon as no other process is in the way; whether it was done."""

    def attempt() -> bool:
        try:
            work()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            return False
        return True

    return patience.until(attempt)


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Switch a fresh connection to write-ahead mode and bring its schema up to date, or refuse it."""
    connection.execute("PRAGMA foreign_keys = ON")
    shipped = shipped_migrations()
    if read_only:
        found = check_schema(connection, shipped, str(path))
        if found < shipped[-1].number:
            raise LogError(
                f"{path}: has schema {found}, expected {shipped[-1].number}; its owner brings it up to date "
                f"with `blastcount log retention --dry-run --log {shlex.quote(str(path))}`, or the service "
                "when it starts"
            )
        return
    # Before the journal mode, which would change the header of a database that is not ours.
    check_schema(connection, shipped, str(path))
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LogError(
            f"{path}: write-ahead logging is not possible here (got journal mode {mode!r}); "
            "put the log on a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection, shipped, str(path))


def unusable(path: Path, error: Exception) -> LogError:
    """Say in a person's words why SQLite refused the file."""
    name = getattr(error, "sqlite_errorname", "")
    if _is_for_want_of_room(path, name):
        return DiskFullError(f"{path}: the log cannot be used: the disk is full ({error}); {_MAKE_ROOM}")
    if isinstance(error, sqlite3.Error) and _is_busy(error):
        return LogBusyError(f"{path}: the log cannot be used: another process holds it; wait, or stop that")
    if name == "SQLITE_NOTADB":
        return LogError(f"{path}: is not a SQLite database; name another file")
    if name.startswith("SQLITE_CORRUPT") or isinstance(error, UnicodeDecodeError):
        return LogDamagedError(f"{path}: the log cannot be used: {error}; {_SAVE}")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return LogError(
            f"{path}: cannot be opened ({error}); check the owner and the rights of file and folder"
        )
    return LogError(f"{path}: the log cannot be used: {error}")


def unwritable(message: str, error: OSError) -> LogError:
    """Make the error of a file that the system did not let be written; a full disk is a DiskFullError."""
    text = f"{message}: {error.strerror or error}"
    return DiskFullError(text) if error.errno in NO_ROOM else LogError(text)


def refused(path: Path, failed: str, error: sqlite3.Error) -> LogError:
    """Make the error of a write that SQLite refused; where the disk is full it is a DiskFullError."""
    message = f"{path}: {failed}: {error}"
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB" or name.startswith("SQLITE_CORRUPT"):
        return LogDamagedError(f"{message}; {_SAVE}")
    return DiskFullError(message) if _is_for_want_of_room(path, name) else LogError(message)


def _is_for_want_of_room(path: Path, name: str) -> bool:
    """Whether SQLite failed because the disk is full, which for its index in shared memory it calls I/O."""
    if name == "SQLITE_FULL":
        return True
    if not name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):
        return False
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    no_room = disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < _INDEX_BYTES
    return no_room or (disk.f_files > 0 and disk.f_favail == 0)


@contextmanager
def transaction(connection: sqlite3.Connection, patience: Patience = USUAL) -> Iterator[None]:
    """Write all of the block or nothing; other writers wait meanwhile."""
    if not _done_when_free(lambda: connection.execute("BEGIN IMMEDIATE"), patience):
        raise LogBusyError("another process is writing, and has been for long; find it with `fuser -v`")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read the log as it is at the first look, whatever others write meanwhile; in another, as that does."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
