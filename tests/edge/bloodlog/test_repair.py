"""A damaged log gives what is left of it, and says what is not."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.inspection import inspect
from edge.bloodlog.repair import repair, spans
from edge.bloodlog.schema import migrate, shipped_migrations
from edge.errors import LogError, OutputError
from tests.edge.bloodlog.fields import PROVENANCE, insert_old_rows, make_result

FIELDS = 120
PAGE = 4096


@pytest.fixture(scope="session")
def long_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "blood.db"
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-1", "blood", 200)
        for number in range(FIELDS):
            log.append(make_result(f"slide-{number}.", cells=12), **PROVENANCE, sample_id=sample.id)
    return path


@pytest.fixture
def long(long_once: Path, tmp_path: Path) -> Path:
    """A log of one sample and 120 fields, about 60 pages."""
    return Path(shutil.copy(long_once, tmp_path / "damaged.db"))


def results(path: Path) -> dict[int, object]:
    with BloodLog.open(path, read_only=True) as log:
        return {logged.id: logged for logged in log.fields()}


def test_an_undamaged_log_comes_out_the_same(long: Path, tmp_path: Path) -> None:
    before = long.read_bytes()
    salvage = repair(long, tmp_path / "new.db")
    assert not any([*salvage.lost.values(), *salvage.changed.values()])
    assert salvage.saved["field"] == FIELDS
    assert not any(salvage.unchecked.values())
    assert results(tmp_path / "new.db") == results(long)
    assert long.read_bytes() == before
    with BloodLog.open(tmp_path / "new.db") as log, BloodLog.open(long) as old:
        assert inspect(log).faults == ()
        # The same chain, one link longer: that of the repair.
        assert inspect(log, [old.head()]).faults == ()
        assert log.head().number == old.head().number + 1
        assert log.current_sample() == old.current_sample()
        assert log.append(make_result(), **PROVENANCE) == FIELDS + 1


def _schema_pages(folder: Path) -> int:
    """Pages of a log without rows: the schema and its roots."""
    BloodLog.open(folder / "empty.db").close()
    return (folder / "empty.db").stat().st_size // PAGE


@pytest.mark.parametrize("seed", range(12))
def test_broken_pages_cost_what_is_on_them(long: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(long.read_bytes())
    pages = len(content) // PAGE
    broken = chance.sample(range(_schema_pages(tmp_path), pages), 3)  # see below for what the schema costs
    for page in broken:
        content[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
    before = results(long)
    long.write_bytes(content)

    salvage = repair(long, tmp_path / "new.db")
    with BloodLog.open(tmp_path / "new.db") as log:
        assert inspect(log).faults == ()
        kept = {logged.id: logged for logged in log.fields()}
        # Nothing is changed, and what is not there is named.
        assert all(before[number] == logged for number, logged in kept.items())
        gone = {*salvage.lost["field"], *salvage.changed["field"]}
        assert gone == set(before) - set(kept)
        assert len(kept) > FIELDS / 3
        # A lost number is not given again.
        assert log.append(make_result(), **PROVENANCE) == FIELDS + 1
        assert inspect(log).faults == ()
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        (told,) = connection.execute("SELECT lost FROM repair").fetchone()
    assert json.loads(told)["lost"].get("field", []) == spans(salvage.lost["field"])


def test_a_bit_that_flipped_costs_its_field(long: Path, tmp_path: Path) -> None:
    content = long.read_bytes()
    long.write_bytes(content.replace(b"slide-77.", b"slide-7z."))
    salvage = repair(long, tmp_path / "new.db")
    assert salvage.changed["field"] == [78]
    assert salvage.saved["field"] == FIELDS - 1


def test_rows_whose_links_are_lost_are_saved_and_named(long: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(long, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER link_no_delete")
        connection.execute("DELETE FROM link WHERE number BETWEEN 10 AND 12")
    salvage = repair(long, tmp_path / "new.db")
    # Link 13 is there, but not the one that it follows.
    assert salvage.unchecked["field"] == [8, 9, 10, 11]
    assert salvage.saved["field"] == FIELDS
    assert list(results(tmp_path / "new.db")) == list(range(1, FIELDS + 1))


def test_the_tail_that_is_still_in_the_journal_is_saved(long: Path, tmp_path: Path) -> None:
    with BloodLog.open(long) as log:
        log.append(make_result("in the journal"), **PROVENANCE)
        for name in (long.name, f"{long.name}-wal"):
            shutil.copy(long.with_name(name), tmp_path / name.replace("damaged", "crashed"))
    assert (tmp_path / "crashed.db-wal").stat().st_size > 0
    before = (tmp_path / "crashed.db-wal").read_bytes()
    assert repair(tmp_path / "crashed.db", tmp_path / "new.db").saved["field"] == FIELDS + 1
    assert (tmp_path / "crashed.db-wal").read_bytes() == before


def test_a_log_of_the_first_schema(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        migrate(connection, shipped_migrations()[:1], str(old))
        insert_old_rows(connection)
    assert repair(old, tmp_path / "new.db").unchecked["field"] == [1, 2, 3]
    assert len(results(tmp_path / "new.db")) == 3


def test_what_cannot_be_repaired_is_refused_and_nothing_is_left(long: Path, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"damaged\.db: is there already; name a new file"):
        repair(long, long)
    with pytest.raises(LogError, match=r"absent\.db: no such log"):
        repair(tmp_path / "absent.db", tmp_path / "new.db")
    content = bytearray(long.read_bytes())
    content[:PAGE] = bytes(PAGE)
    long.write_bytes(content)
    with pytest.raises(LogError, match=r"nothing can be saved, its schema cannot be read .*restore a backup"):
        repair(long, tmp_path / "new.db")
    assert [file.name for file in tmp_path.iterdir()] == ["damaged.db"]
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        repair(long, tmp_path / "absent" / "new.db")
