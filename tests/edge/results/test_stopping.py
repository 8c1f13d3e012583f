"""The live rule may be watched, the exact interval may not, and both say so in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from edge.bloodlog import Sample
from edge.counting.tally import clopper_pearson
from edge.i18n import catalogue
from edge.results.stopping import LEVEL, LINE, MOST_CELLS, _log_martingale, stopping
from edge.results.texts import stop_text
from edge.structures import Tally

AT = datetime(2026, 5, 3, tzinfo=UTC)
SAMPLE = Sample(1, "S-1", "blood", 200, AT, None, kept=False)
CLOSED = replace(SAMPLE, closed_at=AT)

Rule = Callable[[int, int], bool]


def make_tally(blasts: int, cells: int) -> Tally:
    share = blasts / cells if cells else None
    return Tally(1, 0, blasts, cells - blasts, 0, 0, 0, share, *clopper_pearson(blasts, cells))


def is_clear_live(blasts: int, cells: int) -> bool:
    return _log_martingale(blasts, cells, LINE) >= -math.log(LEVEL)


def is_clear_exactly(blasts: int, cells: int) -> bool:
    low, high = clopper_pearson(blasts, cells)
    return low > LINE or high < LINE


def ever_cleared(rule: Rule, most: int, quota: int = 0) -> float:
    """Exact probability that a sample on the line is ever called clear within so many cells, over all paths.

    Looked at after every fifth cell, which keeps this quick, and once by the exact interval at the quota.
    """
    alive, cleared = np.zeros(most + 2), 0.0
    alive[0] = 1.0
    for cells in range(1, most + 1):
        alive[1 : cells + 1] = alive[1 : cells + 1] * (1 - LINE) + alive[:cells] * LINE
        alive[0] *= 1 - LINE
        if cells % 5:
            continue
        for blasts in np.flatnonzero(alive > 1e-7).tolist():
            if rule(blasts, cells) or (cells == quota and is_clear_exactly(blasts, cells)):
                cleared += alive[blasts]
                alive[blasts] = 0.0
    return cleared


def test_the_live_rule_may_be_watched() -> None:
    assert ever_cleared(is_clear_live, 500) <= LEVEL


@pytest.mark.parametrize(("quota", "error"), [(100, 0.0333), (200, 0.0437), (500, 0.0493)])
def test_with_one_look_at_the_quota_five_percent_are_kept(quota: int, error: float) -> None:
    """The figures of the docstring, which are for a look after every cell, and a little below them."""
    assert error - 0.003 <= ever_cleared(is_clear_live, quota, quota) <= error


def test_the_exact_interval_may_not_be_watched() -> None:
    """The negative control, and the reason for the live rule."""
    assert ever_cleared(is_clear_exactly, 100) > 2 * 0.05


@pytest.mark.parametrize(
    ("blasts", "cells", "advice", "live", "interval"),
    [
        (0, 0, "no_cells", "open", "open"),
        (4, 20, "count_on", "open", "open"),
        (60, 100, "clear", "above", "above"),
        (1, 100, "clear", "below", "below"),
        (40, 200, "quota_open", "open", "open"),
        (60, 200, "quota_clear", "open", "above"),
        (150, 200, "quota_clear", "above", "above"),
        (2, 200, "quota_clear", "below", "below"),
    ],
)
def test_what_is_said(blasts: int, cells: int, advice: str, live: str, interval: str) -> None:
    state = stopping(make_tally(blasts, cells), 200)
    assert (state.advice, state.live, state.interval) == (advice, live, interval)
    assert state.quota_reached == (cells >= 200)


def test_fields_without_a_cell_are_not_nothing() -> None:
    """Two fields counted and eleven refused: the stage has been moved, and nobody is told to begin."""
    nothing = Tally(0, 0, 0, 0, 0, 0, 0, None, 0.0, 1.0)
    assert stopping(nothing, 200).advice == "nothing_counted"
    assert stopping(replace(nothing, rejected=11), 200).advice == "no_cells"
    seen = stopping(replace(nothing, fields=2, rejected=11), 200)
    for language in ("en", "id"):
        text = stop_text(catalogue(language), seen, SAMPLE)
        assert " 2" in text
        assert " 11" in text


def test_how_many_more_cells() -> None:
    state = stopping(make_tally(25, 100), 200)
    assert state.more_cells is not None
    total = 100 + state.more_cells
    assert clopper_pearson(round(0.25 * total), total)[0] > LINE
    assert clopper_pearson(round(0.25 * (total - 8)), total - 8)[0] <= LINE + 0.005
    assert stopping(make_tally(60, 100), 200).more_cells is None
    # On the line no number of cells helps.
    assert stopping(make_tally(40, 200), 200).more_cells is None
    assert stopping(make_tally(MOST_CELLS // 5, MOST_CELLS), 200).more_cells is None


def test_the_martingale_is_one_on_average() -> None:
    """The mean over all samples on the line is 1: that is what bounds how often it ever exceeds 50."""
    cells = 30
    mean = sum(
        math.comb(cells, k) * LINE**k * (1 - LINE) ** (cells - k) * math.exp(_log_martingale(k, cells, LINE))
        for k in range(cells + 1)
    )
    assert mean == pytest.approx(1.0)


def test_nobody_is_told_to_count_on_in_a_closed_sample() -> None:
    few, many = (Tally(1, 0, k, n - k, 0, 0, 0, k / n, 0, 1) for k, n in ((6, 20), (90, 180)))
    for counted, told in (
        (few, "Closed before the quota, 20 of 200 cells. Not clear of 20 %. About "),
        (many, "Closed before the quota, 180 of 200 cells. Clear of 20 %."),
        (replace(few, blasts=0, normal=0), "Closed without a whole white cell. Fields counted: 1, "),
    ):
        assert stop_text(catalogue(), stopping(counted, 200), CLOSED).startswith(told)
