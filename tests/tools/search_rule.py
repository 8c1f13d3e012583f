"""How often a search for few blasts ends wrongly, by simulated laboratories.

``python -m tests.tools.search_rule [--draws 2000]`` draws laboratories with the sensitivity of their list,
the cells that it was measured on, the share of blasts, and the words "blast" on cells that are none; it
searches a slide of each by the rule of ``edge/results/search.py``, stops where that says so, and counts what
was said. A word is given on each candidate before the next look. It takes some minutes.

``found`` with a share of 0 is the error of the one kind, ``bounded`` with the share that must not be missed
that of the other; ``covered`` is how often the shown limits hold the share at the end, ``cells`` how many
were counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import click
import numpy as np

from edge.counting.tally import clopper_pearson
from edge.results.search import Listing, look_cells, missed_share, upper_limit, verdict_of


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
    listing = None
    if lab.tested:
        listing = Listing(int(rng.binomial(lab.tested, lab.listed)), lab.tested, "drawn")
    is_blast = rng.random(lab.quota) < lab.share
    is_listed = rng.random(lab.quota) < (lab.listed if lab.tested else 1.0)
    is_false = rng.random(lab.quota) < lab.false_words / lab.quota
    confirmed = np.where(is_blast, is_listed, is_false).tolist()
    verdict, cells = "", 0
    for cells in look_cells(lab.quota):
        verdict, _at = verdict_of(confirmed[:cells], [False] * cells, lab.quota, listing, is_known=True)
        if verdict != "count_on":
            break
    k = sum(confirmed[:cells])
    covered = clopper_pearson(k, cells)[0] <= lab.share <= upper_limit(k, 0, cells, listing)
    return verdict, cells, covered


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
