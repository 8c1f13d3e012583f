"""The blood log gives back what went in, keeps it, and refuses what is not its own."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge.bloodlog.core
from edge.bloodlog import BloodLog
from edge.bloodlog.backup import back_up
from edge.bloodlog.connection import Undisturbed
from edge.bloodlog.locks import Patience
from edge.bloodlog.schema import APPLICATION_ID, Migration, check_schema, migrate, shipped_migrations
from edge.errors import DiskFullError, LogBusyError, LogError
from edge.structures import Cell, CellType, ClassifiedCell, FieldResult, ModelIdentity, Scale
from tests.edge.bloodlog.fields import PROVENANCE, SHA, make_cell, make_result


def raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def test_a_field_comes_back_as_it_went_in(log: BloodLog) -> None:
    before = datetime.now(UTC)
    first = log.append(make_result(), **PROVENANCE)
    second = log.append(replace(make_result(), status="rejected", reasons=("blank",), cells=()), **PROVENANCE)

    assert (first, second, log.count()) == (1, 2, 2)
    logged = list(log.fields())
    assert logged[0].result == make_result()
    assert logged[1].result.reasons == ("blank",)
    assert logged[1].result.cells == ()
    for name, value in PROVENANCE.items():
        assert getattr(logged[0], name) == value
    assert before <= logged[0].logged_at <= logged[1].logged_at <= datetime.now(UTC)
    assert logged[0].logged_at.utcoffset() == timedelta(0)
    assert 0 < logged[0].monotonic_s <= logged[1].monotonic_s
    assert logged[0].boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert [field.result for field in log.fields()] == [entry.result for entry in logged]


def test_capture_times_are_kept_in_utc(log: BloodLog) -> None:
    jakarta = datetime(2026, 3, 1, 19, 0, tzinfo=timezone(timedelta(hours=7)))
    log.append(replace(make_result(), captured_at=jakarta), **PROVENANCE)
    log.append(replace(make_result(), captured_at=None), **PROVENANCE)
    captured = [field.result.captured_at for field in log.fields()]
    assert captured == [jakarta, None]
    assert captured[0] is not None
    assert captured[0].utcoffset() == timedelta(0)


def test_reading_goes_past_one_page(log: BloodLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.bloodlog.core, "PAGE_FIELDS", 3)
    for number in range(7):
        log.append(make_result(f"rendered:{number}", cells=number), **PROVENANCE)
    assert [field.result.source for field in log.fields()] == [f"rendered:{number}" for number in range(7)]
    assert [field.result.wbc for field in log.fields()] == list(range(7))


types = st.just((None, None)) | st.tuples(st.sampled_from(get_args(CellType)), st.floats(0, 1))
cells_of_any_kind = st.builds(
    lambda typed, **found: ClassifiedCell(**found, type=typed[0], p_type=typed[1]),
    typed=types,
    cell=st.builds(
        Cell,
        id=st.integers(1, 65535),
        x=st.floats(0, 1e4),
        y=st.floats(0, 1e4),
        bbox=st.tuples(st.integers(0, 9999), st.integers(0, 9999), st.integers(1, 999), st.integers(1, 999)),
        area_px=st.integers(0, 10**6),
        nucleus_area_px=st.integers(0, 10**6),
        kind=st.just("wbc"),
        touches_border=st.booleans(),
    ),
    label=st.sampled_from(["blast", "normal", "uncertain"]),
    p_blast=st.floats(0, 1),
)
any_result = st.builds(
    FieldResult,
    source=st.text(st.characters(exclude_categories=["Cs"])),
    width=st.integers(30, 20000),
    height=st.integers(30, 20000),
    captured_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    frame_sha256=st.just(SHA),
    scale=st.builds(
        Scale, st.floats(0.01, 0.4), st.sampled_from(["configured", "red_cells", "assumed"]), st.floats(0, 1)
    ),
    status=st.sampled_from(["counted", "rejected"]),
    reasons=st.lists(st.text(max_size=9)).map(tuple),
    cells=st.lists(cells_of_any_kind, max_size=4, unique_by=lambda c: c.cell.id).map(
        lambda cells: tuple(sorted(cells, key=lambda c: c.cell.id))
    ),
    model=st.just(ModelIdentity("akbar", "a" * 64)),
    stage_ms=st.dictionaries(st.text(max_size=5), st.integers(0, 10**6).map(lambda us: us / 1000)),
    warnings=st.lists(st.text(max_size=9)).map(tuple),
    type_model=st.none() | st.just(ModelIdentity("types", "b" * 64)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=any_result)
def test_round_trip_of_any_result(log: BloodLog, result: FieldResult) -> None:
    field_id = log.append(result, **PROVENANCE)
    *_, last = log.fields()
    assert (last.id, last.result) == (field_id, result)


def test_file_names_that_are_not_text_are_logged_readably(log: BloodLog) -> None:
    log.append(make_result(source=b"Im\xff.jpg".decode("utf-8", "surrogateescape")), **PROVENANCE)
    assert next(log.fields()).result.source == "Im\\udcff.jpg"


def test_numbers_of_numpy_kind_are_accepted(log: BloodLog) -> None:
    bbox: Any = tuple(np.arange(1, 5))
    x, area_px, border, p_blast = (np.float32(1.5), np.int64(9), np.bool_(True), np.float32(0.5))
    cell = replace(make_cell(1).cell, bbox=bbox, x=x, area_px=area_px, touches_border=border)
    log.append(replace(make_result(), cells=(ClassifiedCell(cell, "blast", p_blast),)), **PROVENANCE)
    back = next(log.fields()).result.cells[0]
    assert (back.cell.bbox, back.cell.x, back.p_blast) == ((1, 2, 3, 4), 1.5, 0.5)
    assert back.cell.touches_border is True


def test_the_file_is_durable_and_says_what_it_is(path: Path, log: BloodLog) -> None:
    assert log._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert log._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert log._connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    log.append(make_result(), **PROVENANCE)
    log.close()
    log.close()  # closing twice is harmless
    header = path.read_bytes()[:100]
    assert header.startswith(b"SQLite format 3\0")
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert not list(path.parent.glob("*-wal"))
    with raw(path) as connection:
        assert connection.execute("SELECT number, name FROM migration").fetchall() == [
            (migration.number, migration.name) for migration in shipped_migrations()
        ]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.requirement(6)
@pytest.mark.parametrize("table", ["field", "cell", "sample", "sample_event", "review", "link"])
def test_rows_cannot_be_changed_or_removed(full: Path, table: str) -> None:
    with raw(full) as connection:
        reading = connection.execute(f"SELECT * FROM {table}")
        column, before = reading.description[0][0], reading.fetchall()
        for statement in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
        assert connection.execute(f"SELECT * FROM {table}").fetchall() == before


@pytest.mark.requirement(5)
def test_a_field_that_cannot_be_logged_leaves_nothing(log: BloodLog) -> None:
    twice = replace(make_result(), cells=(make_cell(1), make_cell(1)))
    with pytest.raises(LogError, match=r"blood\.db: field rendered:1 was not logged: .*append-only"):
        log.append(twice, **PROVENANCE)
    with pytest.raises(LogError, match="not logged: CHECK constraint failed: length"):
        log.append(make_result(), **(PROVENANCE | {"config_sha256": "short"}))
    classified_smudge = replace(make_cell(1, kind="smudge"), label="blast")
    with pytest.raises(LogError, match="not logged: CHECK constraint failed"):
        log.append(replace(make_result(), cells=(classified_smudge,)), **PROVENANCE)
    assert log.count() == 0
    assert log.append(make_result(), **PROVENANCE) == 1


def test_a_full_disk_is_named_and_leaves_the_log_usable(log: BloodLog) -> None:
    log.append(make_result(), **PROVENANCE)
    (pages,) = log._connection.execute("PRAGMA page_count").fetchone()
    log._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFullError, match="not logged: database or disk is full"):
        log.append(make_result(cells=2000), **PROVENANCE)
    assert log.count() == 1
    log._connection.execute("PRAGMA max_page_count = 1000000")
    log.append(make_result(cells=2000), **PROVENANCE)
    assert log.count() == 2


def test_a_log_held_by_another_program_is_named(path: Path, log: BloodLog) -> None:
    log.patience = Patience(0.0)
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogBusyError, match="not logged: another process is writing"):
            log.append(make_result(), **PROVENANCE)
        other.execute("ROLLBACK")
    log.append(make_result(), **PROVENANCE)


def test_a_closed_log_says_so(log: BloodLog) -> None:
    log.close()
    with pytest.raises(LogError, match="not logged: Cannot operate on a closed database"):
        log.append(make_result(), **PROVENANCE)
    with pytest.raises(LogError, match="cannot be used: Cannot operate on a closed database"):
        log.count()
    with pytest.raises(LogError, match="cannot be used: Cannot operate on a closed database"):
        list(log.fields())


def test_reading_beside_a_writer(path: Path, log: BloodLog) -> None:
    log.append(make_result(), **PROVENANCE)
    with BloodLog.open(path, read_only=True) as reader:
        assert reader.count() == 1
        log.append(make_result(), **PROVENANCE)
        assert reader.count() == 2
        with pytest.raises(LogError, match="not logged: attempt to write a readonly database"):
            reader.append(make_result(), **PROVENANCE)


def test_opening_again_goes_on_where_it_was(path: Path) -> None:
    for number in (1, 2, 3):
        with BloodLog.open(str(path)) as log:
            assert log.append(make_result(), **PROVENANCE) == number


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "50%?#.db", "μ.db"])
def test_file_names_are_taken_literally(tmp_path: Path, name: str) -> None:
    with BloodLog.open(tmp_path / name) as log:
        log.append(make_result(), **PROVENANCE)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o000, 0o640, 0o750), (0o077, 0o600, 0o700)])
def test_a_log_is_never_everybody_s(
    tmp_path: Path, set_umask: Callable[[int], int], umask: int, file: int, folder: int
) -> None:
    """Nor are its journal, its pictures and its backup, whatever the umask."""
    set_umask(umask)
    with BloodLog.open(tmp_path / "blood.db") as log:
        log.append(make_result(), **PROVENANCE, image_sha256=log.pictures.put(np.zeros((9, 9, 3), np.uint8)))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("blood.db*")}
        back_up(log, log.pictures, tmp_path / "backup")
    assert modes == {"blood.db": file, "blood.db-wal": file, "blood.db-shm": file}
    for path in tmp_path.rglob("*"):
        assert path.name == ".lock" or path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), (
            path
        )
    assert {path.suffix for path in tmp_path.rglob("*")} >= {".db", ".json", ".jpg"}


def test_what_is_not_a_log_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to have a header " * 9)
    foreign = tmp_path / "other.db"
    with raw(foreign) as connection:
        connection.execute("CREATE TABLE song (title TEXT)")
    stamped = tmp_path / "stamped.db"
    with raw(stamped) as connection:
        connection.execute("PRAGMA application_id = 7")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    for read_only in (False, True):
        with pytest.raises(LogError, match=r"notes\.txt: is not a SQLite database; name another file"):
            BloodLog.open(text, read_only=read_only)
        with pytest.raises(
            LogError, match=r"other\.db: .* not a blood log \(application id 0x0, expected 0x626c63"
        ):
            BloodLog.open(foreign, read_only=read_only)
        with pytest.raises(LogError, match=r"stamped\.db: .* not a blood log \(application id 0x7"):
            BloodLog.open(stamped, read_only=read_only)
    with pytest.raises(LogError, match="is a folder; name a file"):
        BloodLog.open(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_places_that_cannot_hold_a_log(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"the folder .*absent does not exist; make it first"):
        BloodLog.open(tmp_path / "absent" / "blood.db")
    with pytest.raises(LogError, match="no such log"):
        BloodLog.open(tmp_path / "blood.db", read_only=True)
    # A folder that even root cannot write to.
    with pytest.raises(
        LogError, match=r"/proc/blood\.db: cannot be opened .*; check the owner and the rights"
    ):
        BloodLog.open("/proc/blood.db")
    # Two names would have two journals, of which each is blind to the other's rows.
    (tmp_path / "one.db").touch()
    (tmp_path / "two.db").hardlink_to(tmp_path / "one.db")
    with pytest.raises(LogError, match=r"two\.db: the log has more than one name \(hard links\)"):
        BloodLog.open(tmp_path / "two.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(LogError, match=r"empty\.db: has schema 0, expected \d+; its owner brings it"):
        BloodLog.open(tmp_path / "empty.db", read_only=True)
    with BloodLog.open(tmp_path / "empty.db") as log:
        assert log.count() == 0


def test_a_file_system_without_shared_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def without_shared_memory(address: str, **options: object) -> sqlite3.Connection:
        # This VFS of SQLite's own locks with a file, as on some network shares, and cannot do WAL.
        return connect(f"{address}&vfs=unix-dotfile", **options)  # type: ignore[call-overload, no-any-return]  # options pass through

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    with pytest.raises(LogError, match=r"write-ahead logging is not possible here .*local disk"):
        BloodLog.open(path)


def test_damage_is_reported(path: Path) -> None:
    with BloodLog.open(path) as log:
        for _ in range(80):
            log.append(make_result(cells=20), **PROVENANCE)
    with raw(path) as connection:
        (last_root,) = connection.execute("SELECT max(rootpage) FROM sqlite_schema").fetchone()
    content = bytearray(path.read_bytes())
    schema = 4096 * (last_root + 8)  # the schema itself is to stay readable
    content[schema:] = b"\xff" * (len(content) - schema)
    path.write_bytes(content)
    with BloodLog.open(path) as log, pytest.raises(LogError, match=r"cannot be used: .*malformed"):
        list(log.fields())


def test_a_log_from_a_newer_version_is_refused(path: Path) -> None:
    BloodLog.open(path).close()
    with raw(path) as connection:
        connection.execute(
            "INSERT INTO migration VALUES (99, 'from_the_future', '2030-01-01T00:00:00+00:00')"
        )
    for read_only in (False, True):
        with pytest.raises(
            LogError, match=r"newer blastcount \(schema 99, this one knows up to \d+\); update"
        ):
            BloodLog.open(path, read_only=read_only)


def test_a_migration_that_fails_leaves_the_schema_before_it(path: Path) -> None:
    with BloodLog.open(path) as log:
        log.append(make_result(), **PROVENANCE)
    shipped = shipped_migrations()
    last = shipped[-1].number
    broken = Migration(last + 1, "broken", "CREATE TABLE rack (id TEXT);\nINSERT INTO nowhere VALUES (1);\n")
    good = Migration(last + 1, "rack", "CREATE TABLE rack (id TEXT);\n")
    with raw(path) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, (*shipped, broken), str(path))
        assert check_schema(connection, shipped, str(path)) == last
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'rack'").fetchone() == (0,)
        migrate(connection, (*shipped, good), str(path))
        migrate(connection, (*shipped, good), str(path))
        assert connection.execute("SELECT number, name FROM migration ORDER BY number").fetchall() == [
            *((migration.number, migration.name) for migration in shipped),
            (last + 1, "rack"),
        ]
        assert connection.execute("SELECT count(*) FROM field").fetchone() == (1,)


def test_shipped_migrations_are_numbered_without_a_gap() -> None:
    shipped = shipped_migrations()
    assert [migration.number for migration in shipped] == list(range(1, len(shipped) + 1))
    # Every file's text is used to its last statement.
    for migration in shipped:
        assert "".join(migration.statements()).rstrip() == migration.sql.rstrip()
    assert len(shipped) == sum(f.name.endswith(".sql") for f in files("edge.bloodlog").iterdir())


def test_two_processes_may_make_the_log_at_once(path: Path) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def open_and_append() -> None:
        barrier.wait()
        try:
            with BloodLog.open(path) as log:
                log.append(make_result(), **PROVENANCE)
        except LogError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with BloodLog.open(path, read_only=True) as log:
        assert log.count() == 4


def test_opening_waits_for_another_program_that_is_making_the_log(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogBusyError, match="cannot be used: another process holds it"):
            BloodLog.open(path, patience=Patience(0.0))
        finisher = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        finisher.start()
        with BloodLog.open(path, patience=Patience(60.0)) as log:
            assert log.count() == 0
        finisher.join()


def test_a_reader_who_may_not_write_sees_whether_somebody_began_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BloodLog.open(path) as log:
        log.append(make_result(), **PROVENANCE)
    # As for a member of the service's group while the service is away: no journal, and none can be made.
    monkeypatch.setattr("edge.bloodlog.connection.os.access", lambda _path, mode: mode != os.W_OK)
    with BloodLog.open(path, read_only=True) as reader:
        assert reader.count() == 1
        assert reader.verify() == ()
        assert not path.with_name(f"{path.name}-wal").exists()
        with BloodLog.open(path) as log:
            log.append(make_result(), **PROVENANCE)
            with pytest.raises(LogBusyError, match="began to write while this was read; ask again"):
                reader.verify()
    with BloodLog.open(path, read_only=True) as reader:
        assert reader.count() == 2


def test_a_journal_that_appears_while_a_log_is_opened_is_seen(path: Path) -> None:
    with BloodLog.open(path) as log:
        log.append(make_result(), **PROVENANCE)
        assert path.with_name(f"{path.name}-wal").exists()
        with pytest.raises(LogBusyError, match="began to write while this was read; ask again"):
            Undisturbed(path).check()  # its rows are in the journal, which is not read without locks
