"""The rules of the charts: what gives an alarm, and what must not."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from scipy import stats

from edge.results.causes import likely_cause
from edge.results.control_charts import (
    BASELINE_DAYS,
    CHARTS,
    Day,
    Follower,
    Point,
    day_of_share,
    follow,
    normal_score,
)

LIGHT, BLUR = CHARTS["light"], CHARTS["blur"]


def days(values: list[float], n: int = 5, variance: float = 1e-6) -> list[Day]:
    return [Day(date(2026, 1, 1) + timedelta(k), value, n, variance) for k, value in enumerate(values)]


def usual(number: int, seed: int = 1, sd: float = 0.02) -> list[float]:
    """Quantiles of a normal distribution in a drawn order: none is farther out than so many ever are."""
    places = stats.norm.ppf((np.arange(number) + 0.5) / number)
    return (2.28 + sd * np.random.default_rng(seed).permutation(places)).tolist()


def drawn(number: int, seed: int) -> list[float]:
    return np.random.default_rng(seed).normal(2.28, 0.02, number).tolist()


def rules(points: list[Point]) -> list[tuple[int, str | None]]:
    return [(k, point.rule) for k, point in enumerate(points) if point.rule is not None]


def test_a_baseline_is_not_judged_and_what_is_usual_gives_no_alarm() -> None:
    points = follow(LIGHT, days(usual(BASELINE_DAYS + 20)))
    assert [point.z is None for point in points] == [True] * BASELINE_DAYS + [False] * 20
    assert rules(points) == []


@pytest.mark.parametrize(("away", "found"), [(0.062, []), (0.1, [(40, "1-3.5s")]), (-0.1, [(40, "1-3.5s")])])
def test_one_day_beyond_its_limit(away: float, found: list[tuple[int, str]]) -> None:
    points = follow(LIGHT, days([*usual(40), 2.28 + away, *usual(5, seed=2)]))
    assert rules(points) == found
    assert points[40].rises == (away > 0)


def test_a_slow_drift_alarms_before_a_day_is_beyond_its_limit() -> None:
    drifting = [*usual(60), *(2.28 - 0.0015 * k for k in range(30))]
    points = follow(LIGHT, days(drifting))
    first = rules(points)[0]
    assert first[1] == "drift"
    assert 65 < first[0] < 85
    assert not points[first[0]].rises
    assert abs(points[first[0]].z or 0) < 3.5


def test_a_fall_of_what_may_only_rise_is_none() -> None:
    assert rules(follow(BLUR, days([*usual(40), 1.5, 1.5, 1.5]))) == []
    assert rules(follow(BLUR, days([*usual(40), 3.0])))[-1] == (40, "1-3.5s")


def test_a_steady_camera_is_not_asked_to_be_steadier_than_matters() -> None:
    steady = usual(40, sd=1e-5)
    assert rules(follow(LIGHT, days([*steady, 2.28 + 2.5 * LIGHT.least]))) == []
    assert rules(follow(LIGHT, days([*steady, 2.28 + 5 * LIGHT.least]))) == [(40, "1-3.5s")]


def test_many_fields_are_judged_before_there_are_days_by_what_is_usual_elsewhere() -> None:
    first = days(usual(3, sd=0.001), n=100)
    assert [point.z is None for point in follow(LIGHT, first)] == [True, True, False]
    jump = [*first, Day(date(2026, 1, 4), 2.28 - 4.5 * LIGHT.usual, 20, 1e-6)]
    assert rules(follow(LIGHT, jump)) == [(3, "1-3.5s")]


def test_a_day_that_goes_on_is_judged_by_four() -> None:
    follower = Follower(LIGHT)
    for day in days(usual(40)):
        follower.close(day)
    today = Day(date(2026, 5, 1), 2.28 + 0.085, 5, 1e-6)
    assert follower.judge(today).rule is None
    assert follower.judge(today, is_over=True).rule == "1-3.5s"
    assert follower.judge(Day(today.day, 2.28 + 0.12, 5, 1e-6)).rule == "1-3.5s"


def test_a_new_baseline_begins_where_something_was_changed() -> None:
    changed = [*usual(40), *(value - 0.2 for value in usual(30, seed=2))]
    assert rules(follow(LIGHT, days(changed)))
    points = follow(LIGHT, days(changed), restart=date(2026, 1, 1) + timedelta(40))
    assert len(points) == 30
    assert rules(points) == []


def test_a_day_of_few_fields_may_lie_farther_away() -> None:
    base = days(usual(40, sd=0.005), n=30, variance=0.0009)
    near, far = (follow(LIGHT, [*base, Day(date(2026, 3, 1), 2.34, n, None)])[-1] for n in (1, 30))
    assert near.rule is None
    assert far.rule == "1-3.5s"


def test_refused_fields() -> None:
    rng = np.random.default_rng(3)
    base = [day_of_share(date(2026, 1, 1) + timedelta(k), int(rng.binomial(20, 0.05)), 20) for k in range(40)]
    chart = CHARTS["refused"]
    assert follow(chart, [*base, day_of_share(date(2026, 3, 1), 2, 20)])[-1].rule is None
    assert follow(chart, [*base, day_of_share(date(2026, 3, 1), 9, 20)])[-1].rule == "1-3.5s"


@pytest.mark.parametrize("degrees", [19, 60])
@pytest.mark.parametrize("t", [0.5, 2.0, 3.0, 4.0])
def test_normal_scores_are_as_rare_as_the_t(t: float, degrees: int) -> None:
    assert normal_score(t, degrees) == pytest.approx(-stats.norm.ppf(stats.t.sf(t, degrees)), abs=0.01)


def test_clean_days_alarm_as_seldom_as_promised() -> None:
    """Ten laboratories of 400 clean days each: at most 10 alarms in 1,000 days, and not none at all."""
    alarms = [len(rules(follow(LIGHT, days(drawn(420, seed))))) for seed in range(10)]
    assert 1 <= sum(alarms) <= 40


@pytest.mark.parametrize(
    ("moved", "cause"),
    [
        ({"scale": 1, "blur": 1, "nuclei": -1, "refused": 1}, "objective"),
        ({"blur": 1, "nuclei": -1, "refused": 1}, "focus"),
        ({"unevenness": 1, "light": -1}, "dirt"),
        ({"light": -1, "white_blue": -1}, "lamp"),
        ({"white_blue": 1}, "white_balance"),
        ({"nuclei": -1, "red_cells": -1}, "stain"),
        ({"refused": 1}, "dirt"),
        ({"covered": 1, "nuclei": -1}, "dirt"),
        ({"p": -1}, "program"),
        ({"blur": -1}, "unknown"),
    ],
)
def test_the_likely_cause(moved: dict[str, int], cause: str) -> None:
    assert likely_cause(dict.fromkeys(CHARTS, 0) | moved) == cause
