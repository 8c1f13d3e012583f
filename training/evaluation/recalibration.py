"""What a laboratory gains by giving back labelled cells: each is left out, and k of its cells come back.

The probabilities are those of the protocol's tests by camera and by laboratory, each by a network that was
trained without the site, at the decision that was chosen without it. Of a site whole groups (a patient, a
field with those that overlap it) are drawn at random, at most ``MOST_OF_GROUP`` cells of each, until there
are k cells; the fit of these is tried on all cells of the other groups, beside the factory's decision on the
same cells. The prior is learned from the other laboratories alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edge.classification.card import Decision
from edge.device.durable import write_whole
from edge.device.machine import describe_machine, describe_software
from edge.errors import DataSetError
from edge.results.corrected import KnownErrors, corrected_share
from edge.verification import fitting
from edge.verification.fitting import SHARES, Bools, Floats, Labelled, Prior, logit
from training.data.allidb import LAB as ALL_IDB
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol.figures import MYELOID, is_mature, is_mature_or_erythroblast
from training.protocol.judged import JudgedCells, judge
from training.protocol.plan import plan
from training.protocol.recipe import Design
from training.protocol.run import run

Json = dict[str, Any]
SCHEMA = "blastcount.out_of_fold/1"
#: Cells given back.
GIVEN = (0, 20, 50, 100, 200, 500)
#: A technologist labels some cells of many slides, not all of one.
MOST_OF_GROUP = 10
#: Cells of each class that must be left to try a fit on.
LEAST_TRIED = 15
#: The share at which a reader's line lies, and all shares alike.
LINE, ALL_SHARES = 0.2, np.linspace(0.0, 1.0, 11)
#: What is believed before any laboratory was seen, worth as much as one: a factor of e in the odds, and of
#: e^0.5 in how sure the network is.
_BEFORE = np.diag([1.0, 0.25])
_RESAMPLES = 50
#: Cells of a sample that is so large that its count has no chance in it.
_LARGE = 1_000_000


class Site(Struct, frozen=True, forbid_unknown_fields=True):
    """A camera or laboratory, judged by a network that was trained without it.

    Attributes
    ----------
    name : of the test, as ``lab:bccd``
    lab : that it is of, or is
    threshold, uncertain_low, uncertain_high : the decision, chosen without it
    p_blast, is_blast, group : by labelled cell
    """

    name: str
    lab: str
    threshold: float
    uncertain_low: float
    uncertain_high: float
    p_blast: list[float]
    is_blast: list[bool]
    group: list[str]

    def cells(self) -> Labelled:
        """Give its cells as a fit takes them."""
        return Labelled.of(self.p_blast, self.is_blast, self.group)

    def decision(self) -> Decision:
        """Give its decision; the temperature is in the probabilities already."""
        return Decision(self.threshold, self.uncertain_low, self.uncertain_high)


class _Sites(Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    recipe: str
    sites: list[Site]


def judged_sites(collection: Collection, recipe: Design, folds: Path | None, workers: int) -> list[Site]:
    """Judge each camera and each laboratory by a network trained without it, or take up what such said.

    Parameters
    ----------
    collection : all laboratories
    recipe : what is trained
    folds, workers : as for :func:`training.protocol.run.run`
    """
    splits = [split for split in plan(collection, recipe.labs) if split.test.startswith(("camera:", "lab:"))]
    judged, _ = run(collection, recipe, splits, seed=0, workers=workers, folds=folds)
    return [site for fold in judged if (site := site_of(judge(collection.cells, [fold]))) is not None]


def site_of(judged: JudgedCells) -> Site | None:
    """Take the cells of a test whose own label says blast or, of mature cells and erythroblasts, normal."""
    part = judged.take([_serves(cell) for cell in judged.cells])
    if not part.cells:
        return None
    decision = judged.decisions[0]
    return Site(
        judged.test,
        part.cells[0].lab,
        decision.threshold,
        decision.uncertain_low,
        decision.uncertain_high,
        part.p_blast.round(6).tolist(),
        (part.labels == 1).tolist(),
        part.groups,
    )


def _serves(cell: CellRecord) -> bool:
    """Whether the goals of the protocol are about this cell (:mod:`training.protocol.figures`)."""
    if not cell.usable or cell.label is None:
        return False
    if cell.label == 1 or cell.lab == ALL_IDB:
        return True
    return is_mature_or_erythroblast(cell) if cell.lab in MYELOID else is_mature(cell)


def write_sites(path: Path, recipe: str, sites: Sequence[Site]) -> None:
    """Keep what was judged, outside the repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(_Sites(SCHEMA, recipe, list(sites))) + b"\n")


