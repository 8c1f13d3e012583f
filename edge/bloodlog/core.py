"""The blood log: what every field gave, in one append-only SQLite file that survives a power cut."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from edge.bloodlog import assignments, chain, samples
from edge.bloodlog.chain import Fault, Head
from edge.bloodlog.connection import (
    DAMAGE,
    Undisturbed,
    connect,
    refused,
    snapshot,
    transaction,
    unusable,
    unwritable,
)
from edge.bloodlog.control import ControlRows, encode_readings
from edge.bloodlog.identity import FileIdentity
from edge.bloodlog.locks import USUAL, Patience, locked
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.rows import LoggedField, as_text, cell_row, logged_field
from edge.bloodlog.samples import NOBODY, Sample, SampleChange, Specimen
from edge.bloodlog.users import Role
from edge.bloodlog.verifications import VerifiedRows
from edge.device.clock import utc_now
from edge.errors import LogBehindError, LogBusyError, LogError, SampleClosedError
from edge.structures import CellRef, FieldResult

#: Fields read in one go. Reading in pages keeps no read transaction open between them, so that a slow
#: reader never stops the writer's checkpoints.
PAGE_FIELDS = 200

#: A field with the sample that it was put into afterwards.
_FIELD = f"SELECT field.*, {assignments.ASSIGNED_TO} AS assigned_to FROM field"
#: Fields of one sample. The view alone says the same, but then every field of the log is gone through for it.
_OF_SAMPLE = """
(field.sample_id = :sample
 OR field.id IN (SELECT field_id FROM membership WHERE assigned AND sample_id = :sample))
