"""Every way of touching the log behind its back shows in the chain, and is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.bloodlog import BloodLog
from edge.bloodlog.chain import GENESIS, Head, head, link_existing
from edge.bloodlog.schema import migrate, shipped_migrations
from edge.errors import LogError
from edge.structures import CellRef, ModelIdentity, RedCellScale, Scale
from tests.edge.bloodlog.fields import PROVENANCE, insert_old_rows, make_cell, make_result

LINKS = 9  # two of the opened sample, four fields, two reviews, the closing


def fill(path: Path) -> None:
    with BloodLog.open(path) as log:
        sample = log.open_sample("S-1", "blood", 200, who="Ani")
        for number in range(4):
            log.append(make_result(f"rendered:{number}", cells=3), **PROVENANCE, sample_id=sample.id)
        log.add_reviews({CellRef(2, 1): "normal"}, "Ani")
        log.undo_review("Ani", sample.id)
        log.change_sample("S-1", "closed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "blood.db")
    return tmp_path / "blood.db"


@pytest.fixture
def behind(path: Path) -> Iterator[Callable[[str], None]]:
    """Function that changes the file as somebody with an SQLite shell would: past the triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        yield lambda statement: (connection.executescript(statement), None)[1]


def faults(path: Path, known: Head | None = None) -> list[str]:
    with BloodLog.open(path, read_only=True) as log:
        return [str(fault) for fault in log.verify(known)]


def test_an_untouched_log_verifies(path: Path) -> None:
    assert faults(path) == []
    with BloodLog.open(path) as log:
        assert log.head().number == LINKS
        assert log.head() == Head.parse(str(log.head()))


def test_an_empty_log_verifies(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "empty.db") as log:
        assert log.verify() == ()
        assert log.head() == Head(0, GENESIS)


@pytest.mark.requirement(6)
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE cell SET label = 'normal' WHERE field_id = 2 AND id = 1", ["link 4: field 2 was changed"]),
        ("UPDATE cell SET p_blast = p_blast + 1e-12 WHERE field_id = 2 AND id = 1", ["field 2 was changed"]),
        ("DELETE FROM cell WHERE field_id = 3 AND id = 3", ["link 5: field 3 was changed"]),
        ("UPDATE field SET logged_at = '2020-01-01T00:00:00+00:00' WHERE id = 1", ["field 1 was changed"]),
        (
            "DELETE FROM field WHERE id = 2",
            ["link 4: field 2 is missing", "field 2 is missing: cells of it are left"],
        ),
        ("UPDATE field SET warnings = '[\"overlay\"]' WHERE id = 1", ["field 1 was changed"]),
        ("UPDATE field SET warnings = NULL WHERE id = 1", ["field 1 was changed"]),
        ("UPDATE sample SET quota = 100", ["link 1: sample 1 was changed"]),
        ("UPDATE sample_event SET who = 'Budi' WHERE event = 'closed'", ["sample_event 2 was changed"]),
        ("UPDATE review SET label = 'smudge' WHERE id = 1", ["link 7: review 1 was changed"]),
        ("DELETE FROM link WHERE number = 5", ["link 5: missing (links 5)", "field 3 was slipped in"]),
        (
            "DELETE FROM link WHERE number IN (4, 5)",
            ["link 4: missing (links 4 to 5)", "field 2 was slipped in", "field 3 was slipped in"],
        ),
        (
            "INSERT INTO field SELECT 99, logged_at, monotonic_s, boot_id, captured_at, source_kind, source, "
            "width, height, um_per_px, scale_source, scale_confidence, status, reasons, frame_sha256, "
            "model_name, model_sha256, config_sha256, software_version, runtime, stage_ms, sample_id, "
            "clock_trusted, stage_x_um, stage_y_um, image_sha256, provenance, context, warnings, "
            "um_per_px_low, um_per_px_high, red_cells_um_per_px, red_cells_confidence, type_model_name, "
            "type_model_sha256, overlaps, readings "
            "FROM field WHERE id = 1",
            [
                "field 99 is missing at the end: the log once had it",
                "field 99 was slipped in: it has no link",
            ],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE link SET kind = 'field; --' WHERE number = 4",
            ["link 4: field; -- 2 is missing", "field 2 was slipped in"],
        ),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') "
            "WHERE name = 'sample'; PRAGMA writable_schema = RESET; "
            "UPDATE sample SET name = CAST(name AS BLOB)",
            ["link 1: sample 1 was changed"],
        ),
        # Two fields change places.
        (
            "UPDATE link SET row_id = 99 WHERE number = 3; UPDATE link SET row_id = 1 WHERE number = 4; "
            "UPDATE link SET row_id = 2 WHERE number = 3",
            ["link 3: field 2 was changed, or its place", "link 4: field 1 was changed, or its place"],
        ),
    ],
)
def test_touching_shows_and_is_named(
    path: Path, behind: Callable[[str], None], statement: str, expected: list[str]
) -> None:
    behind(f"PRAGMA foreign_keys = OFF; {statement}")
    found = faults(path)
    assert len(found) == len(expected), found
    assert all(words in line for words, line in zip(expected, found, strict=True)), found


def test_a_tail_that_was_cut_off_shows_where_the_head_is_known(
    path: Path, behind: Callable[[str], None]
) -> None:
    with BloodLog.open(path, read_only=True) as log:
        known = log.head()
    behind("DELETE FROM sample_event WHERE id = 2; DELETE FROM link WHERE number = 9")
    assert faults(path) == ["sample_event 2 is missing at the end: the log once had it"]
    behind("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'sample_event'")
    assert faults(path) == []
    assert faults(path, known) == ["link 9: missing: the chain is known to have reached link 9"]
    assert faults(path, Head(9, known.sha256[:12])) == faults(path, known)


