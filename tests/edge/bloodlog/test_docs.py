"""What docs/log.md says of the log is so."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.bloodlog import BloodLog
from edge.bloodlog.export import export_jsonl
from edge.cli import main
from edge.commands.log import log_group
from edge.config import StorageConfig
from tests.edge.bloodlog.fields import PROVENANCE, make_result


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "log.md").read_text(encoding="utf-8")


def test_every_table_is_told(page: str, tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "blood.db") as log, log.reading() as connection:
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == tables


def test_every_command_is_told(page: str) -> None:
    assert {f"blastcount log {name}" for name in log_group.commands} <= set(
        re.findall(r"blastcount log \w+", page)
    )


def test_every_key_is_told(page: str) -> None:
    assert {f"storage.{name}" for name in StorageConfig.__slots__} <= set(re.findall(r"storage\.\w+", page))


def test_the_program_that_checks_an_export_does(page: str, full: Path, tmp_path: Path) -> None:
    program = next(iter(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    exported = tmp_path / "log.jsonl"
    with BloodLog.open(full) as log, exported.open("w", encoding="utf-8") as file:
        export_jsonl(log, file)
        head = log.head()

    def check(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=False
        )

    text = exported.read_text(encoding="utf-8")
    assert check(text).stdout == f"head {head}\n"
    assert "AssertionError: line 4" in check(text.replace("S-1/0", "S-1/9")).stderr


def test_what_verify_prints(page: str, tmp_path: Path) -> None:
    path = tmp_path / "blood.db"
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        for _ in range(2):
            log.append(make_result(), **PROVENANCE, sample_id=sample.id)
        log.close_sample("S-1")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        connection.execute("UPDATE field SET source = 'other' WHERE id = 2")
    printed = CliRunner().invoke(main, ["log", "verify", "--log", str(path)]).output.splitlines()
    shown = next(block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if "FAULT" in block)
    lines = shown.replace("2 pictures", "0 pictures").splitlines()
    assert [line for line in printed if not line.startswith("head")] == [
        line for line in lines if not line.startswith("head")
    ]
    assert re.fullmatch(r"head 5:[0-9a-f]{64}", lines[3])


def test_the_room_that_a_field_takes(page: str, tmp_path: Path) -> None:
    path = tmp_path / "blood.db"
    picture = "a" * 64
    cells = replace(make_result(cells=19)).cells
    with BloodLog.open(path) as log:
        for _ in range(100):
            log.append(
                replace(make_result(), cells=cells),
                **PROVENANCE,
                image_sha256=picture,
                thumbnails={cell.cell.id: picture for cell in cells if cell.cell.kind == "wbc"},
            )
    # Without what an empty log takes.
    with BloodLog.open(tmp_path / "empty.db"):
        pass
    taken_kb = (path.stat().st_size - (tmp_path / "empty.db").stat().st_size) / 100 / 1000
    (told_kb,) = re.findall(r"A field with 20 cells takes ([\d.]+) kB", page)
    assert taken_kb == pytest.approx(float(told_kb), rel=0.1)
