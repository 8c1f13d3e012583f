"""Offset, temperature and threshold of a laboratory, from its own labelled cells; NumPy alone.

Where blasts and other cells are labelled, offset and temperature are the most probable ones: the logistic
likelihood of the cells, both classes weighing alike as in the card's world of halves, times a prior around
"nothing changes" whose width is how much laboratories were seen to differ [1]_. A few cells hardly move it.
The threshold is that of least error of the share where something is decided by it, moved from the card's by
as much of the way as cells allow.

Where only other cells are labelled nothing is known of blasts, and no offset or temperature is fitted: the
threshold rises until at most ``MOST_CALLED`` of such cells are called blasts, by a tolerance limit that holds
in three of four laboratories however their cells are distributed [2]_ [3]_. It never falls.

References
----------
.. [1] A. Gelman and others, "Bayesian Data Analysis", 3rd edition, 2013, chapter 5.
.. [2] S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
   Statistics 12 (1941) 91-96.
.. [3] V. Vovk, "Conditional validity of inductive conformal predictors", ACML 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classification.card import Decision
from edge.counting.tally import binomial_tails

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Cells below which nothing is fitted, and cells of a class below which it counts as not there.
LEAST_CELLS, LEAST_OF_CLASS = 50, 10
#: Samples below which no sample can be left out to see whether the fit holds for the next one.
LEAST_SAMPLES = 2
#: Share of other cells that may be called blasts where only such cells are there, and how often it may be
#: more: by the mean alone it would be more in half of the laboratories.
MOST_CALLED, MOST_OFTEN = 0.05, 0.25
#: Parts of the samples that are left out in turn.
FOLDS = 5
#: Shares of blasts over which the error of a share is averaged. What is decided by one is decided at 5, 20 or
#: 25 %: whether it is 70 or 80 % changes nothing, and over all shares alike the threshold falls so far that
#: few blasts are counted as many (docs/recalibration.md has both).
SHARES = np.linspace(0.0, 0.5, 11)
#: Sensitivity and specificity less 1 below which a model tells nothing: words by chance on 50 cells of each
#: class are above it once in 500 times.
LEAST_APART = 0.25
#: Times that samples are dealt into halves: the chance of the dealing is then a fifth of a standard error.
_DEALINGS = 20
#: Cells of a class below which a half says nothing of it.
_LEAST_IN_HALF = 5
#: Resamples of a gain: its standard error is then off by 5 %.
_RESAMPLES = 200
#: Log odds are kept within those of a probability of 1e-7.
_MOST_LOGIT = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Cells with a person's word and with the card's own probability.

    Attributes
    ----------
    p_blast : (n,) by the card's decision, before any recalibration
    is_blast : (n,) by people
    sample : (n,) which sample each is of
    weight : (n,) how many cells of the slides each stands for; ones where all were labelled
    """

    p_blast: Floats
    is_blast: Bools
    sample: NDArray[np.str_]
    weight: Floats

    @classmethod
    def of(
        cls,
        p_blast: Sequence[float] | Floats,
        is_blast: Sequence[bool] | Bools,
        sample: Sequence[str] | NDArray[np.str_],
        weight: Sequence[float] | Floats | None = None,
    ) -> Labelled:
        """Make it of sequences of one length."""
        p = np.asarray(p_blast, np.float64)
        ones = np.ones(len(p)) if weight is None else np.asarray(weight, np.float64)
        return cls(p, np.asarray(is_blast, np.bool_), np.asarray(sample, np.str_), ones)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Labelled:
        """Return some of the cells."""
        return Labelled(self.p_blast[keep], self.is_blast[keep], self.sample[keep], self.weight[keep])

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.p_blast)

    @property
    def has_both(self) -> bool:
        """Whether there are enough of both classes."""
        return bool(min(self.is_blast.sum(), (~self.is_blast).sum()) >= LEAST_OF_CLASS)


