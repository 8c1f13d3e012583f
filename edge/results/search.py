"""Few blasts among many cells: what a search has found, what it leaves open, and when it may end.

A sample that is searched (``sample open --search``) is counted to a quota of 500 cells and more. The program
lists the cells that look like blasts, uncertain ones too, and people have a word on each: what counts is what
they confirm. The program's own false calls therefore cost a look each and no more; its misses are what the
upper bound has to allow for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Literal

from edge.results.corrected import KnownErrors
from edge.results.rare import ERROR, OF_LISTING, Alone, Listing, alone, least_listed, lower_limit, upper_limit
from edge.results.reading import ReadCell, Reading

#: The share that must not be missed, times the quota: 1, 0.5 and 0.25 % for 500, 1,000 and 2,000 cells. So
#: many blasts are expected among the cells of the quota; none of five is seen in 0.7 % of such searches.
_EXPECTED_MISSED = 5.0
#: Words "blast" on cells that are none which a search must stand, expected in a whole one: what people
#: confirm in blood without blasts. It is not measured; where readers are surer, fewer searches end wrongly.
_EXPECTED_FALSE = 0.5
#: A search is looked at this often, after every twentieth of its quota.
LOOKS = 20
#: Powers of the spending functions ERROR * t ** power (Kim and DeMets 1987): evenly for a search that finds,
#: so that two blasts at its beginning do; late for one that does not, so that it ends before the quota.
_POWER_FOUND, _POWER_BOUNDED = 1, 2
#: Counts of blasts that the recursion tells apart; 40 where 5 are expected is out of reach.
_MOST_K = 40

#: ``found`` and ``bounded`` end the search; at the quota without an end it ``asks`` for people's words that
#: are missing, or stays ``open``.
Verdict = Literal["found", "bounded", "asks", "count_on", "open"]


@dataclass(frozen=True, slots=True)
class Search:
    """Where a search stands.

    Attributes
    ----------
    cells, quota : whole white cells that were searched, and are to be
    missed : the share that the search must not miss
    listed : candidates, cells that the program called blast or was uncertain of
    confirmed : cells that people called blast, on the list or not
    waiting : candidates without a word, and cells on which words differ
    looked_at : cells on which people have a word
    low, high : limits of the share of blasts, with 95 %. ``high`` takes what waits for blasts, and allows for
        what is not listed
    unlisted_high : what ``high`` would be if every blast were on the list
    is_read : people have a word on every cell, so that it does not matter what is listed
    listing : by which ``high`` allows for blasts that are not listed; None where that is not known, or all
        cells were read
    alone : None where the program's false calls are not known, or nothing was counted
    verdict : what to do
    decided_at : cells of the look at which the verdict fell; None without one
    """

    cells: int
    quota: int
    missed: float
    listed: int
    confirmed: int
    waiting: int
    looked_at: int
    low: float
    high: float
    unlisted_high: float
    is_read: bool
    listing: Listing | None
    alone: Alone | None
    verdict: Verdict
    decided_at: int | None

    @property
    def has_result(self) -> bool:
        """Whether there is anything to say of the share of blasts.

        Not while nobody has looked at a cell: except where the program lists none, so that nobody is asked,
        and it is known how many it leaves off its list.
        """
        return self.looked_at > 0 or (self.cells > 0 and not self.waiting and self.listing is not None)


def search_of(reading: Reading, quota: int, errors: KnownErrors | None) -> Search:
    """Say what a search has found.

    The count is binomial: of n cells k are confirmed, whose limits are exact; where k is 0 the upper one is
    1 - 0.05 ** (1 / n), about 3 / n [1]_. At whatever look a search ends, they hold the share in 94.6 %.
    A blast that is not listed is not seen, so that the upper limit is divided by the lower limit of the
    measured sensitivity of the list, for which a fifth of the error is set apart. That holds as far as blasts
    are listed here as they were there.

    Nothing is said, and nothing ends, while nobody has looked at any of the cells that wait for a word.

    The search ends when at one of its looks as many were confirmed as blood without blasts would show with
    5 % at most (``found``), or so few that with the share ``missed`` it would be 5 % at most (``bounded``).
    Both limits spend their error over the looks [2]_ [3]_, each as if the other did not end the search, so
    that they hold for whoever counts on. A look is at the first n cells in the order in which they were
    counted, not at a moment: nobody changes it by looking more often. What waits for a word then is taken
    for a blast by the one limit, and for none by the other.

    Parameters
    ----------
    reading : of the sample
    quota : white cells that it counts to
    errors : of the model that counted; None where they are not known

    References
    ----------
    .. [1] J. A. Hanley, A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983)
       1743-1745.
    .. [2] K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70
       (1983) 659-663.
    .. [3] K. Kim, D. L. DeMets, "Design and analysis of group sequential tests based on the type I error
       spending rate function", Biometrika 74 (1987) 149-154.
    """
    words = reading.agreed_words
    cells = [cell for cell in reading.cells if cell.counts and _is_white(reading, cell)]
    confirmed = [words.get(cell.ref) == "blast" for cell in cells]
    asked = [is_candidate(cell) or cell.ref in reading.differing for cell in cells]
    waits = [is_asked and cell.ref not in words for cell, is_asked in zip(cells, asked, strict=True)]
    is_read = bool(cells) and all(cell.ref in words for cell in cells)
    listing = None if errors is None or is_read else Listing.of(errors)
    n, k, waiting = len(cells), sum(confirmed), sum(waits)
    high, unlisted_high = (upper_limit(k, waiting, n, given) for given in (listing, None))
    looked_at = sum(cell.ref in reading.last_words for cell in reading.cells if cell.counts)
    is_known = is_read or (listing is not None and (looked_at > 0 or not waiting))
    verdict, decided_at = verdict_of(confirmed, waits, quota, listing, is_known=is_known)
    return Search(
        cells=n,
        quota=quota,
        missed=missed_share(quota),
        listed=sum(map(is_candidate, cells)),
        confirmed=k,
        waiting=waiting,
        looked_at=looked_at,
        low=lower_limit(k, n),
        high=high,
        unlisted_high=unlisted_high,
        is_read=is_read,
        listing=listing,
        alone=None if errors is None or not n else alone(errors, n),
        verdict=verdict,
        decided_at=decided_at,
    )


def is_candidate(cell: ReadCell) -> bool:
    """Whether a search asks people for a word on a cell."""
    return cell.counts and cell.program in ("blast", "uncertain")


def likeliest_first(cell: ReadCell) -> float:
    """Give what candidates are sorted by."""
    return -(cell.found.p_blast or 0.0)


def waiting_candidates(reading: Reading) -> list[ReadCell]:
    """List the candidates on which nobody has a word, the likeliest first."""
    waiting = [cell for cell in reading.cells if is_candidate(cell) and cell.ref not in reading.last_words]
    return sorted(waiting, key=likeliest_first)


def _is_white(reading: Reading, cell: ReadCell) -> bool:
    """Whether a counted cell is a white one by people's words, too."""
    word = reading.agreed_words.get(cell.ref)
    return word not in ("smudge", "not_a_cell") and not (
        word == "normal" and reading.type_of(cell) == "erythroblast"
    )


