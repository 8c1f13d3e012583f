"""A log that is deleted, moved, replaced or cut short while it is open takes no more rows, and says why."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.errors import LogError, LogLostError
from tests.edge.bloodlog.fields import PROVENANCE, make_result

#: More rows than one page holds.
MANY = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, an older state of it, and another log that is longer."""
    folder = tmp_path_factory.mktemp("made")

    def write(name: str, rows: int) -> None:
        with BloodLog.open(folder / name) as log:
            for number in range(rows):
                log.append(make_result(f"{name} {number}"), **PROVENANCE)

    (folder / "state").mkdir()
    write("state/blood.db", MANY)
    shutil.copy(folder / "state/blood.db", folder / "older.db")
    write("state/blood.db", MANY)
    write("other.db", 3 * MANY)
    return folder


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "state/blood.db"


@pytest.fixture
def log(path: Path) -> Iterator[BloodLog]:
    with BloodLog.open(path) as log:
        log.append(make_result("one more"), **PROVENANCE)
        yield log


def overwrite(path: Path, source: Path) -> None:
    """Write over the file, in place, as `cp` does."""
    path.write_bytes(source.read_bytes())


def swap_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("aside"))
    shutil.copytree(path.parent.with_name("aside"), path.parent)


@pytest.mark.parametrize(
    ("accident", "what"),
    [
        (lambda path: path.unlink(), "was deleted or moved"),
        (lambda path: path.rename(path.with_name("moved.db")), "was deleted or moved"),
        (lambda path: path.parent.rename(path.parent.with_name("away")), "was deleted or moved"),
        (lambda path: shutil.rmtree(path.parent), "was deleted or moved"),
        (swap_folder, "was replaced by another file"),
        (lambda path: (path.parent.parent / "other.db").replace(path), "was replaced by another file"),
        (lambda path: path.write_bytes(b""), "was cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192]), "was cut short"),
        (lambda path: overwrite(path, path.parent.parent / "other.db"), "was written over"),
        (lambda path: overwrite(path, path.parent.parent / "older.db"), "was cut short"),
        (lambda path: path.with_name("blood.db-wal").unlink(), r"has lost its journal \(-wal\)"),
    ],
)
def test_nothing_is_acknowledged_after_an_accident(
    path: Path, log: BloodLog, accident: Callable[[Path], object], what: str
) -> None:
    accident(path)
    for _ in range(2):
        with pytest.raises(LogLostError, match=f"state/blood.db: the log {what}.* while it was open"):
            log.append(make_result("lost"), **PROVENANCE)
        with pytest.raises(LogLostError):
            log.open_sample("S-1", "blood", 200)


def test_what_happens_while_a_row_is_written_is_noticed_before_it_is_acknowledged(
    path: Path, log: BloodLog
) -> None:
    with pytest.raises(LogLostError, match="was deleted or moved"), log.writing("a row was not logged"):
        path.rename(path.with_name("moved.db"))


def test_a_link_that_leads_elsewhere_is_another_log(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "log.db"
    link.symlink_to(path)
    with BloodLog.open(link) as log:
        log.append(make_result("one"), **PROVENANCE)
        link.unlink()
        link.symlink_to(tmp_path / "other.db")
        with pytest.raises(LogLostError, match="was replaced by another file"):
            log.append(make_result("lost"), **PROVENANCE)


def test_a_file_that_is_put_back_is_counted_into_again(path: Path, log: BloodLog) -> None:
    path.parent.rename(path.parent.with_name("away"))
    with pytest.raises(LogLostError):
        log.append(make_result("lost"), **PROVENANCE)
    path.parent.with_name("away").rename(path.parent)
    log.append(make_result("back"), **PROVENANCE)
    assert [field.result.source for field in log.fields(after=2 * MANY)] == ["one more", "back"]
    assert log.verify() == ()


def test_what_others_add_is_no_accident(path: Path, log: BloodLog) -> None:
    with BloodLog.open(path) as other:
        for number in range(MANY):
            other.append(make_result(f"other {number}"), **PROVENANCE)
            if number % 10 == 0:
                log.append(make_result(f"mine {number}"), **PROVENANCE)
    with closing(sqlite3.connect(path)) as anybody:
        anybody.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.append(make_result("mine"), **PROVENANCE)
    assert log.verify() == ()


def test_a_chain_that_somebody_cut_in_the_open_file_takes_no_more_rows(path: Path, log: BloodLog) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        for trigger in ("link_no_delete", "field_no_delete", "cell_no_delete"):
            somebody.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        somebody.execute("DELETE FROM link WHERE number = (SELECT max(number) FROM link)")
    with pytest.raises(LogError, match="with an older state of this one"):
        log.append(make_result("lost"), **PROVENANCE)
