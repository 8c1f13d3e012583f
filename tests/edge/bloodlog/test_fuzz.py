"""Whatever byte of the file is changed: what reads differently is noticed."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.chain import KINDS
from edge.bloodlog.inspection import inspect
from edge.errors import LogError


def rows(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in (*KINDS, "cell")]


@pytest.mark.parametrize("changes", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_byte_that_changes_a_row_is_a_fault(full: Path, tmp_path: Path, changes: int) -> None:
    chance = random.Random(changes)
    content = full.read_bytes()
    before = rows(full)
    changed = tmp_path / "changed.db"
    seen = harmless = 0
    for _ in range(changes):
        copy = bytearray(content)
        copy[chance.randrange(len(copy))] ^= 1 << chance.randrange(8)
        changed.write_bytes(copy)
        for suffix in ("-wal", "-shm"):
            changed.with_name(changed.name + suffix).unlink(missing_ok=True)
        try:
            with BloodLog.open(changed, read_only=True) as log:
                faults = inspect(log).faults
        except LogError:
            seen += 1
            continue
        seen += bool(faults)
        if not faults:
            assert rows(changed) == before
            harmless += 1
    # Most of a small file is empty space on its pages.
    assert seen > changes / 10
    assert harmless > 0
