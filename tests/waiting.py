"""Waiting for what another thread or process does: for as long as the busiest machine needs."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Longest wait for anything; below a test's own limit, so that what was waited for is named.
PATIENCE_S = 240.0


def wait_for(condition: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.005)
