"""What a connection says of its end, by what a broker sends on a real socket."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from threading import Thread

import pytest

from edge.config import CollectConfig
from edge.errors import RuntimeMissingError
from edge.fleet.broker import Closed, PahoConnection, Session, load_paho

_CONNACK = b"\x20\x03\x00\x00\x00"
_TAKEN_OVER = b"\xe0\x02\x8e\x00"  # MQTT 5, 3.14: a DISCONNECT with its reason and no properties
_SHUTTING_DOWN = b"\xe0\x02\x8b\x00"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (_TAKEN_OVER, "Session taken over: another one has connected as blastcount-x; stop one of the two"),
        (_SHUTTING_DOWN, "Server shutting down"),
        (
            b"",
            "no reason given; the network, the broker, or another one that connected as blastcount-x",
        ),
    ],
)
def test_the_end_of_a_connection_has_a_reason(server: socket.socket, last: bytes, why: str) -> None:
    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(_CONNACK + last)

    broker = Thread(target=answer)
    broker.start()
    config = CollectConfig(broker="127.0.0.1", port=server.getsockname()[1], tls=False)
    with PahoConnection(config, Session("blastcount-x", "x")) as connection:
        assert connection.events.get(timeout=30) == Closed(why)
    broker.join()


@pytest.mark.parametrize("extra", ["fleet", "collector"])
def test_what_is_missing_is_named_with_the_extra_that_has_it(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    with pytest.raises(RuntimeMissingError, match=rf"pip install 'blastcount\[{extra}\]'$"):
        load_paho(extra)
