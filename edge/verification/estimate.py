"""Shares of drawn cells, with intervals that account for the drawing and for cells clustered in samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.calibration.site import Rate
from edge.counting.tally import Z95
from edge.verification.fitting import expit, logit

#: Draws of the posterior: the ends of an interval then scatter by about 1 % of its width.
_DRAWS = 4000
_SEED = 20_260_503
#: Fewest degrees of freedom: below two the t distribution says nothing that is of use.
_LEAST_FREEDOM = 2.0
_Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadCells:
    """Cells that were drawn and read, an entry a cell.

    Attributes
    ----------
    sample : (n,) int, of which sample
    stratum : (n,) int, of which stratum; all cells of a stratum were called alike
    weight : (n,) float, cells that each stands for
    called : (n,) bool, whether the program called it a blast
    """

    sample: NDArray[np.int64]
    stratum: NDArray[np.int64]
    weight: _Numbers
    called: NDArray[np.bool_]


def rate(cells: ReadCells, member: _Numbers, hit: NDArray[np.bool_]) -> Rate | None:
    """Estimate which share of the cells of some kind was a hit.

    Parameters
    ----------
    cells : that were read
    member : (n,) float, 0 to 1: the share of its readers who put a cell into the kind
    hit : (n,) bool

    Returns
    -------
    the share with its 95 % interval; None where no cell is of the kind

    Notes
    -----
    The share is Hájek's ratio of weighted sums [1]_, which for strata of the program's own words is Begg and
    Greenes' correction for verification that depends on the test [2]_. The interval begins with how often
    the kind occurs in each stratum, drawn from its posterior under Jeffreys' prior [3]_: a stratum of 5,000
    cells of which 100 were read and none was of the kind may still hold some. How many cells a stratum has is
    drawn, too, since the samples that come next have others. These draws are spread about their median, on
    the logit scale, by the design effect of the samples (variance of the linearised ratio between samples
    over that of cells by themselves, at least 1 [1]_) and by Student's t for the number of samples that carry
    the kind, weighted by what they carry. Coverage: ``tests/tools/simulated_laboratories.py``.

    References
    ----------
    .. [1] E. L. Korn, B. I. Graubard, "Analysis of Health Surveys", Wiley 1999, chapters 2 and 3.
    .. [2] C. B. Begg, R. A. Greenes, "Assessment of diagnostic tests when disease verification is subject to
       selection bias", Biometrics 39 (1983) 207-215.
    .. [3] L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical
       Science 16 (2001) 101-133.
    """
    carried = cells.weight * member
    total = float(carried.sum())
    if total <= 0.0:
        return None
    share = float((carried * hit).sum()) / total
    draws = _posterior(cells, member, hit)
    logits = logit(draws)
    low, middle, high = np.quantile(logits, (0.025, 0.5, 0.975))
    spread = _spread(cells, carried, hit, share, total)
    low, high = (_expit(middle + spread * (end - middle)) for end in (low, high))
    variance = float(np.var(_expit(middle + spread * (logits - middle))))
    n = int(np.count_nonzero(member))
    centre = min(max(share, 0.5 / (n + 1)), 1.0 - 0.5 / (n + 1))
    effective = min(float(n), max(0.0, centre * (1.0 - centre) / variance - 1.0))
    return Rate(share, min(float(low), share), max(float(high), share), n, effective)


def _posterior(cells: ReadCells, member: _Numbers, hit: NDArray[np.bool_]) -> _Numbers:
    """Draw the share from its posterior, each stratum by itself."""
    rng = np.random.default_rng(_SEED)
    hits, all_ = np.zeros(_DRAWS), np.zeros(_DRAWS)
    for stratum in np.unique(cells.stratum):
        inside = cells.stratum == stratum
        n, found = np.count_nonzero(inside), float(member[inside].sum())
        of = float(cells.weight[inside].sum())
        held = rng.gamma(of, 1.0, _DRAWS) * rng.beta(found + 0.5, n - found + 0.5, _DRAWS)
        all_ += held
        if hit[inside].any():
            hits += held
    return np.clip(hits / all_, 1e-6, 1.0 - 1e-6)


def _spread(cells: ReadCells, carried: _Numbers, hit: NDArray[np.bool_], share: float, total: float) -> float:
    """Say by how much the interval is wider because cells lie in samples, and samples are few."""
    linear = carried * (hit - share) / total
    of_samples = np.bincount(cells.sample, linear)
    weights = np.bincount(cells.sample, carried)
    there = np.bincount(cells.sample) > 0
    m = int(there.sum())
    between = (
        m / (m - 1) * float(((of_samples - of_samples[there].mean())[there] ** 2).sum()) if m > 1 else 0.0
    )
    alone = 0.0
    for stratum in np.unique(cells.stratum):
        inside = cells.stratum == stratum
        own, of = linear[inside], float(cells.weight[inside].sum())
        alone += float(own.sum()) ** 2 / of + (len(own) * float(np.var(own, ddof=1)) if len(own) > 1 else 0.0)
    effect = max(1.0, between / alone) if alone > 0.0 else 1.0
    carrying = float(weights.sum() ** 2 / (weights**2).sum())
    return float(np.sqrt(effect)) * student_t(carrying - 1.0) / Z95


def student_t(freedom: float) -> float:
    """Give the 97.5 % quantile of Student's t, from 2 degrees of freedom on [1]_.

    References
    ----------
    .. [1] M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.5.

    Examples
    --------
    >>> [round(student_t(freedom), 2) for freedom in (5, 30)]
    [2.57, 2.04]
    """
    z, v = Z95, max(_LEAST_FREEDOM, freedom)
    return float(
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def _expit(z: _Numbers | float) -> _Numbers:
    """Give the probability; a wide spread takes log odds to where ``exp`` ends."""
    return expit(np.clip(z, -50.0, 50.0))
