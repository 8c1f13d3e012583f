"""The learning curve: how well networks do that saw a part of the sessions, or of the laboratories, only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.bench.machine import describe_machine
from training.data.allidb_marks import LAB as ALL_IDB
from training.data.cache import segmentation_code
from training.data.collection import Collection
from training.data.records import MATURE_LABS, CellRecord
from training.protocol.plan import WEAK, Split, check, joined, known_label, plan
from training.protocol.recipe import Recipe
from training.protocol.run import Judged, jobs_of, run
from training.protocol.statistics import auc, statistic
from training.report.card import software
from training.report.page import Block, Bullets, Table, Text

SCHEMA = "blastcount.curve/1"
SHARES = (0.25, 0.5)
REPEATS = 2
#: What is trained on besides the share of sessions: ALL-IDB with other laboratories.
_LABS = {
    "ALL-IDB alone": (ALL_IDB,),
    "ALL-IDB and mature cells": (ALL_IDB, *MATURE_LABS),
    "ALL-IDB and all-taleqani": (ALL_IDB, WEAK),
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Splits of one test whose training sides are cut down alike.

    Attributes
    ----------
    test : ``session`` or ``camera:NAME``
    name : what is left of the training side
    repeat : number of the draw
    splits : one a fold
    """

    test: str
    name: str
    repeat: int
    splits: tuple[Split, ...]


def thinned(cells: Sequence[CellRecord], split: Split, share: float, seed: int) -> Split:
    """Keep a share of the training side's sessions.

    Sessions (with what hangs together with them) are drawn by laboratory, camera and label of most of their
    cells, one of each kind at least, so that no kind of cell disappears but with its laboratory.

    Parameters
    ----------
    cells : of the collection
    split : whose training side is cut down
    share : of the sessions, above 0 to 1
    seed : of the draw; the sessions of a smaller share are among those of a larger one
    """
    names = joined([cells[i].group for i in split.train], [cells[i].session for i in split.train])
    members: dict[str, list[int]] = defaultdict(list)
    for index, name in zip(split.train, names, strict=True):
        members[name].append(index)
    strata: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for name, inside in sorted(members.items()):
        # A session of a patient has normal cells, too; the rarer blasts decide what it is.
        blasts = any(known_label(cells[i]) == 1 for i in inside)
        strata[cells[inside[0]].lab, cells[inside[0]].camera, blasts].append(name)
    random = np.random.default_rng(seed)
    kept: set[int] = set()
    for _, sessions in sorted(strata.items()):
        order = random.permutation(len(sessions))
        for place in order[: max(1, round(share * len(sessions)))]:
            kept.update(members[sessions[place]])
    return replace(split, train=tuple(i for i in split.train if i in kept), inner=())


def parts(collection: Collection, recipe: Recipe, seed: int = 0) -> Iterator[Part]:
    """List what is trained: shares of the sessions, parts of the laboratories, and everything."""
    cells = collection.cells
    by_test: dict[str, list[Split]] = defaultdict(list)
    for split in plan(collection, recipe.labs, seed):
        if split.test == "session" or split.test.startswith("camera:"):
            by_test[split.test].append(split)
    for test, splits in by_test.items():
        for share in SHARES:
            for repeat in range(REPEATS):
                cut = tuple(thinned(cells, split, share, repeat) for split in splits)
                yield Part(test, f"{100 * share:.0f} % of the sessions", repeat, cut)
        for name, labs in _LABS.items():
            # A recipe that learns from ALL-IDB alone has no such parts.
            if set(labs) < set(recipe.labs):
                cut = tuple(
                    replace(split, train=tuple(i for i in split.train if cells[i].lab in labs), inner=())
                    for split in splits
                )
                yield Part(test, name, 0, cut)
        yield Part(test, "everything", 0, tuple(replace(split, inner=()) for split in splits))


