"""The page that a member of the service's group serves: its words go through the socket."""

from __future__ import annotations

import logging

import pytest

from edge.bloodlog import BloodLog
from edge.config import parse_config
from edge.daemon.control import ControlServer
from edge.daemon.writer import LogWriter
from edge.errors import ControlError
from edge.structures import CellRef
from tests.edge.web.conftest import Browser, Clinic


def nothing(command: str) -> dict[str, object]:
    raise ControlError(f"no {command}", "no_frame")


def test_words_and_samples_of_a_member(
    clinic: Clinic,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edge.daemon.writer")
    monkeypatch.setattr("edge.daemon.control.POLL_S", 0.01)
    monkeypatch.setattr("edge.daemon.served.writes_itself", lambda _path: False)
    runtime = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    config = parse_config({"log": {"path": str(clinic.setup.log_path)}})
    ani = Browser(clinic).says_who("Ani")
    with ControlServer(runtime / "control.sock", nothing, LogWriter(lambda: config)):
        last = ani.say("1-1-normal").json["last"]
        assert ani.script("/samples/1/undo", {"last": last}).status_code == 200
        ani.get("/samples/1")
        ani.post("/samples/1/close")
    assert clinic.words() == [(CellRef(1, 1), "normal", "Ani"), (CellRef(1, 1), None, "Ani")]
    with clinic.log as log:
        assert not log.sample("S-1").is_open
        assert log.verify() == ()
    done = [message.split(" by ")[0] for message in caplog.messages]
    assert done == ["add_reviews", "undo_review", "change_sample"]


def test_without_the_service_nothing_is_said_to_be_written(
    clinic: Clinic, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon.served.writes_itself", lambda _path: False)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("r")))
    answer = Browser(clinic).says_who("Ani").say("1-1-normal")
    assert answer.status_code >= 500
    assert clinic.words() == []
    with BloodLog.open(clinic.setup.log_path, read_only=True) as log:
        assert log.sample("S-1").is_open