@dataclass(frozen=True, slots=True)
class Prior:
    """How much laboratories differ from what a card expects, around no difference.

    Attributes
    ----------
    sd_offset : of the offset, in log odds
    sd_log_temperature : of the logarithm of the temperature
    correlation : of the two
    cells_for_half : effective cells that move the threshold half of the way to where they put it
    """

    sd_offset: float
    sd_log_temperature: float
    correlation: float
    cells_for_half: float

    @property
    def precision(self) -> Floats:
        """Inverse of the covariance of (offset, log temperature), (2, 2)."""
        both = self.correlation * self.sd_offset * self.sd_log_temperature
        return np.asarray(np.linalg.inv([[self.sd_offset**2, both], [both, self.sd_log_temperature**2]]))


@dataclass(frozen=True, slots=True)
class Line:
    """Log odds become ``(z + offset) / temperature``."""

    offset: float = 0.0
    temperature: float = 1.0

    def __call__(self, z: Floats) -> Floats:
        """Give the log odds of this laboratory for those of the card."""
        return np.asarray((z + self.offset) / self.temperature)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A line, and where on it a cell becomes uncertain and a blast, in log odds.

    Attributes
    ----------
    line : of the log odds
    low, threshold, high : as in a card's decision, in log odds of the result
    """

    line: Line
    low: float
    threshold: float
    high: float

    def called_blast(self, p_blast: Floats) -> Bools:
        """Say which cells of the card's (n,) probabilities are called blasts: above the band."""
        return np.asarray(self.line(logit(p_blast)) >= self.high)


def logit(p: Floats) -> Floats:
    """Log odds of probabilities, kept finite.

    Examples
    --------
    >>> logit(np.array([0.0, 0.5])).tolist()
    [-16.0, 0.0]
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(p) - np.log1p(-p), -_MOST_LOGIT, _MOST_LOGIT))


def expit(z: Floats | float) -> Floats:
    """Probability of log odds.

    Examples
    --------
    >>> float(expit(0.0))
    0.5
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(z))))


def why_too_few(cells: Labelled) -> str | None:
    """Say why cells are too few to say anything; None where they are enough."""
    samples, others = len(np.unique(cells.sample)), int((~cells.is_blast).sum())
    if len(cells) < LEAST_CELLS:
        return f"{len(cells)} labelled cells, {LEAST_CELLS} needed; have more cells labelled"
    if samples < LEAST_SAMPLES:
        return (
            f"all cells are of one sample, {LEAST_SAMPLES} needed to see whether the fit holds for the next; "
            "have cells of another one labelled"
        )
    if others < LEAST_OF_CLASS:
        return (
            f"{others} labelled cells are no blasts, {LEAST_OF_CLASS} needed; blasts alone do not say where "
            "a threshold lies"
        )
    if cells.has_both and len(_halves(cells)) < _DEALINGS / 2:
        return (
            f"half of the samples mostly has fewer than {_LEAST_IN_HALF} cells of a class, so that a fit of "
            "the other half cannot be tried on it; have cells of more samples labelled"
        )
    return None


def factory(decision: Decision) -> Fitted:
    """Give a card's own decision as a fit that changes nothing."""
    low, middle, high = logit(
        np.array([decision.uncertain_low, decision.threshold, decision.uncertain_high])
    ).tolist()
    return Fitted(Line(), low, middle, high)


