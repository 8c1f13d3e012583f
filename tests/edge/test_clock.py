"""A clock that jumps, stands in the past or lies behind the log is not trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edge.clock import WallClock, synchronised

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Hands:
    """Clocks that the test moves."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall, self.monotonic_s, self.synchronised = wall, 100.0, False

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic_s += seconds

    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall, lambda: self.monotonic_s, lambda: self.synchronised)


def test_a_clock_that_runs_is_trusted() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_time(86_400)
    assert clock.is_trusted(None)
    assert clock.is_trusted(NOON)
    assert clock.jump_s() == pytest.approx(0.0)


@pytest.mark.parametrize("years", [-20, -1, 1, 20])
def test_a_jump_is_not_forgotten(years: int) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += timedelta(days=365 * years)
    assert not clock.is_trusted(None)
    hands.wall -= timedelta(days=365 * years)
    hands.pass_time(10)
    # It stands right again, but who knows for how long.
    assert not clock.is_trusted(None)
    hands.synchronised = True
    assert clock.is_trusted(None)
    hands.synchronised = False
    hands.pass_time(10)
    assert clock.is_trusted(None)


def test_a_clock_behind_the_log_is_not_trusted() -> None:
    hands = Hands()
    assert not hands.clock().is_trusted(NOON + timedelta(seconds=1))


@pytest.mark.parametrize("year", [1970, 2025])
def test_a_clock_from_before_this_program_is_not_trusted(year: int) -> None:
    assert not Hands(datetime(year, 6, 1, tzinfo=UTC)).clock().is_trusted(None)


def test_the_kernel_answers() -> None:
    assert synchronised() in (True, False)
