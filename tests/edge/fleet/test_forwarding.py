"""What sends the log: in order, everything, never more at once than allowed, and nothing that is personal."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.chain import GENESIS
from edge.bloodlog.pictures import ThumbnailStore
from edge.config import DEVICE_NAME, ForwardConfig
from edge.errors import LogError, NoLogError, OutputError
from edge.fleet import outbox as fleet_outbox
from edge.fleet.broker import NO_SUBSCRIBERS, BrokerError
from edge.fleet.device_status import make_status
from edge.fleet.forwarding import Forwarder, Progress
from edge.fleet.messages import ALLOWED, MAX_BYTES, seal
from edge.fleet.outbox import Cursor, Outbox, State
from edge.fleet.verifying import read_link, read_picture
from edge.structures import FieldResult
from tests.edge.bloodlog.fields import make_result
from tests.edge.commands.invoking import blastcount
from tests.edge.fleet.conftest import CONFIG, Broker, Line, add_doubtful, add_fields

MakeForwarder = Callable[..., Forwarder]


def numbers(broker: Broker) -> list[int]:
    return [json.loads(payload)["number"] for payload in broker.payloads()]


def send(make: MakeForwarder, broker: Broker, config: ForwardConfig = CONFIG) -> None:
    make(config).run(lambda: Line(broker, config.window), once=True)


def test_every_link_is_sent_once_and_in_order(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    broker = Broker()
    send(make_forwarder, broker)
    assert numbers(broker) == list(range(1, 8))
    add_fields(log, 2)
    send(make_forwarder, broker)  # a new process goes on where the cursor is
    assert numbers(broker) == list(range(1, 10))
    assert broker.payloads("online")[0] == b"online"


def test_the_messages_are_a_chain_of_their_own_with_the_logs_hashes_in_it(
    log: BloodLog, make_forwarder: MakeForwarder
) -> None:
    broker = Broker()
    send(make_forwarder, broker)
    previous, previous_seal = GENESIS, GENESIS
    for payload in broker.payloads():
        message = json.loads(payload)
        assert (message["previous"], message["previous_seal"]) == (previous, previous_seal)
        assert message["seal"] == seal(message)
        previous, previous_seal = message["sha256"], message["seal"]
    assert previous == log.head().sha256


@pytest.mark.parametrize("lose_after", [0, 1, 2, 5, 8])
def test_what_a_lost_connection_left_is_sent_again(
    log: BloodLog, make_forwarder: MakeForwarder, lose_after: int
) -> None:
    broker = Broker(lose_after=lose_after)
    with pytest.raises(BrokerError, match="lost"):
        send(make_forwarder, broker)
    broker.lose_after = None
    send(make_forwarder, broker)
    assert sorted(set(numbers(broker))) == list(range(1, 8))
    assert len(numbers(broker)) <= 7 + 8


def test_the_cursor_waits_until_the_broker_has_saved() -> None:
    """A broker that failed within this time may have lost what it had taken."""
    progress = Progress(Cursor(), Cursor(), 10.0)
    one, two = Cursor(1, "1" * 64), Cursor(2, "2" * 64)
    progress.take(one, 0.0)
    progress.take(two, 6.0)
    progress.hear(9.9)
    assert (progress.safe, progress.taken) == (Cursor(), two)
    progress.hear(10.0)
    assert progress.safe == one
    progress.hear(16.0)
    assert progress.safe == two


def test_what_is_remembered_does_not_grow_with_what_is_sent() -> None:
    progress = Progress(Cursor(), Cursor(), 60.0)
    for i in range(60_000):
        progress.take(Cursor(i), i / 1000.0)
        progress.hear(i / 1000.0)
    assert len(progress._marks) <= 51
    progress.hear(200.0)
    assert progress.safe == Cursor(59_999)


def test_never_more_is_underway_than_the_window(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    add_fields(log, 50)
    broker = Broker()
    send(make_forwarder, broker, ForwardConfig(broker="localhost", tls=False, device="pi-07", window=3))
    assert len(numbers(broker)) == 57
    assert broker.most_underway <= 3 + 3  # besides links: online, status and what announces the device


@pytest.mark.parametrize(
    ("code", "reason"), [(NO_SUBSCRIBERS, "no_collector"), (0x87, "refused"), (0x97, "refused")]
)
def test_what_the_broker_does_not_keep_does_not_move_the_cursor(
    log: BloodLog, make_forwarder: MakeForwarder, tmp_path: Path, code: int, reason: str
) -> None:
    with pytest.raises(BrokerError) as raised:
        send(make_forwarder, Broker(code=code))
    assert raised.value.reason == reason
    assert State(tmp_path / "state", "pi-07").read() == Cursor()


def test_nothing_personal_crosses(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    log.change_sample("S-0142", "closed", who="Ani")
    log.open_sample("Budi", "blood", 200, who="Siti")  # an id that looks like a name
    broker = Broker()
    send(make_forwarder, broker)
    crossed = b"".join(payload for _, payload in broker.taken)
    for name in (b"Ani", b"Siti", b"Budi", b"siti", b".jpg", b"patients", b"thumbnail", b"contours"):
        assert name not in crossed
    assert b"S-0142" in crossed
    events = [json.loads(payload) for payload in broker.payloads() if b'"sample_event"' in payload]
    who = [event["row"]["who"] for event in events]
    assert who[0] == who[1] != who[2]  # one pseudonym a person


def test_every_column_is_allowed_or_withheld_by_name(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    broker = Broker()
    send(make_forwarder, broker)
    with sqlite3.connect(log.path) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(field)")}
    connection.close()
    field = next(json.loads(payload) for payload in broker.payloads() if b'"kind":"field"' in payload)
    assert ALLOWED["field"] <= columns
    assert set(field["row"]) <= ALLOWED["field"]
    assert {"source", "cells", "monotonic_s"} <= set(field["withheld"])
    assert field["tally"] == {
        "blasts": 3, "normal": 0, "uncertain": 0, "border": 2, "smudges": 1, "seen_before": 0,
        "erythroblasts": 0,
    }  # fmt: skip


def test_messages_are_of_the_published_form(
    log: BloodLog, make_forwarder: MakeForwarder, repository: Path
) -> None:
    schema = json.loads((repository / "edge" / "fleet" / "messages.schema.json").read_text())
    broker = Broker()
    send(make_forwarder, broker)
    status = make_status("pi-07", log.path, log.path.parent / "absent.json", log.head(), Cursor())
    messages = [*map(json.loads, broker.payloads()), status]
    assert len(messages) == 8
    for message in messages:
        jsonschema.validate(message, schema)
    for key in ("seal", "tally"):
        without = {name: value for name, value in messages[-2].items() if name != key}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(without, schema)


def test_a_device_s_name_has_one_form(repository: Path) -> None:
    schema = json.loads((repository / "edge" / "fleet" / "messages.schema.json").read_text())
    assert schema["$defs"]["device"]["pattern"] == f"^{DEVICE_NAME}$"


WITH_PICTURES = msgspec.structs.replace(CONFIG, thumbnails="doubtful")


def test_pictures_of_uncertain_cells_alone_cross_and_only_where_it_is_said(
    log: BloodLog, make_forwarder: MakeForwarder, repository: Path
) -> None:
    pictures = add_doubtful(log)
    broker, other = Broker(), Broker()
    send(make_forwarder, other)
    assert other.payloads("picture") == []
    (log.path.parent / "state" / "pi-07.cursor.json").unlink()  # and all of it once more
    make_forwarder(WITH_PICTURES).run(lambda: Line(broker), once=True)
    kinds = [where.rpartition("/")[2] for where, _ in broker.taken]
    assert [kind for kind in kinds if kind != "status"][-3:] == ["picture", "picture", "link"]
    sent = [json.loads(payload) for payload in broker.payloads("picture")]
    assert [(one["field_id"], one["cell_id"], one["sha256"]) for one in sent] == [
        (6, 3, pictures[2]), (6, 4, pictures[3]),
    ]  # fmt: skip
    store = ThumbnailStore.beside(log.path)
    schema = json.loads((repository / "edge" / "fleet" / "messages.schema.json").read_text())
    for payload, one in zip(broker.payloads("picture"), sent, strict=True):
        jsonschema.validate(one, schema)
        assert read_picture("pi-07", payload).jpeg == store.read(one["sha256"])
    # The links are the same ones, pictures or none.
    assert broker.payloads() == other.payloads()


def test_a_picture_that_was_removed_or_is_large_does_not_cross(
    log: BloodLog, make_forwarder: MakeForwarder
) -> None:
    pictures = add_doubtful(log)
    ThumbnailStore.beside(log.path).path(pictures[2]).unlink()
    add_doubtful(log, side=256)
    broker = Broker()
    make_forwarder(WITH_PICTURES).run(lambda: Line(broker), once=True)
    assert [json.loads(one)["sha256"] for one in broker.payloads("picture")] == pictures[3:]
    assert numbers(broker) == list(range(1, 10))


def test_pictures_do_not_fill_the_memory(
    log: BloodLog, make_forwarder: MakeForwarder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet_outbox, "_BYTES_AT_ONCE", 5000)
    for _ in range(3):
        add_doubtful(log)
    outbox = Outbox(log.path, "pi-07", bytes(32), thumbnails=True)
    at_once = outbox.after(Cursor(), 200)
    assert sum(len(one.payload) for one in at_once[:-1]) <= 5000 + 20_000
    assert len(at_once) < 10
    broker = Broker()
    make_forwarder(WITH_PICTURES).run(lambda: Line(broker), once=True)
    assert numbers(broker) == list(range(1, 11))
    assert len(broker.payloads("picture")) == 6


def test_a_row_that_is_too_large_crosses_without_what_is_large(
    log: BloodLog, make_forwarder: MakeForwarder
) -> None:
    log.append(make_huge(), software_version="1", runtime="r", config_sha256="c" * 64)
    broker = Broker()
    send(make_forwarder, broker)
    last = json.loads(broker.payloads()[-1])
    assert last["row"].keys() == {"id", "logged_at", "status"}
    assert (last["row"]["id"], last["number"]) == (6, 8)
    read_link("pi-07", broker.payloads()[-1])
    assert "reasons" in last["withheld"]
    assert all(len(payload) <= MAX_BYTES for payload in broker.payloads())


def make_huge() -> FieldResult:
    return replace(make_result(cells=0), reasons=("x" * MAX_BYTES,), status="rejected")


def test_a_changed_row_is_not_sent(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    with sqlite3.connect(log.path) as connection:
        connection.execute("DROP TRIGGER field_no_update")
        connection.execute("UPDATE field SET status = 'rejected' WHERE id = 3")
    connection.close()
    broker = Broker()
    with pytest.raises(LogError, match=r"link 5 \(field 3\) does not fit the chain"):
        send(make_forwarder, broker)


@pytest.mark.parametrize("begun_anew", [False, True])
def test_another_log_under_the_same_name_is_not_sent(
    log: BloodLog, make_forwarder: MakeForwarder, tmp_path: Path, begun_anew: bool
) -> None:
    broker = Broker()
    backup = (tmp_path / "blood.db").read_bytes()
    wal = (tmp_path / "blood.db-wal").read_bytes()
    add_fields(log, 2)
    send(make_forwarder, broker)
    send(make_forwarder, broker)
    log.close()
    for name in ("blood.db", "blood.db-wal", "blood.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    if begun_anew:
        with BloodLog.open(tmp_path / "blood.db") as anew:
            anew.open_sample("S-1", "blood", 200)
            add_fields(anew, 20)
    else:
        (tmp_path / "blood.db").write_bytes(backup)
        (tmp_path / "blood.db-wal").write_bytes(wal)
    with pytest.raises(LogError, match=r"is not the log that was sent before: expected link 9 .* new name"):
        send(make_forwarder, broker)
    assert len(numbers(broker)) == 9
    # Under a new name all of it is sent.
    send(make_forwarder, broker, ForwardConfig(broker="localhost", tls=False, device="pi-07b", window=8))
    assert len(broker.payloads(device="pi-07b")) == (22 if begun_anew else 7)


def test_nothing_is_said_for_a_device_without_a_log(
    make_forwarder: MakeForwarder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An empty chain would tell the collector that a backup was put back."""
    broker = Broker()
    with pytest.raises(LogError, match=r"blood\.db: no such log"):
        send(make_forwarder, broker)
    service = make_forwarder()
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        assert broker.taken == []
        if len(waits) == 3:
            service.stop()

    monkeypatch.setattr(service._stopping, "wait", wait)
    service.run(lambda: Line(broker))
    assert caplog.text.count("blood.db: no such log") == 3
    # One that vanishes on the way is none that is empty either.
    for read in (service._outbox.head, lambda: service._outbox.after(Cursor(), 1)):
        with pytest.raises(NoLogError):
            read()


