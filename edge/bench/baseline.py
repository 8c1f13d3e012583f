"""The gate against an earlier run: slower beyond noise is a no.

What counts as noise is taken from the two runs themselves. A series is the mean over its items, round by
round. Rounds next to each other are alike (a busy neighbour stays for a while), so the interval of the
ratio now / before comes from a moving-block bootstrap [1]_, which keeps such stretches together. A series
has become slower where the lower end of that interval lies above 1 + tolerance for the lower quartile **and**
for the 5th percentile: what disturbs a machine only ever adds time, so that its undisturbed rounds tell of
the program, while a program that became slower is so in every round. The tolerance is 5 %, or as much as the
yardstick (a fixed hash that runs between everything else) says that the machine itself became
slower, whichever is more.

References
----------
.. [1] H. R. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of
   Statistics 17, 1989.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bench.measure import Samples
from edge.errors import ConfigError, GateError

SCHEMA = "blastcount.bench/1"
#: Two builds of the same source differ by up to this much through the placing of code alone (T. Mytkowicz et
#: al., "Producing wrong data without doing anything obviously wrong!", ASPLOS 2009).
LEAST_TOLERANCE = 0.05
#: A stage must also cost this share of the whole field more: no field is slower for a doubled 0.1 ms.
LEAST_SHARE = 0.01
#: With the tolerance on top. Simulated with 30 rounds of 3 % jitter of which a fifth take up to twice as long
#: (tests/edge/bench/test_baseline.py): 0 of 100 equal runs are stopped, and 30 of 30 that are slower by 10 %.
#: With the median in place of the quartile only 9 of 30 are.
_LEVEL = 0.01
_RESAMPLES = 1000
_QUANTILES = (5, 25)
#: Memory is reproducible to about a percent; 2 MB is the step of the allocator's arenas.
_MEMORY_TOLERANCE, _LEAST_MEMORY_MB = 0.05, 2.0
#: With fewer rounds an interval of that level has no meaning: two runs are not compared, and a series of
#: fewer, the 5 cold starts, is shown but stops nothing (on a busy machine they stopped 2 of 3 runs whose
#: start had not changed).
MIN_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Change:
    """How one series differs from the baseline.

    Attributes
    ----------
    series : its name
    ratio : lower quartile now / before; of memory, now / before
    low : lower end of the interval of the ratio, the smaller one of the percentiles'; of memory the ratio
    tolerance : largest increase that passes, as a share
    slower : the gate's word
    """

    series: str
    ratio: float
    low: float
    tolerance: float
    slower: bool


def read_baseline(path: Path) -> dict[str, Any]:
    """Read an earlier run's JSON.

    Raises
    ------
    ConfigError
        The file is missing or no such run.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"baseline {path} cannot be read ({error}); give what `bench --json` printed"
        ) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ConfigError(f"baseline {path}: expected schema {SCHEMA}; give what `bench --json` printed")
    missing = sorted({"machine", "fields", "settings", "samples_ms"} - document.keys())
    if missing:
        raise ConfigError(f"baseline {path}: has no {', '.join(missing)}; give what `bench --json` printed")
    return document


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Compare two runs, series by series.

    Parameters
    ----------
    before, now : documents of schema ``SCHEMA``

    Raises
    ------
    ConfigError
        They are not comparable: another machine, other fields, nothing in common, or too few rounds.
    """
    _refuse_incomparable(before, now)
    old, new = _round_means(before), _round_means(now)
    rng = np.random.default_rng(0)
    machine = [_interval(old["yardstick"], new["yardstick"], q, rng)[1] for q in _QUANTILES]
    tolerance = max(LEAST_TOLERANCE, *(ratio - 1 for ratio in machine))
    changes = []
    for series in old.keys() & new.keys() - {"yardstick"}:
        intervals = [_interval(old[series], new[series], q, rng) for q in _QUANTILES]
        low = min(interval[0] for interval in intervals)
        added_ms = float(np.median(new[series]) - np.median(old[series]))
        # The handful of cold starts comes one after the other: one neighbour may sit through them all.
        enough = min(len(old[series]), len(new[series])) >= MIN_ROUNDS
        slower = enough and low > 1 + tolerance and added_ms > LEAST_SHARE * _whole_ms(series, new)
        changes.append(Change(series, intervals[-1][1], low, tolerance, slower))
    changes += _memory_changes(before.get("memory", {}), now.get("memory", {}))
    return sorted(changes, key=lambda change: change.series)


def refuse_slower(changes: list[Change]) -> None:
    """Say no where a series became slower.

    Raises
    ------
    GateError
        It names each of them.
    """
    slower = [change for change in changes if change.slower]
    if slower:
        named = "; ".join(
            f"{change.series} x {change.ratio:.2f} (at least {change.low:.2f}, "
            f"{1 + change.tolerance:.2f} passes)"
            for change in slower
        )
        raise GateError(
            f"slower than the baseline beyond noise: {named}; find the change, or make a new baseline"
        )


def _refuse_incomparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key, what in (("processor", "processor"), ("board", "board"), ("cores", "number of cores")):
        old, new = before["machine"][key], now["machine"][key]
        if old != new:
            raise ConfigError(f"the baseline is of another {what} ({old!r}, here {new!r}); make one here")
    if [field["sha256"] for field in before["fields"]] != [field["sha256"] for field in now["fields"]]:
        raise ConfigError("the baseline is of other fields; give the same images and --fields")
    rounds = min(before["settings"]["repeat"], now["settings"]["repeat"])
    if rounds < MIN_ROUNDS:
        raise ConfigError(f"a comparison needs --repeat {MIN_ROUNDS} or more in both runs, got {rounds}")
    if not before["samples_ms"].keys() & now["samples_ms"].keys() - {"yardstick"}:
        raise ConfigError("the baseline has no series in common with this run; give the same --threads")


def _round_means(document: Mapping[str, Any]) -> Samples:
    return {
        series: np.asarray(values, np.float64).mean(axis=1)
        for series, values in document["samples_ms"].items()
    }


def _interval(
    old: NDArray[np.float64], new: NDArray[np.float64], quantile: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Lower end of the ratio's interval, and the ratio itself."""
    ratios = _resampled(new, quantile, rng) / _resampled(old, quantile, rng)
    ratio = float(np.percentile(new, quantile) / np.percentile(old, quantile))
    return float(np.quantile(ratios, _LEVEL)), ratio