def read_sites(path: Path) -> list[Site]:
    """Read what :func:`write_sites` wrote.

    Raises
    ------
    DataSetError
        It is no such file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Sites).sites
    except (OSError, msgspec.MsgspecError) as error:
        raise DataSetError(f"{path}: not what `evaluate recalibration` keeps: {error}") from error


def learned_prior(sites: Sequence[Site]) -> tuple[Prior, list[Json]]:
    """Learn how far laboratories are from their factory's decision.

    Each site with cells of both classes has its own most likely offset and log temperature, with the error
    that its cells leave. What they differ by beyond that error, around zero, is the prior's covariance: the
    mean of their squares less their errors', with one laboratory more that was never seen. The threshold's is
    likewise what their best thresholds differ by beyond the error of a resample.

    Parameters
    ----------
    sites : of any laboratories; those of one class alone, and a whole of which cameras are there, say nothing

    Returns
    -------
    prior, and what each laboratory said
    """
    cameras = {site.lab for site in sites if site.name.startswith("camera:")}
    used = [
        site
        for site in sites
        if site.cells().has_both and not (site.name.startswith("lab:") and site.lab in cameras)
    ]
    squares, cuts, per_cell, said = _BEFORE.copy(), [], [], []
    for site in used:
        cells, own = site.cells(), fitting.factory(site.decision())
        z, weight = logit(cells.p_blast), fitting.even_weights(cells)
        line = fitting.fit_line(z, cells.is_blast, weight, np.eye(2) * 1e-6)
        at = np.array([line.offset, np.log(line.temperature)])
        error = np.linalg.inv(fitting.told(z, weight, at)[2])  # that the cells leave to the line
        squares += _not_negative(np.outer(at, at) - error)
        half = own.high - own.threshold
        best = fitting.best_threshold(line(z), cells, half) - own.threshold
        spread = _spread_of_best(cells, line(z), half)
        cuts.append(max(0.0, best**2 - spread**2))
        per_cell.append(spread**2 * weight.sum())
        said.append(
            {
                "site": site.name,
                "blasts": int(cells.is_blast.sum()),
                "others": int((~cells.is_blast).sum()),
                "offset": round(line.offset, 3),
                "offset_error": round(float(np.sqrt(error[0, 0])), 3),
                "log_temperature": round(float(at[1]), 3),
                "log_temperature_error": round(float(np.sqrt(error[1, 1])), 3),
                "best_threshold_moved": round(best, 3),
                "best_threshold_error": round(spread, 3),
            }
        )
    covariance = squares / (len(used) + 1)
    sd = np.sqrt(np.diag(covariance))
    # One laboratory more here, too: a quarter of a unit of log odds, squared.
    moved = (sum(cuts) + 0.25**2) / (len(used) + 1)
    half_way = float(np.mean(per_cell)) / moved if per_cell else 200.0
    prior = Prior(
        round(float(sd[0]), 2),
        round(float(sd[1]), 2),
        round(float(covariance[0, 1] / (sd[0] * sd[1])), 2),
        float(round(half_way)),
    )
    return prior, said


def _not_negative(matrix: Floats) -> Floats:
    """Give the nearest matrix that can be a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _spread_of_best(cells: Labelled, z: Floats, half: float) -> float:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate(
            [rng.choice(np.nonzero(of)[0], of.sum()) for of in (cells.is_blast, ~cells.is_blast)]
        )
        found.append(fitting.best_threshold(z[drawn], cells.take(drawn), half))
    return float(np.std(found))


