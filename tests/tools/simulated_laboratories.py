"""Laboratories whose truth is known: does a verification's interval hold it, does the correction help?

``python -m tests.tools.simulated_laboratories --laboratories 2000`` draws laboratories at random: sensitivity
0.60 to 0.98 and specificity 0.85 to 0.995, each with samples that differ about them (standard deviation of
the log odds 0 to 0.6), 20 to 50 samples of 100 to 500 cells, half of them with few blasts and half with any
share, and 200 to 1,000 cells to be read. Of each it draws cells, reads them and sums up by the code that is
shipped. The truth is that of all samples that such a laboratory could have, not of those it draws from.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from edge.calibration.site import Agreed, Rate, SiteBinding, SiteCard, SiteCode
from edge.results.corrected import KnownErrors, corrected_share
from edge.verification.agreement import bland_altman, passing_bablok
from edge.verification.drawing import draw, stratum_of
from edge.verification.estimate import ReadCells, rate

#: The share at which it is asked whether the correction helps: the line that readers know.
LINE = 0.2
#: Cells of a sample at that line.
COUNTED = 200
#: What laboratories are drawn from.
SENSITIVITY, SPECIFICITY = (0.6, 0.98), (0.85, 0.995)
#: Samples of one laboratory at that line.
_AT_LINE = 20


@dataclass(frozen=True)
class Laboratory:
    """Its truth, and cells of its samples."""

    sensitivity: float
    specificity: float
    wanted: int
    sample: NDArray[np.int64]
    blast: NDArray[np.bool_]
    called: NDArray[np.bool_]
    p_blast: NDArray[np.float64]

    @property
    def labels(self) -> list[str]:
        """The program's words."""
        doubtful = np.where(self.p_blast > 0.4, "uncertain", "normal")
        return [str(word) for word in np.where(self.called, "blast", doubtful)]


def laboratory(rng: np.random.Generator, wanted: int | None = None) -> Laboratory:
    """Draw one."""
    mean = rng.uniform(*SENSITIVITY), rng.uniform(*SPECIFICITY)
    spread = rng.uniform(0.0, 0.6)

    def differing(share: float, number: int) -> NDArray[np.float64]:
        logits = np.log(share / (1.0 - share)) + spread * rng.standard_normal(number)
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))

    samples = int(rng.integers(20, 51))
    few, many = rng.beta(1.0, 40.0, samples), rng.beta(1.2, 2.0, samples)
    share = np.where(rng.random(samples) < 0.5, few, many)
    sample = np.repeat(np.arange(samples), rng.integers(100, 501, samples))
    blast = rng.random(len(sample)) < share[sample]
    found, passed = differing(mean[0], samples), differing(mean[1], samples)
    chance = np.where(blast, found[sample], 1.0 - passed[sample])
    called = rng.random(len(sample)) < chance
    sure = rng.random(len(sample)) < np.where(called == blast, 0.85, 0.4)
    p = np.where(sure, rng.uniform(0.9, 1.0, len(sample)), rng.uniform(0.5, 0.9, len(sample)))
    return Laboratory(
        float(differing(mean[0], 20_000).mean()),
        float(differing(mean[1], 20_000).mean()),
        int(rng.integers(200, 1001)) if wanted is None else wanted,
        sample,
        blast,
        called,
        np.where(called, p, 1.0 - p),
    )


def verified(rng: np.random.Generator, lab: Laboratory, *, weighted: bool = True) -> tuple[Rate, Rate]:
    """Draw cells, read them without error, and give sensitivity and specificity.

    Without weights, which is wrong, each read cell stands for itself.
    """
    strata = [stratum_of(label, p) for label, p in zip(lab.labels, lab.p_blast.tolist(), strict=True)]
    doubt = np.where(lab.called, 1.0 - lab.p_blast, lab.p_blast)
    drawn = draw(strata, doubt.tolist(), lab.wanted, int(rng.integers(2**31)))
    index = np.array([number for number, _ in drawn])
    weight = np.array([own if weighted else 1.0 for _, own in drawn])
    _, stratum = np.unique(np.array(strata)[index], return_inverse=True)
    called, blast = lab.called[index], lab.blast[index]
    cells = ReadCells(lab.sample[index], stratum, weight, called)
    found = rate(cells, blast.astype(np.float64), called), rate(cells, (~blast).astype(np.float64), ~called)
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def as_errors(blasts: Rate, others: Rate) -> KnownErrors:
    """Give what the correction takes."""
    card = SiteCard(
        schema="blastcount.site/1",
        verification=1,
        measured_at=datetime.now(UTC),
        cells=blasts.n + others.n,
        samples=1,
        readers=[],
        binding=SiteBinding("", ""),
        code=SiteCode("", "", "", "", ""),
        sensitivity=blasts,
        specificity=others,
        listed=blasts,
        types={},
        program=Agreed(None, None, None, 0, 0),
        between=None,
        details={},
    )
    return KnownErrors.of_site(card)


