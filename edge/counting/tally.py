"""The sum over fields and its exact uncertainty.

What is counted
---------------
- **Edge rule**: a cell cut by the image's edge is reported but not tallied. Its size and shape are
  unknown, so its class would be a guess, and the same cell may be seen whole in the next field. Larger
  cells are cut more often: of cells of diameter d, (W - d)(H - d) / WH are whole. With blasts of 15 µm among
  normal cells of 10 µm in a field of 300 x 230 µm that is 89 % against 92 %, so that the share of blasts
  comes out lower by at most 4 % of itself.
- **Uncertain cells stay in the denominator** and never in the numerator, so that the share of blasts is
  the share of cells that were called blasts; reclassifying them by eye can only raise it. A laboratory
  with another custom says so by ``denominator``.
- **Erythroblasts** have a nucleus and are no leukocytes. Where a network or a person calls a cell one, it
  leaves the denominator, unless that is of nucleated cells, as it is customary for marrow. What was called
  a blast stays one. Clumps of platelets are no cells at all.
- **Smudge cells** are ruptured; they are reported beside the tally and belong to neither.
- **Cells seen before**, counted in an earlier field of the same sample, are reported and add nothing.
- **Rejected fields** add nothing but their number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.structures import CellType, Denominator, FieldResult, Tally

if TYPE_CHECKING:
    from edge.bloodlog import Specimen  # what asks the daemon counts no sample, and loads no log

#: 97.5 % quantile of the normal distribution: half the width of a 95 % interval in standard errors.
Z95 = 1.959964
#: Intervals of 99.9 % take up to 13 steps, those of 95 % up to 9.
_MOST_STEPS = 60
#: Newton's steps end with one of the log odds that is smaller than this (the next would be of the order of
#: its square), or that moves the limit by less than the spacing of floats there.
_LAST_STEP = 1e-8
_SPACING = 1e-15
#: The continued fraction needs about sqrt(max(a, b)) terms; this is enough for more than 10 million cells.
_MAX_TERMS = 10_000
_TINY = 1e-300


def denominator_of(configured: Denominator | None, specimen: Specimen | None = None) -> Denominator:
    """Say which cells the shares of a sample are of, for every output.

    Parameters
    ----------
    configured : what the configuration says; None for what is customary: leukocytes in blood, in marrow all
        nucleated cells [1]_
    specimen : of the sample; None for fields without one

    References
    ----------
    .. [1] S.-H. Lee et al., "ICSH guidelines for the standardization of bone marrow specimens and reports",
       International Journal of Laboratory Hematology 30 (2008) 349-364.

    Examples
    --------
    >>> denominator_of(None, "blood"), denominator_of(None, "marrow"), denominator_of("classified", "marrow")
    ('classified', 'nucleated', 'classified')
    """
    return configured or ("nucleated" if specimen == "marrow" else "classified")


class RunningTally:
    """Adds up fields as they come and keeps none of them, for any number of fields in the same memory."""

    def __init__(self, denominator: Denominator = "classified") -> None:
        self._denominator = denominator
        self._fields = 0
        self._rejected = 0
        self._blasts = 0
        self._normal = 0
        self._uncertain = 0
        self._smudges = 0
        self._border = 0
        self._seen_before = 0
        self._erythroblasts = 0
        self._types: Counter[CellType] | None = None

    def add(self, result: FieldResult) -> None:
        """Add one field; the cells of a rejected one are left out."""
        if result.status == "rejected":
            self._rejected += 1
            return
        self._fields += 1
        if result.type_model is not None and self._types is None:
            self._types = Counter()
        for classified in result.cells:
            if classified.seen_before is not None:
                self._seen_before += 1
            elif classified.cell.kind == "smudge":
                self._smudges += 1
            elif classified.cell.touches_border:
                self._border += 1
            elif classified.label == "blast":
                self._blasts += 1
            elif classified.label == "normal" and classified.type == "erythroblast":
                self._erythroblasts += 1
            elif classified.label == "normal":
                self._normal += 1
                if self._types is not None and classified.type is not None:
                    self._types[classified.type] += 1
            else:
                self._uncertain += 1

    def total(self) -> Tally:
        """Give the tally of everything added so far."""
        return with_share(
            Tally(
                fields=self._fields,
                rejected=self._rejected,
                blasts=self._blasts,
                normal=self._normal,
                uncertain=self._uncertain,
                smudges=self._smudges,
                border=self._border,
                blast_fraction=None,
                ci_low=0.0,
                ci_high=1.0,
                denominator=self._denominator,
                seen_before=self._seen_before,
                erythroblasts=self._erythroblasts,
                types=None if self._types is None else dict(self._types),
            )
        )


def with_share(counts: Tally) -> Tally:
    """Give a tally the share of its blasts and the share's exact interval."""
    low, high = clopper_pearson(counts.blasts, counts.wbc)
    share = counts.blasts / counts.wbc if counts.wbc else None
    return replace(counts, blast_fraction=share, ci_low=low, ci_high=high)