def curve(site: Site, prior: Prior, draws: int, seed: int = 0) -> list[Json]:
    """Give k labelled cells back to a site, again and again, and see what its share's error becomes.

    Parameters
    ----------
    site : left out of training
    prior : learned without its laboratory
    draws : how often
    seed : of the draws

    Returns
    -------
    list of dict
        One a k that the site has cells for: errors by the factory's decision, by the fit, and by what the
        command would have written, each the mean over the draws, with the 2.5 and 97.5 % points of the
        draws' differences.
    """
    cells, decision = site.cells(), site.decision()
    called_by_factory = fitting.factory(decision).called_blast(cells.p_blast)
    rows: list[Json] = []
    for k in GIVEN:
        found = [
            one
            for draw in range(draws if k else 1)
            if (one := _drawn(cells, decision, prior, called_by_factory, k, seed + draw)) is not None
        ]
        # Where hardly any draw leaves enough cells to try the fit on, what is left is no measure.
        if len(found) < (draws if k else 1) / 2:
            continue
        table = np.array(found)
        rows.append(_row(k, table))
    return rows


_COLUMNS = (
    "factory", "fit", "used", "factory_even", "fit_even", "used_even", "factory_at_line", "fit_at_line",
    "used_at_line", "factory_called", "fit_called", "used_called", "factory_sensitivity", "fit_sensitivity",
    "used_sensitivity", "corrected", "corrected_at_line", "refused", "tried",
)  # fmt: skip


def _row(k: int, table: NDArray[np.float64]) -> Json:
    def shown(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 4)

    row: Json = {"k": k, "draws": len(table)}
    # What is corrected is known of the draws that were not refused.
    row |= {
        name: shown(of.mean() if len(of := table[~np.isnan(table[:, i]), i]) else np.nan)
        for i, name in enumerate(_COLUMNS)
    }
    gained = table[:, 0] - table[:, 2]
    row["gain"] = shown(gained.mean())
    row["gain_95"] = [shown(value) for value in np.quantile(gained, (0.025, 0.975))]
    row["used_called_95"] = shown(np.quantile(table[:, _COLUMNS.index("used_called")], 0.95))
    row["worse"] = shown(float((gained < -1e-9).mean()))
    return row


def _drawn(
    cells: Labelled,
    decision: Decision,
    prior: Prior,
    by_factory: Bools,
    k: int,
    seed: int,
) -> list[float] | None:
    rng = np.random.default_rng(seed)
    given, tried = _deal(cells, k, rng)
    if given is None:
        return None
    rest = cells.take(tried)
    classes = [of.sum() for of in (rest.is_blast, ~rest.is_blast)]
    has_blasts = bool(cells.is_blast.any())
    if min(classes if has_blasts else classes[1:]) < LEAST_TRIED:
        return None
    own = cells.take(given)
    fitted = fitting.fit(own, decision, prior) if k else fitting.factory(decision)
    factory, fit = by_factory[tried], fitted.called_blast(rest.p_blast)
    errors = _unseen_errors(own, decision, prior) if k else None
    is_refused = errors is None
    called = [factory, fit, factory if is_refused else fit]
    rates = [
        (float(one[rest.is_blast].mean()) if has_blasts else np.nan, float(one[~rest.is_blast].mean()))
        for one in called
    ]
    means = [
        [float(fitting.share_error(*rate, shares)) if has_blasts else rate[1] for rate in rates]
        for shares in (SHARES, ALL_SHARES)
    ]
    at_line = [abs(LINE * (sensitivity - 1) + (1 - LINE) * false) for sensitivity, false in rates]
    corrected = _corrected_errors(rates[2], errors if has_blasts else None)
    return [
        *means[0], *means[1], *at_line, *(false for _, false in rates),
        *(sensitivity for sensitivity, _ in rates), float(corrected.mean()),
        float(corrected[np.isclose(SHARES, LINE)][0]), float(is_refused), float(len(rest)),
    ]  # fmt: skip


