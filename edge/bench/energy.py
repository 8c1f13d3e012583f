"""Energy of a field, where the power chip of a Raspberry Pi 5 tells the power."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import fmean

#: Long enough for some 20 readings, which take the firmware up to 50 ms each beside the pause between them.
_LOAD_S = 5.0
_IDLE_S = 2.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Energy:
    """Power and energy behind the power chip.

    Attributes
    ----------
    idle_w, load_w : mean power, W
    field_j : energy of a field in all, J: ``load_w`` times the time of a field
    readings : under load
    """

    idle_w: float
    load_w: float
    field_j: float
    readings: int

    def to_json(self) -> dict[str, float]:
        """Give the figures."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def measure_energy(
    read_watts: Callable[[], float | None],
    count: Callable[[], int],
    *,
    load_s: float = _LOAD_S,
    idle_s: float = _IDLE_S,
    pause_s: float = _PAUSE_S,
) -> Energy | None:
    """Read the power while nothing is done, then while fields are counted.

    Parameters
    ----------
    read_watts : power now, or None where there is no such reading
    count : counts some fields and gives their number
    load_s, idle_s : for how long
    pause_s : between two readings

    Returns
    -------
    Energy, or None where there is no reading
    """
    if read_watts() is None:
        return None
    idle = _read_until(time.perf_counter() + idle_s, read_watts, pause_s, threading.Event())
    done = threading.Event()
    readings: list[float] = []
    started = time.perf_counter()
    reader = threading.Thread(
        target=lambda: readings.extend(_read_until(float("inf"), read_watts, pause_s, done))
    )
    reader.start()
    fields = 0
    try:
        while fields == 0 or time.perf_counter() - started < load_s:
            fields += count()
    finally:
        elapsed_s = time.perf_counter() - started
        done.set()
        reader.join()
    if not idle or not readings:
        return None
    load_w = fmean(readings)
    return Energy(fmean(idle), load_w, load_w * elapsed_s / fields, len(readings))


def _read_until(
    deadline: float, read_watts: Callable[[], float | None], pause_s: float, done: threading.Event
) -> list[float]:
    found: list[float] = []
    while not done.is_set() and time.perf_counter() < deadline:
        watts = read_watts()
        if watts is not None:
            found.append(watts)
        done.wait(pause_s)
    return found
