"""What a laboratory's own corrections change: before and after, on its samples and on all laboratories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from edge.results.dataset import read_dataset
from training.data.allidb import LAB as ALL_IDB
from training.data.records import OWN
from training.protocol.statistics import proportion

Json = dict[str, Any]
#: Of both classes, by the names that an evaluation has for them.
_FIGURES = (("blasts_called_blast", "blasts called blast"), ("normal_called_blast", "others called blast"))


def before_and_after(document: Json, shipped: Sequence[Json], folders: Sequence[Path]) -> Iterator[Json]:
    """Pair what an evaluation says with what was said without the corrections.

    On the laboratory's own cells *before* is what the program had called them when they were counted, by the
    models that then counted, and *after* what networks call them that were trained without their sample. On
    the other laboratories *before* is the evaluation that the shipped card has.

    Parameters
    ----------
    document : of :func:`training.protocol.evaluation.evaluate`, with the corrections
    shipped : tests of the shipped card
    folders : of the corrections

    Yields
    ------
    dict
        ``test``, ``laboratory``, ``figure``, and ``before`` and ``after`` as an evaluation has a figure
    """
    tests = {test["test"]: test for test in document["tests"]}
    session = tests.get("session", {}).get(OWN)
    if session is not None:
        before = _as_counted(folders)
        for name, words in _FIGURES:
            yield _pair("session", OWN, words, before[name], session["figures"][name])
    for test in shipped:
        now = tests.get(test["test"])
        if now is None:
            continue
        after = dict(_parts(now))
        for (lab, words), figure in _parts(test):
            if (lab, words) in after:
                yield _pair(test["test"], lab, words, figure, after[lab, words])


def shipped_tests(recipe: str) -> list[Json]:
    """Read the tests of the recipe's shipped card."""
    card = json.loads((resources.files("training") / "models" / recipe / "card.json").read_text("utf-8"))
    tests: list[Json] = card["evaluation"]["protocol"]["tests"]
    return tests


def _pair(test: str, lab: str, figure: str, before: Json, after: Json) -> Json:
    return {"test": test, "laboratory": lab, "figure": figure, "before": before, "after": after}


def _parts(test: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Json]]:
    """Go through the calls of a test's laboratories."""
    myeloid = {lab: part["figures"] for lab, part in test.get("myeloid", {}).items()}
    own = {ALL_IDB: test["figures"]} if "figures" in test else {}
    for lab, figures in (own | myeloid).items():
        for name, words in _FIGURES:
            yield (lab, words), figures[name]
    for lab, part in test.get("mature", {}).items():
        yield (lab, "mature cells called blast"), part["figures"]["called_blast"]


def _as_counted(folders: Sequence[Path]) -> dict[str, Json]:
    """Say what the program had called the labelled whole cells of the corrections."""
    called: dict[str, list[bool]] = {"blast": [], "normal": []}
    groups: dict[str, list[str]] = {"blast": [], "normal": []}
    seen: set[str] = set()
    for folder in folders:
        for field in read_dataset(folder).fields:
            if field.frame_sha256 in seen:
                continue
            seen.add(field.frame_sha256)
            for cell in field.cells:
                if cell.label in called and cell.program and not cell.touches_border and not cell.seen_before:
                    called[cell.label].append(cell.program == "blast")
                    groups[cell.label].append(field.sample)
    return {
        name: dict(proportion(np.array(called[label], np.bool_), groups[label]).to_json())
        for (name, _), label in zip(_FIGURES, ("blast", "normal"), strict=True)
    }