def missed_share(quota: int) -> float:
    """Give the share of blasts that a search of a quota must not miss.

    Examples
    --------
    >>> [missed_share(quota) for quota in (500, 1000, 2000)]
    [0.01, 0.005, 0.0025]
    """
    return _EXPECTED_MISSED / quota


def verdict_of(
    confirmed: Sequence[bool],
    waits: Sequence[bool],
    quota: int,
    listing: Listing | None,
    *,
    is_known: bool,
) -> tuple[Verdict, int | None]:
    """Say how a search stands by the looks that were reached, and at which of them it ended.

    Parameters
    ----------
    confirmed, waits : whether people called a cell blast, and whether one is asked, in the order of counting
    quota : of the search
    listing : what to allow for; None for nothing
    is_known : it is known what to allow for; else the search never ends as bounded

    Returns
    -------
    the verdict, and the cells of the look at which it fell; None without one
    """
    found, bounded = limits(quota, listing)
    sums = list(accumulate(confirmed, initial=0))
    most = [k + waiting for k, waiting in zip(sums, accumulate(waits, initial=0), strict=True)]
    looks = [(number, cells) for number, cells in enumerate(look_cells(quota)) if cells <= len(confirmed)]
    for number, cells in looks:
        if sums[cells] >= found[number]:
            return "found", cells
    if is_known:
        for number, cells in looks:
            if most[cells] <= bounded[number] and most[-1] <= bounded[-1]:
                return "bounded", cells
    if len(confirmed) < quota:
        return "count_on", None
    return ("asks" if any(waits) else "open"), None


