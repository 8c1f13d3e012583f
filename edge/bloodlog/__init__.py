"""The blood log: what every field gave, in one append-only SQLite file that survives a power cut."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge.bloodlog.schema import check_schema, migrate, shipped_migrations
from edge.errors import LogError
from edge.structures import Cell, ClassifiedCell, FieldResult, ModelIdentity, Scale

__all__ = ["BloodLog", "LoggedField"]

#: How long to wait for another writer. One field is one short transaction; a backup or a
#: checkpoint on a slow SD card takes a few seconds.
BUSY_TIMEOUT_S = 10.0

#: Fields read in one go. Reading in pages keeps no read transaction open between them, so that a slow
#: reader never stops the writer's checkpoints.
PAGE_FIELDS = 200

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_FIELD_COLUMNS = (
    "logged_at, monotonic_s, boot_id, captured_at, source_kind, source, width, height, um_per_px, "
    "scale_source, scale_confidence, status, reasons, frame_sha256, model_name, model_sha256, config_sha256, "
    "software_version, runtime, stage_ms"
)
_CELL_COLUMNS = (
    "id, x, y, bbox_x, bbox_y, bbox_width, bbox_height, area_px, nucleus_area_px, kind, label, p_blast, "
    "touches_border"
)


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


_INSERT_FIELD = _insert("field", _FIELD_COLUMNS)
_INSERT_CELL = _insert("cell", f"field_id, {_CELL_COLUMNS}")


@dataclass(frozen=True, slots=True)
class LoggedField:
    """One field as the log holds it, with everything that produced it.

    Attributes
    ----------
    id : number of the row, 1, 2, ..., never reused
    logged_at : aware UTC wall time when the row was written
    monotonic_s : seconds of the monotonic clock at that moment; comparable within one ``boot_id``
    boot_id : the kernel's id of that boot, or None where it has none
    source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``
    config_sha256, software_version, runtime : what counted it
    result : the field's result, as it was appended
    """

    id: int
    logged_at: datetime
    monotonic_s: float
    boot_id: str | None
    source_kind: str
    config_sha256: str
    software_version: str
    runtime: str
    result: FieldResult


class BloodLog:
    """An open blood log. Use :meth:`open` in a ``with`` statement, in one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Wrap an open and migrated connection; see :meth:`open`."""
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Self:
        """Open the log, making or migrating it where needed.

        The file is in write-ahead mode with ``synchronous=FULL``: a field whose :meth:`append` has
        returned is on the disk [1]_.

        Parameters
        ----------
        path : file of the log; its folder must exist
        read_only : never write, and refuse a log that does not exist or needs a migration

        Raises
        ------
        LogError
            The folder or (read-only) the file is missing, cannot be written, is not a blood log,
            or was written by a newer version.

        References
        ----------
        .. [1] https://www.sqlite.org/pragma.html#pragma_synchronous
        """
        path = Path(path)
        if path.is_dir():
            raise LogError(f"{path}: is a folder; name a file for the log")
        if not path.parent.is_dir():
            raise LogError(f"{path}: the folder {path.parent} does not exist; make it first")
        if read_only and not path.exists():
            raise LogError(f"{path}: no such log; nothing has been counted into it yet")
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,  # transactions are begun and ended here, in plain sight
            )
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            _prepare(connection, path, read_only=read_only)
        except sqlite3.Error as error:
            connection.close()
            raise _unusable(path, error) from error
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    def __enter__(self) -> Self:
        """Return the open log."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the log."""
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        self._connection.close()

    def append(
        self,
        result: FieldResult,
        *,
        config_sha256: str,
        software_version: str,
        runtime: str,
        source_kind: str = "file",
    ) -> int:
        """Write a field and all its cells in one transaction.

        Parameters
        ----------
        result : the field
        config_sha256 : hash of the configuration it was counted under
        software_version : version of this package
        runtime : interpreter and version that classified, e.g. ``ai_edge_litert 2.3.0``
        source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``

        Returns
        -------
        number of the field's row

        Raises
        ------
        LogError
            Nothing was written: the disk is full, the file is read-only, another program holds it,
            or a value is outside what the schema allows.
        """
        scale, model = result.scale, result.model
        row = (
            datetime.now(UTC).isoformat(),
            time.monotonic(),
            _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else None,
            None if result.captured_at is None else result.captured_at.astimezone(UTC).isoformat(),
            source_kind,
            # File names on Linux are bytes; SQLite text is not. Undecodable bytes are shown as \xNN.
            result.source.encode("utf-8", "backslashreplace").decode("utf-8"),
            result.width,
            result.height,
            float(scale.um_per_px),
            scale.source,
            float(scale.confidence),
            result.status,
            json.dumps(result.reasons),
            result.frame_sha256,
            model.name,
            model.sha256,
            config_sha256,
            software_version,
            runtime,
            json.dumps({stage: round(float(ms), 3) for stage, ms in result.stage_ms.items()}),
        )
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                field_id = connection.execute(_INSERT_FIELD, row).lastrowid
                assert field_id is not None  # an INSERT that did not raise has one
                connection.executemany(_INSERT_CELL, [_cell_row(field_id, cell) for cell in result.cells])
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk was full.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LogError(f"{self.path}: field {result.source} was not logged: {error}") from error
        return field_id

    def count(self) -> int:
        """Count the fields in the log, rejected ones among them."""
        try:
            (fields,) = self._connection.execute("SELECT count(*) FROM field").fetchone()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        return int(fields)

    def fields(self) -> Iterator[LoggedField]:
        """Go through all fields in the order they were written.

        Raises
        ------
        LogError
            The file is damaged.
        """
        last_id = 0
        while True:
            try:
                rows = self._connection.execute(
                    f"SELECT id, {_FIELD_COLUMNS} FROM field WHERE id > ? ORDER BY id LIMIT ?",
                    (last_id, PAGE_FIELDS),
                ).fetchall()
                page = [
                    _logged_field(
                        row,
                        self._connection.execute(
                            f"SELECT {_CELL_COLUMNS} FROM cell WHERE field_id = ? ORDER BY id", (row[0],)
                        ).fetchall(),
                    )
                    for row in rows
                ]
            except sqlite3.Error as error:
                raise _unusable(self.path, error) from error
            if not page:
                return
            yield from page
            last_id = page[-1].id

    def results(self) -> Iterator[FieldResult]:
        """Go through the results alone, ready for a tally."""
        return (logged.result for logged in self.fields())