def fit(cells: Labelled, decision: Decision, prior: Prior) -> Fitted:
    """Fit a laboratory's line and threshold.

    Parameters
    ----------
    cells : its labelled cells
    decision : the card's own
    prior : how far laboratories are from it

    Returns
    -------
    the fit; the card's own decision where there are no cells to move it
    """
    own = factory(decision)
    if cells.has_both:
        weight = even_weights(cells)
        line = fit_line(logit(cells.p_blast), cells.is_blast, weight, prior.precision)
        best = best_threshold(line(logit(cells.p_blast)), cells, own.high - own.threshold)
        moved = weight.sum() / (weight.sum() + prior.cells_for_half)
        return _at(own, line, own.threshold + moved * (best - own.threshold))
    z = np.sort(logit(cells.p_blast[~cells.is_blast]))
    above = _most_above(len(z))
    if above is None:
        return own
    # Just above the highest cell that is not to be called.
    limit = np.nextafter(z[-1 - above], np.inf)
    return _at(own, Line(), max(own.threshold, limit - own.high + own.threshold))


def _most_above(n: int) -> int | None:
    """Say how many of n cells may lie above a threshold; None where that leaves too much to chance.

    More than ``MOST_CALLED`` of all cells lie above the threshold where no more than these do of the n.
    """
    above = int(MOST_CALLED * n)
    while above >= 0 and binomial_tails(above, n, MOST_CALLED)[1] > MOST_OFTEN:
        above -= 1
    return above if above >= 0 else None


def _at(own: Fitted, line: Line, threshold: float) -> Fitted:
    """Put the card's band around another threshold, as wide in log odds as it is there."""
    shift = threshold - own.threshold
    return Fitted(line, own.low + shift, threshold, own.high + shift)


def even_weights(cells: Labelled) -> Floats:
    """Weigh cells so that both classes have half, and all as much as they are worth together.

    Their sum is ``4 / (1 / n1 + 1 / n0)``, the cells of an even draw that says as much of the difference of
    two classes; uneven sampling weights count less (Kish [1]_).

    References
    ----------
    .. [1] L. Kish, "Survey Sampling", 1965, section 8.2.

    Examples
    --------
    >>> even_weights(Labelled.of([0.5] * 4, [True, False, False, False], "abcd")).tolist()
    [1.5, 0.5, 0.5, 0.5]
    """
    own = np.zeros(len(cells))
    worth = 0.0
    for members in (cells.is_blast, ~cells.is_blast):
        weight = cells.weight[members]
        own[members] = weight / weight.sum()
        worth += (weight**2).sum() / weight.sum() ** 2
    return np.asarray(own * (4.0 / worth) / 2.0)


def fit_line(z: Floats, is_blast: Bools, weight: Floats, precision: Floats) -> Line:
    """Find the most probable offset and temperature by Fisher scoring, each step halved until it helps.

    Parameters
    ----------
    z : (n,) log odds of the card
    is_blast, weight : (n,) of the same cells
    precision : (2, 2) of the prior of (offset, log temperature), whose mean is zero
    """
    at = np.zeros(2)

    def loss(at: Floats) -> float:
        fitted = (z + at[0]) / np.exp(at[1])
        return float(weight @ (np.logaddexp(0.0, fitted) - is_blast * fitted) + at @ precision @ at / 2.0)

    now = loss(at)
    for _ in range(100):
        p, slopes, information = told(z, weight, at)
        gradient = slopes.T @ (weight * (p - is_blast)) + precision @ at
        step = np.linalg.solve(information + precision, gradient)
        while np.abs(step).max() > 1e-6 and not loss(at - step) < now:
            step = step / 2.0
        if np.abs(step).max() <= 1e-6:
            break
        at = at - step
        now = loss(at)
    return Line(float(at[0]), float(np.exp(at[1])))


def told(z: Floats, weight: Floats, at: Floats) -> tuple[Floats, Floats, Floats]:
    """Say what cells tell of a line.

    Parameters
    ----------
    z, weight : (n,) as for :func:`fit_line`
    at : offset and log temperature

    Returns
    -------
    (n,) probabilities on the line, (n, 2) slopes of their log odds by offset and log temperature, and (2, 2)
    Fisher information
    """
    temperature = np.exp(at[1])
    fitted = (z + at[0]) / temperature
    p = expit(fitted)
    slopes = np.stack([np.full(len(z), 1.0 / temperature), -fitted], axis=1)
    return p, slopes, np.asarray((slopes.T * (weight * p * (1.0 - p))) @ slopes)


