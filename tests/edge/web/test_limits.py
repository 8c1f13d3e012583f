"""How often an address may ask, and what the journal is told of refusals."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.web import limits
from edge.web.limits import BURST, MOST_ADDRESSES, FloodGate, RateLimit, RefusalLog


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.1, 200.0), st.integers(1, 50), st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200))
def test_never_more_than_the_burst_and_the_rate(per_s: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(per_s, burst, clock)
    began, allowed = clock.now, 0
    for pause in pauses:
        clock.now += pause
        allowed += limit.allows("10.0.0.5")
    assert allowed <= burst + per_s * (clock.now - began) + 1e-6
    assert allowed >= min(len(pauses), burst)


def test_one_flood_does_not_shut_out_another_address() -> None:
    limit = RateLimit(1.0, 5, Clock())
    assert sum(limit.allows("10.0.0.5") for _ in range(1000)) == 5
    assert limit.allows("10.0.0.6")


def test_addresses_are_forgotten_so_that_memory_stays_bounded() -> None:
    limit = RateLimit(1.0, 1, Clock())
    for number in range(3 * MOST_ADDRESSES):
        limit.allows(f"2001:db8::{number:x}")
    assert len(limit._buckets) == MOST_ADDRESSES


def test_a_flood_of_refusals_is_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    refusals = RefusalLog(clock)
    with caplog.at_level(logging.WARNING, logger=limits.__name__):
        for _ in range(2500):
            refusals.add("10.0.0.5", "wrong token")
            clock.now += 0.01
        refusals.add("10.0.0.6", "wrong token")
        refusals.flush()
    assert refusals.total == 2501
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "refused 10.0.0.5: wrong token"
    assert re.fullmatch(r"refused 10.0.0.5: wrong token, 100\d times in 10 s", lines[1])
    assert len(lines) == 5
    # Every refusal is in exactly one line.
    assert 2 + sum(int(line.split(", ")[1].split()[0]) for line in lines if "times" in line) == 2501


def test_the_table_of_refusals_stays_bounded(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog(Clock())
    with caplog.at_level(logging.CRITICAL, logger=limits.__name__):
        for number in range(3 * MOST_ADDRESSES):
            refusals.add(str(number), "wrong token")
    assert len(refusals._unreported) == MOST_ADDRESSES


def test_a_flood_is_refused_before_the_application() -> None:
    refusals, passed = RefusalLog(), []
    gate = FloodGate(lambda environ, _start: passed.append(environ) or [b"inside"], refusals)
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/live", "REMOTE_ADDR": "127.0.0.1"}
    answers: list[str] = []
    for _ in range(BURST):
        list(gate(request, lambda status, _headers, _info=None: answers.append(status)))
    assert len(passed) >= BURST // 10
    assert answers == ["429 TOO MANY REQUESTS"] * (BURST - len(passed))
    assert refusals.total == len(answers) > BURST // 2
