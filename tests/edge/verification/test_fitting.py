"""A fit moves as far as cells allow, holds for samples that it has not seen, and says where it does not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from edge.classification.card import Decision
from edge.verification import fitting
from edge.verification.fitting import Labelled, Line, Unseen, expit, logit
from edge.verification.prior import PRIOR

CARD = Decision(0.576, 0.443, 0.699, 1.0)


def site(
    n: int, offset: float = 0.0, temperature: float = 1.0, *, blasts: float = 0.5, seed: int = 0
) -> Labelled:
    """Cells whose log odds are right after an offset and a temperature, in samples of ten."""
    rng = np.random.default_rng(seed)
    is_blast = np.arange(n) < round(blasts * n)
    # Two normal distributions whose log odds are the number itself: (m1 - m0) / s² = 1.
    right = rng.normal(np.where(is_blast, 2.0, -2.0), 2.0)
    order = rng.permutation(n)
    p = expit(right * temperature - offset)
    return Labelled.of(p[order], is_blast[order], [f"S-{i // 10}" for i in range(n)])


def error(cells: Labelled, called: fitting.Bools) -> float:
    return float(fitting.share_error(called[cells.is_blast].mean(), called[~cells.is_blast].mean()))


def not_better(cells: Labelled, card: Decision = CARD) -> str | None:
    """What the nested estimate says against a fit."""
    calls = fitting.nested(cells, card, PRIOR)
    return fitting.why_not_better(cells, fitting.unseen(cells, card, PRIOR), calls)


def test_without_cells_the_card_holds() -> None:
    cells = site(0)
    assert fitting.fit(cells, CARD, PRIOR) == fitting.factory(CARD)
    p = np.array([0.1, 0.5, 0.69, 0.7, 0.9])
    assert fitting.factory(CARD).called_blast(p).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(("offset", "temperature"), [(2.0, 1.0), (-1.5, 0.6), (0.0, 1.5)])
def test_many_cells_find_the_line_and_few_stay_near_the_card(offset: float, temperature: float) -> None:
    many = fitting.fit(site(4000, offset, temperature), CARD, PRIOR).line
    assert many.offset == pytest.approx(offset, abs=0.3)
    assert np.log(many.temperature) == pytest.approx(np.log(temperature), abs=0.15)
    few = fitting.fit(site(24, offset, temperature), CARD, PRIOR).line
    free = fitting.fit_line(
        logit(site(24, offset, temperature).p_blast),
        site(24, offset, temperature).is_blast,
        np.ones(24),
        np.eye(2) * 1e-6,
    )
    squares = [np.array([line.offset, np.log(line.temperature)]) for line in (few, free)]
    distance = [float(at @ PRIOR.precision @ at) for at in squares]
    assert distance[0] < distance[1]


def test_the_line_agrees_with_a_general_optimiser() -> None:
    from scipy.optimize import minimize

    cells = site(200, 1.5, 1.4)
    z, weight = logit(cells.p_blast), fitting.even_weights(cells)

    def loss(at: np.ndarray) -> float:
        fitted = (z + at[0]) / np.exp(at[1])
        likelihood = weight @ (np.logaddexp(0, fitted) - cells.is_blast * fitted)
        return float(likelihood + at @ PRIOR.precision @ at / 2)

    found = fitting.fit_line(z, cells.is_blast, weight, PRIOR.precision)
    wanted = minimize(loss, (0.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
    assert [found.offset, np.log(found.temperature)] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_a_shifted_site_errs_less_after_a_fit_of_200_cells() -> None:
    tried = site(6000, 2.0, seed=1)
    before = error(tried, fitting.factory(CARD).called_blast(tried.p_blast))
    after = error(tried, fitting.fit(site(200, 2.0), CARD, PRIOR).called_blast(tried.p_blast))
    assert after < 0.5 * before


def test_of_other_cells_alone_the_threshold_rises_until_few_are_called_and_never_falls() -> None:
    own = fitting.factory(CARD)
    called = []
    for seed in range(40):
        fitted = fitting.fit(site(200, -3.0, blasts=0.0, seed=seed), CARD, PRIOR)
        assert fitted.line == Line()
        assert fitted.threshold > own.threshold
        assert fitted.high - fitted.threshold == pytest.approx(own.high - own.threshold)
        tried = site(4000, -3.0, blasts=0.0, seed=100 + seed)
        called.append(fitted.called_blast(tried.p_blast).mean())
        assert own.called_blast(tried.p_blast).mean() > 0.3
    assert sum(one > fitting.MOST_CALLED for one in called) <= 14  # of 40, a quarter wanted: p < 0.1
    assert float(np.mean(called)) > 0.025  # not by calling nothing at all
    assert fitting.fit(site(200, 3.0, blasts=0.0), CARD, PRIOR) == own


def test_a_sample_is_never_called_by_a_fit_that_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = site(100, 2.0)
    seen = []
    fit = fitting.fit

    def watched(some: Labelled, *given: object) -> fitting.Fitted:
        seen.append(set(some.sample.tolist()))
        return fit(some, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "fit", watched)
    fitting.nested(cells, CARD, PRIOR)
    assert len(seen) == fitting.FOLDS
    everything = set(cells.sample.tolist())
    left_out = [everything - one for one in seen]
    assert Counter(name for names in left_out for name in names) == dict.fromkeys(everything, 1)


def test_where_nothing_can_be_gained_the_nested_estimate_says_so() -> None:
    """Its negative control: a card that calls where the share's error is least, and words by chance."""
    best = Decision(0.56, 0.46, 0.655, 1.0)
    refused = 0
    for seed in range(20):
        cells = site(100, seed=seed)
        refused += not_better(cells, best) is not None
        by_chance = np.random.default_rng(seed).permutation(cells.is_blast)
        assert not_better(Labelled.of(cells.p_blast, by_chance, cells.sample)) is not None
    assert refused >= 18
    gained = [not_better(site(100, 2.5, seed=seed), best) is None for seed in range(20)]
    assert sum(gained) >= 18


