"""Work on a log as the daemon, the review page and the timer do it, for tests that cut it off at any moment.

Every step that is done for good is told at once, so that whoever cuts the work off knows what must be there
afterwards.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up
from edge.bloodlog.export import export_jsonl
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.retention import Policy, retain
from edge.bloodlog.schema import migrate, shipped_migrations
from edge.structures import Cell, CellRef, ClassifiedCell, FieldResult, ModelIdentity, Scale

PROVENANCE = {
    "config_sha256": "c" * 64,
    "software_version": "0.1.0",
    "runtime": "test",
    "source_kind": "rendered",
}
CELLS = 6
#: A sample is closed and the next one opened after so many fields.
FIELDS_A_SAMPLE = 9


def field(token: str) -> FieldResult:
    """A field that names itself."""
    cells = tuple(
        ClassifiedCell(
            Cell(number, 10.5 * number, 20.0, (5, 6, 30, 31), 700, 300, "wbc", touches_border=False),
            "blast" if number % 2 else "normal",
            0.9 if number % 2 else 0.1,
        )
        for number in range(1, CELLS + 1)
    )
    return FieldResult(
        source=token,
        width=640,
        height=480,
        captured_at=None,
        frame_sha256="f" * 64,
        scale=Scale(0.118, "red_cells", 0.9),
        status="counted",
        reasons=(),
        cells=cells,
        model=ModelIdentity("akbar", "a" * 64),
    )


def append(log: BloodLog, store: ThumbnailStore, token: str) -> int:
    """Store pictures, then append the field that names them, as the daemon does."""
    rng = np.random.default_rng(sum(map(ord, token)) * 7919 + len(token))
    sample = log.current_sample()
    with store.holding():
        thumbnails = {
            number: store.put(rng.integers(0, 256, (16, 16, 3), np.uint8)) for number in range(1, 3)
        }
        image = store.put(rng.integers(0, 256, (24, 24, 3), np.uint8))
        return log.append(
            field(token),
            **PROVENANCE,
            sample_id=None if sample is None else sample.id,
            clock_trusted=True,
            thumbnails=thumbnails,
            image_sha256=image,
        )


def work(path: Path, run: int) -> Iterator[dict[str, object]]:
    """Work for ever; give what is done for good after each step."""
    store = ThumbnailStore.beside(path)
    with BloodLog.open(path) as log:
        sample = log.current_sample()
        yield {"resumed": None if sample is None else sample.name}
        for number in range(1_000_000):
            if sample is None:
                sample = log.open_sample(f"S-{run}-{number}", "blood", 200, who="Ani")
                yield {"opened": sample.name}
            field_id = append(log, store, f"{run}-{number}")
            yield {"field": f"{run}-{number}"}
            if number % 3 == 0:
                log.add_reviews({CellRef(field_id, 1): "normal"}, f"observer {run}-{number}")
                yield {"review": f"observer {run}-{number}"}
            if number % FIELDS_A_SAMPLE == FIELDS_A_SAMPLE - 1:
                log.change_sample(sample.name, "closed")
                yield {"closed": sample.name}
                sample = None


def look_after(path: Path, ended: Callable[[], bool]) -> dict[str, int]:
    """Back up, export and make room, round after round, as the timer and a person do beside a writer."""
    store, backups = ThumbnailStore.beside(path), path.parent / "backups"
    rounds = removed = 0
    while not ended() or not rounds:
        with BloodLog.open(path) as log, (path.parent / "export.jsonl").open("w", encoding="utf-8") as file:
            back_up(log, store, backups)
            assert export_jsonl(log, file) > 0
            later = datetime.now(UTC) + timedelta(days=9)
            removed += retain(log, store, Policy(days=1, room_mb=1000), now=later).files
        rounds += 1
    return {"rounds": rounds, "removed": removed}


def make_old(path: Path, fields: int) -> None:
    """Make a log of the first schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, shipped_migrations()[:1], str(path))
        connection.execute("BEGIN")
        for number in range(fields):
            connection.execute(
                "INSERT INTO field (logged_at, monotonic_s, source_kind, source, width, height, um_per_px, "
                "scale_source, scale_confidence, status, reasons, frame_sha256, model_name, model_sha256, "
                "config_sha256, software_version, runtime, stage_ms) VALUES ('2026-01-01T00:00:00+00:00', "
                "1.0, 'file', :source, 640, 480, 0.1, 'assumed', 0.1, 'counted', '[]', :sha, 'm', :sha, "
                ":sha, '1', 'r', '{}')",
                {"sha": "e" * 64, "source": f"old-{number}"},
            )
            connection.execute(
                "INSERT INTO cell VALUES (last_insert_rowid(), 1, 1.5, 2, 0, 0, 5, 5, 20, 9, 'wbc', 'blast', "
                "0.9, 0)"
            )
        connection.execute("COMMIT")


def say(figures: str) -> None:
    """Tell the figures that a test measured; `pytest -s` shows them."""
    sys.stdout.write(f"\n{figures}\n")


def maintain(path: Path, length: int) -> None:
    """Work for a while, with a backup, retention and another backup in between; tell each step on stdout."""
    steps = work(path, 0)
    store, backups = ThumbnailStore.beside(path), path.parent / "backups"

    def go_on(number: int) -> None:
        for done in islice(steps, number):
            tell(done)

    def copy() -> None:
        with BloodLog.open(path, read_only=True) as log:
            tell({"backup": back_up(log, store, backups).manifest.name})

    go_on(3 * length)
    copy()
    go_on(length)
    with BloodLog.open(path) as log:
        log.change_sample(log.samples()[0].name, "kept")
        retain(log, store, Policy(days=1, room_mb=1000), now=datetime.now(UTC) + timedelta(days=9))
    go_on(length)
    copy()
    go_on(length)


def tell(done: dict[str, object]) -> None:
    """Write a line in one piece."""
    os.write(1, f"{json.dumps(done)}\n".encode())
