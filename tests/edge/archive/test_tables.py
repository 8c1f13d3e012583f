"""Results on the disk: whole batches, counted again where they must be, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from edge.archive import tables
from edge.archive.store import StoredFile
from edge.archive.tables import CountedBatch, Results, Rows, kind_of_failure
from edge.counting.provenance import Provenance
from edge.errors import (
    ArchiveError,
    FieldError,
    ImageError,
    NotAFieldError,
    OutputError,
    SourceError,
    StoreError,
)

PROVENANCE = Provenance(
    *("c" * 64, None, "d" * 64, "tiny", "e" * 64, "f" * 64),
    *("0.1.0", "ai_edge_litert 2.3.0", "CPython 3.11.2", "1.26.4", "4.11.0", "x86_64"),
)


def failing(source: str, error: Exception) -> CountedBatch:
    """A batch of one file, which could not be counted."""
    rows = Rows("classified")
    rows.add_failure(StoredFile(source, "1 1", is_drawn=False), error)
    provenances = {PROVENANCE.sha256: PROVENANCE.to_json()}
    return CountedBatch(rows.encoded(), provenances, 0, 1, 100.0)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path, PROVENANCE)


def test_a_batch_is_there_when_its_fields_are(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = failing("/data/a/f.jpg", ImageError("/data/a/f.jpg: damaged"))
    honest = tables.write_whole

    def full(path: Path, content: bytes, *, durable: bool) -> None:
        if path.parent.parent.name == "fields":
            raise OSError(28, "No space left on device")
        honest(path, content, durable=durable)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "write_whole", full)
        with pytest.raises(OutputError, match=r"one\.parquet: cannot be written: No space left"):
            results.write("one", batch)
    assert results.path("cells", "one").is_file()
    assert results.keys() == set()
    results.write("one", batch)
    results.write("one", batch)
    assert results.keys() == {"one"}
    assert not list(results.folder.rglob(".blastcount-*"))
    assert list(results.failures({"one"})) == [("damaged", "/data/a/f.jpg: damaged")]
    written = (results.folder / "provenance" / f"{PROVENANCE.sha256}.json").read_text()
    assert Provenance.from_json(written) == PROVENANCE


def test_what_could_not_be_reached_is_not_finished(results: Results) -> None:
    results.write("one", failing("/data/a/f.jpg", ImageError("damaged")))
    results.write("two", failing("s3://b/f.jpg", StoreError("gone")))
    assert results.unfinished(results.keys()) == {"two"}
    assert results.sums(results.keys()) == {"failures: damaged": 1, "failures: unreachable": 1}


def test_batches_of_changed_files_are_set_aside(results: Results) -> None:
    for key, folder in (("kept", "a"), ("changed", "b"), ("elsewhere", "c")):
        results.write(key, failing(f"/data/{folder}/f.jpg", ImageError("damaged")))
    with pytest.raises(ArchiveError, match=r"/data/b was counted in one batch with /data/b, which the paths"):
        results.set_aside({"kept", "new"}, {"/data/a", "/data/b"}, lambda folder: folder != "/data/b")
    assert results.keys() == {"kept", "changed", "elsewhere"}
    assert results.set_aside({"kept", "new"}, {"/data/a", "/data/b"}, lambda _: True) == 1
    assert results.keys() == {"kept", "elsewhere"}
    for table in tables.TABLES:
        assert {path.stem for path in (results.folder / table).rglob("*.parquet")} == {"kept", "elsewhere"}
        aside = results.folder / "superseded" / table / results.partition / "changed.parquet"
        assert pq.read_schema(aside).equals(tables.TABLES[table])
    assert results.set_aside({"kept", "new"}, {"/data/a", "/data/b"}, lambda _: True) == 0


def test_the_tables_are_read_as_one_with_their_partition(results: Results) -> None:
    results.write("one", failing("/data/a/f.jpg", ImageError("damaged")))
    results.write("two", failing("/data/b/g\udcff.jpg", ImageError("damaged")))
    read = ds.dataset(results.folder / "failures", partitioning="hive").to_table()
    assert set(read["source"].to_pylist()) == {"/data/a/f.jpg", "/data/b/g\\udcff.jpg"}
    assert set(read["provenance"].to_pylist()) == {PROVENANCE.sha256[:16]}


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ImageError("damaged"), "damaged"),
        (caused_by(ImageError("damaged"), OSError("image file is truncated")), "damaged"),
        (caused_by(ImageError("cannot be read"), PermissionError(13, "denied")), "unreachable"),
        (StoreError("cannot be fetched"), "unreachable"),
        (NotAFieldError("a mask", "label images"), "no field"),
        (SourceError("no frame in it"), "video"),
        (FieldError("OpenCV failed"), "library"),
    ],
)
def test_failures_have_a_kind(error: Exception, kind: str) -> None:
    assert kind_of_failure(error) == kind
