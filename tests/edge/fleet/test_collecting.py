"""What comes becomes rows exactly once; whatever does not fit is named and never becomes a row."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from edge.bloodlog import BloodLog
from edge.bloodlog.chain import GENESIS
from edge.device.clock import utc_now
from edge.fleet import collecting
from edge.fleet import database as fleet_database
from edge.fleet.alarms import watch
from edge.fleet.broker import Closed, Received
from edge.fleet.collecting import Collector
from edge.fleet.database import Database, DatabaseError
from edge.fleet.forwarding import Forwarder
from edge.fleet.messages import MAX_BYTES, MAX_PICTURE_BYTES, encoded, seal
from edge.fleet.overview import acknowledge, devices, incidents_of, picture_of, pictures_of
from edge.fleet.receiving import Receiver
from edge.fleet.verifying import RefusedError, read_link
from tests.edge.commands.invoking import blastcount
from tests.edge.fleet.conftest import CONFIG, Broker, Line, add_doubtful, add_fields, received

Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def payloads(log: BloodLog, make_forwarder: Callable[..., Forwarder]) -> list[bytes]:
    """Messages of twelve links."""
    add_fields(log, 5)
    broker = Broker()
    make_forwarder().run(lambda: Line(broker), once=True)
    return broker.payloads()


def links(database: Database) -> list[int]:
    return [row["number"] for row in database.rows("SELECT number FROM link ORDER BY number")]


def incidents(database: Database) -> dict[str, int]:
    rows = database.rows("SELECT kind, sum(times) AS n FROM standing_incident GROUP BY kind")
    return {row["kind"]: row["n"] for row in rows}


def test_rows_come_whole(database: Database, payloads: list[bytes], log: BloodLog) -> None:
    Collector(database).take(received(payloads))
    assert links(database) == list(range(1, 13))
    assert incidents(database) == {}
    (device,) = database.rows("SELECT * FROM device")
    assert (device["highest"], device["sha256"]) == (12, log.head().sha256)
    (sample,) = database.rows("SELECT * FROM sample_tally")
    assert (sample["sample"], sample["fields"], sample["blasts"], sample["border"]) == ("S-0142", 10, 30, 20)
    (link,) = database.rows("SELECT CAST(body AS TEXT) AS body FROM link WHERE number = 5")
    assert link["body"].encode() == payloads[4]  # as it came


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_order_and_however_often_each_is_there_once(
    database: Database, payloads: list[bytes], seed: int
) -> None:
    shuffled = random.Random(seed).sample(payloads * 3, len(payloads) * 3)
    for at in range(0, len(shuffled), 5):
        Collector(database).take(received(shuffled[at : at + 5]))
    assert links(database) == list(range(1, 13))
    assert incidents(database) == {}
    (device,) = database.rows("SELECT repeated, highest FROM device")
    assert device == {"repeated": 24, "highest": 12}


def test_a_gap_is_named_until_it_is_filled(database: Database, payloads: list[bytes]) -> None:
    collector = Collector(database)
    collector.take(received([*payloads[:3], *payloads[6:]]))
    assert incidents(database) == {"gap": 1}
    (gap,) = database.rows("SELECT number, last_number FROM incident")
    assert gap == {"number": 4, "last_number": 6}
    collector.take(received(payloads[3:5]))
    assert incidents(database) == {"gap": 1}
    collector.take(received(payloads[5:6]))
    assert incidents(database) == {}
    assert links(database) == list(range(1, 13))


def changed(payload: bytes, change: Change, *, sealed: bool = False) -> bytes:
    message = change(json.loads(payload))
    return encoded(message | {"seal": seal(message)} if sealed else message)


class Forged:
    """A device that says whatever one likes, in a chain that fits."""

    def __init__(self, device: str, last: dict[str, Any] | None = None) -> None:
        self.device = device
        self._last = last or {"number": 0, "sha256": GENESIS, "seal": GENESIS}

    def says(self, kind: str, row: dict[str, Any]) -> bytes:
        last, number = self._last, self._last["number"] + 1
        self._last = {
            "schema": "blastcount.link/1", "device": self.device, "number": number, "kind": kind, "row": row,
            "withheld": [], "previous": last["sha256"], "sha256": f"{number:064x}",
            "previous_seal": last["seal"],
        }  # fmt: skip
        self._last["seal"] = seal(self._last)
        return encoded(self._last)


def with_row(**columns: object) -> Callable[[bytes], bytes]:
    return lambda payload: changed(payload, lambda m: m | {"row": m["row"] | columns}, sealed=True)


OTHER = "f" * 64
REFUSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "not JSON": ("malformed", lambda payload: payload[:-1]),
    "no text": ("malformed", lambda payload: b"\xff\xfe"),
    "nothing": ("malformed", lambda payload: b""),
    "a list": ("malformed", lambda payload: b"[1]"),
    "nested deeply": ("malformed", lambda payload: b"[" * 20_000),
    "a zero": ("malformed", lambda p: changed(p, lambda m: m | {"kind": "x\x00"}, sealed=True)),
    "a lone surrogate": ("malformed", lambda payload: payload.replace(b'"field"', b'"\\ud800"')),
    "another schema": ("malformed", lambda p: changed(p, lambda m: m | {"schema": "x/2"}, sealed=True)),
    "a number below 1": ("malformed", lambda p: changed(p, lambda m: m | {"number": 0}, sealed=True)),
    "a number as text": ("malformed", lambda p: changed(p, lambda m: m | {"number": "5"}, sealed=True)),
    "no tally": ("malformed", lambda p: changed(p, lambda m: m | {"tally": None}, sealed=True)),
    "a negative tally": (
        "malformed", lambda p: changed(p, lambda m: m | {"tally": m["tally"] | {"blasts": -1}}, sealed=True),
    ),
    "no row": ("malformed", lambda p: changed(p, lambda m: m | {"row": {}}, sealed=True)),
    "a row of another form": (
        "malformed", with_row(status="fine"),
    ),
    "10 MB": ("oversized", lambda payload: payload + b" " * 10_000_000),
    "just too large": ("oversized", lambda payload: payload + b" " * (MAX_BYTES + 1 - len(payload))),
    "an altered row": ("altered", lambda p: changed(p, lambda m: m | {"row": m["row"] | {"id": 99}})),
    "an altered tally": (
        "altered", lambda p: changed(p, lambda m: m | {"tally": m["tally"] | {"blasts": 0}}),
    ),
    "a time that is none": (
        "malformed", with_row(captured_at="soon"),
    ),
    "a year that no clock has": (
        "malformed",
        with_row(logged_at="0001-01-01T00:00:00+14:00"),
    ),
    "warnings that are no JSON": (
        "malformed", with_row(warnings="{"),
    ),
    "another's name": ("stolen_name", lambda p: changed(p, lambda m: m | {"device": "pi-08"}, sealed=True)),
    "another chain": ("fork", lambda p: changed(p, lambda m: m | {"previous": OTHER}, sealed=True)),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "make"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named_and_kept(
    database: Database, payloads: list[bytes], kind: str, make: Callable[[bytes], bytes]
) -> None:
    collector = Collector(database)
    collector.take(received(payloads[:5]))
    bad = make(payloads[5])
    collector.take(received([bad, bad]))
    assert incidents(database) == {kind: 2}
    assert links(database) == [1, 2, 3, 4, 5]
    (kept,) = database.rows("SELECT payload, what FROM incident")
    assert kept["payload"][:20] == bad.decode("utf-8", "backslashreplace")[:20]
    # The right one is taken all the same.
    collector.take(received(payloads[5:]))
    assert links(database) == list(range(1, 13))


def test_another_row_in_the_place_of_one_that_is_here_is_a_fork(
    database: Database, payloads: list[bytes]
) -> None:
    collector = Collector(database)
    collector.take(received(payloads))
    for at in (0, 5, 11):
        collector.take(
            received([changed(payloads[at], lambda message: message | {"sha256": OTHER}, sealed=True)])
        )
    assert incidents(database) == {"fork": 3}
    assert [
        row["sha256"] for row in database.rows("SELECT sha256 FROM link WHERE sha256 = %s", (OTHER,))
    ] == []


def test_a_link_that_does_not_fit_the_one_behind_it_is_a_fork(
    database: Database, payloads: list[bytes]
) -> None:
    collector = Collector(database)
    collector.take(received([*payloads[:3], *payloads[4:]]))
    collector.take(received([changed(payloads[3], lambda message: message | {"sha256": OTHER}, sealed=True)]))
    assert incidents(database) == {"gap": 1, "fork": 1}
    collector.take(received(payloads[3:4]))
    assert incidents(database) == {"fork": 1}


def test_a_row_that_was_altered_and_sealed_anew_shows_at_the_next_one(
    database: Database, payloads: list[bytes]
) -> None:
    forged = changed(payloads[4], lambda m: m | {"tally": m["tally"] | {"blasts": 0}}, sealed=True)
    Collector(database).take(received([*payloads[:4], forged, *payloads[5:]]))
    assert incidents(database) == {"resealed": 1}
    (named,) = database.rows("SELECT number, what FROM incident")
    assert named["number"] == 6
    assert "link 5" in named["what"]


def test_a_restored_backup_shows_in_the_devices_status(database: Database, payloads: list[bytes]) -> None:
    collector = Collector(database)
    collector.take(received(payloads))
    here = json.loads(payloads[7])

    def status(number: int, sha256: str, at: str = "2100-01-01T00:00:00+00:00") -> list[Received]:
        said = {"schema": "blastcount.device/1", "device": "pi-07", "at": at}
        return received([encoded(said | {"head": {"number": number, "sha256": sha256}})], what="status")

    collector.take(status(12, json.loads(payloads[11])["sha256"]))
    collector.take(status(8, here["sha256"], "2026-01-01T00:00:00+00:00"))  # an old one that comes late
    collector.take(status(40, OTHER))  # there is more than has come: nothing is said against it
    assert incidents(database) == {}
    collector.take(status(8, here["sha256"]))
    assert incidents(database) == {"restored_backup": 1}
    collector.take(status(12, OTHER))
    assert incidents(database) == {"restored_backup": 2}
    # What was said by mistake ends when the log goes on as before, and comes back with what says it again.
    end = status(12, json.loads(payloads[11])["sha256"])
    collector.take([*end, *status(8, here["sha256"])])
    assert incidents(database) == {"restored_backup": 3}
    collector.take(end)
    assert incidents(database) == {}
    collector.take(status(8, here["sha256"]))
    assert incidents(database) == {"restored_backup": 3}


def test_a_link_that_follows_ends_the_report_of_a_restored_backup(
    database: Database, payloads: list[bytes]
) -> None:
    said = {"schema": "blastcount.device/1", "device": "pi-07", "at": "2100-01-01T00:00:00+00:00"}
    empty = received([encoded(said | {"head": {"number": 0, "sha256": "0" * 64}})], what="status")
    collector = Collector(database)
    collector.take([*received(payloads[:10]), *empty])
    collector.take(received(payloads[:10]))  # what is here already says nothing of where the log goes on
    assert incidents(database) == {"restored_backup": 1}
    collector.take(received(payloads[10:11]))
    assert incidents(database) == {}


def test_devices_are_kept_apart(database: Database, payloads: list[bytes]) -> None:
    other = [
        changed(payload, lambda message: message | {"device": "pi-08"}) for payload in payloads
    ]  # not sealed anew
    collector = Collector(database)
    collector.take([*received(payloads), *received(other, device="pi-08")])
    assert incidents(database) == {"altered": 12}
    assert len(links(database)) == 12
    collector.take(
        [Received("somewhere/else", b"x", 1, False), Received("blastcount/1/../link", b"x", 2, False)]
    )
    assert incidents(database) == {"altered": 12, "malformed": 2}


def test_a_batch_that_cannot_be_written_is_not_acknowledged_and_comes_again(
    database: Database, payloads: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(Broker())
    for message in received(payloads):
        line.events.put(message)
    line.events.put(Closed("cut"))
    receiver = Receiver(None, lambda: database)  # type: ignore[arg-type]  # asks it nothing here
    full = DatabaseError("the disk is full")
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise full

        patch.setattr(database, "execute_many", fail)
        with pytest.raises(DatabaseError):
            receiver.collect(line, database)
    assert line.acknowledged == []
    assert links(database) == []
    for message in received(payloads):
        line.events.put(message)
    line.events.put(Closed("cut"))
    with pytest.raises(Exception, match="lost"):
        receiver.collect(line, database)
    assert len(line.acknowledged) == 12
    assert links(database) == list(range(1, 13))


@given(payload=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(("schema", "device", "number", "row", "kind", "seal")), inner), max_leaves=9,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_is_a_message_or_refused(payload: bytes) -> None:
    with pytest.raises(RefusedError):
        read_link("pi-07", payload)


def test_a_silent_device_raises_an_alarm_that_passes(database: Database, payloads: list[bytes]) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    times = iter((start, start + timedelta(hours=30)))
    collector = Collector(database, lambda: next(times))

    def standing() -> list[str]:
        return [row["kind"] for row in database.rows("SELECT kind FROM alarm WHERE cleared_at IS NULL")]

    collector.take(received(payloads[:6]))
    watch(database, start + timedelta(hours=23), 24.0)
    assert standing() == []
    for _ in range(2):
        watch(database, start + timedelta(hours=25), 24.0)
        assert standing() == ["silent"]
    collector.take(received(payloads[6:]))
    watch(database, start + timedelta(hours=31), 24.0)
    assert standing() == []
    assert len(database.rows("SELECT * FROM alarm")) == 1


def test_a_device_out_of_use_raises_no_alarm_until_it_is_heard_again(
    database: Database, payloads: list[bytes], tmp_path: Path
) -> None:
    now = utc_now()
    times = iter((now - timedelta(hours=30), now + timedelta(hours=1)))
    collector = Collector(database, lambda: next(times))

    def standing(hours: int) -> list[str]:
        watch(database, now + timedelta(hours=hours), 24.0)
        (line,) = devices(database)
        return list(line.alarms)

    collector.take(received(payloads[:6]))
    assert standing(0) == ["silent"]
    command = (
        "collect",
        "retire",
        "--who",
        "Ani",
        "--note",
        "now pi-07b",
        "--database",
        str(tmp_path / "fleet.db"),
    )
    wrong = blastcount(*command, "pi-70")
    assert (wrong.exit_code, "expected one of pi-07" in wrong.output) == (1, True)
    done = blastcount(*command, "pi-07")
    assert (done.exit_code, done.output) == (0, "pi-07: out of use, by Ani; its rows stay\n")
    assert standing(0) == standing(40) == []
    (line,) = devices(database)
    assert line.retired is not None
    assert (line.retired["who"], line.retired["note"]) == ("Ani", "now pi-07b")
    assert links(database) == list(range(1, 7))
    collector.take(received(payloads[6:]))
    assert devices(database)[0].retired is None
    assert standing(40) == ["silent"]


def test_a_newer_schema_and_a_missing_one_are_named(database: Database, tmp_path: Any) -> None:
    database.execute("INSERT INTO migration VALUES (99, 'later', '')")
    with pytest.raises(DatabaseError, match="has schema 99"), Database.open(str(tmp_path / "fleet.db")):
        pass
    with pytest.raises(DatabaseError), Database.open(str(tmp_path / "absent.db"), read_only=True):
        pass
    with (
        pytest.raises(DatabaseError, match="does its folder exist"),
        Database.open(str(tmp_path / "a" / "b.db")),
    ):
        pass


@pytest.fixture
def collect(tmp_path: Path) -> Callable[[str, Path], Result]:
    """Runs ``collect run`` or ``page`` on a database."""
    (tmp_path / "d.toml").write_text('[collect]\nbroker = "127.0.0.1"\nport = 9\ntls = false\n')

    def call(command: str, database: Path) -> Result:
        return blastcount("collect", command, "--config", tmp_path / "d.toml", "--database", database)

    return call


def test_a_file_that_is_no_database_is_one_line(
    collect: Callable[[str, Path], Result], tmp_path: Path
) -> None:
    other = tmp_path / "x.db"
    other.write_text("notadb\n" * 100)
    said = [collect(command, other) for command in ("run", "page")]
    assert [one.exit_code for one in said] == [1, 1]
    assert said[0].stderr == said[1].stderr
    assert said[0].stderr.count("\n") == 1
    assert f"{other}: cannot be used as the collector's database: file is not a database" in said[0].stderr
    assert other.read_text() == "notadb\n" * 100


def test_one_process_collects_into_a_database(
    collect: Callable[[str, Path], Result],
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_database, "_PATIENCE_S", 0.0)
    path = tmp_path / "fleet.db"
    database.collect_alone(str(path))
    result = collect("run", path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{path}: another one collects into it" in result.stderr
    database.close()
    with Database.open(str(path)) as other:
        other.collect_alone(str(path))
    (tmp_path / "fleet.db.collecting").unlink()
    (tmp_path / "fleet.db.collecting").mkdir()
    with Database.open(str(path)) as other, pytest.raises(DatabaseError, match="cannot be made"):
        other.collect_alone(str(path))


@pytest.mark.parametrize("payload", [b"[" * 20_000, b'{"":' * 13_000 + b"1" + b"}" * 13_000])
def test_a_message_that_is_nested_too_deep_is_told_so(database: Database, payload: bytes) -> None:
    Collector(database).take(received([payload]) + received([payload], what="status"))
    (said,) = database.rows("SELECT what FROM incident")
    assert said["what"] == "is nested too deep; a message has few levels"


def test_an_alarm_of_a_devices_own_charts_stands_until_somebody_there_has_seen_it(
    database: Database, payloads: list[bytes]
) -> None:
    device = Forged("pi-07", json.loads(payloads[-1]))

    def standing() -> list[tuple[str, str]]:
        watch(database, datetime.now(UTC), 24.0)
        rows = database.rows("SELECT kind, what FROM alarm WHERE cleared_at IS NULL")
        return [(row["kind"], row["what"]) for row in rows]

    collector = Collector(database)
    collector.take(received(payloads))
    assert standing() == []
    assert devices(database)[0].qc is None
    alarm = {"id": 1, "chart": "density", "day": "2026-11-02", "cause": "lamp"}
    collector.take(received([device.says("alarm", alarm)]))
    assert standing() == [("qc", "density on 2026-11-02: lamp")]
    assert devices(database)[0].qc == "alarm"
    collector.take(received([device.says("acknowledgement", {"id": 1, "alarm_id": 1})]))
    assert standing() == []
    assert devices(database)[0].qc == "ok"


@pytest.mark.parametrize(("rejected", "raised"), [(0, False), (2, False), (60, True)])
def test_a_share_that_has_moved_raises_an_alarm(database: Database, rejected: int, raised: bool) -> None:
    database.execute("INSERT INTO device (name, first_heard, last_heard, sha256, seal) VALUES "
                     "('pi-07', '2026-01-01', '2100-01-01', '', '')")  # fmt: skip
    rows = [
        ("pi-07", i, "rejected" if i > 2200 - rejected or i % 100 == 0 else "counted", 5, 1)
        for i in range(1, 2201)
    ]
    with database.transaction():
        database.execute_many(
            "INSERT INTO field (device, number, row_id, at, status, blasts, normal, uncertain, border, "
            "smudges, seen_before, erythroblasts) SELECT %s, %s, 1, '', %s, 0, %s, %s, 0, 0, 0, 0", rows
        )  # fmt: skip
    watch(database, datetime(2026, 11, 1, tzinfo=UTC), 24.0)
    assert [row["kind"] for row in database.rows("SELECT kind FROM alarm")] == ["drift"] * raised


SAMPLE = {"id": 1, "name": "S-1", "specimen": "blood", "quota": 200, "opened_at": "2026-11-01T08:00:00+00:00"}


def test_a_row_that_the_database_does_not_take_keeps_nobody_waiting(
    database: Database, payloads: list[bytes]
) -> None:
    hostile = Forged("pi-08")
    twice = received([hostile.says("sample", SAMPLE), hostile.says("sample", SAMPLE)], "pi-08")
    after = received([hostile.says("review", {"id": 1})], "pi-08")
    Collector(database).take([*received(payloads[:5]), *twice, *after, *received(payloads[5:])])
    rows = database.rows("SELECT device, count(*) AS n FROM link GROUP BY device ORDER BY device")
    assert [(row["device"], row["n"]) for row in rows] == [("pi-07", 12), ("pi-08", 2)]
    (named,) = database.rows("SELECT device, kind, what FROM incident WHERE kind <> 'gap'")
    assert (named["device"], named["kind"]) == ("pi-08", "malformed")
    assert "cannot be kept: the collector's database: UNIQUE" in named["what"]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("sample", SAMPLE | {"opened_at": "yesterday"}),
        ("sample_event", {"id": 1, "sample_id": "one", "event": "closed"}),
        ("control_run", {"id": 1, "sample_id": 1, "slide": None}),
        ("alarm", {"id": 1, "chart": "x" * 201, "day": "2026-11-02", "cause": "lamp"}),
        ("acknowledgement", {"id": 1, "alarm_id": "one"}),
    ],
)
def test_what_pages_and_alarms_could_not_read_is_no_row(
    database: Database, kind: str, row: dict[str, Any]
) -> None:
    """PostgreSQL would refuse to read it, and with it all other devices' rows."""
    Collector(database).take(received([Forged("pi-07").says(kind, row)]))
    assert (links(database), incidents(database)) == ([], {"malformed": 1})