def _prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
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


def _unusable(path: Path, error: sqlite3.Error) -> LogError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return LogError(f"{path}: is not a SQLite database; name another file")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return LogError(
            f"{path}: cannot be opened ({error}); check the owner and the rights of file and folder"
        )
    return LogError(f"{path}: the log cannot be used: {error}")


def _cell_row(field_id: int, classified: ClassifiedCell) -> tuple[object, ...]:
    cell = classified.cell
    return (
        field_id,
        int(cell.id),
        float(cell.x),
        float(cell.y),
        *(int(side) for side in cell.bbox),
        int(cell.area_px),
        int(cell.nucleus_area_px),
        cell.kind,
        classified.label,
        None if classified.p_blast is None else float(classified.p_blast),
        int(cell.touches_border),
    )


# Rows are taken apart by position; what the CHECKs of the schema guarantee is not checked again here.
def _logged_field(row: tuple[Any, ...], cell_rows: list[tuple[Any, ...]]) -> LoggedField:
    (field_id, logged_at, monotonic_s, boot_id, captured_at, source_kind, source, width, height) = row[:9]
    (um_per_px, scale_source, confidence, status, reasons, frame_sha256) = row[9:15]
    (model_name, model_sha256, config_sha256, software_version, runtime, stage_ms) = row[15:]
    result = FieldResult(
        source=source,
        width=width,
        height=height,
        captured_at=None if captured_at is None else datetime.fromisoformat(captured_at),
        frame_sha256=frame_sha256,
        scale=Scale(um_per_px, scale_source, confidence),
        status=status,
        reasons=tuple(json.loads(reasons)),
        cells=tuple(_classified_cell(cell_row) for cell_row in cell_rows),
        model=ModelIdentity(model_name, model_sha256),
        stage_ms=json.loads(stage_ms),
    )
    return LoggedField(
        id=field_id,
        logged_at=datetime.fromisoformat(logged_at),
        monotonic_s=monotonic_s,
        boot_id=boot_id,
        source_kind=source_kind,
        config_sha256=config_sha256,
        software_version=software_version,
        runtime=runtime,
        result=result,
    )


def _classified_cell(row: tuple[Any, ...]) -> ClassifiedCell:
    cell_id, x, y, left, top, width, height, area_px, nucleus_area_px, kind, label, p_blast, border = row
    return ClassifiedCell(
        cell=Cell(
            id=cell_id,
            x=x,
            y=y,
            bbox=(left, top, width, height),
            area_px=area_px,
            nucleus_area_px=nucleus_area_px,
            kind=kind,
            touches_border=bool(border),
        ),
        label=label,
        p_blast=p_blast,
    )