def at_the_line(rng: np.random.Generator, lab: Laboratory, errors: KnownErrors) -> dict[str, float]:
    """Count samples at the line: how far corrected and counted share are from it.

    ``right_way`` is whether Rogan and Gladen's share lies to that side of the count on which the truth is:
    where it does not, no rule that goes a part of the way is nearer to the truth than the count.
    ``right_way_knowing`` is the same of the likelier side for whoever knows how these laboratories were
    drawn, which no prior that is learned from laboratories can better, and ``mean_knowing`` whether the mean
    of what is then believed of the share is nearer than the count.
    """
    called = LINE * lab.sensitivity + (1.0 - LINE) * (1.0 - lab.specificity)
    # By itself, without the chance of a count: what a large sample would show.
    large = corrected_share(round(1_000_000 * called), 1_000_000, errors)
    counts = rng.binomial(COUNTED, called, _AT_LINE)
    found = [corrected_share(int(count), COUNTED, errors) for count in counts]
    assert large is not None
    whole = (called + errors.specificity - 1.0) / (errors.sensitivity + errors.specificity - 1.0)
    chance, share = _believed(errors, called)
    shares = np.array([one.share for one in found if one is not None])
    covered = np.mean([one.low <= LINE <= one.high for one in found if one is not None])
    return {
        "corrected": abs(large.share - LINE),
        "counted": abs(called - LINE),
        "right_way": float((whole > called) == (called < LINE)),
        "right_way_knowing": float((chance > 0.5) == (called < LINE)),
        "mean_knowing": float(abs(share - LINE) < abs(called - LINE)),
        "corrected_200": float(np.sqrt(np.mean((shares - LINE) ** 2))),
        "counted_200": float(np.sqrt(np.mean((counts / COUNTED - LINE) ** 2))),
        "covered": float(covered),
    }


def _believed(errors: KnownErrors, called: float) -> tuple[float, float]:
    """Weigh what a laboratory can be by how these are drawn and by the cells that were read.

    Parameters
    ----------
    errors : by the cells that were read
    called : share of a large sample that was called blasts

    Returns
    -------
    probability that its true share is above the one called, and its mean
    """
    sensitivity, specificity = np.meshgrid(
        np.linspace(*SENSITIVITY, 100), np.linspace(*SPECIFICITY, 100), indexing="ij"
    )
    youden = sensitivity + specificity - 1.0
    share = (called - 1.0 + specificity) / youden
    likely = (
        errors.blasts_called * np.log(sensitivity)
        + (errors.blasts - errors.blasts_called) * np.log1p(-sensitivity)
        + errors.others_called * np.log1p(-specificity)
        + (errors.others - errors.others_called) * np.log(specificity)
    )
    # Any share is as likely as another; what is called is then denser where the program tells less.
    weight = np.exp(likely - likely.max()) * ((share >= 0.0) & (share <= 1.0)) / youden
    weight /= weight.sum()
    return float((weight * (share > called)).sum()), float((weight * share).sum())


