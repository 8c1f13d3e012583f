"""``make published``: every published system tested on one data set by one protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge.device.durable import write_whole
from training.data.allidb import LAB
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.protocol import random_split
from training.protocol.evaluation import evaluate
from training.protocol.plan import plan
from training.protocol.random_split import RandomSplit
from training.protocol.recipe import Design
from training.protocol.run import Judged, run
from training.protocol.statistics import Figure, auc, statistic
from training.recipes.features import FeatureDesign

SCHEMA = "blastcount.published/1"
ROOT = Path(__file__).resolve().parent
#: One small JSON a system, and beside it a folder with one a training.
RESULTS = ROOT / "models" / "published"
#: Module, class and settings of each system, the cheapest to train first.
DESIGNS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "boldu2019-lda": ("boldu2019:Boldu2019", {}),
    "boldu2019-svm": ("boldu2019:Boldu2019", {"name": "boldu2019-svm", "classifier_of": "svm"}),
    "kasani2020": ("kasani2020:Kasani2020", {}),
    "ahmed2019": ("ahmed2019:Ahmed2019", {}),
    "alexnet2018": ("alexnet2018:AlexNet2018", {}),
    "sampathila2022": ("sampathila2022:Sampathila2022", {}),
    "jiang2021": ("jiang2021:Jiang2021", {}),
}
FIGURES = ("auc", "accuracy", "sensitivity", "specificity")
#: Seeds with which labels are dealt out anew for the control.
_CONTROLS = 20

Json = dict[str, Any]


def design(name: str) -> Design:
    """Import a published system by its name in ``DESIGNS``."""
    where, settings = DESIGNS[name]
    module, _, made = where.partition(":")
    found: Design = getattr(import_module(f"training.recipes.{module}"), made)(**settings)
    return found


def figures_of(collection: Collection, system: Design, seed: int = 0, folds: Path | None = None) -> Json:
    """Test a system at random, by scene, by session and with each camera left out.

    Parameters
    ----------
    collection : ALL-IDB alone
    system : what is tested
    seed : of splits and networks
    folds : folder with one JSON a training, read and written

    Returns
    -------
    dict
        JSON, schema ``blastcount.published/1``: of each test AUC, accuracy, sensitivity and specificity.
    """
    splits = random_split.repeated(collection, seed, system.random_splits, outlined=system.spec.needs_outline)
    at_random = [(s, run(s.sample, system, [s.split], seed=s.seed, folds=folds)) for s in splits]
    names = dict.fromkeys(split.test for split in plan(collection, system.labs, seed))
    wanted = [name for name in names if name in ("scene", "session") or name.startswith("camera:")]
    document = evaluate(collection, system, seed=seed, folds=folds, tests=wanted).document
    tests = {test["test"]: {name: test["figures"][name] for name in FIGURES} for test in document["tests"]}
    found = {
        "schema": SCHEMA,
        "recipe": system.name,
        "input_px": system.spec.size_px,
        "seed": seed,
        "tests": {"random": of_random([(split, judged[0]) for split, (judged, _) in at_random])} | tests,
        "trainings": len(at_random) + document["trainings"],
        "cpu_s": round(sum(cpu_s for _, (_, cpu_s) in at_random) + document["cpu_s"]),
        **{name: document[name] for name in ("machine", "software", "segmentation")},
    }
    if isinstance(system, FeatureDesign):
        found["labels_dealt_anew"] = dealt_anew(collection, system, seed).to_json()
    return found


def of_random(tests: Sequence[tuple[RandomSplit, Judged]]) -> Json:
    """Sum up random splits; the AUC is the mean of theirs, its interval draws scenes."""
    together = random_split.sections(tests, {})["repeated_splits"]
    cells = [cell for split, _ in tests for cell in split.side(split.split.judged)]
    labels = np.array([cell.label for cell in cells], np.int64)
    p = np.concatenate([judged.p_blast for _, judged in tests])
    number = np.repeat(np.arange(len(tests)), [len(judged.p_blast) for _, judged in tests])

    def mean_auc(indices: NDArray[np.int64]) -> float | None:
        parts = (indices[number[indices] == i] for i in range(len(tests)))
        found = [value for part in parts if (value := auc(labels[part], p[part])) is not None]
        return float(np.mean(found)) if found else None

    of_auc = statistic(mean_auc, [cell.group for cell in cells])
    leaked = together["cell_also_in_training"]
    return {"auc": of_auc.to_json(), "splits": len(tests), "cell_also_in_training": leaked} | {
        name: together[name] for name in FIGURES[1:]
    }


def dealt_anew(collection: Collection, system: Design, seed: int) -> Figure:
    """Test by session with labels dealt out at random among the cells: the AUC must be near one half.

    The mean of ``_CONTROLS`` deals, with the interval that holds 95 % of them.
    """
    known = [i for i, cell in enumerate(collection.cells) if cell.usable and cell.label is not None]
    splits = [split for split in plan(collection, system.labs, seed) if split.test == "session"]
    found = []
    for deal in range(_CONTROLS):
        cells = list(collection.cells)
        for i, other in zip(known, np.random.default_rng([seed, deal]).permutation(known), strict=True):
            cells[i] = replace(cells[i], label=collection.cells[other].label)
        values, weights = [], []
        for split in splits:
            judged = [cells[i] for i in split.judged if cells[i].usable and cells[i].label is not None]
            judge = system.fit(collection, [cells[i] for i in split.train], seed)
            value = auc(np.array([cell.label for cell in judged], np.int64), judge(judged))
            if value is not None:
                values.append(value)
                weights.append(len(judged))
        found.append(np.average(values, weights=weights))
    low, high = np.quantile(found, (0.025, 0.975))
    method = f"mean and 95 % of {_CONTROLS} deals of the labels"
    return Figure(float(np.mean(found)), float(low), float(high), len(known), _CONTROLS, None, method)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder that holds ALL-IDB.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for segmentations and overlaps.")
@click.argument("names", nargs=-1, type=click.Choice(list(DESIGNS)))
def main(data: Path, cache: Path | None, names: tuple[str, ...]) -> None:
    """Train and test published systems, all of them or those that are named; a stopped run goes on.

    Each training leaves a small JSON in training/models/published/NAME, each system NAME.json beside it;
    `make docs` renders docs/published.md from these.
    """
    collection = collect(data, Cache(cache), (LAB,))
    for name in names or DESIGNS:
        found = figures_of(collection, design(name), folds=RESULTS / name)
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(RESULTS / f"{name}.json", text.encode())
        click.echo(f"{name}: {found['trainings']} trainings, {found['cpu_s'] / 60:.1f} processor minutes")


if __name__ == "__main__":
    main()