def test_a_chain_made_anew_shows_where_a_head_is_known(tmp_path: Path, path: Path) -> None:
    fill(tmp_path / "other.db")
    with BloodLog.open(tmp_path / "other.db", read_only=True) as other:
        known = other.head()
    assert faults(path) == []
    (fault,) = faults(path, known)
    assert "is not what the known head says" in fault


def test_a_known_head_from_earlier_still_fits(path: Path) -> None:
    with BloodLog.open(path) as log:
        known = log.head()
        log.append(make_result(), **PROVENANCE)
        assert log.verify(known) == ()


@pytest.mark.parametrize("text", ["", "1", "1:abc", "x:" + "0" * 64, "1:" + "G" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a head of the chain is NUMBER:SHA256"):
        Head.parse(text)


def test_rows_of_earlier_schemas_are_linked(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, shipped_migrations()[:2], str(path))
        insert_old_rows(connection)
    with BloodLog.open(path) as log:
        assert log.head().number == 3
        assert log.verify() == ()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        connection.execute("UPDATE field SET source = 'new.jpg' WHERE id = 2")
    assert faults(path) == ["link 2: field 2 was changed, or its place in the order was"]


def chained_log_of_schema(number: int, path: Path) -> Head:
    """Make a log as an earlier program left it; return its head."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, shipped_migrations()[:number], str(path))
        insert_old_rows(connection)
        link_existing(connection)
        return head(connection)


def test_rows_from_before_warnings_keep_their_links(tmp_path: Path) -> None:
    """A log of the fourth schema with its chain: the column that is added changes no head of it."""
    path = tmp_path / "old.db"
    known = chained_log_of_schema(4, path)
    with BloodLog.open(path) as log:
        assert log.verify(known) == ()
        assert [logged.result.warnings for logged in log.fields()] == [()] * 3
        doubted = replace(make_result(), warnings=("overlay",))
        log.append(doubted, **PROVENANCE)
        assert log.verify(known) == ()
        assert [logged.result for logged in log.fields()][-1] == doubted


def test_rows_from_before_types_keep_their_links(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    known = chained_log_of_schema(7, path)
    typed = replace(make_cell(1), type="lymphocyte", p_type=0.75)
    result = replace(make_result(cells=0), cells=(typed,), type_model=ModelIdentity("types", "b" * 64))
    with BloodLog.open(path) as log:
        assert log.verify(known) == ()
        assert {logged.result.type_model for logged in log.fields()} == {None}
        row = log.append(result, **PROVENANCE)
        log.add_reviews({CellRef(row, 1): "monocyte"}, "Ani")
        assert log.verify(known) == ()
        assert [logged.result for logged in log.fields()][-1] == result
        for wrong in (
            replace(typed, type="plasma"),  # type: ignore[arg-type]  # wrong on purpose
            replace(typed, p_type=None),
            replace(typed, p_type=1.5),
            replace(make_cell(1, kind="smudge"), type="lymphocyte", p_type=0.5),
        ):
            with pytest.raises(LogError, match="CHECK constraint failed"):
                log.append(replace(result, cells=(wrong,)), **PROVENANCE)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("DROP TRIGGER cell_no_update")
        connection.execute("UPDATE cell SET type = 'basophil' WHERE type IS NOT NULL")
    assert faults(path) == ["link 4: field 4 was changed, or its place in the order was"]


def test_rows_from_before_pooled_scales_keep_their_links(tmp_path: Path) -> None:
    """The list of sources that the table's CHECK allows is longer afterwards, and still one."""
    path = tmp_path / "old.db"
    known = chained_log_of_schema(5, path)
    pooled = Scale(0.1, "pooled", 0.9, (0.09, 0.11), RedCellScale(0.14, 0.3))
    with BloodLog.open(path) as log:
        assert log.verify(known) == ()
        assert {logged.result.scale.interval for logged in log.fields()} == {None}
        log.append(replace(make_result(), scale=pooled), **PROVENANCE)
        with pytest.raises(LogError, match="scale_source"):
            log.append(replace(make_result(), scale=replace(pooled, source="guessed")), **PROVENANCE)
        assert log.verify(known) == ()
        assert [logged.result.scale for logged in log.fields()][-1] == pooled
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_failed_append_leaves_no_link(path: Path) -> None:
    with BloodLog.open(path) as log:
        before = log.head()
        with pytest.raises(LogError, match="CHECK"):
            log.append(replace(make_result(), width=0), **PROVENANCE)
        assert log.head() == before


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    x=st.floats(allow_nan=False),
)
def test_whatever_is_logged_verifies(tmp_path_factory: pytest.TempPathFactory, source: str, x: float) -> None:
    result = make_result(source, cells=1)
    cell = replace(result.cells[0], cell=replace(result.cells[0].cell, x=x))
    with BloodLog.open(tmp_path_factory.mktemp("any") / "blood.db") as log:
        if abs(x) == float("inf"):
            with pytest.raises(LogError, match=r"not logged: .*JSON"):
                log.append(replace(result, cells=(cell,)), **PROVENANCE)
        else:
            log.append(replace(result, cells=(cell,)), **PROVENANCE)
        assert log.verify() == ()