def _resampled(rounds: NDArray[np.float64], quantile: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw percentiles of series put together from blocks of consecutive rounds."""
    n = len(rounds)
    length = max(1, round(n ** (1 / 3)))  # Künsch's rate for the variance of a mean
    blocks = math.ceil(n / length)
    starts = rng.integers(0, n, (_RESAMPLES, blocks))
    index = (starts[:, :, None] + np.arange(length)) % n  # in a circle, so that each round counts alike
    drawn = rounds[index.reshape(_RESAMPLES, -1)[:, :n]]
    return np.asarray(np.percentile(drawn, quantile, axis=1), np.float64)


def _whole_ms(series: str, rounds: Samples) -> float:
    """Median of the whole that a series is a part of: a stage's field, else the series itself."""
    whole = f"{series.rpartition(' ')[0]} total"
    return float(np.median(rounds.get(whole, rounds[series])))


def _memory_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    changes = []
    for key in sorted(before.keys() & now.keys()):
        if key.endswith("peak_mb"):
            old, new = float(before[key]), float(now[key])
            more = new > old * (1 + _MEMORY_TOLERANCE) and new - old > _LEAST_MEMORY_MB
            changes.append(Change(f"memory {key}", new / old, new / old, _MEMORY_TOLERANCE, more))
    return changes
