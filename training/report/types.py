"""What a training of the network of types leaves: the model and, where judged, its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.cell_types import CLASSES
from training.recipes import types as recipe
from training.report.evaluation import FILES as EVALUATION_FILES
from training.report.evaluation import with_interval, write_as
from training.report.folder import written_whole
from training.report.page import Block, Bullets, Heading, Table, Text

MODEL = "model.keras"
FILES = (MODEL, *EVALUATION_FILES)
TITLE = "How well a network names types of cells of laboratories that it has not seen"


def write(
    out: Path, fitted: recipe.FittedTypes, evaluation: Mapping[str, Any] | None, *, force: bool
) -> None:
    """Write what a training gave.

    Parameters
    ----------
    out : folder; appears whole or not at all
    fitted : the network that was trained on everything
    evaluation : of :func:`training.protocol.types.document`; None where it was not run
    force : whether earlier results there may be replaced
    """
    with written_whole(out, FILES, force=force) as folder:
        fitted.model.save(folder / MODEL)
        if evaluation is not None:
            write_as(evaluation, folder, TITLE, blocks(evaluation))


def blocks(document: Mapping[str, Any]) -> Iterator[Block]:
    """Lay out the evaluation.

    Parameters
    ----------
    document : schema ``blastcount.types-evaluation/1``
    """
    rule = document["rule"]
    yield Text(
        "Research use only. Every cell is named by a network that was trained without its laboratory ("
        + "; ".join(" with ".join(labs) for labs in document["left_out"])
        + "), at thresholds chosen on the cells of the other laboratories. A cell that the network abstains "
        "on counts as missed. Intervals are 95 %, a bootstrap over groups, of shares in one laboratory the "
        "wider of it and the exact one. Cells are whole ones that the product's own segmentation finds."
    )
    yield Text(f"{' and '.join(document['shown_only'])} are shown and decide nothing.")
    offered = list(document["offered"])
    yield Text(
        f"A type is offered where the interval of its recall, the mean over laboratories with at least "
        f"{rule['least_cells']} cells of it, begins at {rule['least_recall']:g} or above. "
        + (f"Offered: {', '.join(offered)}." if offered else "None is offered.")
    )
    types = document["types"]
    rows = tuple(
        (
            name,
            with_interval(found["recall"]),
            str(found["recall"]["n"]),
            with_interval(document["recall_without_abstention"][name]),
            _threshold(found),
            "yes" if found["offered"] else "no",
        )
        for name, found in types.items()
    )
    failed = frozenset(i for i, found in enumerate(types.values()) if not found["offered"])
    header = ("type", "recall (95 %)", "n", "without abstention", "threshold", "offered")
    yield Heading("Types")
    yield Table(header, rows, failed)
    mean = document["mean_recall"]
    yield Bullets(
        (
            f"mean recall of the five: {'—' if mean is None else f'{mean:.3f}'} (goal ≥ 0.90)",
            f"share abstained of cells of these five: {with_interval(document['abstained'])} (goal ≤ 0.15)",
            *(
                f"{name} that get the name of an offered type: {with_interval(figure)}, n = {figure['n']}"
                for name, figure in document["named"].items()
            ),
        )
    )
    yield Heading("Recall by laboratory")
    yield Table(
        ("type", "laboratory", "recall (95 %)", "cells", "groups", "threshold", "likeliest without one"),
        tuple(
            (
                name,
                lab,
                with_interval(figure),
                f"{figure['k']}/{figure['n']}",
                str(figure["groups"]),
                _threshold(figure),
                f"{figure['likeliest']:.3f}",
            )
            for name, found in types.items()
            for lab, figure in found["by_laboratory"].items()
        ),
    )
    yield Heading("What was named what")
    shown = [word for word in (*CLASSES, "other") if any(word in row for lab in document["confusion"].values()
             for row in lab.values())]  # fmt: skip
    yield Table(
        ("laboratory", "is", *(f"named {word}" for word in shown)),
        tuple(
            (lab, name, *(str(row.get(word, "")) for word in shown))
            for lab, found in document["confusion"].items()
            for name, row in found.items()
        ),
    )
    yield Text(
        f"{document['trainings']} trainings, {document['cpu_s'] / 60:.0f} minutes of processor time, seed "
        f"{document['seed']}."
    )


def _threshold(found: Mapping[str, Any]) -> str:
    return f"{found['threshold']:g}" if found["threshold"] <= 1 else "none"