def test_a_mistyped_path_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(
        '[forward]\nbroker = "127.0.0.1"\nport = 9\ntls = false\ndevice = "pi-07"\n'
    )
    log = tmp_path / "nolog" / "nolog.db"
    result = blastcount("forward", "--config", tmp_path / "d.toml", "--once", "--log", log)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"{log}: no such log" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["d.toml"]


def test_links_are_sent_again_from_one_that_a_collector_misses(
    log: BloodLog, make_forwarder: MakeForwarder, tmp_path: Path
) -> None:
    broker = Broker()
    send(make_forwarder, broker)
    state = State(tmp_path / "state", "pi-07")
    outbox = Outbox(log.path, "pi-07", state.key)
    state.write(outbox.before(3, Cursor(7, log.head().sha256)))
    send(make_forwarder, broker)
    assert numbers(broker) == [*range(1, 8), *range(3, 8)]
    assert broker.payloads()[7:] == broker.payloads()[2:7]  # the very same messages
    with pytest.raises(LogError, match="link 9 is not sent yet, expected one up to 8"):
        outbox.before(9, Cursor(7, log.head().sha256))


def test_one_process_sends_for_a_device(tmp_path: Path) -> None:
    state = State(tmp_path, "pi-07")
    other = State(tmp_path, "pi-08")
    with state.alone(), other.alone(), pytest.raises(OutputError, match="stop it first"), state.alone():
        pass
    with state.alone():
        pass


