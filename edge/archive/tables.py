"""What came of an archive's fields as Parquet: a file a batch for fields, cells and what failed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from edge.archive.store import StoredFile
from edge.bloodlog.rows import as_text
from edge.counting.provenance import Provenance
from edge.counting.recorder import Recorded
from edge.counting.tally import tally
from edge.device.durable import sync_folder, write_whole
from edge.errors import ArchiveError, FieldError, NotAFieldError, OutputError, SourceError, StoreError
from edge.structures import Denominator

#: Kinds of files of which nothing was counted.
UNREACHABLE, NO_FIELD, DAMAGED, VIDEO, LIBRARY = "unreachable", "no field", "damaged", "video", "library"

_WORD = pa.string()  # which Parquet keeps as a dictionary on the disk
_COUNT = pa.int32()
FIELDS = pa.schema(
    {
        "source": pa.string(),
        "folder": _WORD,
        "frame_sha256": pa.string(),
        "width": _COUNT,
        "height": _COUNT,
        "source_kind": _WORD,
        "status": _WORD,
        "reasons": pa.list_(pa.string()),
        "warnings": pa.list_(pa.string()),
        "um_per_px": pa.float64(),
        "um_per_px_low": pa.float64(),
        "um_per_px_high": pa.float64(),
        "scale_source": _WORD,
        "scale_confidence": pa.float64(),
        "pooled_um_per_px": pa.float64(),
        "pooled_spread": pa.float64(),
        "pooled_confidence": pa.float64(),
        "pooled_fields": _COUNT,
        "wbc": _COUNT,
        "blasts": _COUNT,
        "whole": _COUNT,
        "whole_blasts": _COUNT,
        "whole_normal": _COUNT,
        "whole_uncertain": _COUNT,
        "border": _COUNT,
        "smudges": _COUNT,
        "model": _WORD,
        "model_sha256": _WORD,
        "provenance_sha256": _WORD,
    }
)
CELLS = pa.schema(
    {
        "source": _WORD,
        "folder": _WORD,
        "frame_sha256": _WORD,
        "id": _COUNT,
        "x": pa.float64(),
        "y": pa.float64(),
        "bbox_x": _COUNT,
        "bbox_y": _COUNT,
        "bbox_width": _COUNT,
        "bbox_height": _COUNT,
        "area_px": _COUNT,
        "nucleus_area_px": _COUNT,
        "kind": _WORD,
        "class": _WORD,
        "p_blast": pa.float32(),
        "touches_border": pa.bool_(),
    }
)
FAILURES = pa.schema(
    {"source": pa.string(), "folder": _WORD, "stamp": pa.string(), "kind": _WORD, "message": pa.string()}
)
#: In the order in which they are written: where the file of the fields is there, the others are.
TABLES = {"cells": CELLS, "failures": FAILURES, "fields": FIELDS}


class CountedBatch(Struct, frozen=True):
    """What a worker gives back.

    Attributes
    ----------
    files : Parquet, by the table's name
    provenances : what produced the rows, as JSON by its hash
    fields, failures : number of rows
    resident_mb : memory of the worker afterwards
    """

    files: dict[str, bytes]
    provenances: dict[str, str]
    fields: int
    failures: int
    resident_mb: float


def joined(parts: Sequence[CountedBatch]) -> CountedBatch:
    """Put the pieces of a batch together: the bytes are those of the batch in one."""
    if len(parts) == 1:
        return parts[0]
    files = {}
    for name, schema in TABLES.items():
        tables = [pq.read_table(io.BytesIO(part.files[name])) for part in parts]
        if name == "failures":  # a picture that could not be looked at is named by each piece of its folder
            rows = [row for table in tables for row in table.to_pylist()]
            files[name] = _encoded([row for n, row in enumerate(rows) if row not in rows[:n]], schema)
        else:
            files[name] = _as_parquet(pa.concat_tables(tables).cast(schema).combine_chunks())
    return CountedBatch(
        files=files,
        provenances={sha256: text for part in parts for sha256, text in part.provenances.items()},
        fields=sum(part.fields for part in parts),
        failures=pq.read_metadata(io.BytesIO(files["failures"])).num_rows,
        resident_mb=max(part.resident_mb for part in parts),
    )


class Rows:
    """Rows of one batch, as they come."""

    def __init__(self, denominator: Denominator) -> None:
        self._denominator: Denominator = denominator
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
        self.provenances: dict[str, str] = {}

    def add(self, file: StoredFile, recorded: Recorded) -> None:
        """Take up a field and its cells."""
        result, pooled = recorded.result, recorded.frame.pooled
        low, high = result.scale.interval or (None, None)
        counted = tally([result], self._denominator)
        self.provenances[recorded.provenance.sha256] = recorded.provenance.to_json()
        named = {
            "source": as_text(result.source),
            "folder": as_text(file.folder),
            "frame_sha256": result.frame_sha256,
        }
        self.rows["fields"].append(
            named
            | {
                "width": result.width,
                "height": result.height,
                "source_kind": "rendered" if file.is_drawn else "file",
                "status": result.status,
                "reasons": list(result.reasons),
                "warnings": list(result.warnings),
                "um_per_px": result.scale.reported_um_per_px,
                "um_per_px_low": low,
                "um_per_px_high": high,
                "scale_source": result.scale.source,
                "scale_confidence": result.scale.confidence,
                "pooled_um_per_px": None if pooled is None else pooled.um_per_px,
                "pooled_spread": None if pooled is None else pooled.spread,
                "pooled_confidence": None if pooled is None else pooled.confidence,
                "pooled_fields": None if pooled is None else pooled.fields,
                "wbc": result.wbc,
                "blasts": result.blasts,
                "whole": counted.wbc,
                "whole_blasts": counted.blasts,
                "whole_normal": counted.normal,
                "whole_uncertain": counted.uncertain,
                "border": counted.border,
                "smudges": counted.smudges,
                "model": result.model.name,
                "model_sha256": result.model.sha256,
                "provenance_sha256": recorded.provenance.sha256,
            }
        )
        for found in result.cells:
            cell = found.cell
            x, y, width, height = cell.bbox
            self.rows["cells"].append(
                named
                | {
                    "id": cell.id,
                    "x": cell.x,
                    "y": cell.y,
                    "bbox_x": x,
                    "bbox_y": y,
                    "bbox_width": width,
                    "bbox_height": height,
                    "area_px": cell.area_px,
                    "nucleus_area_px": cell.nucleus_area_px,
                    "kind": cell.kind,
                    "class": found.label,
                    "p_blast": found.p_blast,
                    "touches_border": cell.touches_border,
                }
            )

    def add_failure(self, file: StoredFile, error: Exception) -> None:
        """Take up why nothing, or less, was counted of a file."""
        row = {
            "source": as_text(file.source),
            "folder": as_text(file.folder),
            "stamp": file.stamp,
            "kind": kind_of_failure(error),
            "message": as_text(str(error)),
        }
        if row not in self.rows["failures"]:
            self.rows["failures"].append(row)

    def encoded(self) -> dict[str, bytes]:
        """Give the tables as Parquet; the same rows give the same bytes."""
        return {name: _encoded(rows, TABLES[name]) for name, rows in self.rows.items()}


def kind_of_failure(error: Exception) -> str:
    """Sort an error: what can pass, what is no field, what is damaged, and whose fault it is."""
    system = isinstance(error.__cause__, OSError) and error.__cause__.errno is not None
    if isinstance(error, StoreError) or system:
        return UNREACHABLE
    if isinstance(error, NotAFieldError):
        return NO_FIELD
    if isinstance(error, FieldError):
        return LIBRARY
    return VIDEO if isinstance(error, SourceError) else DAMAGED


def _encoded(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> bytes:
    return _as_parquet(pa.Table.from_pylist(list(rows), schema=schema))


def _as_parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()


class Results:
    """A folder of results: ``fields``, ``cells`` and ``failures``, in a partition for what produced them.

    Parameters
    ----------
    folder : must exist
    provenance : what counts in this run

    Attributes
    ----------
    partition : name of the folder in each table where its files are
    """

    def __init__(self, folder: Path, provenance: Provenance) -> None:
        self.folder = folder
        self._sha256 = provenance.sha256
        self.partition = f"provenance={self._sha256[:16]}"

    def path(self, table: str, key: str) -> Path:
        """Name the file of a batch."""
        return self.folder / table / self.partition / f"{key}.parquet"

    def keys(self) -> set[str]:
        """Name the batches that are there."""
        return {path.stem for path in self.path("fields", "x").parent.glob("*.parquet")}

    def write(self, key: str, batch: CountedBatch) -> None:
        """Keep a batch: once this returns, for good.

        Raises
        ------
        OutputError
            It cannot be written. What was written of it is written over when it is counted again.
        """
        for sha256, text in batch.provenances.items():
            path = self.folder / "provenance" / f"{sha256}.json"
            if not path.exists():
                _write(path, text.encode())
        for table in TABLES:
            _write(self.path(table, key), batch.files[table])

    def unfinished(self, keys: Iterable[str]) -> set[str]:
        """Name those of the batches with a file that could not be reached: another time it may be."""
        return {key for key in keys if (UNREACHABLE,) in self._rows("failures", key, "kind")}

    def set_aside(
        self, planned: Collection[str], folders: Collection[str], is_listed: Callable[[str], bool]
    ) -> int:
        """Move batches of these folders away that are none of those planned: a file of theirs has changed.

        Parameters
        ----------
        planned : keys of the batches that there are now
        folders : their folders
        is_listed : whether a folder would be among these if it were still there

        Returns
        -------
        number of batches; they are in ``superseded``

        Raises
        ------
        ArchiveError
            One of them has folders that were not listed now; nothing was moved.
        """
        names = {as_text(folder) for folder in folders}
        old = []
        for key in sorted(self.keys() - set(planned)):
            of_it = {
                folder for table in ("fields", "failures") for (folder,) in self._rows(table, key, "folder")
            }
            if shared := names & of_it:
                old.append(key)
                if left_out := [folder for folder in sorted(of_it) if not is_listed(folder)]:
                    raise ArchiveError(
                        f"{self.folder}: {min(shared)} was counted in one batch with {left_out[0]}, which "
                        "the paths do not name; give the paths of the run before, or another --out"
                    )
        for key in old:
            for table in reversed(TABLES):  # without the fields' file it is none of the results
                path = self.path(table, key)
                aside = self.folder / "superseded" / table / self.partition / path.name
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.replace(aside)
        return len(old)

    def _rows(self, table: str, key: str, *names: str) -> list[tuple[Any, ...]]:
        """Read columns of a batch's file: a row of each."""
        with pq.ParquetFile(self.path(table, key)) as file:
            read = file.read(list(names))
        return list(zip(*(read[name].to_pylist() for name in names), strict=True))

    def sums(self, keys: Iterable[str]) -> Counter[str]:
        """Count the fields of batches by status, reason and warning, and the failures by kind."""
        sums: Counter[str] = Counter()
        for key in keys:
            for status, reasons, warnings in self._rows("fields", key, "status", "reasons", "warnings"):
                sums[f"status: {status}"] += 1
                sums.update(f"reasons: {name}" for name in reasons)
                sums.update(f"warnings: {name}" for name in warnings)
            sums.update(f"failures: {kind}" for (kind,) in self._rows("failures", key, "kind"))
        return sums

    def failures(self, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Go through what could not be counted: kind and message."""
        for key in keys:
            for kind, message in self._rows("failures", key, "kind", "message"):
                yield str(kind), str(message)


def _write(path: Path, content: bytes) -> None:
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
        write_whole(path, content, durable=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
