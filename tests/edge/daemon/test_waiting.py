"""A daemon whose log cannot be opened yet says why, and begins when it can."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from edge.config import parse_config
from edge.daemon.client import ask
from edge.daemon.protocol import SOCKET_NAME
from edge.daemon.requests import Requests
from edge.daemon.waiting import when_unblocked
from edge.errors import ControlError, DiskFullError
from tests.edge.daemon.conftest import Told
from tests.waiting import PATIENCE_S


class Attempts:
    """A disk that is full until somebody makes room."""

    def __init__(self) -> None:
        self.room = threading.Event()

    def __call__(self) -> str:
        if not self.room.is_set():
            raise DiskFullError("blood.db: the disk is full")
        return "the log"


@pytest.mark.parametrize("end", ["room", "stop"])
def test_a_full_disk_at_the_start(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr("edge.daemon.waiting.TRY_AGAIN_S", 0.02)
    folder = tmp_path_factory.mktemp("w")
    config = parse_config({"camera": {"source": "rendered"}, "log": {"path": str(folder / "blood.db")}})
    attempt, told, requests = Attempts(), Told(), Requests()
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(when_unblocked(attempt, config, folder, requests, told))
    )
    thread.start()
    while "READY=1" not in told.messages or not (folder / SOCKET_NAME).exists():
        threading.Event().wait(0.01)
    status = ask(folder / SOCKET_NAME, "status")
    assert (status["state"], status["problem"]) == ("disk_full", "blood.db: the disk is full")
    assert status["source"] == "rendered"
    with pytest.raises(ControlError, match="the disk is full") as refusal:
        ask(folder / SOCKET_NAME, "capture")
    assert refusal.value.reason == "disk_full"
    with pytest.raises(ControlError, match="the disk is full"):
        ask(folder / SOCKET_NAME, "write", body=b"{}")
    if end == "room":
        attempt.room.set()
    else:
        requests.stop()
    thread.join(PATIENCE_S)
    requests.__exit__(None, None, None)
    assert found == ["the log" if end == "room" else None]
    assert not (folder / SOCKET_NAME).exists()
    assert any("not counting: blood.db: the disk is full" in message for message in told.messages)
