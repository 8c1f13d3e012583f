"""A log that is read from its file and written through the daemon's socket, as its group does."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pwd
import socket
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.control import Found
from edge.bloodlog.pictures import decode, encode
from edge.bloodlog.samples import NOBODY
from edge.bloodlog.users import User, UserFile
from edge.bloodlog.verifications import DrawnCell
from edge.config import Config, parse_config
from edge.counting.provenance import Context
from edge.counting.recorder import Recorder
from edge.daemon.client import ask
from edge.daemon.control import ControlServer
from edge.daemon.protocol import Peer
from edge.daemon.served import ServedLog, open_log, writes_itself
from edge.daemon.writer import LogWriter
from edge.daemon.writes import MAX_BODY_BYTES, AppendField, OpenSample, encode_write
from edge.device.passwords import nobodys_hash
from edge.errors import ControlError, DiskFullError, LogBehindError, LogError, OutputError, SampleClosedError
from edge.structures import CellRef, ClassifiedCell, FieldResult, Frame, ModelIdentity, UInt8Image
from tests.edge.bloodlog.days import readings
from tests.edge.bloodlog.fields import make_cell, make_result
from tests.edge.daemon.conftest import Counter
from tests.edge.made_by import PROVENANCE

RNG = np.random.default_rng(7)
ME = pwd.getpwuid(os.geteuid()).pw_name
JPEG = encode(RNG.integers(0, 255, (60, 80, 3), np.uint8), 95)
PIXELS = Frame(decode(JPEG), "a.jpg")


def nothing(_command: str) -> dict[str, Any]:
    return {}


class Service:
    """The service's log and its socket, without the loop."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "blood.db"
        self.socket = folder / "control.sock"
        self.config: Config = parse_config({"log": {"path": str(self.path)}, "storage": {"reserve_mb": 1}})
        self.looks = 0

    def looked(self) -> None:
        self.looks += 1


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("s"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(service.path.parent))
    writer = LogWriter(lambda: service.config, service.looked)
    with BloodLog.open(service.path), ControlServer(service.socket, nothing, writer):
        yield service


@pytest.fixture
def log(service: Service) -> Iterator[ServedLog]:
    with ServedLog.open(service.path, read_only=True) as served:
        yield served


def field(**changes: Any) -> AppendField:
    """A field that the line could have made."""
    cell = make_cell(1)
    cells = (replace(cell, cell=replace(cell.cell, bbox=(5, 6, 30, 31))),)
    result = replace(make_result("a.jpg"), width=80, height=60, frame_sha256=PIXELS.sha256(), cells=cells)
    result = replace(result, model=ModelIdentity("m", "a" * 64))
    name = hashlib.sha256(JPEG).hexdigest()
    made: dict[str, Any] = {
        "log": "", "result": result, "sample_id": 1, "after": 0, "context": None,
        "provenance": PROVENANCE.to_json(),
        "image_sha256": name, "thumbnails": {}, "pictures": {name: JPEG},
    }  # fmt: skip
    return AppendField(**(made | changes))


def test_a_verification_is_written_by_the_service(service: Service, log: ServedLog) -> None:
    log.open_sample("S-1", "blood", 200)
    with BloodLog.open(service.path) as own:
        own.append(make_result(), config_sha256="c" * 64, software_version="1", runtime="r", sample_id=1)
    log.change_sample("S-1", "closed")
    cell = CellRef(1, 1)
    opened = log.open_verification("{}", [DrawnCell(cell, "blast", 1.5, True)], ["S-1"])
    assert (opened, opened.who) == (log.current_verification(), ME)
    assert log.say_verified(1, {cell: "normal"}, "AK") == 1
    undone = log.undo_verified(1, "AK")
    assert undone is not None
    assert undone.label is None
    assert log.undo_verified(1, "AK") is None
    closed = log.note_verification(1, "closed", "{}", who="AK")
    assert log.verification_events() == (closed,)
    assert log.sample("S-1").kept
    with pytest.raises(LogError, match="verification 1 has ended"):
        log.say_verified(1, {cell: "blast"}, "AK")
    UserFile.beside(service.path).add(User("Ani", "reader", nobodys_hash()))
    with pytest.raises(LogError, match="has users, who say words on the service's own page"):
        log.say_verified(1, {cell: "blast"}, "Ani")
    with pytest.raises(LogError, match="leave the sign Ani out"):
        log.note_verification(1, "checked", "{}", who="Ani")