def _unseen_errors(own: Labelled, decision: Decision, prior: Prior) -> KnownErrors | None:
    """Give what `blastcount recalibrate fit` would correct by; None where it would refuse."""
    if fitting.why_too_few(own) is not None:
        return None
    found = fitting.unseen(own, decision, prior)
    if not found.is_gain:
        return None
    after = fitting.nested(own, decision, prior)
    if fitting.why_not_better(own, found, after) is not None:
        return None
    blasts, others = after[own.is_blast], after[~own.is_blast]
    return KnownErrors(len(blasts), int(blasts.sum()), len(others), int(others.sum()), "unseen")


def _corrected_errors(rates: tuple[float, float], errors: KnownErrors | None) -> Floats:
    """Give the error of the corrected share at each of ``SHARES``, without the chance of a single count."""
    if errors is None or not errors.blasts:
        return np.full(len(SHARES), np.nan)
    called = SHARES * rates[0] + (1 - SHARES) * rates[1]
    found = [corrected_share(round(_LARGE * float(one)), _LARGE, errors) for one in called]
    return np.array(
        [np.nan if one is None else abs(one.share - s) for one, s in zip(found, SHARES, strict=True)]
    )


def _deal(
    cells: Labelled, k: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    """Draw k cells of whole groups in random order; the other groups are what is tried."""
    everything = np.arange(len(cells))
    if not k:
        return everything[:0], everything
    by_group: dict[str, list[int]] = {}
    for i, group in enumerate(cells.sample.tolist()):
        by_group.setdefault(group, []).append(i)
    names = rng.permutation(sorted(by_group)).tolist()
    given: list[int] = []
    taken = 0
    for name in names:
        if len(given) >= k:
            break
        members = rng.permutation(by_group[name]).tolist()
        given += members[:MOST_OF_GROUP]
        taken += 1
    if len(given) < k:
        return None, everything[:0]
    rest = [i for name in names[taken:] for i in by_group[name]]
    return np.array(given[:k]), np.array(rest, dtype=np.int64)


def document(sites: Sequence[Site], draws: int, step: Callable[[], None] = lambda: None) -> Json:
    """Work through all sites and learn the prior of all of them.

    Parameters
    ----------
    sites : of :func:`judged_sites`
    draws : as for :func:`curve`
    step : called after each site
    """
    prior, said = learned_prior(sites)
    about: Json = {
        "schema": "blastcount.recalibration-curve/1",
        "prior": _prior_json(prior),
        "laboratories": said,
        "draws": draws,
        "rules": {
            "least_cells": fitting.LEAST_CELLS,
            "least_of_class": fitting.LEAST_OF_CLASS,
            "most_called": fitting.MOST_CALLED,
            "most_often": fitting.MOST_OFTEN,
            "most_of_group": MOST_OF_GROUP,
            "least_tried": LEAST_TRIED,
        },
        "sites": [],
    }
    for site in sites:
        without, _ = learned_prior([other for other in sites if other.lab != site.lab])
        cells = site.cells()
        about["sites"].append(
            {
                "site": site.name,
                "cells": {"blast": int(cells.is_blast.sum()), "normal": int((~cells.is_blast).sum())},
                "groups": len(set(site.group)),
                "prior": _prior_json(without),
                "curve": curve(site, without, draws),
            }
        )
        step()
    return about | {"software": describe_software(), "machine": describe_machine()}


def _prior_json(prior: Prior) -> Mapping[str, float]:
    return {name: getattr(prior, name) for name in Prior.__dataclass_fields__}
