"""The live rule may be watched, the exact interval may not, and both say so in numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.statistics.stopping import LEVEL, LINE, MOST_CELLS, stopping
from edge.structures import Tally
from edge.tally import clopper_pearson


def make_tally(blasts: int, cells: int) -> Tally:
    share = blasts / cells if cells else None
    return Tally(1, 0, blasts, cells - blasts, 0, 0, 0, share, *clopper_pearson(blasts, cells))


def ever_cleared(rule: str, most: int, line: float = LINE) -> float:
    """Exact probability that a sample on the line is ever called clear within so many cells, by walking all paths."""
    alive, cleared = np.zeros(most + 2), 0.0
    alive[0] = 1.0
    for cells in range(1, most + 1):
        alive[1 : cells + 1] = alive[1 : cells + 1] * (1 - line) + alive[:cells] * line
        alive[0] *= 1 - line
        if cells % 5:
            continue  # looked at after every fifth cell, which keeps this quick
        for blasts in range(cells + 1):
            if alive[blasts] < 1e-9:
                continue
            if getattr(stopping(make_tally(blasts, cells), 200), rule) != "open":
                cleared += alive[blasts]
                alive[blasts] = 0.0
    return cleared


def test_the_live_rule_may_be_watched() -> None:
    assert ever_cleared("live", 100) <= LEVEL


def test_the_exact_interval_may_not() -> None:
    """The negative control, and the reason for the live rule."""
    assert ever_cleared("interval", 100) > 2 * LEVEL


@pytest.mark.parametrize(
    ("blasts", "cells", "advice", "live", "interval"),
    [
        (0, 0, "nothing_counted", "open", "open"),
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
    """The mean over all samples on the line is 1: that is what bounds how often it ever exceeds 20."""
    from edge.statistics.stopping import _log_martingale

    cells = 30
    mean = sum(
        math.comb(cells, k) * LINE**k * (1 - LINE) ** (cells - k) * math.exp(_log_martingale(k, cells, LINE))
        for k in range(cells + 1)
    )
    assert mean == pytest.approx(1.0)