def simulate(laboratories: int, seed: int, wanted: int | None = None) -> dict[str, float]:
    """Draw laboratories and sum up how often intervals hold the truth and how often the correction helps."""
    rng = np.random.default_rng(seed)
    held, widths, lines = [], [], []
    for _ in range(laboratories):
        lab = laboratory(rng, wanted)
        rates = verified(rng, lab)
        truth = lab.sensitivity, lab.specificity
        held.append([own.low <= true <= own.high for own, true in zip(rates, truth, strict=True)])
        widths.append([own.high - own.low for own in rates])
        lines.append(at_the_line(rng, lab, as_errors(*rates)))
    of = {key: np.array([line[key] for line in lines]) for key in lines[0]}
    far = of["counted"] >= 0.02
    return {
        "laboratories": laboratories,
        "sensitivity_coverage": float(np.mean([one[0] for one in held])),
        "specificity_coverage": float(np.mean([one[1] for one in held])),
        "corrected_coverage": float(of["covered"].mean()),
        "sensitivity_width": float(np.median([one[0] for one in widths])),
        "specificity_width": float(np.median([one[1] for one in widths])),
        "smaller": float(np.mean(of["corrected"] < of["counted"])),
        **{key: float(of[key].mean()) for key in ("right_way", "right_way_knowing", "mean_knowing")},
        "smaller_where_2_points_off": float(np.mean((of["corrected"] < of["counted"])[far])),
        "share_2_points_off": float(far.mean()),
        "larger_by_a_point": float(np.mean(of["corrected"] > of["counted"] + 0.01)),
        "smaller_with_200_cells_counted": float(np.mean(of["corrected_200"] < of["counted_200"])),
        "median_error_corrected": float(np.median(of["corrected"])),
        "median_error_counted": float(np.median(of["counted"])),
        "p95_error_corrected": float(np.quantile(of["corrected"], 0.95)),
        "p95_error_counted": float(np.quantile(of["counted"], 0.95)),
    }


def shares(rng: np.random.Generator, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples' shares by program and by readers, half of the samples with few blasts."""
    few, many = rng.beta(1.0, 40.0, samples), rng.beta(1.2, 2.0, samples)
    cells = rng.integers(100, 501, samples)
    blasts = rng.binomial(cells, np.where(rng.random(samples) < 0.5, few, many))
    called = rng.binomial(blasts, 0.8) + rng.binomial(cells - blasts, 0.05)
    return called / cells, blasts / cells


def agreement(sets: int, samples: int, seed: int) -> dict[str, float]:
    """Say how often intervals of agreement hold the truth: of shares, and of a line with normal errors."""
    rng = np.random.default_rng(seed)
    program, readers = shares(rng, 400_000)
    differences = readers - program
    bias, spread = differences.mean(), 1.96 * differences.std()
    limits, lines = [], []
    for _ in range(sets):
        found = bland_altman(*shares(rng, samples))
        assert found is not None
        ranges = (found["bias_ci95"], *found["limits_ci95"])
        truth = (bias, bias - spread, bias + spread)
        limits.append([low <= true <= high for (low, high), true in zip(ranges, truth, strict=True)])
    for _ in range(sets // 5):
        x = rng.uniform(0.0, 1.0, samples)
        errors = 0.04 * rng.standard_normal((2, samples))
        line = passing_bablok(x + errors[0], 0.05 + 0.9 * (x + errors[1]))
        assert line is not None
        ranges = (line["slope_ci95"], line["intercept_ci95"])
        lines.append([low <= true <= high for (low, high), true in zip(ranges, (0.9, 0.05), strict=True)])
    names = ("bias", "lower_limit", "upper_limit", "slope", "intercept")
    held = [*np.mean(limits, axis=0), *np.mean(lines, axis=0)]
    return {"samples": samples, "sets": sets} | dict(zip(names, map(float, held), strict=True))


def main() -> None:
    """Simulate with cells to be read drawn at random, and for 200, 400 and 1,000 of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laboratories", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", type=int, help="only with so many cells to be read")
    parser.add_argument("--agreement", action="store_true", help="intervals of samples' agreement instead")
    given = parser.parse_args()
    for samples in (20, 30, 50) if given.agreement else ():
        print(json.dumps(agreement(1000, samples, given.seed)), flush=True)  # noqa: T201  # its result
    if given.agreement:
        return
    for wanted in (given.cells,) if given.cells else (None, 200, 400, 1000):
        began = time.monotonic()
        found = simulate(given.laboratories, given.seed, wanted)
        print(json.dumps({"cells": wanted or "200 to 1000"} | found))  # noqa: T201  # its result
        print(f"{time.monotonic() - began:.0f} s", flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
