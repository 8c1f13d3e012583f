"""Energy from a power chip that a function stands in for."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge.bench.energy import measure_energy


def count() -> int:
    time.sleep(0.02)
    return 2


def test_no_chip() -> None:
    counted: list[int] = []
    assert measure_energy(lambda: None, lambda: len(counted)) is None
    assert counted == []


def test_energy_is_power_times_the_time_of_a_field() -> None:
    found = measure_energy(lambda: 4.0, count, load_s=0.2, idle_s=0.03, pause_s=0.005)
    assert found is not None
    assert (found.idle_w, found.load_w) == (4.0, 4.0)
    assert found.readings > 3
    # Two fields take 20 ms or, on a busy machine, more.
    assert 0.04 <= found.field_j < 0.4
    assert found.to_json()["load_w"] == 4.0


def test_power_under_load_is_told_from_idle_power() -> None:
    working = False

    def counting() -> int:
        nonlocal working
        working = True
        time.sleep(0.05)
        return 1

    found = measure_energy(lambda: 5.0 if working else 2.0, counting, load_s=0.2, idle_s=0.03, pause_s=0.005)
    assert found is not None
    assert found.idle_w == 2.0
    assert found.load_w > 4.0


def failing_after(readings: int) -> Callable[[], float | None]:
    left = readings

    def read() -> float | None:
        nonlocal left
        left -= 1
        return 3.0 if left >= 0 else None

    return read


def test_a_chip_that_stops_answering_gives_no_figure() -> None:
    assert measure_energy(failing_after(2), count, load_s=0.05, idle_s=0.02, pause_s=0.005) is None


def test_the_reader_ends_when_counting_fails() -> None:
    def fail() -> int:
        raise RuntimeError("no field")

    with pytest.raises(RuntimeError, match="no field"):
        measure_energy(lambda: 3.0, fail, load_s=0.05, idle_s=0.01, pause_s=0.005)
