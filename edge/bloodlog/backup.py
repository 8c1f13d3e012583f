"""Copies of the log and its pictures, whole and verified, or not there.

In the backup's folder lie one database a state of the log, its manifest, and ``pictures``, which all of
them share: a picture that is there already is not copied again. A database is named by the length and the
head of its chain, not by a date: a clock that is wrong makes no backup overwrite another, and a log that
has not changed gives no second copy.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.bloodlog.chain import Head
from edge.bloodlog.core import BloodLog
from edge.bloodlog.inspection import Verdict, inspect
from edge.bloodlog.locks import locked
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import is_given_up, needed_pictures
from edge.device.clock import utc_now
from edge.device.durable import PRIVATE_FILE, PRIVATE_FOLDER, make_private, sync_folder, write_whole
from edge.device.hashing import file_sha256
from edge.errors import DiskFullError, LogError, OutputError

SCHEMA = "blastcount.backup/1"
#: Beginning of the name of what a backup is made in; one that was cut off leaves it behind.
_UNFINISHED = ".backup-"
#: End of the name of a backup of a log that does not verify.
_FAULTY = "-faulty"
#: Pages copied in one go; between two of them the daemon may write.
_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is there and was verified.

    Attributes
    ----------
    database, manifest : its files
    head : end of the chain in it
    fields : fields in it
    pictures, copied : pictures that belong to it, and those of them that were not in the folder before
    made : False where a whole backup of this very state was there already
    damaged : what was found damaged or missing of the earlier backups; that of this state was made anew
    faults : what is wrong with the log, and so with its copy; empty where it verifies
    """

    database: Path
    manifest: Path
    head: Head
    fields: int
    pictures: int
    copied: int
    made: bool
    damaged: tuple[str, ...]
    faults: tuple[str, ...]


def back_up(log: BloodLog, store: ThumbnailStore, folder: Path) -> Backup:
    """Copy the log and its pictures into a folder, and verify the copy.

    Others may go on writing. Cut off at any moment, the earlier backups are as they were. A log that does not
    verify is copied all the same, for its new rows have no other copy, under a name that says so.

    Parameters
    ----------
    log, store : what is copied
    folder : made where it is not there; better on another disk

    Raises
    ------
    LogError
        The log cannot be read.
    OutputError
        The folder cannot be written.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(PRIVATE_FOLDER, parents=True)
            sync_folder(folder.parent)
        with locked(folder / ".lock", "exclusive", log.patience, f"{folder}: no backup was made"):
            _remove_unfinished(folder)  # of earlier ones that were cut off: nobody else is at work here
            unfinished = folder / f"{_UNFINISHED}{os.getpid()}.part"
            try:
                return _made(log, store, folder, unfinished)
            finally:
                _remove_unfinished(folder)
    except DiskFullError as error:  # the backup's disk: nothing is written to the log
        raise OutputError(f"{folder}: no backup was made: {error}") from error
    except OSError as error:
        raise OutputError(f"{folder}: no backup was made: {error.strerror or error}") from error


def _made(log: BloodLog, store: ThumbnailStore, folder: Path, unfinished: Path) -> Backup:
    known, damaged = _earlier_heads(folder)
    _copy_database(log, unfinished)
    with BloodLog.open(unfinished, read_only=True) as copy:
        pictures, copied, lost = _copy_pictures(log, copy, store, ThumbnailStore.beside(unfinished))
        verdict = inspect(copy, known)
    verdict = replace(verdict, pictures=pictures, faults=(*verdict.faults, *lost))
    return _finish(unfinished, folder, verdict, copied, damaged)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob(f"{_UNFINISHED}*"):
        path.unlink(missing_ok=True)


def read_manifest(path: Path) -> tuple[Head, dict[str, Any]]:
    """Read a backup's manifest, for the head of the chain that it noted.

    Raises
    ------
    LogError
        The file cannot be read or is no manifest.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise ValueError(manifest["schema"])
        return Head.parse(manifest["head"]), manifest
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LogError(
            f"{path}: is no manifest of a backup (schema {SCHEMA}); name the .json file of one"
        ) from error