def test_a_search_is_opened_by_the_service(log: ServedLog) -> None:
    assert log.open_sample("S-1", "blood", 500, search=True) == log.current_sample()
    assert log.sample("S-1").search
    log.change_sample("S-1", "closed")
    with pytest.raises(LogError, match="a search counts to 500, 1000, 2000 white cells, got 300"):
        log.open_sample("S-2", "blood", 300, search=True)


def test_control_runs_and_alarms_are_written_by_the_service(service: Service, log: ServedLog) -> None:
    sample = log.open_control("QC-1-a", "QC-1")
    assert (sample.slide, log.sample(sample.name)) == ("QC-1", sample)
    found = Found(date(2026, 5, 3), None, "light", "drift", False, 2.2, 2.28, 0.02, 12, "lamp")
    with BloodLog.open(service.path) as own:
        own.add_alarms([found])
    said = log.acknowledge(1, NOBODY, note="new lamp", new_baseline=True)
    assert said.found == found
    assert said.acknowledged is not None
    assert (said.acknowledged.who, said.acknowledged.note) == (ME, "new lamp")
    with pytest.raises(LogError, match="already"):
        log.acknowledge(1, "Ani")
    assert log.alarms() == (said,)


def test_samples_and_words_are_written_by_the_service_and_say_who(
    service: Service, log: ServedLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.daemon.writer")
    sample = log.open_sample("S-1", "marrow", 500)
    assert (sample.name, sample.quota, sample.is_open, log.current_sample()) == ("S-1", 500, True, sample)
    assert not log.change_sample("S-1", "closed", who="AK").is_open
    log.change_sample("S-1", "reopened", who="AK")
    with BloodLog.open(service.path) as own:
        own.append(make_result(), config_sha256="c" * 64, software_version="1", runtime="r", sample_id=1)
    word = {CellRef(1, 1): "blast", CellRef(1, 2): "normal"}
    assert log.add_reviews(word, "AK") == 2  # type: ignore[arg-type]  # labels are plain strings in tests
    assert log.add_reviews(word, "AK") == 0  # type: ignore[arg-type]  # as above
    with BloodLog.open(service.path) as own:
        own.append(make_result(), config_sha256="c" * 64, software_version="1", runtime="r")
    assert log.unassigned_fields() == [2]
    assert log.assign_fields("S-1", [2]) == 1
    assert log.assign_fields("S-1", [2]) == 0
    assert [logged.id for logged in log.fields(1)] == [1, 2]
    undone = log.undo_review("AK", 1)
    assert undone is not None
    assert (undone.cell, undone.label) == (CellRef(1, 2), None)
    assert log.undo_review("BT", 1) is None
    with BloodLog.open(service.path) as own:
        assert own.verify() == ()
        with own.reading() as connection:
            whos = connection.execute("SELECT event, who FROM sample_event ORDER BY id").fetchall()
    # Without a sign it is the user whom the kernel names.
    assert whos == [("opened", ME), ("closed", "AK"), ("reopened", "AK")]
    assert f"open_sample by user {ME} ({os.geteuid()}), process {os.getpid()}" in caplog.messages
    assert service.looks == 9


def test_where_there_are_users_nobody_says_a_word_in_another_s_name_through_the_socket(
    service: Service, log: ServedLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.open_sample("S-1", "blood", 200)
    users = UserFile.beside(service.path)
    users.add(User("AK", "reader", nobodys_hash()))
    with pytest.raises(LogError, match="has users, who say words on the service's own page"):
        log.add_reviews({CellRef(1, 1): "blast"}, "AK")
    with pytest.raises(LogError, match="has users"):
        log.undo_review("AK", 1)
    assert caplog.messages[-1].startswith("undo_review refused to user")
    # Nor is anybody believed to have signed in elsewhere; it is the account that opens and closes samples.
    with pytest.raises(LogError, match="who signs in does so on the page of its owner"):
        log.change_sample("S-1", "closed", who="AK", role="reader")
    for write in (lambda: log.settle({}, "AK"), lambda: _sign(log)):
        with pytest.raises(LogError, match=f"only its owner, user {ME}, can"):
            write()
    for who in ("AK", "nobody there"):
        for named in (
            lambda who=who: log.change_sample("S-1", "closed", who=who),
            lambda who=who: log.open_sample("S-2", "blood", 200, who=who),
            lambda who=who: log.assign_fields("S-1", [1], who=who),
        ):
            with pytest.raises(LogError, match=f"leave the sign {who} out"):
                named()
    closed = log.change_sample("S-1", "closed")
    assert (closed.closed_by, closed.closed_as) == (ME, None)
    users.remove("AK")
    assert log.add_reviews({}, "AK") == 0


def _sign(log: ServedLog) -> None:
    log.sign("S-1", "checked", "AK", "supervisor", seen_sha256="", nonce="")


def test_what_the_log_refuses_is_refused_in_its_own_words(service: Service, log: ServedLog) -> None:
    log.open_sample("S-1", "blood", 200)
    with pytest.raises(LogError, match="S-1 is open; close it before you open S-2"):
        log.open_sample("S-2", "blood", 200)
    with pytest.raises(LogError, match="there is no sample S-9"):
        log.change_sample("S-9", "closed")
    with pytest.raises(LogError, match="there is no cell 7 in field 7"):
        log.add_reviews({CellRef(7, 7): "blast"}, "AK")
    with pytest.raises(LogError, match="takes pictures into a sample only"):
        log.append(make_result())
    with pytest.raises(LogError, match=f"only its owner, user {ME}, can"), log.writing("no"):
        pass
    # A daemon has one log. Another that is named is not quietly written to in its place.
    other = service.path.with_name("other.db")
    BloodLog.open(other).close()
    with (
        ServedLog.open(other, read_only=True) as second,
        pytest.raises(LogError, match=r"other\.db: this daemon writes .*blood\.db only"),
    ):
        second.open_sample("S-2", "blood", 200)


def test_no_daemon_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BloodLog.open(tmp_path / "b.db").close()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none"))
    with (
        ServedLog.open(tmp_path / "b.db", read_only=True) as log,
        pytest.raises(LogError, match=f"systemctl start blastcount.*the log is user {ME}'s"),
    ):
        log.open_sample("S-1", "blood", 200)


def test_pictures_make_room_as_the_service_is_configured(service: Service, log: ServedLog) -> None:
    service.config = service.config.changed(storage={"pictures_mb": 1})
    removed = log.retain()
    assert (removed.by_space, removed.files_left) == ((), 0)


class TwoCells(Counter):
    """A pipeline that finds the same two cells in every picture."""

    def process(self, frame: Frame, *given: Any) -> Any:
        found = super().process(frame, *given)
        result = replace(found.result, width=frame.width, height=frame.height)
        return replace(found, result=replace(result, model=ModelIdentity("m", "a" * 64)))


def recorder(log: BloodLog) -> Recorder:
    counter = TwoCells()
    counter.reasons = ("out_of_focus",)
    return Recorder(counter, PROVENANCE, log=log)


def test_a_field_is_counted_here_and_written_there(service: Service, log: ServedLog) -> None:
    log.open_sample("S-1", "blood", 200)
    counted = recorder(log)
    counted.refresh(name="S-1")
    recorded = counted.record(PIXELS)
    assert (recorded.field_id, recorded.sample) == (1, "S-1")
    row = log.field(1)
    assert row is not None
    assert (row.sample_id, row.source_kind, row.provenance) == (1, "file", PROVENANCE.to_json())
    assert row.clock_trusted is not None
    assert row.image_sha256 is not None
    assert log.pictures.get(row.image_sha256) is not None
    counted.record(replace(PIXELS, is_drawn=True))
    assert [field.source_kind for field in log.fields(1)] == ["file", "rendered"]
    with BloodLog.open(service.path) as own:
        assert own.verify() == ()


def test_whoever_has_come_second_looks_again(service: Service, log: ServedLog) -> None:
    log.open_sample("S-1", "blood", 200)
    counted = recorder(log)
    counted.refresh(name="S-1")
    written = ServedLog.append
    others = [field(log=str(service.path)), None]

    def append(self: ServedLog, *given: Any, **named: Any) -> int:
        if (other := others.pop(0)) is not None:  # between looking and writing
            ask(service.socket, "write", body=encode_write(other))
        return written(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServedLog, "append", append)
        assert counted.record(PIXELS).field_id == 2
    assert others == []
    late = field(log=str(service.path))
    with pytest.raises(ControlError) as refusal:
        ask(service.socket, "write", body=encode_write(late))
    assert refusal.value.reason == "log_behind"


def cell_at(*bbox: int, number: int = 1, seen: CellRef | None = None) -> ClassifiedCell:
    cell = make_cell(number)
    return replace(cell, cell=replace(cell.cell, bbox=bbox, x=float(bbox[0])), seen_before=seen)  # type: ignore[arg-type]  # four numbers


def changed(**changes: Any) -> FieldResult:
    return replace(field().result, **changes)


HUGE = replace(cell_at(0, 0, 9, 9).cell, area_px=10**30)
TINY = encode(np.zeros((8, 8, 3), np.uint8))
TINY_NAME = hashlib.sha256(TINY).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sample_id": 9}, "sample 9 is not open"),
        ({"provenance": '{"model_name": "m"}'}, "was not logged: Object missing required field"),
        ({"context": "[]"}, "was not logged: Expected `object`, got `array`"),
        ({"pictures": {}}, "names pictures that were not sent"),
        ({"pictures": {"a" * 64: JPEG}}, "is not what its name says"),
        ({"pictures": {hashlib.sha256(b"x").hexdigest(): b"x"}}, "is no JPEG file"),
        ({"image_sha256": TINY_NAME, "pictures": {TINY_NAME: TINY}}, "picture of other pixels"),
        ({"result": changed(frame_sha256="b" * 64)}, "picture of other pixels"),
        ({"result": changed(width=40)}, "is larger than its field"),
        ({"result": changed(model=ModelIdentity("n", "a" * 64))}, "another model than its provenance"),
        ({"result": changed(reasons=("blank",))}, "reasons or warnings that there are none of"),
        ({"result": changed(warnings=("shiny",))}, "reasons or warnings that there are none of"),
        ({"result": changed(status="rejected", reasons=("blank",))}, "has cells although"),
        ({"result": changed(cells=(cell_at(70, 0, 30, 30),))}, "cells that lie outside"),
        ({"result": changed(cells=(cell_at(-1, 0, 30, 30),))}, "cells that lie outside"),
        ({"result": changed(cells=(cell_at(0, 0, 9, 9), cell_at(9, 9, 9, 9)))}, "or two of one number"),
        ({"result": changed(cells=(cell_at(0, 0, 9, 9, seen=CellRef(4, 1)),))}, "no cell 1 in field 4"),
        ({"thumbnails": {5: hashlib.sha256(JPEG).hexdigest()}}, "pictures of cells that it has not"),
        ({"result": changed(scale=replace(make_result().scale, um_per_px=1e9))}, "scale of no microscope"),
        ({"contours": {5: "??;"}}, "contours that are none, or of cells that it has not"),
        ({"contours": {1: "??"}}, "contours that are none"),
        ({"contours": {1: "??" * 20_000 + ";"}}, "contours that are none"),
        ({"contours": {1: "_seK_seK;"}}, "contours that are none"),
        ({"result": changed(readings=replace(readings(), unevenness=99.0))}, "readings of no field"),
        ({"result": changed(readings=replace(readings(), blur_um=-1.0))}, "readings of no field"),
        ({"overlaps": [(1, 1e9, 0.0)]}, "at no place of a slide"),
        ({"result": changed(source="x" * 5000)}, "text that is too long"),
        ({"result": changed(stage_ms={f"s{n}": 1.0 for n in range(101)})}, "more cells or stages"),
        ({"result": changed(cells=(replace(cell_at(0, 0, 9, 9), cell=HUGE),))}, "cells that lie outside"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_can_have_counted_is_refused(
    service: Service, log: ServedLog, wrong: dict[str, Any], message: str
) -> None:
    log.open_sample("S-1", "blood", 200)
    with pytest.raises(ControlError, match=message):
        ask(service.socket, "write", body=encode_write(field(log=str(service.path), **wrong)))
    assert log.count() == 0
    assert not list(log.pictures.files())
    assert ask(service.socket, "write", body=encode_write(field(log=str(service.path)))) == {"field": 1}


def test_pictures_are_unpacked_one_at_a_time(
    service: Service, log: ServedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes become 200 MB, and the service's memory ends."""
    log.open_sample("S-1", "blood", 200)
    busy, alive, most = threading.Event(), 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def unpack(data: bytes) -> UInt8Image:
        nonlocal alive, most
        image = decode(data)
        alive, most = alive + 1, max(most, alive + 1)
        weakref.finalize(image, gone)
        busy.wait(0.2)  # for another client, who has to wait
        busy.set()
        return image

    monkeypatch.setattr("edge.daemon.writer.decode", unpack)
    name, thumbnail = hashlib.sha256(JPEG).hexdigest(), {TINY_NAME: TINY}
    write = field(log=str(service.path), thumbnails={1: TINY_NAME}, pictures={name: JPEG} | thumbnail)
    with ThreadPoolExecutor(2) as clients:
        for _ in range(2):
            clients.submit(ask, service.socket, "write", body=encode_write(write))
    assert (log.count(), most, alive) == (1, 1, 0)  # the second was late, see above


@pytest.mark.parametrize(
    "body",
    [b"x", b"[]", b"{}", b'{"write": "shell"}', b'{"write": "open_sample", "log": "x"}',
     b'{"write": "open_sample", "log": "x", "name": "", "specimen": "blood", "quota": 1, "who": "x"}',
     b'{"write": "open_sample", "log": "x", "name": "a", "specimen": "blood", "quota": 0, "who": "x"}',
     b'{"write": "retain", "log": "x", "more": 1}', b"[" * 100_000, b"\xff" * 40],
)  # fmt: skip
def test_what_is_no_operation_is_refused(service: Service, body: bytes) -> None:
    with pytest.raises(ControlError, match="no operation on a log") as refusal:
        ask(service.socket, "write", body=body)
    assert refusal.value.reason == "bad_request"


def say(path: Path, line: dict[str, Any], body: bytes = b"", *, closing: bool = True) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20.0)
        connection.connect(str(path))
        connection.sendall(json.dumps({"protocol": 1, **line}).encode() + b"\n" + body)
        if closing:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
            assert not answers.readline()  # what comes after an unread body is no request
    return answer


@pytest.mark.parametrize("size", [-1, 1.5, "9", True, MAX_BODY_BYTES + 1, 10**400])
def test_a_length_that_cannot_be_is_refused_unread(service: Service, size: object) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service.socket))
        connection.sendall(json.dumps({"protocol": 1, "command": "write", "bytes": size}).encode() + b"\n")
        answer = json.loads(connection.recv(4096))
    assert answer["error"]["reason"] == "bad_request"


def test_a_body_that_does_not_come(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.daemon.control.BODY_S", 0.05)
    assert "2 came" in say(service.socket, {"command": "write", "bytes": 9}, b"{}")["error"]["message"]
    late = say(service.socket, {"command": "write", "bytes": 9}, b"{}", closing=False)
    assert "did not come within 0.05 s" in late["error"]["message"]
    # One who sends a large one, or never does, keeps another large one out; small ones go on.
    with socket.socket(socket.AF_UNIX) as slow:
        monkeypatch.setattr("edge.daemon.control.BODY_S", 10.0)
        slow.connect(str(service.socket))
        slow.sendall(b'{"protocol": 1, "command": "write", "bytes": 2000000}\n{')
        with ServedLog.open(service.path, read_only=True) as log:
            assert log.open_sample("S-1", "blood", 200).is_open


@pytest.mark.parametrize(
    ("error", "kind"),
    [(DiskFullError("full"), DiskFullError), (LogBehindError("late"), LogBehindError),
     (SampleClosedError("shut"), SampleClosedError), (OutputError("no"), OutputError),
     (LogError("no"), LogError), (OSError("broken disk"), LogError)],
)  # fmt: skip
def test_errors_come_over_as_what_they_were(
    log: ServedLog, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def fail(self: LogWriter, write: object, peer: Peer) -> Any:
        raise error

    monkeypatch.setattr(LogWriter, "_do", fail)
    with pytest.raises(kind, match=str(error)) as raised:
        log.open_sample("S-1", "blood", 200)
    assert type(raised.value) is kind


def test_whose_log_is_written_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.db"
    assert writes_itself(path)
    with pytest.MonkeyPatch.context() as patch:  # a configuration from elsewhere, without the service
        patch.setattr("edge.daemon.served.SYSTEM_STATE", tmp_path / "absent")
        assert writes_itself(tmp_path / "absent" / "b.db")
    BloodLog.open(path).close()
    assert writes_itself(path)
    with open_log(path) as log:
        assert type(log) is BloodLog
    monkeypatch.setattr("edge.daemon.served.SYSTEM_STATE", tmp_path)
    # As for root, of a service's log: root may write it, and would leave files that the service cannot.
    monkeypatch.setattr("os.geteuid", lambda: 0 if os.getuid() else 65534)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert not writes_itself(path)
    assert not writes_itself(tmp_path / "none.db")
    monkeypatch.undo()
    monkeypatch.setattr("edge.daemon.served.writes_itself", lambda _: False)
    with pytest.raises(LogError, match=r"no such log yet; .*systemctl start blastcount"):
        open_log(tmp_path / "none.db")
    with open_log(path) as served:
        assert type(served) is ServedLog


def test_records_come_over_as_they_were(service: Service) -> None:
    result = make_result()
    seen = replace(result.cells[0], seen_before=CellRef(1, 2), type="basophil", p_type=1 / 3)
    precise = replace(seen, cell=replace(seen.cell, x=np.float64(0.1) + np.float64(0.2), y=1e-300))
    write = field(
        result=replace(result, cells=(precise,), stage_um=(0.1 + 0.2, -1 / 3), type_model=result.model),
        context=Context(None).to_json(),
    )
    again = msgspec.json.decode(encode_write(write), type=AppendField | OpenSample)
    assert again == write
