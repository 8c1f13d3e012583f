"""Numbered migrations: each file is applied once, in one transaction with its own record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from edge.bloodlog.chain import link_existing
from edge.device.clock import utc_now
from edge.errors import LogError

#: "blcd" in the file header; set by the first migration.
APPLICATION_ID = 0x626C6364

#: What a migration does beyond its SQL, in the same transaction: SQLite has no SHA-256.
_STEPS: Mapping[str, Callable[[sqlite3.Connection], None]] = {"chain_and_retention": link_existing}

_RECORD_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL   -- aware UTC, ISO 8601
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes
    ----------
    number : 1, 2, ... without a gap
    name : the file's name without number and suffix
    sql : statements, each ended by a semicolon
    """

    number: int
    name: str
    sql: str

    def statements(self) -> Iterator[str]:
        """Split into single statements; SQLite itself says where one (a trigger, too) ends."""
        pending = ""
        for line in self.sql.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""


@cache
def shipped_migrations() -> tuple[Migration, ...]:
    """Read the log's migrations, which come with the package; once, for a log is opened again and again."""
    return read_migrations(files("edge.bloodlog"))


def read_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """Read the migrations in a folder of the package, in order of their number."""
    found = []
    for resource in folder.iterdir():
        stem, dot, suffix = resource.name.rpartition(".")
        if dot and suffix == "sql":
            number, _, name = stem.partition("_")
            found.append(Migration(int(number), name, resource.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def check_schema(connection: sqlite3.Connection, shipped: tuple[Migration, ...], path: str) -> int:
    """Find out how far the database's schema has come.

    Parameters
    ----------
    connection : open connection to the database
    shipped : migrations that this software knows
    path : of the database, for messages

    Returns
    -------
    number of the last migration applied, 0 for an empty database

    Raises
    ------
    LogError
        The database belongs to another program or was written by a newer version of this one.
    """
    # Tables first: another process may be making the log, and commits both in one transaction.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if tables == 0 and application_id == 0:
        return 0
    if application_id != APPLICATION_ID:
        raise LogError(
            f"{path}: is a SQLite database but not a blood log (application id {application_id:#x}, "
            f"expected {APPLICATION_ID:#x}); name another file"
        )
    (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    known = shipped[-1].number
    if newest > known:
        raise LogError(
            f"{path}: was written by a newer blastcount (schema {newest}, this one knows up to {known}); "
            "update blastcount"
        )
    return int(newest)


def migrate(connection: sqlite3.Connection, shipped: tuple[Migration, ...], path: str) -> None:
    """Bring the database to the newest schema, one transaction a step.

    A step that fails or is cut off by a power failure leaves the schema of the step before it. Two
    processes that open a new log at the same moment take turns.

    Raises
    ------
    LogError
        As for :func:`check_schema`.
    sqlite3.Error
        The database cannot be written.
    """
    if check_schema(connection, shipped, path) == shipped[-1].number:
        return
    for migration in shipped:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked up again inside the transaction: another process may have applied it meanwhile.
            if check_schema(connection, shipped, path) < migration.number:
                connection.execute(_RECORD_TABLE)
                for statement in migration.statements():
                    connection.execute(statement)
                _STEPS.get(migration.name, _no_step)(connection)
                connection.execute(
                    "INSERT INTO migration VALUES (?, ?, ?)",
                    (migration.number, migration.name, utc_now().isoformat()),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _no_step(_connection: sqlite3.Connection) -> None:
    """Most migrations are SQL alone."""