def good_manifests(folder: Path) -> list[Path]:
    """List the manifests of the backups that verified when they were made, the shortest log first."""
    return [path for path in sorted(folder.glob("blastcount-*.json")) if not path.stem.endswith(_FAULTY)]


def _earlier_heads(folder: Path) -> tuple[list[Head], list[str]]:
    """Read which heads the chain must still pass through, or this is another log, or one that was cut.

    Returns
    -------
    the heads, and what is wrong with the manifests that cannot be read
    """
    heads, damaged = [], []
    for path in good_manifests(folder):
        try:
            heads.append(read_manifest(path)[0])
        except LogError as error:
            damaged.append(str(error))
    return heads, damaged


def _copy_database(log: BloodLog, target: Path) -> None:
    make_private(target)
    with log.reading() as source, closing(sqlite3.connect(target, isolation_level=None)) as copy:
        try:
            source.backup(copy, pages=_PAGES)
            # A copy is one file: no journal has to be copied beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:  # the copy's disk; damage of the log is a DatabaseError
            raise OutputError(f"{target.parent}: no backup was made: {error}") from error
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _copy_pictures(
    log: BloodLog, copy: BloodLog, store: ThumbnailStore, target: ThumbnailStore
) -> tuple[int, int, list[str]]:
    """Copy what the copied rows need and the folder lacks.

    Each picture in the backup is read once and compared with its name.

    Returns
    -------
    how many belong to it, how many were copied, and which are missing
    """
    needed = copied = 0
    faults = []
    for field_id, _, sha256 in needed_pictures(copy):
        needed += 1
        if target.read(sha256) is not None:
            continue
        data = store.read(sha256)
        if data is None:
            needed -= 1
            # Retention may have taken it after the rows were copied: nothing to be done, and no fault.
            if not is_given_up(log, field_id):
                faults.append(f"picture of field {field_id} is missing or damaged: {store.path(sha256)}")
            continue
        target.path(sha256).unlink(missing_ok=True)  # a damaged one
        target.put_jpeg(data)
        if target.read(sha256) is None:
            raise OutputError(
                f"{target.path(sha256)}: reads back other than it was written; is the disk failing?"
            )
        copied += 1
    return needed, copied, faults


def _damage(database: Path, manifest: Path) -> str | None:
    """Say what is wrong with a backup that is there; None where it is the file that was verified."""
    if not database.exists():
        return f"{database}: the backup was gone"
    try:
        noted = read_manifest(manifest)[1].get("database_sha256")
    except LogError as error:
        return str(error)
    return None if file_sha256(database) == noted else f"{database}: the backup was damaged"


def _finish(unfinished: Path, folder: Path, verdict: Verdict, copied: int, damaged: Sequence[str]) -> Backup:
    head, pictures = verdict.head, verdict.pictures or 0
    suffix = _FAULTY if verdict.faults else ""
    database = folder / f"blastcount-{head.number:09d}-{head.sha256[:12]}{suffix}.db"
    manifest = database.with_suffix(".json")
    is_there = manifest.exists()
    damage = _damage(database, manifest) if is_there else None
    made = not is_there or damage is not None
    if made:
        content = {
            "schema": SCHEMA,
            "at": utc_now().isoformat(timespec="seconds"),
            "head": str(head),
            "fields": verdict.fields,
            "pictures": pictures,
            "faults": verdict.faults,
            "database": database.name,
            "database_sha256": file_sha256(unfinished),
        }
        unfinished.replace(database)
        try:
            sync_folder(folder)
            # Last: a database without its manifest is one that was not finished.
            write_whole(
                manifest, json.dumps(content, indent=1).encode("ascii"), durable=True, mode=PRIVATE_FILE
            )
        except OSError:
            if not is_there:
                database.unlink()
            raise
    found = tuple(dict.fromkeys(damaged if damage is None else (*damaged, damage)))
    return Backup(database, manifest, head, verdict.fields, pictures, copied, made, found, verdict.faults)
