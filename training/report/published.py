"""The published systems in one table: what each paper says, and what its system gives here by every split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from training.recipes.coloured import NAME as SHIPPED
from training.recipes.coloured import SPEC
from training.report.evaluation import interval, number, with_interval
from training.report.page import Block, Bullets, Heading, Table, Text

Json = Mapping[str, Any]

TITLE = "The published systems in one table"
COMMAND = "python -m training.published --data DATA"
#: Tests of both tables, with their names for readers.
_TESTS = {
    "random": "random split",
    "scene": "by scene",
    "session": "by session",
    "camera": "worse camera left out",
}
_SHARES = ("accuracy", "sensitivity", "specificity")


class Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A paper and its system here; a section of ``papers.toml``.

    Attributes
    ----------
    system : authors and year, with what tells two rows of one paper apart
    published : the paper's figure
    split : of that figure
    reference : the paper
    here : what the recipe is, and what it does not have or could not be looked up
    """

    system: str
    published: str
    split: str
    reference: str
    here: str


def papers() -> dict[str, Paper]:
    """Read the papers by recipe; the shipped network stands last."""
    return msgspec.toml.decode(Path(__file__).with_name("papers.toml").read_bytes(), type=dict[str, Paper])


def of_akbar(card: Json, evaluation: Json) -> Json:
    """Give the reference network's figures the form of a published system's."""
    together = card["evaluation"]["repeated_splits"]
    held_back = card["evaluation"]["held_back"]
    # Of the five splits the AUC was kept of the first one only.
    of_auc = {"value": held_back["auc"], "ci95": [None, None], "n": held_back["n"]}
    found = _of_evaluation(evaluation, card["input"]["size_px"])
    of_random = {"auc": of_auc} | {name: together[name] for name in _SHARES}
    return found | {"tests": {"random": of_random} | found["tests"]}


def _of_evaluation(evaluation: Json, input_px: int) -> dict[str, Any]:
    tests = {test["test"]: test["figures"] for test in evaluation["tests"] if "figures" in test}
    return {
        "tests": tests,
        "input_px": input_px,
        "trainings": evaluation["trainings"],
        "cpu_s": evaluation["cpu_s"],
    }


def blocks(systems: Mapping[str, Json], shipped: Json) -> Iterator[Block]:
    """Lay out the page.

    Parameters
    ----------
    systems : results of published systems by name, schema ``blastcount.published/1``; some may be missing
    shipped : evaluation of the shipped network
    """
    yield Text(
        "Research use only. Systems that were published for acute leukaemia, each trained here on the "
        "marked whole cells of ALL-IDB alone and tested by one protocol. A published figure is of its own "
        "data and split. **What the columns compare is the split, not the authors**: the same system on the "
        "same data, once with cells, fields and sittings on both sides, as a random split has them, and "
        "then without. Most systems are smaller here than in their papers and begin without ImageNet's "
        "weights ([what each row is](#what-each-row-is)), so a row says nothing of what the authors' own "
        "would reach on theirs."
    )
    yield Bullets(
        (
            "**random split**: cells chosen and held back as in Akbar 2024, other seeds for each split; "
            "half of the test cells are on the training side, too. Accuracy at a probability of one half.",
            "**by scene**: no field, nor one that overlaps or copies it, on both sides; **by session**: no "
            "sitting at the microscope, the nearest to a patient that ALL-IDB knows. Five folds each.",
            "**worse camera left out**: trained on one camera, judged on the other; the lower of the two "
            "AUCs.",
            "An AUC of 0.5 is chance. 95 % intervals in brackets: of shares the wider of the exact binomial "
            "one and a bootstrap over scenes, of AUCs the bootstrap. n is in the second table.",
        )
    )
    all_papers = papers()
    found = {
        name: _of_evaluation(shipped, SPEC.size_px) if name == SHIPPED else systems.get(name)
        for name in all_papers
    }
    header = (
        "system", "published accuracy", "its split", "accuracy, random split here",
        *(f"AUC, {words}" for words in _TESTS.values()),
    )  # fmt: skip
    yield Table(header, tuple(_line(name, paper, found[name]) for name, paper in all_papers.items()))
    yield from _read(all_papers, found)
    yield Heading("Shares, and how many cells")
    yield Text(
        "Random splits at one half. Elsewhere the threshold of each fold was chosen on cells that it does "
        "not judge, as for the shipped network: it has to travel, too."
    )
    yield Table(
        ("system", "test", "n", *_SHARES),
        tuple(
            (
                paper.system,
                words,
                f"{figures['accuracy']['n']} in {figures['accuracy']['groups']} scenes",
                *(f"{number(figures[share])}, {interval(figures[share])}" for share in _SHARES),
            )
            for name, paper in all_papers.items()
            for test, words in _TESTS.items()
            if (figures := _test(found[name], test)) is not None
        ),
    )
    yield Heading("What each row is")
    yield Text(
        "Crops of 24 µm. Sizes and widths were chosen by what trains on two cores in a minute or so. The "
        "epochs of Ahmed's network were chosen by the error on the training side, those of the others were "
        "fixed before the first training; nothing was chosen by a test side."
    )
    yield Table(
        ("system", "paper", "input", "trainings, processor minutes", "here"),
        tuple(
            (paper.system, paper.reference, *_cost(found[name]), paper.here.strip())
            for name, paper in all_papers.items()
        ),
    )
    yield Heading("Made by")
    yield Text(
        f"`make published DATA=…`, or `{COMMAND} NAME` for one of them, then `make docs`. Each training "
        "leaves a small JSON in `training/models/published`, from which a stopped run goes on. `akbar2024` "
        "and `coloured` are those of their own evaluations ([akbar2024](evaluation-akbar2024.md), "
        "[coloured](evaluation-coloured.md))."
    )