def test_the_estimate_of_unseen_samples_promises_no_more_than_there_is() -> None:
    """All cells together, each called by a fit without its sample, promise a gain where a fit loses."""
    best = Decision(0.56, 0.46, 0.655, 1.0)
    tried = site(20_000, seed=1000)
    own = error(tried, fitting.factory(best).called_blast(tried.p_blast))
    promised, pooled, true = [], [], []
    for seed in range(40):
        cells = site(100, seed=seed)
        found = fitting.unseen(cells, best, PRIOR)
        promised.append(found.own - found.error)
        before = fitting.factory(best).called_blast(cells.p_blast)
        pooled.append(error(cells, before) - error(cells, fitting.nested(cells, best, PRIOR)))
        true.append(own - error(tried, fitting.fit(cells, best, PRIOR).called_blast(tried.p_blast)))
    assert np.mean(true) < 0.0
    assert np.mean(promised) < 0.0
    assert np.mean(pooled) > np.mean(true) + 0.004


def test_a_gain_that_may_be_chance_is_none() -> None:
    cells = site(200)
    right = cells.is_blast
    assert "may be chance" in str(fitting.why_not_better(cells, Unseen(0.09, 0.05, 0.05), right))
    assert fitting.why_not_better(cells, Unseen(0.09, 0.05, 0.03), right) is None


def test_halves_that_lack_a_class_are_too_few() -> None:
    """Twelve blasts of one sample are in one half at a time."""
    cells = site(120, blasts=0.0)
    is_blast = np.arange(120) < 12
    sample = np.where(is_blast, "S-0", cells.sample)
    few = Labelled.of(cells.p_blast, is_blast, sample)
    assert few.has_both
    assert "half of the samples" in str(fitting.why_too_few(few))
    assert fitting.why_too_few(site(120, blasts=0.2)) is None


def test_of_mature_cells_the_limit_holds_in_three_of_four_laboratories() -> None:
    assert [fitting._most_above(n) for n in (27, 28, 50, 100, 200)] == [None, 0, 0, 2, 7]
    for n in (28, 100, 200, 5000):
        above = fitting._most_above(n)
        assert above is not None
        assert stats.binom.cdf(above, n, fitting.MOST_CALLED) <= fitting.MOST_OFTEN
        assert stats.binom.cdf(above + 1, n, fitting.MOST_CALLED) > fitting.MOST_OFTEN


def test_sampling_weights_count_as_cells_do() -> None:
    one = site(60, 1.0)
    twice = Labelled.of(one.p_blast, one.is_blast, one.sample, np.full(60, 7.0))
    assert fitting.fit(one, CARD, PRIOR) == fitting.fit(twice, CARD, PRIOR)
    # Weights of very different size are worth fewer cells.
    uneven = Labelled.of(one.p_blast, one.is_blast, one.sample, np.where(np.arange(60) % 6, 0.01, 1.0))
    assert fitting.even_weights(uneven).sum() < 0.4 * fitting.even_weights(one).sum()


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (site(49), "49 labelled cells, 50 needed"),
        (Labelled.of([0.5] * 60, [True] * 30 + [False] * 30, ["S-1"] * 60), "one sample, 2 needed"),
        (site(60, blasts=0.9), "6 labelled cells are no blasts, 10 needed"),
        (site(60), None),
        (site(60, blasts=0.0), None),
    ],
)
def test_too_few_cells_are_named(cells: Labelled, why: str | None) -> None:
    said = fitting.why_too_few(cells)
    assert said is None if why is None else why in str(said)