def test_a_cursor_that_is_none_is_named(tmp_path: Path) -> None:
    state = State(tmp_path, "pi-07")
    (tmp_path / "pi-07.cursor.json").write_text("{")
    with pytest.raises(OutputError, match="remove it, and the log is sent from its start"):
        state.read()


def test_sending_loads_no_numpy_and_nothing_of_the_collector(repository: Path) -> None:
    """45 MB of memory is the limit, and NumPy alone takes half of that."""
    script = (
        "import sys, edge.cli, edge.fleet.forward_command, edge.fleet.forwarding, edge.fleet.outbox, "
        "edge.fleet.broker, edge.fleet.device_status, edge.daemon.client\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "edge.fleet.forwarding" in loaded
    assert not loaded & {"numpy", "cv2", "PIL", "flask", "psycopg", "paho", "edge.structures"}


def test_nothing_is_subscribed_to(log: BloodLog, make_forwarder: MakeForwarder) -> None:
    """Nothing that a broker sends can reach the device: it asks for nothing and hears only answers."""
    line = Line(Broker())
    assert not hasattr(line, "subscribe")  # sending needs no such thing
    make_forwarder().run(lambda: line, once=True)
    from edge.fleet import forward_command, forwarding

    for module in (forwarding, forward_command):
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        assert "Received" not in source
        assert "subscribe=" not in source
    assert "PahoConnection(section, forwarder.session)" in Path(forward_command.__file__).read_text()
