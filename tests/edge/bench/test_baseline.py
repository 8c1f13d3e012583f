"""The gate against an earlier run, with the controls that it must stop and must pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bench.baseline import Change, compare, read_baseline, refuse_slower
from edge.errors import ConfigError, GateError

ROUNDS = 30
STAGES = {"decode": 20.0, "segment": 70.0, "log": 0.1}


def noisy(rng: np.random.Generator, ms: float) -> NDArray[np.float64]:
    """Draw rounds as a shared machine gives them: 3 % of jitter, a fifth of them up to twice as long."""
    values = ms * (1 + 0.03 * rng.exponential(size=(ROUNDS, 2)))
    start = int(rng.integers(0, ROUNDS))
    values[start : start + 6] *= rng.uniform(1, 2)
    return values


def document(
    seed: int, slower: Mapping[str, float] | None = None, machine: float = 1.0, repeat: int = ROUNDS
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    slower = slower or {}
    stages = {stage: noisy(rng, machine * ms * slower.get(stage, 1.0)) for stage, ms in STAGES.items()}
    samples = {f"path threads=1 {stage}": values for stage, values in stages.items()}
    samples["path threads=1 total"] = np.sum(list(stages.values()), axis=0)
    samples["network a threads=1 batch=1"] = noisy(rng, machine * slower.get("network", 1.0))
    samples["yardstick"] = noisy(rng, 5.0 * machine)
    return {
        "schema": "blastcount.bench/1",
        "machine": {"processor": "p", "board": None, "cores": 2},
        "fields": [{"sha256": "a"}, {"sha256": "b"}],
        "settings": {"repeat": repeat},
        "memory": {"path_peak_mb": 100.0 * slower.get("memory", 1.0), "path_after_last_round_mb": 90.0},
        "samples_ms": {series: values.tolist() for series, values in samples.items()},
    }


def slower_series(changes: list[Change]) -> list[str]:
    return [change.series for change in changes if change.slower]


def test_a_hundred_equal_runs_pass() -> None:
    before = document(1000)
    for seed in range(100):
        changes = compare(before, document(seed))
        assert slower_series(changes) == [], seed
        refuse_slower(changes)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        ({"segment": 1.15}, ["path threads=1 segment", "path threads=1 total"]),
        ({"decode": 1.3}, ["path threads=1 decode"]),
        ({"network": 1.15}, ["network a threads=1 batch=1"]),
        ({"memory": 1.1}, ["memory path_peak_mb"]),
    ],
)
def test_a_slower_part_is_stopped(seed: int, slow: dict[str, float], expected: list[str]) -> None:
    changes = compare(document(100 + seed), document(200 + seed, slow))
    found = slower_series(changes)
    assert set(expected[:1]) <= set(found) <= {*expected, "path threads=1 total"}
    with pytest.raises(GateError, match=f"slower than the baseline beyond noise: .*{expected[0]} x 1"):
        refuse_slower(changes)


def test_a_faster_run_passes() -> None:
    changes = compare(document(1), document(2, {"segment": 0.7, "network": 0.5}))
    refuse_slower(changes)
    assert min(change.ratio for change in changes) < 0.6


def test_a_stage_that_no_field_notices_passes() -> None:
    changes = compare(document(1), document(2, {"log": 3.0}))
    by_series = {change.series: change for change in changes}
    assert by_series["path threads=1 log"].low > 2
    assert not by_series["path threads=1 log"].slower


def test_a_handful_of_cold_starts_is_shown_and_stops_nothing() -> None:
    before, now = document(1), document(2)
    before["samples_ms"]["cold_start first_count"] = [[700.0]] * 5
    now["samples_ms"]["cold_start first_count"] = [[900.0]] * 5
    (change,) = [c for c in compare(before, now) if c.series.startswith("cold_start")]
    assert change.low > 1.2
    assert not change.slower


def test_a_machine_that_became_slower_itself_widens_the_tolerance() -> None:
    changes = compare(document(1), document(2, machine=1.3))
    assert slower_series(changes) == []
    assert {change.tolerance > 0.1 for change in changes if change.series.startswith("path")} == {True}
    # What is slower than that is still stopped.
    assert "path threads=1 segment" in slower_series(compare(document(1), document(2, {"segment": 2.0}, 1.3)))


def test_a_machine_that_became_faster_does_not_narrow_it() -> None:
    assert min(change.tolerance for change in compare(document(1), document(2, machine=0.5))) == 0.05


def changed(key: str, value: object) -> dict[str, Any]:
    return document(1) | {key: value}


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (changed("machine", {"processor": "q", "board": None, "cores": 2}), "another processor"),
        (changed("machine", {"processor": "p", "board": None, "cores": 4}), "another number of cores"),
        (changed("fields", [{"sha256": "a"}]), "other fields"),
        (document(1, repeat=3), "needs --repeat 8 or more"),
        (changed("samples_ms", {"yardstick": [[1.0]]}), "no series in common"),
    ],
)
def test_runs_that_cannot_be_compared(before: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(before, document(2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("no json", "cannot be read"),
        ("[1]", "expected schema"),
        ('{"schema": "blastcount.check/1"}', "expected schema blastcount.bench/1"),
        ('{"schema": "blastcount.bench/1", "machine": {}}', "has no fields, samples_ms, settings"),
    ],
)
def test_a_file_that_is_no_baseline(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "baseline.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_baseline(file)


def test_a_baseline_is_read(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps(document(1)))
    assert read_baseline(file) == document(1)
