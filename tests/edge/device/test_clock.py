"""A clock that jumps, stands in the past or lies behind the log is not trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import edge.device.clock
from edge.device.clock import WallClock, battery_backed, synchronised, utc_now

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Hands:
    """Clocks that the test moves."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall, self.since_boot_s = wall, 100.0
        self.synchronised, self.battery = False, True

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.since_boot_s += seconds

    def clock(self) -> WallClock:
        return WallClock(
            lambda: self.wall, lambda: self.since_boot_s, lambda: self.synchronised, lambda: self.battery
        )


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


def test_a_clock_behind_the_log_or_from_before_this_program_is_not_trusted() -> None:
    assert not Hands().clock().is_trusted(NOON + timedelta(seconds=1))
    for year in (1970, 2025):
        assert not Hands(datetime(year, 6, 1, tzinfo=UTC)).clock().is_trusted(None)


@pytest.mark.parametrize("year", [1, 1969, 2263, 9999])
def test_a_year_that_cannot_be_is_not_trusted_whoever_vouches_for_it(year: int) -> None:
    hands = Hands(datetime(year, 6, 1, tzinfo=UTC))
    hands.synchronised = True
    assert f"the clock is at the year {year}, when" in str(hands.clock().problem(None))


def test_a_time_that_cannot_be_told_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Beyond(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Beyond:
            raise OverflowError("timestamp too large to convert to C _PyTime_t")

    assert abs((utc_now() - datetime.now(UTC)).total_seconds()) < 3600
    monkeypatch.setattr(edge.device.clock, "datetime", Beyond)
    assert utc_now().year == 9999


def test_a_time_that_was_saved_at_the_last_shutdown_is_not_trusted() -> None:
    hands = Hands()
    hands.battery = False
    clock = hands.clock()
    hands.pass_time(3600)
    assert "no time server and no hardware clock" in str(clock.problem(NOON))
    hands.synchronised = True
    assert clock.problem(NOON) is None


@pytest.mark.parametrize("rate", [400e-6, -400e-6])
def test_a_clock_that_is_slewed_for_days_has_not_jumped(rate: float) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_time(3 * 86_400)
    hands.wall += timedelta(seconds=3 * 86_400 * rate)
    assert clock.is_trusted(None)
    hands.wall += timedelta(seconds=400)
    assert "has jumped" in str(clock.problem(None))


def test_this_machine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert synchronised() in (True, False)
    monkeypatch.setattr(edge.device.clock, "_TIMESYNC_FILE", tmp_path)
    assert synchronised() is True
    monkeypatch.setattr(edge.device.clock, "_HARDWARE_CLOCKS", tmp_path)
    assert battery_backed() is False
    for name, flag in (("rtc0", "0"), ("rtc1", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hctosys").write_text(f"{flag}\n")
        assert battery_backed() is (flag == "1")
