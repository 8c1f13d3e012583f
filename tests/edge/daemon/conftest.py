"""A daemon on a bench: a camera that does as it is told, a pipeline without pixels, systemd that hears."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.locks import USUAL
from edge.config import parse_config
from edge.counting.pipeline import ProcessedField
from edge.counting.recorder import Recorder
from edge.daemon.client import ask
from edge.daemon.loop import Daemon, Setup
from edge.daemon.protocol import SOCKET_NAME
from edge.daemon.requests import Requests
from edge.daemon.supervisor import Supervisor
from edge.daemon.trigger import make_trigger
from edge.device.clock import WallClock
from edge.errors import LogBlockedError
from edge.light.field import Field
from edge.structures import Frame
from tests.edge.bloodlog.fields import make_result
from tests.edge.made_by import PROVENANCE
from tests.waiting import PATIENCE_S, wait_for

RNG = np.random.default_rng(5)


class Told(Supervisor):
    """Keeps what systemd would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def tell(self, *assignments: str) -> None:
        self.messages.extend(assignments)


class Script:
    """A camera that does what it is told: frames, None, exceptions, or functions, in turn; then frames."""

    name = "script"

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.reads_s: list[float] = []
        self.opened = self.closed = 0
        self.open_steps: list[object] = []

    def __enter__(self) -> Self:
        self.opened += 1
        if self.open_steps:
            try:
                _do(self.open_steps.pop(0))
            except BaseException:
                self.closed += 1
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1

    def read(self, timeout_s: float) -> Frame | None:
        self.reads_s.append(time.monotonic())
        step = self.steps.pop(0) if self.steps else "frame"
        found = _do(step)
        if found is None:
            return None
        image = found if isinstance(found, np.ndarray) else RNG.integers(0, 255, (60, 80, 3), np.uint8)
        return Frame(image, f"script#{len(self.reads_s)}")


def _do(step: object) -> object:
    if isinstance(step, BaseException):
        raise step
    return step() if callable(step) else step


class Counter:
    """A pipeline without pixels."""

    def __init__(self) -> None:
        self.reasons: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.work: Callable[[], None] = lambda: None

    def process(self, frame: Frame, *_: Any) -> ProcessedField:
        self.work()
        result = replace(
            make_result(frame.source),
            frame_sha256=frame.sha256(),
            status="rejected" if self.reasons else "counted",
            reasons=self.reasons,
            cells=(),
            warnings=self.warnings,
        )
        return ProcessedField(result, None, Field(frame))


class Bench:
    """Everything around a daemon, which runs in a thread of its own or here; live: a camera's trigger."""

    def __init__(self, folder: Path, *steps: object, live: str | None = None) -> None:
        self.folder = folder
        self.source = Script(*steps)
        self.counter = Counter()
        self.told = Told()
        self.requests = Requests()
        self.table: dict[str, Any] = {
            "camera": {"source": "rendered", "interval_s": 0.05, "timeout_s": 0.5},
            "log": {"path": str(folder / "blood.db")},
        }
        self.live = live is not None
        if live is not None:
            self.configure(trigger={"mode": live})
        self.problem: LogBlockedError | None = None
        self.button: Any = None
        self.correction: Any = None
        self.reload_error: Exception | None = None
        self.error: BaseException | None = None
        self.daemon: Any = None
        self.log = folder / "blood.db"
        self.patience = USUAL

    def configure(self, **sections: dict[str, Any]) -> None:
        for name, keys in sections.items():
            self.table[name] = self.table.get(name, {}) | keys

    def setup(self, log: BloodLog) -> Setup:
        config = parse_config(self.table)
        if self.live:
            config = config.changed(camera={"source": "v4l2"})
        provenance = msgspec.structs.replace(PROVENANCE, config_sha256=config.sha256)
        return Setup(
            config=config,
            make_source=lambda: self.source,
            recorder=Recorder(
                self.counter, provenance, "rendered", log=log, clock=WallClock(), correction=self.correction
            ),
            trigger=make_trigger(config),
            button=self.button,
            check=lambda: self.check(log),
            model={"name": "m", "sha256": "a" * 64, "runtime": "none"},
        )

    def check(self, log: BloodLog) -> None:
        log.check_free()
        if self.problem is not None:
            raise self.problem

    def _reloaded(self, log: BloodLog) -> Setup:
        if self.reload_error is not None:
            raise self.reload_error
        return self.setup(log)

    def run(self, fields: int | None = None) -> None:
        """Run here, to the end."""
        with self.requests, BloodLog.open(self.log, patience=self.patience) as log:
            self.daemon = Daemon(
                self.setup(log),
                lambda: self._reloaded(log),
                runtime_folder=self.folder / "run",
                requests=self.requests,
                supervisor=self.told,
            )
            self.daemon.run(fields)

    @contextmanager
    def running(self) -> Iterator[Bench]:
        """Run in a thread until the block ends."""

        def work() -> None:
            try:
                self.run()
            except BaseException as error:  # noqa: BLE001  # looked at by the test
                self.error = error

        thread = threading.Thread(target=work)
        thread.start()
        try:
            self.wait(lambda: "READY=1" in self.told.messages or self.error is not None, "readiness")
            yield self
        except Exception as error:
            if self.error is not None:
                raise error from self.error  # what the daemon died of explains the rest
            raise
        finally:
            self.requests.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the daemon did not stop"

    def ask(self, command: str) -> dict[str, Any]:
        return ask(self.folder / "run" / SOCKET_NAME, command)

    wait = staticmethod(wait_for)

    def fields(self) -> list[Any]:
        with BloodLog.open(self.log) as log:
            return list(log.fields())


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control server ends at once; half a second a test is a minute of the suite."""
    monkeypatch.setattr("edge.daemon.control.POLL_S", 0.01)
    # A busy machine must not end the tests' own process when one of them sends it a signal.
    monkeypatch.setattr("edge.daemon.requests.STOP_DEADLINE_S", 3600.0)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times between the daemon's looks, twenty times shorter; its deadlines are as they are."""
    for name, value in {
        "edge.daemon.capture.FIRST_RETRY_S": 0.025,
        "edge.daemon.capture.LONGEST_RETRY_S": 0.15,
        "edge.daemon.loop.BEAT_S": 0.1,
        "edge.daemon.loop.KEEP_ALIVE_S": 0.1,
        "edge.daemon.loop._BUSY_LOOK_S": 0.025,
    }.items():
        monkeypatch.setattr(name, value)


@pytest.fixture
def make_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bench]]:
    before = set(threading.enumerate())
    # Short: the path of a socket has at most 107 bytes.
    yield lambda *steps, **options: Bench(tmp_path_factory.mktemp("d"), *steps, **options)
    wait_for(lambda: not set(threading.enumerate()) > before, "the daemon's threads to end")