def without_share(counts: Tally) -> Tally:
    """Leave of a tally what was counted: no share of blasts, no interval, no types to make a differential of.

    Examples
    --------
    >>> counts = without_share(with_share(Tally(1, 0, 2, 2, 0, 0, 0, None, 0.0, 1.0)))
    >>> counts.blasts, counts.wbc, counts.blast_fraction, counts.ci_low, counts.ci_high
    (2, 4, None, 0.0, 1.0)
    """
    return replace(counts, blast_fraction=None, ci_low=0.0, ci_high=1.0, types=None)


def tally(results: Iterable[FieldResult], denominator: Denominator = "classified") -> Tally:
    """Sum the cells of fields by class, with the exact 95 % interval of the blast share.

    The rules are those at the top of this module.

    Parameters
    ----------
    results : fields in any order; consumed one at a time
    denominator : which cells the share is of

    Examples
    --------
    >>> nothing = tally([])
    >>> nothing.wbc, nothing.blast_fraction, nothing.ci_low, nothing.ci_high
    (0, None, 0.0, 1.0)
    """
    running = RunningTally(denominator)
    for result in results:
        running.add(result)
    return running.total()


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact two-sided interval of a proportion, k of n [1]_.

    The limits are the proportions p at which k or more (fewer) of n have a probability of
    (1 - confidence) / 2. The binomial tail is a regularised incomplete beta function, P(X >= k) =
    I_p(k, n - k + 1), inverted here by Newton's steps, because the device has no SciPy.

    Parameters
    ----------
    k : number of successes, 0 to n
    n : number of trials; for 0 nothing is known and the interval is 0 to 1
    confidence : between 0 and 1

    Returns
    -------
    lower and upper limit

    Raises
    ------
    ValueError
        k is not within 0 to n, or confidence not between 0 and 1.

    References
    ----------
    .. [1] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in
       the case of the binomial", Biometrika 26 (1934) 404-413.

    Examples
    --------
    >>> [round(100 * limit, 1) for limit in clopper_pearson(40, 200)]
    [14.7, 26.2]
    >>> [round(limit, 4) for limit in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    if not 0 <= k <= n:
        raise ValueError(f"k must be 0 to n = {n}, got {k}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if k == 0 else _inverse_beta(k, n - k + 1, tail)
    high = 1.0 if k == n else _inverse_beta(k + 1, n - k, 1.0 - tail)
    return low, high


def share_json(k: int, n: int, interval: tuple[float, float] | None = None) -> dict[str, Any]:
    """Say k of n as JSON: value (None for 0 of 0), k, n and the exact 95 % interval, computed if not given.

    Examples
    --------
    >>> share_json(0, 0)
    {'value': None, 'k': 0, 'n': 0, 'ci95': [0.0, 1.0]}
    """
    return {"value": k / n if n else None, "k": k, "n": n, "ci95": list(interval or clopper_pearson(k, n))}


def binomial_tails(k: int, n: int, p: float) -> tuple[float, float]:
    """Give the probabilities of k or more, and of k or fewer, of n at a proportion p.

    Where only the side of ``p`` that an exact interval lies on is asked for, these say it without the limits:
    the lower one is above ``p`` where k or more have a probability below (1 - confidence) / 2, the upper one
    below it where k or fewer have.

    Parameters
    ----------
    k, n : 0 to n successes of n trials
    p : between 0 and 1

    Examples
    --------
    >>> [round(tail, 4) for tail in binomial_tails(5, 10, 0.5)]
    [0.623, 0.623]
    """
    return (
        1.0 if k == 0 else _regularised_beta(p, k, n - k + 1),
        1.0 if k == n else 1.0 - _regularised_beta(p, k + 1, n - k),
    )


def _inverse_beta(a: float, b: float, probability: float) -> float:
    """Find x with I_x(a, b) = probability, by Newton's steps of the log odds of x.

    The density of the log odds is log-concave with its peak at x = a / (a + b). Steps from there never go too
    far: on either side of the peak, the slope ahead is smaller.
    """
    x = a / (a + b)
    log_scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    for _ in range(_MOST_STEPS):
        slope = math.exp(log_scale + a * math.log(x) + b * math.log1p(-x))
        step = (probability - _regularised_beta(x, a, b)) / slope
        odds = x / (1.0 - x) * math.exp(step)
        x = odds / (1.0 + odds)
        if abs(step) <= _LAST_STEP or abs(step) * (1.0 - x) <= _SPACING:
            return x
    raise ArithmeticError(f"no limit found for a probability of {probability} with a={a}, b={b}")


def _regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) for 0 < x < 1 by its continued fraction (DLMF 8.17.22), where it converges quickly."""
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _regularised_beta(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) by Lentz's method (Press et al., Numerical Recipes, 3rd ed., 5.2, 6.4)."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / ((1.0 + numerator * d) or _TINY)
        c = (1.0 + numerator / c) or _TINY
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return value
    raise ArithmeticError(f"no convergence of the incomplete beta function at x={x}, a={a}, b={b}")
