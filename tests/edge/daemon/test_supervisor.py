"""What reaches systemd's socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.daemon.supervisor import Supervisor


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = str(tmp_path / "notify")
        listener.bind(address)
        listener.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listener


def test_the_notification_socket(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with Supervisor() as supervisor:
        assert supervisor.watchdog_s == 20.0
        assert supervisor.is_there
        supervisor.tell("READY=1", "STATUS=ok")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=ok"
    assert systemd.recv(1000) == b"STOPPING=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with Supervisor() as supervisor:
        supervisor.tell("READY=1")
        assert supervisor.watchdog_s is None
        assert not supervisor.is_there


def test_a_watchdog_meant_for_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Supervisor().watchdog_s is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Supervisor().watchdog_s == 1.0