def _line(name: str, paper: Paper, found: Json | None) -> tuple[str, ...]:
    if found is None:
        missing = f"not yet trained here: `{COMMAND} {name}`"
        return (paper.system, paper.published, paper.split, missing, *("—" for _ in _TESTS))
    at_random = _test(found, "random")
    accuracy = "—" if at_random is None else with_interval(at_random["accuracy"])
    of_tests = (_test(found, test) for test in _TESTS)
    aucs = ("—" if figures is None else with_interval(figures["auc"]) for figures in of_tests)
    return (paper.system, paper.published, paper.split, accuracy, *aucs)


def _test(found: Json | None, test: str) -> Json | None:
    """Return the figures of a test; of the cameras those of the one with the lower AUC."""
    if found is None:
        return None
    tests: Mapping[str, Json] = found["tests"]
    if test != "camera":
        return tests.get(test)
    cameras = [figures for name, figures in tests.items() if name.startswith("camera:")]
    return min(cameras, key=lambda figures: float(figures["auc"]["value"]), default=None)


def _cost(found: Json | None) -> tuple[str, str]:
    if found is None:
        return "—", "—"
    return f"{found['input_px']} px", f"{found['trainings']}, {found['cpu_s'] / 60:.0f}"


def _read(all_papers: Mapping[str, Paper], found: Mapping[str, Json | None]) -> Iterator[Block]:
    """Say in a sentence what the table shows, from its own figures."""
    trained = {name: system for name, system in found.items() if system is not None and name != SHIPPED}

    def span(test: str, figure: str = "auc") -> str:
        of_test = (_test(system, test) for system in trained.values())
        values = [figures[figure]["value"] for figures in of_test if figures is not None]
        return f"{min(values):.3f} to {max(values):.3f}"

    yield Text(
        f"{len(trained)} systems, random split: accuracy {span('random', 'accuracy')}, AUC "
        f"{span('random')}. By scene their AUC is {span('scene')}, by session {span('session')}, on the "
        f"worse camera {span('camera')}."
    )
    for name, system in trained.items():
        if control := system.get("labels_dealt_anew"):
            yield Text(
                f"Control: with the labels dealt out at random, {control['groups']} times, "
                f"{all_papers[name].system} has a mean AUC within the folds by session of "
                f"{with_interval(control)}."
            )