def curve(
    collection: Collection,
    recipe: Recipe,
    *,
    seed: int = 0,
    workers: int = 1,
    start: Callable[[int], Callable[[], None]] = lambda _trainings: lambda: None,
) -> Json:
    """Train on every part and judge the cells of sessions, or of the camera, that were left out.

    Parameters
    ----------
    collection, recipe, seed, workers, start : as in :func:`training.protocol.evaluation.evaluate`

    Returns
    -------
    dict
        JSON, schema ``blastcount.curve/1``.
    """
    todo = list(parts(collection, recipe, seed))
    splits = [split for part in todo for split in part.splits]
    for split in splits:
        check(collection.cells, split)
    tick = start(len(jobs_of(splits)))
    judged, cpu_s = run(collection, recipe, splits, seed=seed, workers=workers, tick=tick)
    rest = iter(judged)
    points = [_point(collection, part, [next(rest) for _ in part.splits]) for part in todo]
    return {
        "schema": SCHEMA,
        "recipe": {"name": recipe.name, "version": recipe.version(), "labs": list(recipe.labs)},
        "seed": seed,
        "points": points,
        "segmentation": segmentation_code(),
        "trainings": len(jobs_of(splits)),
        "cpu_s": round(cpu_s),
        "machine": describe_machine(),
        "software": software(),
    }


def _point(collection: Collection, part: Part, folds: Sequence[Judged]) -> Json:
    """AUC of whole labelled cells of ALL-IDB, folds pooled, and what was trained on, mean over folds."""
    cells = collection.cells
    labels, p, groups = [], [], []
    for fold in folds:
        for index, value in zip(fold.split.judged, fold.p_blast.tolist(), strict=True):
            cell = cells[index]
            if cell.lab == ALL_IDB and cell.usable and cell.label is not None:
                labels.append(cell.label)
                p.append(value)
                groups.append(cell.group)
    y, scores = np.array(labels, np.int64), np.array(p)
    trained = [[cells[i] for i in split.train] for split in part.splits]
    return {
        "test": part.test,
        "part": part.name,
        "repeat": part.repeat,
        "trained_on": {
            "cells": _mean([len(side) for side in trained]),
            "sessions": _mean([len({cell.session for cell in side}) for side in trained]),
            "blasts": _mean([sum(cell.label == 1 for cell in side) for side in trained]),
            "sessions_with_blasts": _mean(
                [len({cell.session for cell in side if cell.label == 1}) for side in trained]
            ),
        },
        "auc": statistic(lambda i: auc(y[i], scores[i]), groups).to_json(),
    }


def _mean(numbers: Sequence[int]) -> float:
    return round(float(np.mean(numbers)), 1)


def blocks(document: Mapping[str, Any]) -> Iterator[Block]:
    """Lay a curve out as a page."""
    yield Text(
        "Research use only. AUC of the whole labelled cells of ALL-IDB, each judged by a network that "
        "has not seen its session (test `session`, five networks pooled) or its camera (`camera`), where "
        "the training side was cut down: to a share of its sessions (of every laboratory and camera, with "
        "and without blasts), or to some laboratories. Figures of two draws stand side by side. Intervals "
        "are 95 %, bootstrap over groups."
    )
    yield Table(
        (
            "test",
            "trained on",
            "sessions with marked blasts",
            "marked blasts",
            "sessions",
            "cells",
            "AUC",
            "n",
        ),
        tuple(rows(document)),
    )
    yield Bullets(
        (
            f"recipe {document['recipe']['name']}, version {document['recipe']['version']}, seed "
            f"{document['seed']}; numbers of sessions, blasts and cells are means over the networks",
            f"{document['trainings']} trainings, {document['cpu_s'] / 60:.0f} minutes of processor time, "
            f"{document['machine']['processor']}",
            f"segmentation {document['segmentation']}",
        )
    )


def title_of(document: Mapping[str, Any]) -> str:
    """Name the page."""
    return f"What {document['recipe']['name']} learns from fewer sessions and laboratories"


def rows(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Put the points into rows: test, part, what was trained on, AUC of each repeat, n."""
    together: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for point in document["points"]:
        together[point["test"], point["part"]].append(point)
    for (test, part), points in together.items():
        trained = [point["trained_on"] for point in points]
        yield (
            test,
            part,
            *(
                " / ".join(f"{about[key]:g}" for about in trained)
                for key in ("sessions_with_blasts", "blasts", "sessions", "cells")
            ),
            " / ".join(_figure(point["auc"]) for point in points),
            str(points[0]["auc"]["n"]),
        )


def _figure(figure: Json) -> str:
    if figure["value"] is None:
        return "–"
    low, high = figure["ci95"]
    return f"{figure['value']:.3f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")
