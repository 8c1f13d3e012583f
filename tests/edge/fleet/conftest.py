"""A broker without a network: what a connection to one does, with everything that can go wrong on it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.config import ForwardConfig
from edge.fleet.broker import NO_SUBSCRIBERS, Closed, Event, Received, Taken
from edge.fleet.database import Database
from edge.fleet.forwarding import Forwarder
from edge.fleet.outbox import Outbox, State
from edge.structures import Cell, ClassifiedCell
from tests.edge.bloodlog.fields import PROVENANCE, make_result

CONFIG = ForwardConfig(broker="localhost", tls=False, device="pi-07", window=8, broker_saves_s=0.0)


@dataclass
class Broker:
    """Takes what is published, as a broker does, until it is told to fail.

    Attributes
    ----------
    taken : topic and payload of everything that was taken, in order
    lose_after : the connection is lost after so many more messages; None for never
    code : what is said of each message
    """

    taken: list[tuple[str, bytes]] = field(default_factory=list)
    lose_after: int | None = None
    code: int = 0
    most_underway: int = 0

    def payloads(self, what: str = "link", device: str = "pi-07") -> list[bytes]:
        return [payload for topic, payload in self.taken if topic == f"blastcount/1/{device}/{what}"]


class Line:
    """One connection to it; an attribute that is not here is an error of the code under test."""

    def __init__(self, broker: Broker, window: int = 8) -> None:
        self.broker = broker
        self.window = window
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.acknowledged: list[int] = []
        self._mid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        self._mid += 1
        broker = self.broker
        if broker.lose_after == 0:
            self.events.put(Closed("cut"))
            return self._mid
        if broker.lose_after is not None:
            broker.lose_after -= 1
        if broker.code in (0, NO_SUBSCRIBERS):
            broker.taken.append((topic, payload))
        self.events.put(Taken(self._mid, broker.code))
        broker.most_underway = max(broker.most_underway, self.events.qsize())
        return self._mid

    def acknowledge(self, message: Received) -> None:
        self.acknowledged.append(message.mid)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BloodLog]:
    """A log with a sample and five fields: seven links."""
    with BloodLog.open(tmp_path / "blood.db") as opened:
        opened.open_sample("S-0142", "blood", 200, who="Ani")
        add_fields(opened, 5)
        yield opened


def add_fields(log: BloodLog, number: int) -> None:
    for i in range(number):
        log.append(make_result(f"patients/siti-{i}.jpg", cells=5), **PROVENANCE, sample_id=1)


def add_doubtful(log: BloodLog, sample_id: int = 1, side: int = 64) -> list[str]:
    """Add a field of a blast, a normal and two uncertain cells, each with a picture; give the hashes."""
    store, cells, pictures = ThumbnailStore.beside(log.path), [], {}
    result = make_result(cells=0)
    for number, label in enumerate(("blast", "normal", "uncertain", "uncertain"), start=1):
        cell = Cell(number, 10.5, 20.25, (5, 6, 30, 31), 700, 300, "wbc", touches_border=False)
        cells.append(ClassifiedCell(cell, label, 0.5))  # type: ignore[arg-type]  # a plain string in tests
        noise = np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)
        pictures[number] = store.put(noise)
    fields = PROVENANCE | {"sample_id": sample_id, "thumbnails": pictures}
    log.append(replace(result, cells=tuple(cells)), **fields)
    return list(pictures.values())


@pytest.fixture
def make_forwarder(tmp_path: Path) -> Callable[..., Forwarder]:
    """Makes what sends the log, as it starts anew each time."""

    def make(config: ForwardConfig = CONFIG, **more: Any) -> Forwarder:
        assert config.device is not None
        state = State(tmp_path / "state", config.device)
        outbox = Outbox(
            tmp_path / "blood.db", config.device, state.key, thumbnails=config.thumbnails == "doubtful"
        )
        status: Callable[..., dict[str, Any]] = lambda head, taken: {"head": head.number}  # noqa: E731
        return Forwarder(config, outbox, state, status, **more)

    return make


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(str(tmp_path / "fleet.db")) as opened:
        yield opened


def received(payloads: list[bytes], device: str = "pi-07", what: str = "link") -> list[Received]:
    return [Received(f"blastcount/1/{device}/{what}", one, mid, False) for mid, one in enumerate(payloads)]
