"""Opening the log's file: write-ahead mode, schema, and what SQLite's refusals mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.bloodlog.schema import check_schema, migrate, shipped_migrations
from edge.errors import DiskFullError, LogError

#: How long to wait for another writer. One field is one short transaction; a backup or a
#: checkpoint on a slow SD card takes a few seconds.
BUSY_TIMEOUT_S = 10.0


def prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Switch a fresh connection to write-ahead mode and bring its schema up to date, or refuse it."""
    connection.execute("PRAGMA foreign_keys = ON")
    shipped = shipped_migrations()
    if read_only:
        found = check_schema(connection, shipped, str(path))
        if found < shipped[-1].number:
            raise LogError(
                f"{path}: has schema {found}, expected {shipped[-1].number}; open it once for writing"
            )
        return
    # Before the journal mode, which would change the header of a database that is not ours.
    check_schema(connection, shipped, str(path))
    mode = _switch_to_wal(connection)
    if mode != "wal":
        raise LogError(
            f"{path}: write-ahead logging is not possible here (got journal mode {mode!r}); "
            "put the log on a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection, shipped, str(path))


def _switch_to_wal(connection: sqlite3.Connection) -> str:
    # SQLite's own busy timeout does not cover this switch while another process is making the same log.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return str(mode)


def unusable(path: Path, error: sqlite3.Error) -> LogError:
    """Say in a person's words why SQLite refused the file."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return LogError(f"{path}: is not a SQLite database; name another file")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return LogError(
            f"{path}: cannot be opened ({error}); check the owner and the rights of file and folder"
        )
    return LogError(f"{path}: the log cannot be used: {error}")


def refused(message: str, error: sqlite3.Error) -> LogError:
    """Make the error of a write that SQLite refused; where the disk is full it is a DiskFullError."""
    if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return DiskFullError(message)
    return LogError(message)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of the block or nothing; other writers wait meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
