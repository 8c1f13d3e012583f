"""Subjects run in turn, and what is summed up of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from edge.bench.measure import Subject, Summary, interleave, timed, yardstick


def subject(name: str, calls: list[str]) -> Subject:
    def run() -> Sequence[Mapping[str, float]]:
        calls.append(name)
        number = float(len(calls))
        return [{"read": number, "total": 2 * number}, {"read": 0.0, "total": 1.0}]

    return Subject(name, run)


def test_each_subject_runs_once_a_round_and_the_warm_up_is_dropped() -> None:
    calls: list[str] = []
    rounds: list[int] = []
    samples = interleave(
        [subject("a", calls), subject("b", calls)],
        5,
        warmup=2,
        after_round=lambda: rounds.append(len(calls)),
    )
    assert rounds == [2, 4, 6, 8, 10, 12, 14]
    assert all(sorted(calls[i : i + 2]) == ["a", "b"] for i in range(0, 14, 2))
    assert set(samples) == {"a read", "a total", "b read", "b total"}
    assert all(values.shape == (5, 2) for values in samples.values())
    # The first four calls were the warm-up's.
    assert min(samples["a read"][:, 0].min(), samples["b read"][:, 0].min()) == 5.0
    assert np.array_equal(samples["a total"][:, 0], 2 * samples["a read"][:, 0])


def test_the_order_changes_from_round_to_round() -> None:
    calls: list[str] = []
    interleave([subject("a", calls), subject("b", calls)], 20, warmup=0)
    assert {calls[i] for i in range(0, 40, 2)} == {"a", "b"}


def ticking(step_s: float) -> Callable[[], float]:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += step_s
        return now

    return clock


@pytest.mark.parametrize(("warm", "calls"), [(False, 1), (True, 2)])
def test_a_call_is_timed(warm: bool, calls: int) -> None:
    done: list[int] = []
    run = timed("call", lambda: done.append(1), warm=warm, clock=ticking(0.25)).run
    assert run() == [{"": 250.0}]
    assert len(done) == calls


def test_a_series_of_one_part_has_the_name_alone() -> None:
    assert set(interleave([yardstick()], 1, warmup=0)) == {"yardstick"}


def test_the_summary_of_a_few_samples() -> None:
    found = Summary.of(np.array([[1.0, 3.0], [2.0, 4.0]]))
    assert (found.n, found.p50) == (4, 2.5)
    assert found.p5 <= found.p50 <= found.p90 <= found.p99 <= 4.0
    assert found.to_json()["p50"] == 2.5
