"""Limits of a share of few blasts, with what the program does not list; what it could tell by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from edge.counting.tally import clopper_pearson
from edge.results.corrected import KnownErrors

#: Probability that the limits do not hold the share, and of each wrong end of a search.
ERROR = 0.05
#: Part of ERROR that the chance in the measured sensitivity of the list gets; the count gets the rest. The
#: bound of a product is the product of bounds that err less (Bonferroni).
OF_LISTING = 0.01
#: Part of ERROR that the lower limit gets where a blast was confirmed. With a half of it the limits would
#: hold the share in 92.4 % at worst for whoever ends a search by its rule, which two early blasts do; so it
#: is 94.6 %.
_OF_LOW = 0.01


@dataclass(frozen=True, slots=True)
class Listing:
    """How many blasts the program listed where that was measured.

    Attributes
    ----------
    listed, blasts : blasts that were called so or uncertain, of how many; where that was measured in this
        laboratory, of how many independent cells that would say as much
    source : on which cells, in words; empty where they are this laboratory's
    """

    listed: int
    blasts: int
    source: str

    @classmethod
    def of(cls, errors: KnownErrors) -> Listing | None:
        """Take it from the errors of a model; None where no blast is known to have been listed."""
        listed, blasts = errors.blasts_listed, errors.blasts
        if errors.site is not None:
            blasts = int(errors.site.listed.effective_n)
            listed = int(errors.site.listed.share * blasts)
        return cls(listed, blasts, errors.source) if listed else None


@dataclass(frozen=True, slots=True)
class Alone:
    """What the program can tell without a person's words, as limits of blank and of detection [1]_.

    Attributes
    ----------
    called, others : cells that are no blasts and were called so where that was measured, of how many
    blank : calls that a sample of as many cells without any blast does not exceed, with 95 %
    detects : least share of which it makes more calls than that, with 95 %; None where there is none

    References
    ----------
    .. [1] CLSI EP17-A2, Evaluation of Detection Capability for Clinical Laboratory Measurement Procedures,
       2012.
    """

    called: int
    others: int
    blank: int
    detects: float | None


def lower_limit(k: int, n: int) -> float:
    """Give the lower limit of the share of blasts where k of n were confirmed, with 99 %; 0 where none was.

    Examples
    --------
    >>> round(lower_limit(2, 100), 4)
    0.0015
    """
    return _one_sided(k, n, _OF_LOW)[0]


def upper_limit(k: int, waiting: int, n: int, listing: Listing | None) -> float:
    """Give the upper limit of the share of blasts: with 95 % by itself, or with the lower one where k > 0.

    Parameters
    ----------
    k : confirmed
    waiting : taken for blasts
    n : of how many cells
    listing : what to allow for; None for nothing

    Examples
    --------
    >>> round(upper_limit(0, 0, 1240, None), 4)  # fewer than 0.24 %
    0.0024
    >>> round(upper_limit(0, 0, 1240, Listing(342, 375, "a test")), 4)
    0.003
    """
    error = ERROR - _OF_LOW if k else ERROR
    if listing is None:
        return _one_sided(k + waiting, n, error)[1]
    of_listing = OF_LISTING * error / ERROR
    return min(1.0, _one_sided(k + waiting, n, error - of_listing)[1] / least_listed(listing, of_listing))


def least_listed(listing: Listing, error: float) -> float:
    """Give the lower limit of the sensitivity of a list, which errs with that probability."""
    return _one_sided(listing.listed, listing.blasts, error)[0]


def _one_sided(k: int, n: int, error: float) -> tuple[float, float]:
    """Give the exact limits of which each errs with that probability."""
    return clopper_pearson(k, n, 1.0 - 2.0 * error)


@lru_cache(maxsize=64)
def alone(errors: KnownErrors, cells: int) -> Alone:
    """Say what the program could tell from blood without blasts, by its calls alone.

    The limit of blank is that of a future sample, by a beta-binomial distribution of its false calls
    with Jeffreys' prior: what was measured on few cells is known badly. The limit of detection is the share
    at which calls exceed it in 95 %, at the measured rates. Both take false calls for chance in each
    cell; where they run in samples, as with one stain or one patient, the limits are higher.

    Parameters
    ----------
    errors : of the program
    cells : of the sample
    """
    a, b = errors.others_called + 0.5, errors.others - errors.others_called + 0.5
    p = math.exp(
        math.lgamma(b + cells) - math.lgamma(b) + math.lgamma(a + b) - math.lgamma(a + b + cells)
    )  # of no call
    blank, total = 0, p
    while total < 1.0 - ERROR and blank < cells:
        p *= (cells - blank) / (blank + 1.0) * (a + blank) / (b + cells - blank - 1.0)
        blank += 1
        total += p
    rate = _one_sided(blank, cells, ERROR)[1]
    false = 1.0 - errors.specificity
    gain = errors.sensitivity - false
    detects = (rate - false) / gain if gain > 0.0 else 1.0
    return Alone(errors.others_called, errors.others, blank, detects if detects < 1.0 else None)
