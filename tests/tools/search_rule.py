"""How often a search for few blasts ends wrongly, by simulated laboratories.

``python -m tests.tools.search_rule [--draws 2000]`` draws laboratories with the sensitivity of their list,
the cells that it was measured on, the share of blasts, and the words "blast" on cells that are none; it
searches a slide of each by the rule of ``edge/results/search.py``, stops where that says so, and counts what
was said. A word is given on each candidate before the next look. It takes some minutes.

``found`` with a share of 0 is the error of the one kind, ``bounded`` with the share that must not be missed
that of the other; ``covered`` is how often the shown limits hold the share of cells that people call blasts
at the end, ``cells`` how many were counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import click
import numpy as np

from edge.results.rare import Listing, lower_limit, upper_limit
from edge.results.search import look_cells, missed_share, verdict_of


@dataclass(frozen=True, slots=True)
class Laboratory:
    """What is true of a laboratory's searches.

    Attributes
    ----------
    quota : of white cells
    share : of blasts on the slide
    listed : probability that a blast is listed
    tested : blasts on which that was measured; 0 where people look at every cell
    false_words : cells that are none and that people call a blast, expected in a whole search
    """

    quota: int
    share: float
    listed: float
    tested: int
    false_words: float


def simulated(lab: Laboratory, draws: int, seed: int) -> dict[str, float]:
    """Give how often searches end how, how often the limits hold the share, and the mean number of cells."""
    rng = np.random.default_rng(seed)
    ends: Counter[str] = Counter()
    for _ in range(draws):
        verdict, cells, covered = _searched(lab, rng)
        ends[verdict] += 1
        ends["covered"] += covered
        ends["cells"] += cells
    return {name: ends[name] / draws for name in ("found", "bounded", "open", "covered", "cells")}


def _searched(lab: Laboratory, rng: np.random.Generator) -> tuple[str, int, bool]:
    listed = int(rng.binomial(lab.tested, lab.listed)) if lab.tested else None
    is_blast = rng.random(lab.quota) < lab.share
    is_listed = rng.random(lab.quota) < (lab.listed if lab.tested else 1.0)
    is_false = rng.random(lab.quota) < lab.false_words / lab.quota
    confirmed = np.cumsum(np.where(is_blast, is_listed, is_false))
    at_looks = confirmed[np.array(look_cells(lab.quota)) - 1]
    verdict, cells, low, high = _said(tuple(at_looks.tolist()), lab.quota, listed, lab.tested)
    called = lab.share + (1.0 - lab.share) * lab.false_words / lab.quota
    return verdict, cells, low <= called <= high


@cache  # many draws are alike
def _said(
    at_looks: tuple[int, ...], quota: int, listed: int | None, tested: int
) -> tuple[str, int, float, float]:
    """Give how a search with so many confirmed at its looks ends, after how many cells, and its limits."""
    listing = None if listed is None else Listing(listed, tested, "drawn")
    step, confirmed, k = quota // len(at_looks), list[bool](), 0
    verdict = ""
    for k in at_looks:
        new = k - sum(confirmed)
        confirmed += [True] * new + [False] * (step - new)
        waits = [False] * len(confirmed)
        verdict, _at = verdict_of(confirmed, waits, quota, listing, is_known=True)
        if verdict != "count_on":
            break
    cells = len(confirmed)
    return verdict, cells, lower_limit(k, cells), upper_limit(k, 0, cells, listing)


def laboratories() -> Iterator[Laboratory]:
    """Go through what is tried."""
    for quota, (listed, tested) in product((500, 1000, 2000), ((1.0, 0), (0.91, 375), (0.75, 50))):
        missed = missed_share(quota)
        yield Laboratory(quota, 0.0, listed, tested, 0.0)
        yield Laboratory(quota, 0.0, listed, tested, 0.5)
        for times in (0.2, 0.5, 0.75, 1.0, 2.0, 4.0, 20.0):
            yield Laboratory(quota, times * missed, listed, tested, 0.0)


@click.command()
@click.option("--draws", type=click.IntRange(1), default=2000)
def main(draws: int) -> None:
    """Print a line a laboratory."""
    click.echo("quota  share %  listed  tested  false words   found  bounded    open  covered  cells")
    for seed, lab in enumerate(laboratories()):
        ended = simulated(lab, draws, seed)
        click.echo(
            f"{lab.quota:5}  {100 * lab.share:7.3f}  {lab.listed:6.2f}  {lab.tested:6}  "
            f"{lab.false_words:11}  "
            f"{ended['found']:6.3f}  {ended['bounded']:7.3f}  {ended['open']:6.3f}  {ended['covered']:7.3f}  "
            f"{ended['cells']:5.0f}"
        )


if __name__ == "__main__":
    main()