"""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BloodLog(VerifiedRows, ControlRows):
    """An open blood log. Use :meth:`open` in a ``with`` statement, in one thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        patience: Patience,
        undisturbed: Undisturbed | None = None,
    ) -> None:
        """Wrap an open and migrated connection; see :meth:`open`."""
        self._connection = connection
        self._undisturbed = undisturbed
        self._real = path.resolve()
        self.path = path
        self.patience = patience
        self.pictures = ThumbnailStore.beside(path, patience)
        self._identity = FileIdentity(path)
        self._known = Head(0, chain.GENESIS)
        with suppress(LogError):  # of a damaged log, which may be read as far as it can be
            self._known = self.head()

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        must_exist: bool = False,
        patience: Patience = USUAL,
    ) -> Self:
        """Open the log, making or migrating it where needed.

        The file is in write-ahead mode with ``synchronous=FULL``: a field whose :meth:`append` has
        returned is on the disk [1]_.

        Parameters
        ----------
        path : file of the log; its folder must exist
        read_only : never write, and refuse a log that does not exist or needs a migration
        must_exist : refuse to make one
        patience : how long to wait for others who hold the log, a sample or its pictures

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
        connection, undisturbed = connect(path, read_only=read_only, must_exist=must_exist, patience=patience)
        try:
            return cls(connection, path, patience, undisturbed)
        except BaseException:
            connection.close()
            raise

    def __enter__(self) -> Self:
        """Return the open log."""
        return self

    def __exit__(self, *_raised: object) -> None:
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
        sample_id: int | None = None,
        clock_trusted: bool | None = None,
        thumbnails: Mapping[int, str] | None = None,
        image_sha256: str | None = None,
        provenance: str | None = None,
        context: str | None = None,
        contours: Mapping[int, str] | None = None,
        overlaps: Sequence[tuple[int, float, float]] = (),
        after: int | None = None,
    ) -> int:
        """Write a field and all its cells in one transaction.

        Parameters
        ----------
        result : the field
        config_sha256 : hash of the configuration it was counted under
        software_version : version of this package
        runtime : interpreter and version that classified, e.g. ``ai_edge_litert 2.3.0``
        source_kind : ``file``, ``replay``, ``picamera``, ``v4l2`` or ``rendered``
        sample_id : row of the sample that it belongs to, or None
        clock_trusted : whether the wall clock can be believed, or None where nobody looked
        thumbnails : SHA-256 of the stored picture of a cell, by the cell's id
        image_sha256 : SHA-256 of the stored picture of the field, or None
        provenance : everything that produced it, as JSON
        context : what it took from the fields of its sample before it, as JSON
        contours : where a cell and its nucleus end, by the cell's id, see :mod:`edge.bloodlog.contours`
        overlaps : fields of its sample that it overlaps, and where its corner lies from theirs, µm
        after : the last field of its sample that was taken up before it was placed; None without a place

        Returns
        -------
        number of the field's row

        Raises
        ------
        LogBehindError
            Nothing was written: others have counted into the sample since.
        SampleClosedError
            Nothing was written: the sample that the field was to be placed in is closed.
        LogError
            Nothing was written: the disk is full, the file is read-only, another program holds it,
            or a value is outside what the schema allows.
        """
        scale, model, captured_at = result.scale, result.model, result.captured_at
        type_model = result.type_model
        stage_x_um, stage_y_um = result.stage_um or (None, None)
        low, high = scale.interval or (None, None)
        red_cells = scale.red_cells
        row = {
            "logged_at": utc_now().isoformat(),
            "monotonic_s": time.monotonic(),
            "boot_id": _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else None,
            "captured_at": None if captured_at is None else captured_at.astimezone(UTC).isoformat(),
            "source_kind": source_kind,
            "source": as_text(result.source),
            "width": result.width,
            "height": result.height,
            "um_per_px": float(scale.um_per_px),
            "scale_source": scale.source,
            "scale_confidence": float(scale.confidence),
            "um_per_px_low": low,
            "um_per_px_high": high,
            "red_cells_um_per_px": None if red_cells is None else red_cells.um_per_px,
            "red_cells_confidence": None if red_cells is None else red_cells.confidence,
            "status": result.status,
            "reasons": json.dumps(result.reasons),
            "frame_sha256": result.frame_sha256,
            "model_name": model.name,
            "model_sha256": model.sha256,
            "config_sha256": config_sha256,
            "software_version": software_version,
            "runtime": runtime,
            "stage_ms": json.dumps({stage: round(float(ms), 3) for stage, ms in result.stage_ms.items()}),
            "sample_id": sample_id,
            "clock_trusted": None if clock_trusted is None else int(clock_trusted),
            "stage_x_um": stage_x_um,
            "stage_y_um": stage_y_um,
            "image_sha256": image_sha256,
            "provenance": provenance,
            "context": context,
            "warnings": json.dumps(result.warnings),
            "type_model_name": None if type_model is None else type_model.name,
            "type_model_sha256": None if type_model is None else type_model.sha256,
            "overlaps": json.dumps([[other, round(x, 2), round(y, 2)] for other, x, y in overlaps])
            if overlaps
            else None,
            "readings": None if result.readings is None else encode_readings(result.readings),
        }
        pictures, polygons = thumbnails or {}, contours or {}
        newer = "SELECT 1 FROM field WHERE sample_id = ? AND id > ? LIMIT 1"
        with self.writing(f"field {result.source} was not logged") as connection:
            if after is not None and connection.execute(newer, (sample_id, after)).fetchone() is not None:
                raise LogBehindError(f"{self.path}: others have counted into the sample meanwhile")
            there = (
                None if after is None or sample_id is None else samples.numbered_sample(connection, sample_id)
            )
            if there is not None and not there.is_open:
                raise SampleClosedError(
                    f"field {result.source} was not logged: sample {there.name} was closed while it was "
                    f"counted; `blastcount sample reopen {there.name}` lets it take fields"
                )
            field_id = chain.insert(connection, "field", row)
            for cell in result.cells:
                chain.insert(
                    connection,
                    "cell",
                    cell_row(field_id, cell, pictures.get(cell.cell.id), polygons.get(cell.cell.id)),
                )
            chain.add_link(connection, "field", field_id)
        return field_id

    def count(self, sample_id: int | None = None) -> int:
        """Count the fields in the log, or those of one sample, rejected ones among them."""
        if sample_id is None:
            return int(self._value("SELECT count(*) FROM field"))
        return int(self._value("SELECT count(*) FROM membership WHERE sample_id = ?", sample_id))

    def fields(self, sample_id: int | None = None, *, after: int = 0) -> Iterator[LoggedField]:
        """Go through all fields, or those of one sample, in the order they were written.

        Those that were put into the sample afterwards are among them, each with the warning ``assigned``.

        Parameters
        ----------
        sample_id : row of the sample; None for all
        after : only fields with a higher number

        Raises
        ------
        LogError
            The file is damaged.
        """
        chosen = "" if sample_id is None else f"AND {_OF_SAMPLE} "
        query = f"{_FIELD} WHERE id > :last {chosen}ORDER BY id LIMIT :page"
        last_id = after
        while True:
            with self.reading():
                values = {"last": last_id, "sample": sample_id, "page": PAGE_FIELDS}
                page = [logged_field(row, self._cells(row["id"])) for row in self._rows(query, values)]
            if not page:
                return
            yield from page
            last_id = page[-1].id

    def last_numbers(self) -> tuple[int, int]:
        """Give the numbers of the newest field and assignment: no sample has others before they change."""
        return self._value("SELECT max(id) FROM field") or 0, self.last_assignment()

    def newest_trusted(self) -> datetime | None:
        """Look up when the last field was logged whose time can be believed; None where there is none."""
        at = self._value("SELECT logged_at FROM field WHERE clock_trusted = 1 ORDER BY id DESC LIMIT 1")
        return None if at is None else datetime.fromisoformat(at)

    def last_field(self) -> LoggedField | None:
        """Look up the field that was logged last, of whatever sample."""
        last_id = self._value("SELECT max(id) FROM field")
        return None if last_id is None else self.field(last_id)

    def field(self, field_id: int) -> LoggedField | None:
        """Look up a field by its number; None where there is none."""
        with self.reading():
            rows = self._rows(f"{_FIELD} WHERE id = :id", {"id": field_id})
            return logged_field(rows[0], self._cells(field_id)) if rows else None

    def same_pixels(self, frame_sha256: str) -> list[LoggedField]:
        """Look up the fields whose pixels have this hash, in the order they were written."""
        with self.reading():
            rows = self._rows(f"{_FIELD} WHERE frame_sha256 = :sha256 ORDER BY id", {"sha256": frame_sha256})
            return [logged_field(row, self._cells(row["id"])) for row in rows]

    def _cells(self, field_id: int) -> list[sqlite3.Row]:
        return self._rows("SELECT * FROM cell WHERE field_id = :field ORDER BY id", {"field": field_id})

    def _rows(self, query: str, values: Mapping[str, object]) -> list[sqlite3.Row]:
        """Read rows whose values have names."""
        cursor = self._connection.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(query, values).fetchall()

    def thumbnail(self, cell: CellRef) -> str | None:
        """Look up the hash of a cell's stored picture; None where there is no such cell or picture."""
        query = "SELECT thumbnail_sha256 FROM cell WHERE field_id = ? AND id = ?"
        sha256: str | None = self._value(query, cell.field_id, cell.cell_id)
        return sha256

    def image(self, field_id: int) -> str | None:
        """Look up the hash of a field's stored picture; None where there is no such field or picture."""
        sha256: str | None = self._value("SELECT image_sha256 FROM field WHERE id = ?", field_id)
        return sha256

    def _value(self, query: str, *values: object) -> Any:  # noqa: ANN401  # whatever the column holds
        """Read the one value that a query gives; None where it gives none."""
        with self.reading() as connection:
            row = connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def head(self) -> Head:
        """Read the end of the hash chain: who knows it can tell later that nothing was cut off."""
        with self.reading() as connection:
            return chain.head(connection)

    def goes_on_from(self, known: Head) -> bool:
        """Say whether a head that was read earlier is in the chain: it is the same log, and no less of it."""
        with self.reading() as connection:
            return chain.holds(connection, known)

    def verify(self, known: Head | None = None) -> tuple[Fault, ...]:
        """Compute the hash chain anew and say what does not fit; nothing for an untouched log.

        Parameters
        ----------
        known : a head that the chain is known to have had; without one a tail that was cut off goes unseen
        """
        with self.reading() as connection, snapshot(connection):
            return tuple(chain.verify(connection, () if known is None else (known,)))

    def open_sample(
        self,
        name: str,
        specimen: Specimen,
        quota: int,
        *,
        who: str = NOBODY,
        role: Role | None = None,
        search: bool = False,
    ) -> Sample:
        """Add a sample and open it; fields are counted into it until it is closed.

        Raises
        ------
        LogError
            The name is taken, another sample is open, or a value cannot be.
        """
        with self.writing(f"sample {name} was not opened") as connection:
            return samples.add_sample(connection, name, specimen, quota, who, role, search=search)

    def change_sample(
        self, name: str, change: SampleChange, *, who: str = NOBODY, role: Role | None = None
    ) -> Sample:
        """Close a sample, open it again, or let its pictures be kept for good or removed when room is needed.

        Raises
        ------
        LogError
            There is none of this name, or another one is open.
        """
        with self.writing(f"sample {name} was not {change}") as connection:
            return samples.change_sample(connection, name, change, who, role)

    def assign_fields(self, name: str | None, fields: Sequence[int], *, who: str = NOBODY) -> int:
        """Put fields that were counted without a sample into one, or with None out of it again.

        Returns
        -------
        how many were; a field that is there already is not among them

        Raises
        ------
        LogError
            There is no such field or sample, the sample is closed, or a field belongs to another one.
        """
        with self.writing("no field was assigned") as connection:
            return assignments.assign(connection, name, fields, who)

    def unassigned_fields(self) -> list[int]:
        """List the fields that belong to no sample, oldest first."""
        with self.reading() as connection:
            return assignments.unassigned(connection)

    def last_assignment(self) -> int:
        """Give the number of the newest assignment of a field; where it changes, some sample has others."""
        with self.reading() as connection:
            return assignments.last_assignment(connection)

    def sample(self, name: str) -> Sample:
        """Look up a sample.

        Raises
        ------
        LogError
            There is none of this name.
        """
        with self.reading() as connection:
            return samples.get_sample(connection, name)

    def numbered_sample(self, sample_id: int) -> Sample | None:
        """Look up the sample of a row; None where there is none."""
        with self.reading() as connection:
            return samples.numbered_sample(connection, sample_id)

    def samples(self) -> tuple[Sample, ...]:
        """List all samples in the order of their first opening."""
        with self.reading() as connection:
            return tuple(samples.all_samples(connection))

    def current_sample(self) -> Sample | None:
        """Look up the sample that is open, if one is."""
        with self.reading() as connection:
            return samples.open_sample(connection)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Read the log as it is at the first look, whatever others write during the block."""
        with self.reading() as connection, snapshot(connection):
            yield

    @contextmanager
    def counting_lock(self, sample: Sample) -> Iterator[None]:
        """Be the only one who counts into a sample, in whatever process, while the block lasts.

        Inside, first take up what others have counted (``fields(sample.id, after=...)``), then append.

        The lock is on a file beside the log's real one: the same file whatever symbolic link, working folder
        or ``RUNTIME_DIRECTORY`` one came by. It is not on the log itself, because closing any descriptor of
        that file would let go of SQLite's own locks in this process [1]_.

        Raises
        ------
        LogBusyError
            Another process counts into a sample of this log, and went on for longer than this one waits.
        DiskFullError, LogError
            The lock's file cannot be made.

        References
        ----------
        .. [1] https://www.sqlite.org/howtocorrupt.html, section 2.2
        """
        path = self._real.with_name(f"{self._real.name}.lock")
        what = f"{self.path}: nothing was counted into sample {sample.name}"
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(path, "exclusive", self.patience, what))
            except OSError as error:
                raise unwritable(what, error) from error
            yield

    @contextmanager
    def writing(self, failed: str) -> Iterator[sqlite3.Connection]:
        """Write in one transaction; ``failed`` begins the message where SQLite refuses.

        Raises
        ------
        LogLostError
            The log's file is no longer the one that is named, or its chain is another.
        LogBusyError
            Another process writes, and went on for longer than this one waits.
        DiskFullError, LogError
            SQLite refuses.
        """
        try:
            with transaction(self._connection, self.patience):
                self.check_file()
                yield self._connection
                head = chain.head(self._connection)
            self._identity.check()  # once more, before anybody is told that it was written
            self._known = head
        except LogBusyError as error:
            raise LogBusyError(f"{self.path}: {failed}: {error}") from error
        except sqlite3.Error as error:
            raise refused(self.path, failed, error) from error
        except ValueError as error:  # the chain takes no number that is not one
            raise LogError(f"{self.path}: {failed}: {error}") from error

    def check_file(self) -> None:
        """See whether the open file is still the one that is named, and holds what it held.

        Raises
        ------
        LogLostError
            It was deleted, moved, replaced, cut short or written over; a row would be written where nobody
            looks for it.
        LogError
            It cannot be looked up or read.
        """
        try:
            self._identity.check()
            with self.reading() as connection:
                self._identity.check_content(connection, self._known)
        except OSError as error:
            raise unwritable(f"{self.path}: the log cannot be looked up", error) from error

    def check_free(self) -> None:
        """See whether a row could be added now; nothing is written.

        Raises
        ------
        LogBlockedError
            It could not: see :meth:`check_file`, or another process holds the log, its pictures or a sample.
        """
        with self.writing("nothing can be logged"):
            pass
        sample = self.current_sample()
        with ExitStack() as locks:
            if sample is not None:
                locks.enter_context(self.counting_lock(sample))
            if self.pictures.folder.is_dir():
                locks.enter_context(self.pictures.holding())

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read, with SQLite's complaints as errors of the log."""
        try:
            yield self._connection
        except DAMAGE as error:
            if self._undisturbed is not None:
                self._undisturbed.check()
            raise unusable(self.path, error) from error
        if self._undisturbed is not None:
            self._undisturbed.check()
