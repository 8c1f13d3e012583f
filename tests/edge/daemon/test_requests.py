"""Signals and nudges end the loop's sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.daemon.requests import Requests
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_a_wait_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Requests() as requests, requests.on_signals():
        killer = threading.Timer(0.1, os.kill, (os.getpid(), number))
        killer.start()
        assert requests.wait(3600.0)
        assert requests.is_stopping
        # The second signal is not caught any more.
        assert signal.getsignal(number) is before
        killer.join()
    assert signal.getsignal(number) is before


def test_a_hangup_asks_for_the_configuration_and_not_for_the_end() -> None:
    with Requests() as requests, requests.on_signals():
        for _ in range(2):  # every time, not only once
            os.kill(os.getpid(), signal.SIGHUP)
            assert not requests.wait(3600.0)
            assert requests.take_reload()
            assert not requests.take_reload()
        assert not requests.is_stopping


def test_nudges_from_threads_end_a_wait_and_are_forgotten() -> None:
    with Requests() as requests:
        threading.Timer(0.05, requests.nudge).start()
        assert not requests.wait(3600.0)
        for _ in range(100_000):  # more than a pipe holds
            requests.nudge()
        for _ in range(100):
            requests.wait(0.0)
        started = time.monotonic()
        requests.wait(0.2)
        assert time.monotonic() - started >= 0.19
    requests.nudge()  # nobody is there; nothing happens


def test_waiting_without_a_request_ends_by_itself() -> None:
    with Requests() as requests:
        assert not requests.wait(0.01)
        assert not requests.wait(-1.0)
        requests.stop()
        requests.stop()
        assert requests.wait(3600.0)
        assert requests.wait(3600.0)


def test_a_call_that_no_signal_ends_does_not_keep_the_process(repository: Path) -> None:
    # A lock of the C library that its holder asks for again: nothing ends that, as with a disk that hangs.
    script = (
        "import ctypes\n"
        "from edge.daemon import requests\n"
        "requests.STOP_DEADLINE_S = 0.1\n"
        "lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(256)\n"
        "with requests.Requests() as asked, asked.on_signals():\n"
        "    lock(mutex)\n"
        "    print('ready', flush=True)\n"
        "    lock(mutex)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(repository)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "ended without waiting" in errors
