"""What a worker gives for a batch: the rows of ``count`` on the same folder, however it is cut."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from edge.archive import plan, work
from edge.archive.plan import Batch
from edge.archive.store import StoredFile, list_files
from edge.archive.tables import CountedBatch, joined
from edge.config import Config
from edge.errors import GateError, StoreError
from edge.structures import Frame
from tests.edge.commands.invoking import blastcount


def rows(counted: list[CountedBatch], table: str) -> list[dict[str, Any]]:
    tables = (pq.read_table(io.BytesIO(batch.files[table])) for batch in counted)
    return [row for each in tables for row in each.to_pylist()]


def counted(config: Config, batches: list[Batch]) -> list[CountedBatch]:
    provenance = work.line(config).provenance
    looked: dict[tuple[StoredFile, ...], work.Looked | None] = {(): None}
    given = []
    for batch in batches:
        if batch.looks not in looked:
            looked[batch.looks] = work.look(config, provenance, batch.looks)
        given.append(work.count_batch(config, provenance, batch, looked[batch.looks]))
    return given


@pytest.mark.parametrize("most", [3, 100])
def test_the_rows_are_those_of_count(archive: Path, config: Config, tiny_model: Path, most: int) -> None:
    """A folder of five, cut in two by ``most=3``, is pooled over all of its pictures."""
    batches = plan.plan(list_files(str(archive))[0], least=1, most=most)
    assert any(batch.looks for batch in batches) == (most == 3)
    given = counted(config, batches)
    printed = blastcount("count", "--json", "--threads", 1, "--model", tiny_model, archive)
    expected = list(map(json.loads, printed.stdout.splitlines()))
    fields, cells = rows(given, "fields"), rows(given, "cells")
    assert [row["source"] for row in fields] == [record["source"] for record in expected]
    assert len(fields) == 8
    assert {row["status"] for row in fields} == {"counted", "rejected"}
    assert any(row["scale_source"] == "pooled" for row in fields)
    for row, record in zip(fields, expected, strict=True):
        same = ("frame_sha256", "status", "reasons", "warnings", "wbc", "blasts", "scale_source")
        assert [row[name] for name in same] == [record[name] for name in same]
        tally = record["tally"]
        names = {"whole_blasts": "blasts", "whole_normal": "normal", "whole_uncertain": "uncertain"}
        names |= {"border": "border", "smudges": "smudge"}
        assert {name: row[name] for name in names} == {name: tally[key] for name, key in names.items()}
        assert row["um_per_px"] == pytest.approx(record["um_per_px"], abs=1e-5)
        assert row["folder"] == row["source"].rpartition("/")[0]
        assert (row["model"], row["model_sha256"]) == (record["model"]["name"], record["model"]["sha256"])
    assert sum(len(record["cells"]) for record in expected) == len(cells) > 10
    of_count = [(record["source"], cell) for record in expected for cell in record["cells"]]
    for row, (source, cell) in zip(cells, of_count, strict=True):
        box = [row[f"bbox_{side}"] for side in ("x", "y", "width", "height")]
        assert (row["source"], row["id"], box) == (source, cell["id"], cell["bbox"])
        assert [row[name] for name in ("kind", "class", "touches_border", "area_px")] == [
            cell[name] for name in ("kind", "class", "touches_border", "area_px")
        ]
        assert row["p_blast"] == pytest.approx(cell["p_blast"], abs=1e-4)


def test_provenance_drawing_and_failures_are_told(archive: Path, config: Config) -> None:
    (batch,) = counted(config, plan.plan(list_files(str(archive))[0]))
    provenance = work.line(config).provenance
    assert batch.provenances == {provenance.sha256: provenance.to_json()}
    assert {row["provenance_sha256"] for row in rows([batch], "fields")} == {provenance.sha256}
    assert [row["source_kind"] for row in rows([batch], "fields")] == ["rendered"] + 7 * ["file"]
    failures = {Path(row["source"]).name: row for row in rows([batch], "failures")}
    assert {name: row["kind"] for name, row in failures.items()} == {
        "bad.png": "damaged",
        "mask.png": "no field",
    }
    assert failures["bad.png"]["message"].startswith(f"{archive}/S-2/bad.png: damaged or truncated")
    assert (batch.fields, batch.failures) == (8, 2)
    assert batch.resident_mb > 0


def test_a_batch_counted_twice_gives_the_same_bytes(archive: Path, config: Config) -> None:
    batches = plan.plan(list_files(f"{archive}/S-1")[0])
    (first,), (second,) = counted(config, batches), counted(config, batches)
    assert first.files == second.files


@pytest.mark.parametrize("undivided", [64, 2])
def test_a_batch_in_pieces_gives_the_bytes_of_one(
    archive: Path, config: Config, monkeypatch: pytest.MonkeyPatch, undivided: int
) -> None:
    """A picture fails, one cannot be looked at, a folder is divided or none."""
    (batch,) = plan.plan(list_files(str(archive))[0])
    monkeypatch.setattr(plan, "_LEAST_PIECE", 2)
    monkeypatch.setattr(plan, "_UNDIVIDED", undivided)
    cut = plan.pieces(batch, len(batch.files), 2)
    assert len(cut) > 2
    assert any(piece.looks for piece in cut) == (undivided == 2)
    (whole,) = counted(config, [batch])
    together = joined(counted(config, cut))
    assert together.files == whole.files
    assert msgspec.structs.replace(together, resident_mb=0.0) == msgspec.structs.replace(
        whole, resident_mb=0.0
    )


def test_what_every_piece_lacked_is_one_failure(
    archive: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(file: StoredFile) -> Frame:
        raise StoreError(f"{file.source}: the network is away")

    (batch,) = plan.plan(list_files(f"{archive}/S-2")[0])
    monkeypatch.setattr(work, "read_picture", read)
    monkeypatch.setattr(plan, "_LEAST_PIECE", 2)
    monkeypatch.setattr(plan, "_UNDIVIDED", 2)
    cut = counted(config, plan.pieces(batch, 4, 2))
    (whole,) = counted(config, [batch])
    together = joined(cut)
    assert len(cut) > 1
    assert together.failures == whole.failures < sum(piece.failures for piece in cut)
    messages = [sorted(row["message"] for row in rows([each], "failures")) for each in (together, whole)]
    assert messages[0] == messages[1]


def test_a_file_that_went_away_may_come_back(archive: Path, config: Config) -> None:
    batches = plan.plan(list_files(f"{archive}/S-1")[0])
    (archive / "S-1" / "f1.png").unlink()
    (batch,) = counted(config, batches)
    assert [(row["kind"], row["folder"]) for row in rows([batch], "failures")] == [
        ("unreachable", f"{archive}/S-1")
    ]


@pytest.mark.parametrize("most", [3, 100])
def test_a_scale_that_lacks_a_picture_is_not_final(
    archive: Path, config: Config, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """One that cannot be fetched while the scale is looked for, and can when its turn comes."""
    honest, failed = work.read_picture, []

    def read(file: StoredFile) -> Frame:
        if file.source.endswith("S-2/f1.png") and not failed:
            failed.append(file)
            raise StoreError("the network is away")
        return honest(file)

    monkeypatch.setattr(work, "read_picture", read)
    given = counted(config, plan.plan(list_files(f"{archive}/S-2")[0], least=1, most=most))
    assert len(rows(given, "fields")) == 4
    for batch in given:
        unreachable = [row for row in rows([batch], "failures") if row["kind"] == "unreachable"]
        assert [row["message"] for row in unreachable] == ["the network is away"]


def test_a_worker_that_would_count_otherwise_refuses(archive: Path, config: Config) -> None:
    (batch,) = plan.plan(list_files(f"{archive}/S-1")[0])
    other = msgspec.structs.replace(work.line(config).provenance, opencv="4.9.9")
    with pytest.raises(GateError, match=r"opencv .*, expected 4\.9\.9; install the same version"):
        work.count_batch(config, other, batch)