def best_threshold(z: Floats, cells: Labelled, half_band: float) -> float:
    """Find the threshold of least error of the share, in the middle between two cells.

    Parameters
    ----------
    z : (n,) log odds of the fitted line
    cells : the same, of both classes
    half_band : from the threshold to where a cell is called a blast
    """
    order = np.argsort(z, kind="stable")
    weight = even_weights(cells)[order]
    blast = cells.is_blast[order]
    half = weight.sum() / 2.0
    # With the cut below cell i all from i on are called.
    missed = np.concatenate([[0.0], np.cumsum(weight * blast)]) / half
    false = 1.0 - np.concatenate([[0.0], np.cumsum(weight * ~blast)]) / half
    errors = share_error(1.0 - missed, false)
    padded = np.concatenate([[z[order[0]]], z[order], [z[order[-1]]]])
    cuts = (padded[:-1] + padded[1:]) / 2.0
    return float(cuts[int(np.argmin(errors))]) - half_band


def share_error(sensitivity: Floats | float, called: Floats | float, shares: Floats | None = None) -> Floats:
    """Mean error of the share of blasts over shares.

    Of a sample with a share s, ``s sensitivity + (1 - s) called`` are called blasts.

    Parameters
    ----------
    sensitivity : share of blasts called so
    called : share of other cells called blasts
    shares : over which it is averaged; None takes ``SHARES``

    Examples
    --------
    >>> float(share_error(1.0, 0.0)), round(float(share_error(0.9, 0.0)), 3)
    (0.0, 0.025)
    """
    shares = SHARES if shares is None else shares
    missed, called = np.asarray(1.0 - np.asarray(sensitivity)), np.asarray(called)
    off = np.multiply.outer(called, 1.0 - shares) - np.multiply.outer(missed, shares)
    return np.asarray(np.abs(off).mean(axis=-1))


@dataclass(frozen=True, slots=True)
class Unseen:
    """What cells say of fits that had not seen their samples.

    Attributes
    ----------
    own, error : of the share by the card's own decision and by such fits; of one class alone, the share of
        its cells that were mistaken
    chance : one standard error of their difference
    """

    own: float
    error: float
    chance: float

    @property
    def is_gain(self) -> bool:
        """Whether the error is less by more than may be chance."""
        return self.own - self.error > self.chance


def unseen(cells: Labelled, decision: Decision, prior: Prior) -> Unseen:
    """Estimate what a fit gains on samples that it has not seen.

    Where both classes are there, samples are dealt into two halves again and again; a fit of one half is
    tried on the other, beside the card's own decision on the same cells, and the errors are averaged. They
    must not be taken of all cells together, each called by a fit without its sample: a fit balances misses
    and false calls on nearly the same cells, so that they cancel there as they do nowhere else, and a fit
    that loses looks like a gain. Halves overlap from one dealing to the next; the standard error is Nadeau
    and Bengio's, which counts that [1]_. Shares of one class cannot cancel: there all cells are taken
    together.

    Parameters
    ----------
    cells : labelled, and not too few (:func:`why_too_few`)
    decision, prior : as for :func:`fit`

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003) 239-281.
    """
    own = factory(decision).called_blast(cells.p_blast)
    if not cells.has_both:
        return _unseen_of_one_class(cells, own, nested(cells, decision, prior))
    errors = []
    for out in _halves(cells):
        tried = cells.take(out)
        called = fit(cells.take(~out), decision, prior).called_blast(tried.p_blast)
        errors.append([float(share_error(*_rates(tried, one))) for one in (own[out], called)])
    before, after = np.array(errors).T
    # As many cells are tried as fitted: 1 / J + n2 / n1.
    chance = np.sqrt((1.0 / len(errors) + 1.0) * np.var(before - after, ddof=1))
    return Unseen(float(before.mean()), float(after.mean()), float(chance))