def look_cells(quota: int) -> tuple[int, ...]:
    """Give the numbers of cells at which a search is looked at.

    Examples
    --------
    >>> look_cells(500)[:3], look_cells(500)[-1]
    ((25, 50, 75), 500)
    """
    return tuple(quota * number // LOOKS for number in range(1, LOOKS + 1))


@lru_cache(maxsize=64)
def limits(quota: int, listing: Listing | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give for each look how many confirmed blasts end a search, and with how few it is bounded.

    Parameters
    ----------
    quota : of the search
    listing : what to allow for; None where every blast is seen

    Returns
    -------
    the least number that is ``found``, and the greatest that is ``bounded``, -1 where none is

    Examples
    --------
    >>> found, bounded = limits(2000, None)
    >>> found[:10]  # two of the first 900 cells, three later
    (2, 2, 2, 2, 2, 2, 2, 2, 2, 3)
    >>> bounded[13:]  # none of 1,500 cells, or one of 2,000
    (-1, 0, 0, 0, 0, 0, 1)
    """
    missed, error = missed_share(quota), ERROR
    if listing is not None:
        missed *= least_listed(listing, OF_LISTING)
        error -= OF_LISTING
    cells = quota // LOOKS
    return _found(_step(cells, _EXPECTED_FALSE / quota)), _bounded(_step(cells, missed), error)


def _found(step: Sequence[float]) -> tuple[int, ...]:
    """Spend the error of blood without blasts on the counts that are too many for it."""
    alive, spent, least = [1.0] + [0.0] * _MOST_K, 0.0, []
    for number in range(1, LOOKS + 1):
        alive = _after(alive, step)
        room = ERROR * (number / LOOKS) ** _POWER_FOUND - spent
        k, tail = len(alive), 0.0
        while k and tail + alive[k - 1] <= room:
            k -= 1
            tail += alive[k]
        spent += tail
        alive[k:] = [0.0] * (len(alive) - k)
        least.append(k)
    return tuple(least)


def _bounded(step: Sequence[float], error: float) -> tuple[int, ...]:
    """Spend the error of the share that must not be missed on the counts that are too few for it."""
    alive, spent, most = [1.0] + [0.0] * _MOST_K, 0.0, []
    for number in range(1, LOOKS + 1):
        alive = _after(alive, step)
        room = error * (number / LOOKS) ** _POWER_BOUNDED - spent
        k, tail = 0, 0.0
        while tail + alive[k] <= room:
            tail += alive[k]
            k += 1
        spent += tail
        alive[:k] = [0.0] * k
        most.append(k - 1)
    return tuple(most)


def _step(cells: int, share: float) -> list[float]:
    """Give the probabilities of 0, 1, 2, ... blasts among so many cells."""
    return [
        math.comb(cells, k) * share**k * (1.0 - share) ** (cells - k) for k in range(min(cells, _MOST_K) + 1)
    ]


def _after(alive: Sequence[float], step: Sequence[float]) -> list[float]:
    """Give the probabilities of the counts after another step; what is beyond the last stays there."""
    after = [0.0] * len(alive)
    for k, p in enumerate(alive):
        if p:
            for more, q in enumerate(step):
                after[min(k + more, _MOST_K)] += p * q
    return after
