"""The protocol from data to one JSON: what was tested, on what, and what came out."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.device.machine import describe_machine, describe_software
from edge.errors import ConfigError
from training.data.cache import source_hash
from training.data.collection import Collection
from training.data.records import LABS, OWN
from training.protocol.decision import Chosen
from training.protocol.disagreement import Row, disagreements
from training.protocol.equal import at_equal_sensitivity
from training.protocol.figures import of_test
from training.protocol.goals import against_goals
from training.protocol.judged import decide_on, judge
from training.protocol.plan import FOLDS, LEFT_OUT, Split, plan
from training.protocol.recipe import Design
from training.protocol.run import Judged, jobs_of, run

SCHEMA = "blastcount.evaluation/1"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation and the decision that follows from it for the model trained on everything.

    Attributes
    ----------
    document : JSON, schema ``blastcount.evaluation/1``
    decision : chosen on the out-of-fold probabilities of the test by session
    disagreements : cells of that test whose label a network that never saw their group would change
    """

    document: Json
    decision: Chosen
    disagreements: Sequence[Row] = ()


def evaluate(
    collection: Collection,
    recipe: Design,
    *,
    seed: int = 0,
    workers: int = 1,
    folds: Path | None = None,
    tests: Sequence[str] = (),
) -> Evaluated:
    """Run the protocol for a recipe, or go on with what a killed run left.

    Parameters
    ----------
    collection : all laboratories
    recipe : what is trained
    seed : of folds and networks
    workers : processes
    folds : folder with one JSON a training, read and written; None takes one in the cache
    tests : names of those to run; none: all

    Returns
    -------
    Evaluated

    Raises
    ------
    ConfigError
        There is no test of a name.
    """
    planned = plan(collection, recipe.labs, seed)
    names = list(dict.fromkeys(split.test for split in planned))
    if unknown := [test for test in tests if test not in names]:
        raise ConfigError(
            f"--test: no test {unknown[0]!r} with this data; expected one of {', '.join(names)}"
        )
    splits = [split for split in planned if not tests or split.test in tests]
    judged, cpu_s = run(collection, recipe, splits, seed=seed, workers=workers, folds=folds)
    by_test: dict[str, list[Judged]] = defaultdict(list)
    for fold in judged:
        by_test[fold.split.test].append(fold)
    judgements = {test: judge(collection.cells, members) for test, members in by_test.items()}
    figures = [of_test(judged_cells, collection.fields) for judged_cells in judgements.values()]
    decision, decided_on = final_decision(collection, by_test)
    document: Json = {
        "schema": SCHEMA,
        "recipe": {"name": recipe.name, "version": source_hash(), "labs": list(recipe.labs)},
        "seed": seed,
        "folds": FOLDS,
        "data": _data(collection),
        "segmentation": source_hash(),
        "tests": figures,
        "not_tested": [f"{name}: not run" for name in names if tests and name not in tests]
        + _missing(planned, collection),
        "goals": against_goals({test["test"]: test for test in figures}),
        "equal_sensitivity": at_equal_sensitivity(collection.cells, by_test),
        "decision": asdict(decision) | {"chosen_on": decided_on, "of_test": "session"},
        "trainings": len(jobs_of(splits)),
        "cpu_s": round(cpu_s),
        "machine": describe_machine() | {"load": round(os.getloadavg()[0], 1)},
        "software": describe_software(),
    }
    session = judgements.get("session")
    return Evaluated(document, decision, () if session is None else disagreements(session, collection))


def final_decision(collection: Collection, by_test: Mapping[str, list[Judged]]) -> tuple[Chosen, int]:
    """Choose the decision of the model that is trained on everything, on the test by session.

    That model has left no cell out, so its own probabilities cannot serve; those of five networks, each on
    sessions that it has not seen, are the nearest there is.
    """
    folds = by_test.get("session") or by_test.get("scene") or []
    cells = [collection.cells[i] for fold in folds for i in fold.split.judged]
    p_blast = np.concatenate([np.zeros(0, np.float32), *(fold.p_blast for fold in folds)])
    return decide_on(cells, p_blast)


def summary(document: Mapping[str, Any]) -> Json:
    """Shorten an evaluation to what a card carries: goals and figures of each test, without curves."""
    left_out = ("reliability", "decisions", "trained_on", "decided_on", "at_thresholds")
    tests = []
    for test in document["tests"]:
        short = {name: value for name, value in test.items() if name not in left_out}
        if "count" in short:
            short["count"] = {name: value for name, value in short["count"].items() if name != "fields"}
        tests.append(short)
    return {
        "schema": document["schema"],
        "leakage": "No test has a field, nor one that overlaps or copies it, on both sides.",
        "goals": document["goals"],
        "tests": tests,
        "not_tested": document["not_tested"],
        "data": document["data"],
        "decision_chosen_on": document["decision"]["chosen_on"],
    }


def sections(document: Mapping[str, Any]) -> Json:
    """Return what a card's ``evaluation`` says of an evaluation.

    Parameters
    ----------
    document : schema ``blastcount.evaluation/1``

    Returns
    -------
    dict
        ``protocol``: the goals and figures. ``calls``: what blasts and normal cells of sessions that were
        not trained on were called, by which the device corrects a share of blasts for its errors.
    """
    found: Json = {"protocol": summary(document)}
    session = next((test for test in document["tests"] if test["test"] == "session"), None)
    if session is not None and "confusion" in session:
        confusion = session["confusion"]
        found["calls"] = {
            "source": "cells of ALL-IDB, each judged by a network that was not trained on its session, at a "
            "threshold and band chosen on other sessions"
        } | {name: {"n": sum(counts.values())} | counts for name, counts in confusion.items()}
    return found


def _missing(splits: list[Split], collection: Collection) -> list[str]:
    there = {split.test for split in splits}
    present = {field.lab for field in collection.fields.values()}
    return [
        f"lab:{name}: without it no blasts or no normal cells are left for this recipe to train on"
        for name, members in LEFT_OUT.items()
        if present & set(members) and f"lab:{name}" not in there
    ] + [f"lab:{name}: not in the data folder" for name in LABS if name not in present and name != OWN]


def _data(collection: Collection) -> Json:
    found: Json = {}
    for lab in LABS:
        fields = [field for field in collection.fields.values() if field.lab == lab]
        if not fields:
            continue
        cells = [cell for cell in collection.cells if cell.lab == lab]
        usable = [cell for cell in cells if cell.usable]
        labels = Counter({1: "blast", 0: "normal", None: "unknown"}[cell.label] for cell in usable)
        found[lab] = {
            "fields": len(fields),
            "exact_copies": sum(field.duplicate_of is not None for field in fields),
            "groups": len({field.group for field in fields}),
            "sessions": len({field.session for field in fields}),
            "cameras": sorted({field.camera for field in fields}),
            "cells_found": len(cells),
            "whole_cells": len(usable),
            "labels": dict(sorted(labels.items())),
            "smudges": sum(cell.cell.kind == "smudge" for cell in cells),
            "seen_before": sum(cell.same_as is not None for cell in cells),
            "marks_without_cell": sum(field.unmatched_marks for field in fields),
        }
    return found