@pytest.mark.parametrize(
    "change",
    [{"head": {"number": -(10**30), "sha256": OTHER}}, {"disk_free_mb": 10**400}, {"backlog": "many"}],
)
def test_a_status_that_no_page_could_show_is_refused(database: Database, change: dict[str, Any]) -> None:
    at = "2026-11-01T08:00:00+00:00"
    status = {"schema": "blastcount.device/1", "device": "pi-07", "at": at}
    payload = json.dumps(status | {"head": {"number": 1, "sha256": OTHER}} | change).encode()
    Collector(database).take(received([payload], what="status"))
    assert incidents(database) == {"malformed": 1}
    assert devices(database)[0].status == {}


def test_of_one_device_only_so_much_is_named_one_by_one(
    database: Database, payloads: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_NAMED", 3)
    collector = Collector(database, lambda: datetime(2026, 11, 1, tzinfo=UTC))
    under = [Received(f"blastcount/1/pi-07/{number}", b"", number, False) for number in range(4)]
    collector.take(received([b"1", b"2"]))
    collector.take([*under, *received([b"3"])])
    collector.take(received(payloads))  # its rows are taken all the same
    assert incidents(database) == {"malformed": 3, "flood": 4}
    assert links(database) == list(range(1, 13))
    collector.take(received([b"4"], device="pi-08"))
    Collector(database, lambda: datetime(2026, 11, 2, tzinfo=UTC)).take(received([b"5"]))
    assert incidents(database) == {"malformed": 5, "flood": 4}


def test_what_somebody_has_seen_stands_no_more_until_it_comes_again(
    database: Database, payloads: list[bytes], tmp_path: Path
) -> None:
    collector = Collector(database)
    collector.take(received(payloads))
    forks = [changed(payloads[at], lambda message: message | {"sha256": OTHER}, sealed=True) for at in (3, 5)]
    collector.take(received([*forks, b"{"]))
    command = ("collect", "acknowledge", "pi-07", "--database", str(tmp_path / "fleet.db"))
    done = blastcount(*command, "--kind", "fork", "--who", "Ani", "--note", "SD card was exchanged")
    assert done.exit_code == 0, done.output
    assert "fork, 1 times: link 4 is ffffffffffff..." in done.output
    assert "pi-07: 2 seen by Ani" in done.output
    assert incidents(database) == {"malformed": 1}
    assert devices(database)[0].incidents == {"malformed": 1}
    seen = [row for row in incidents_of(database, "pi-07") if row["who"]]
    assert {(row["kind"], row["who"], row["note"]) for row in seen} == {
        ("fork", "Ani", "SD card was exchanged")
    }
    collector.take(received(forks[:1]))
    assert incidents(database) == {"malformed": 1, "fork": 2}
    assert [row["who"] for row in incidents_of(database, "pi-07")].count("Ani") == 1
    assert len(acknowledge(database, "pi-07", None, "Budi", "")) == 2
    assert (incidents(database), acknowledge(database, "pi-07", None, "Budi", "")) == ({}, [])
    assert database.rows("SELECT count(*) AS n FROM acknowledgement") == [{"n": 4}]


@pytest.fixture
def with_pictures(log: BloodLog, make_forwarder: Callable[..., Forwarder]) -> Broker:
    """Twelve links and two pictures, of the sixth field."""
    add_doubtful(log)
    add_fields(log, 4)
    broker = Broker()
    config = msgspec.structs.replace(CONFIG, thumbnails="doubtful")
    make_forwarder(config).run(lambda: Line(broker), once=True)
    return broker


def pictures(database: Database) -> list[tuple[int, int]]:
    rows = database.rows("SELECT field_id, cell_id FROM picture ORDER BY field_id, cell_id")
    return [(row["field_id"], row["cell_id"]) for row in rows]


def test_pictures_are_kept_once_and_go_when_the_device_removes_them(
    database: Database, with_pictures: Broker
) -> None:
    came = [*received(with_pictures.payloads("picture"), what="picture"), *received(with_pictures.payloads())]
    collector = Collector(database)
    collector.take([*came, *came])
    assert pictures(database) == [(6, 3), (6, 4)]
    assert [(row["field_id"], row["cell_id"]) for row in pictures_of(database, "pi-07", 1)] == [
        (6, 3),
        (6, 4),
    ]
    said = json.loads(with_pictures.payloads("picture")[0])
    assert picture_of(database, "pi-07", 6, 3) == base64.b64decode(said["jpeg"])
    assert (incidents(database), links(database)) == ({}, list(range(1, 13)))
    device = Forged("pi-07", json.loads(with_pictures.payloads()[-1]))
    collector.take(received([device.says("removal", {"id": 1, "field_id": 6})]))
    assert pictures(database) == []


def test_a_picture_that_is_none_or_another_is_refused(database: Database, with_pictures: Broker) -> None:
    first, second = (json.loads(payload) for payload in with_pictures.payloads("picture"))
    jpeg = base64.b64decode(first["jpeg"])
    huge = jpeg.replace(b"\x00\x40\x00\x40\x03", b"\x40\x00\x40\x00\x03", 1)  # what it says of its size
    assert huge != jpeg

    def with_jpeg(data: bytes) -> dict[str, Any]:
        said = {"jpeg": base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}
        return first | said

    bad = [
        first | {"sha256": OTHER},
        with_jpeg(b"GIF89a"),
        with_jpeg(jpeg + bytes(MAX_PICTURE_BYTES)),
        with_jpeg(huge),
        first | {"device": "pi-08"},
        second | {"cell_id": first["cell_id"]},
    ]
    Collector(database).take(received([encoded(one) for one in (first, *bad)], what="picture"))
    assert pictures(database) == [(6, 3)]
    assert incidents(database) == {"altered": 1, "malformed": 2, "oversized": 1, "stolen_name": 1, "fork": 1}


def test_the_newest_pictures_of_each_device_are_kept(
    database: Database, with_pictures: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_PICTURES", 3)
    first = json.loads(with_pictures.payloads("picture")[0])
    for field in (4, 9, 1, 8, 7):
        said = [encoded(first | {"field_id": field})]
        Collector(database).take(received(said, what="picture"))
        Collector(database).take(received([encoded(first | {"device": "pi-08"})], "pi-08", "picture"))
    rows = database.rows("SELECT field_id FROM picture WHERE device = 'pi-07' ORDER BY field_id")
    assert [row["field_id"] for row in rows] == [7, 8, 9]
    assert len(pictures(database)) == 4