def _halves(cells: Labelled) -> list[Bools]:
    """Deal samples into halves, and give those dealings whose second half has enough of both classes."""
    rng = np.random.default_rng(0)
    names = np.unique(cells.sample)
    dealt = [np.isin(cells.sample, rng.permutation(names)[: (len(names) + 1) // 2]) for _ in range(_DEALINGS)]
    return [
        out
        for out in dealt
        if min((out & cells.is_blast).sum(), (out & ~cells.is_blast).sum()) >= _LEAST_IN_HALF
    ]


def _unseen_of_one_class(cells: Labelled, own: Bools, called: Bools) -> Unseen:
    """Of cells that are no blasts: how many are called so, and the spread over whole samples drawn again."""
    _, of = np.unique(cells.sample, return_inverse=True)
    samples = int(of.max()) + 1
    others = ~cells.is_blast
    there = np.bincount(of, cells.weight * others)
    hits = [np.bincount(of, cells.weight * (others & one)) for one in (own, called)]
    times = np.random.default_rng(0).multinomial(samples, np.full(samples, 1.0 / samples), _RESAMPLES)
    drawn = times @ there
    gained = np.divide(times @ (hits[0] - hits[1]), drawn, out=np.zeros(_RESAMPLES), where=drawn > 0.0)
    before, after = (float(hit.sum() / there.sum()) for hit in hits)
    return Unseen(before, after, float(np.std(gained)))


def _rates(cells: Labelled, called: Bools) -> tuple[float, float]:
    """Give the shares of blasts and of other cells that are called blasts."""
    blasts, others = (
        float(np.average(called[members], weights=cells.weight[members]))
        for members in (cells.is_blast, ~cells.is_blast)
    )
    return blasts, others


def why_not_better(cells: Labelled, found: Unseen, called: Bools) -> str | None:
    """Say why cells that a fit had not seen do not speak for it; None where they do.

    They do where the error is less by more than one standard error of the difference: of two that are alike
    the simpler one is kept [1]_.

    Parameters
    ----------
    cells : labelled
    found : of :func:`unseen`
    called : (n,) called blasts, as :func:`nested` calls them

    References
    ----------
    .. [1] L. Breiman and others, "Classification and Regression Trees", 1984, section 3.4.3.
    """
    unseen = f"on cells of samples that a fit had not seen the error is {found.error:.3f}"
    if not found.is_gain:
        return (
            f"{unseen}, by the model's own threshold {found.own:.3f}, and {found.chance:.3f} may be chance; "
            "label more cells, or leave it as it is"
        )
    if not cells.has_both:
        return None
    sensitivity, false = _rates(cells, called)
    if (apart := sensitivity - false) < LEAST_APART:
        return (
            f"{unseen}, but of blasts only {apart:.2f} more than of other cells are called so, "
            f"{LEAST_APART:g} needed: the model tells nothing of these slides; do not count with it, and "
            "look whether the labels are right"
        )
    return None


def nested(cells: Labelled, decision: Decision, prior: Prior, seed: int = 0) -> Bools:
    """Call each cell by a fit that saw no cell of its sample.

    Parameters
    ----------
    cells : labelled, of ``LEAST_SAMPLES`` or more
    decision, prior : as for :func:`fit`
    seed : of the dealing of samples to parts

    Returns
    -------
    (n,) called blasts
    """
    names = np.unique(cells.sample)
    dealt = np.random.default_rng(seed).permutation(names).tolist()
    part_of = {name: number % FOLDS for number, name in enumerate(dealt)}
    part = np.array([part_of[name] for name in cells.sample.tolist()])
    called = np.zeros(len(cells), np.bool_)
    for number in np.unique(part):
        out = part == number
        called[out] = fit(cells.take(~out), decision, prior).called_blast(cells.p_blast[out])
    return called
