"""Laboratories whose truth is known: when does a recalibration help, and when is it better refused?

``python -m tests.tools.simulated_recalibrations`` draws laboratories whose log odds are two normal
distributions (AUC .90 to .97), with samples of ten cells that differ (standard deviation 1 of the log odds),
half of the samples of one class alone. In *as the card* the card is right; in *a little off* offset and log
temperature differ with standard deviations of 0.5 and 0.2; in *as laboratories differ* they are drawn from
the prior. Of k labelled cells each fits; what is then used is tried on 20,000 cells of other samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np

from edge.classification.card import Decision
from edge.verification import fitting
from edge.verification.fitting import Bools, Labelled, expit, share_error
from edge.verification.prior import PRIOR

#: A card whose threshold is near that of least error where its log odds are right.
CARD = Decision(0.576, 0.443, 0.699, 1.0)
#: Cells of a sample, and of how many other samples a fit is tried on.
OF_SAMPLE, TRIED = 10, 2_000
#: Spread of the samples of one laboratory, in log odds.
OF_SAMPLES = 1.0
_RESAMPLES = 200


def as_the_card(_: np.random.Generator) -> tuple[float, float]:
    """Offset and log temperature of a laboratory where nothing is to be gained."""
    return 0.0, 0.0


def a_little_off(rng: np.random.Generator) -> tuple[float, float]:
    """Those of one where little is."""
    return float(rng.normal(0.0, 0.5)), float(rng.normal(0.0, 0.2))


def as_laboratories_differ(rng: np.random.Generator) -> tuple[float, float]:
    """Those of one drawn from the prior."""
    offset, log_temperature = rng.multivariate_normal((0.0, 0.0), np.linalg.inv(PRIOR.precision))
    return float(offset), float(log_temperature)


KINDS: tuple[Callable[[np.random.Generator], tuple[float, float]], ...] = (
    as_the_card,
    a_little_off,
    as_laboratories_differ,
)


def site(
    rng: np.random.Generator, samples: int, offset: float, log_temperature: float, width: float
) -> Labelled:
    """Draw the cells of some samples of a laboratory.

    Parameters
    ----------
    rng : of the draw
    samples : of ten cells
    offset, log_temperature : that make its log odds right
    width : of either class's distribution of right log odds, whose means are then ± width² / 2
    """
    of = np.repeat(np.arange(samples), OF_SAMPLE)
    one_class = rng.integers(0, 2, samples).astype(float)
    share = np.where(rng.random(samples) < 0.5, rng.random(samples), one_class)
    blast = rng.random(len(of)) < share[of]
    within = np.sqrt(width**2 - OF_SAMPLES**2)
    slide = OF_SAMPLES * rng.standard_normal(samples)
    right = rng.normal(np.where(blast, 1.0, -1.0) * width**2 / 2.0, within) + slide[of]
    return Labelled.of(expit(right * np.exp(log_temperature) - offset), blast, [str(one) for one in of])


def error(cells: Labelled, called: Bools) -> float:
    """Error of the share, of calls of cells."""
    return float(share_error(called[cells.is_blast].mean(), called[~cells.is_blast].mean()))


def pooled(cells: Labelled) -> tuple[float, float]:
    """Gain and its standard error of all cells together, each called by a fit without its sample."""
    own = fitting.factory(CARD).called_blast(cells.p_blast)
    after = fitting.nested(cells, CARD, PRIOR)
    names, of = np.unique(cells.sample, return_inverse=True)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([np.flatnonzero(of == one) for one in rng.integers(0, len(names), len(names))])
        again = cells.take(drawn)
        if min(again.is_blast.sum(), (~again.is_blast).sum()):
            gains.append(error(again, own[drawn]) - error(again, after[drawn]))
    return error(cells, own) - error(cells, after), float(np.std(gains))


def simulate(
    kind: Callable[[np.random.Generator], tuple[float, float]], k: int, number: int
) -> dict[str, object]:
    """Draw laboratories and sum up what each rule leaves in use."""
    rows = []
    for seed in range(number):
        rng = np.random.default_rng((seed, k))
        of = (*kind(rng), float(rng.uniform(1.8, 2.6)))
        cells, tried = site(rng, k // OF_SAMPLE, *of), site(rng, TRIED, *of)
        if not cells.has_both or fitting.why_too_few(cells) is not None:
            continue
        factory = error(tried, fitting.factory(CARD).called_blast(tried.p_blast))
        fitted = error(tried, fitting.fit(cells, CARD, PRIOR).called_blast(tried.p_blast))
        found, (gain, chance) = fitting.unseen(cells, CARD, PRIOR), pooled(cells)
        halves = found.own - found.error
        rows.append((factory, fitted, halves, float(halves > found.chance), gain, float(gain > chance)))
    factory, fitted, halves, by_halves, gain, by_pooled = np.array(rows).T
    about: dict[str, object] = {
        "laboratories": kind.__name__,
        "k": k,
        "n": len(rows),
        "own": round(float(factory.mean()), 4),
        "gain": round(float((factory - fitted).mean()), 4),
        "promised": {"halves": round(float(halves.mean()), 4), "pooled": round(float(gain.mean()), 4)},
    }
    rules = {"always": np.ones(len(rows)), "halves": by_halves, "pooled": by_pooled}
    for name, accepted in rules.items():
        used = np.where(accepted > 0, fitted, factory)
        about[name] = {
            "accepted": round(float(accepted.mean()), 3),
            "error": round(float(used.mean()), 4),
            "worse_by_a_point": round(float((used > factory + 0.01).mean()), 3),
        }
    return about


def main() -> None:
    """Print a line of JSON for each kind of laboratory and k."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laboratories", type=int, default=120)
    given = parser.parse_args()
    for k in (100, 200):
        for kind in KINDS:
            print(json.dumps(simulate(kind, k, given.laboratories)), flush=True)  # noqa: T201  # its result


if __name__ == "__main__":
    main()
