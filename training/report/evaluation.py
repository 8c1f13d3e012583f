"""An evaluation for people: tables rendered from its JSON, nothing computed anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.report.page import Block, Bullets, Heading, Table, Text, markdown

FILES = JSON_NAME, MARKDOWN_NAME = "evaluation.json", "evaluation.md"

Json = Mapping[str, Any]
_TITLES = {
    "scene": "By scene: no field, nor one that overlaps it or copies it, on both sides",
    "session": "By session: no sitting at the microscope on both sides",
    "camera": "One camera of ALL-IDB left out",
    "lab": "One laboratory left out",
}
#: Figures of cells, with their names for readers; True where it is a share.
_CELL_FIGURES = (
    ("sensitivity", "sensitivity (blasts at or above the threshold)", True),
    ("specificity", "specificity (normal cells below it)", True),
    ("accuracy", "accuracy", True),
    ("auc", "AUC", False),
    ("blasts_called_blast", "blasts called blast, with the uncertain band", True),
    ("normal_called_blast", "normal cells called blast, with the uncertain band", True),
    ("uncertain", "uncertain", True),
    ("calibration_error", "calibration error (ECE, 10 bins)", False),
    ("calibration_error_even", "… where each class is half of the cells, as the probability says", False),
    ("error", "cross-entropy", False),
)


def write(document: Json, folder: Path) -> None:
    """Write JSON and Markdown into a folder that is there."""
    write_as(document, folder, title_of(document), blocks(document))


def write_as(document: Json, folder: Path, title: str, content: Iterable[Block]) -> None:
    """Write the JSON of an evaluation of any kind, and what it is for people, into a folder that is there."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / JSON_NAME).write_text(text, encoding="utf-8")
    (folder / MARKDOWN_NAME).write_text(markdown(title, list(content)), encoding="utf-8")


def title_of(document: Json) -> str:
    """Title of the report."""
    return f"How well {document['recipe']['name']} knows cells that it has not seen"


def blocks(document: Json) -> Iterator[Block]:
    """Lay out the whole report.

    Parameters
    ----------
    document : schema ``blastcount.evaluation/1``
    """
    yield Text(
        "Research use only. Every figure is of cells whose field, with all that overlaps or copies it, was "
        "not trained on. Intervals are 95 %: of shares the wider of the exact binomial one and a bootstrap "
        "over groups (fields that hang together; in all-taleqani blocks of numbers), of other figures the "
        "bootstrap. Cells are those that the product's own segmentation finds, whole ones, each once."
    )
    yield Heading("Against the goals")
    yield goals_table(document)
    for text in document["not_tested"]:
        yield Text(f"Not tested: {text}.")
    if compared := document.get("before_and_after"):
        yield from before_and_after(compared)
    if found := document.get("equal_sensitivity"):
        yield from _equal_sensitivity(found)
    for test in document["tests"]:
        yield from _test(test)
    yield from _background(document)


def goals_table(document: Json) -> Table:
    """Every goal beside what was measured."""
    rows = tuple(
        (
            goal["name"],
            f"{'≥' if goal['at_least'] else '≤'} {goal['wanted']:g}",
            number(goal["figure"]),
            interval(goal["figure"]),
            size(goal["figure"]),
            "yes" if goal["reached"] else "no",
        )
        for goal in document["goals"]
    )
    missed = frozenset(i for i, goal in enumerate(document["goals"]) if not goal["reached"])
    return Table(("figure", "goal", "value", "95 % interval", "n", "reached"), rows, missed)


def before_and_after(pairs: Sequence[Json]) -> Iterator[Block]:
    """Lay out what corrections change, of :func:`training.protocol.also.before_and_after`."""
    yield Heading("Before and after your corrections")
    yield Text(
        "On your own cells (own) *before* is what the program had called them when they were counted, and "
        "*after* what networks call them that were trained without their sample. On the other laboratories "
        "*before* is of the shipped network, *after* of networks that have your cells, too: it speaks of "
        "your cells alone where the same laboratories were there to learn from."
    )
    yield Table(
        ("test", "laboratory", "figure", "before", "after", "n before, after"),
        tuple(
            (
                pair["test"],
                pair["laboratory"],
                pair["figure"],
                with_interval(pair["before"]),
                with_interval(pair["after"]),
                f"{size(pair['before'])}, {size(pair['after'])}",
            )
            for pair in pairs
        ),
    )


def figures_table(figures: Json) -> Table:
    """Figures of cells in the order of ``_CELL_FIGURES``."""
    return Table(
        ("figure", "value", "95 % interval", "n"),
        tuple(
            (words, number(figures[name]), interval(figures[name]), size(figures[name]))
            for name, words, _ in _CELL_FIGURES
            if name in figures
        ),
    )


def number(figure: Json) -> str:
    """Write a figure's value; of a share with its count.

    Examples
    --------
    >>> number({"value": 0.75, "k": 3, "n": 4}), number({"value": None, "n": 0})
    ('0.750 (3/4)', '—')
    """
    if figure["value"] is None:
        return "—"
    text = f"{figure['value']:.3f}"
    return f"{text} ({figure['k']}/{figure['n']})" if "k" in figure else text


def interval(figure: Json) -> str:
    """Write a figure's interval, a dash where there is none."""
    low, high = figure["ci95"]
    return "—" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def with_interval(figure: Json) -> str:
    """Write a figure's value and its interval in one cell.

    Examples
    --------
    >>> with_interval({"value": 0.5, "ci95": [0.4, 0.6]})
    '0.500 (0.400 to 0.600)'
    """
    if figure["value"] is None:
        return "—"
    value = f"{figure['value']:.3f}"
    return value if figure["ci95"][0] is None else f"{value} ({interval(figure)})"


def size(figure: Json) -> str:
    """Write how many cells or fields a figure is of, and of how many groups."""
    return f"{figure['n']} in {figure['groups']} groups"


def _test(test: Json) -> Iterator[Block]:
    kind, _, name = test["test"].partition(":")
    yield Heading(_TITLES[kind] + (f": {name}" if name else ""))
    networks, trained = test["networks"], test["trained_on"]
    cells = f"{min(trained)} to {max(trained)}" if len(set(trained)) > 1 else str(trained[0])
    temperatures = ", ".join(f"{decision['temperature']:.2f}" for decision in test["decisions"])
    offsets = ", ".join(f"{decision['offset']:.2f}" for decision in test["decisions"])
    thresholds = ", ".join(f"{decision['threshold']:.2f}" for decision in test["decisions"])
    yield Text(
        f"{networks} network{'s' if networks > 1 else ''}, trained on {cells} cells. Decisions chosen on "
        f"{' / '.join(map(str, test['decided_on']))} other cells: temperature {temperatures}; "
        f"offset of the logits {offsets}; threshold {thresholds}."
    )
    if "figures" in test:
        yield from _blasts(test)
    for lab, part in test.get("myeloid", {}).items():
        yield Heading(f"{lab}: blasts of acute myeloid leukaemia against mature cells and erythroblasts", 3)
        yield figures_table(part["figures"])
        yield Text(
            "With so many cells, perfectly calibrated probabilities would have a calibration error of "
            f"{part['calibration_error_by_chance']:.3f} by chance. Every class that the laboratory names, "
            "the judged ones among them:"
        )
        yield called_table(part["by_type"])
    if "own" in test:
        yield Heading("Own cells that people looked at", 3)
        yield figures_table(test["own"]["figures"])
        yield _called_words(test["own"]["confusion"])
    for lab, mature in test["mature"].items():
        yield Heading(f"{lab}: normal cells of people without leukaemia", 3)
        yield called_table(
            {"mature cells, all types": mature["figures"]}
            | {f"… {kind}": part for kind, part in mature["by_type"].items()}
            | {"everything found, cut cells and false finds too": mature["all_found"]}
        )
    yield from _thresholds(test["at_thresholds"])
    if "weak" in test:
        yield from _weak(test["weak"])


def _blasts(test: Json) -> Iterator[Block]:
    yield figures_table(test["figures"])
    yield Text(
        "With so many cells, perfectly calibrated probabilities would have a calibration error of "
        f"{test['calibration_error_by_chance']:.3f} by chance."
    )
    yield Table(
        ("calibrated probability, mean", "share of blasts", "95 % interval", "cells"),
        tuple(
            (f"{row['p']:.3f}", number(found), interval(found), str(found["n"]))
            for row in test["reliability"]
            for found in [row["frequency"]]
        ),
    )
    yield _called_words(test["confusion"])
    count = test["count"]
    yield Text(
        f"Blasts a field, cut cells included: {count['marked']} marked, {count['called']} called blast; of "
        f"the marked ones {count['not_found']} lie where the segmentation found no cell. r² "
        f"{number(count['r2'])} ({interval(count['r2'])}), mean absolute error {number(count['mae'])} "
        f"({interval(count['mae'])}), {count['mae']['n']} fields."
    )
    parts = {f"normal cells of {who}": part for who, part in test["normal_of"].items()}
    if parts:
        yield called_table(parts)
    for camera, figures in test.get("by_camera", {}).items():
        yield Heading(f"Camera {camera}", 3)
        yield figures_table(figures)


def _called_words(confusion: Json) -> Table:
    """Set what cells are against what they are called."""
    words = tuple(next(iter(confusion.values())))
    return Table(
        ("is", *(f"called {word}" for word in words)),
        tuple((name, *(str(n) for n in called.values())) for name, called in confusion.items()),
    )


def _equal_sensitivity(found: Json) -> Iterator[Block]:
    """Lay out what :func:`training.protocol.equal.at_equal_sensitivity` found."""
    kept = f"{100 * found['kept']:.0f} %"
    yield Heading(f"Laboratories left out, where {kept} of known blasts are found")
    blasts = " and ".join(f"{n} of {lab}" for lab, n in found["blasts"].items() if n)
    yield Text(
        "The threshold of a test comes of its inner fold and moves from one training to the next. Here every "
        f"network has one, {found['threshold']:.3f} before any calibration, which keeps {kept} "
        f"of the blasts of sessions and patients that were not trained on ({blasts}; each laboratory weighs "
        "alike). By it designs are compared. Cells at or above it:"
    )
    rows = (
        [(f"{lab}: mature cells", share) for lab, share in found["called_blast"].items()]
        + [(f"{lab}: basophils", share) for lab, share in found["basophils_called_blast"].items()]
        + [(f"{lab}: blasts", share) for lab, share in found["blasts_found"].items()]
    )
    yield Table(
        ("cells", "at or above", "95 % interval", "n"),
        tuple((name, number(share), interval(share), size(share)) for name, share in rows),
    )
    if (mean := found["mean_called_blast"]) is not None:
        yield Text(
            f"Mean share of mature cells over laboratories whose people have no leukaemia: {mean:.3f}."
        )


def _thresholds(rows: Sequence[Json]) -> Iterator[Block]:
    """Show what other thresholds would have given."""
    if not rows:
        return
    kinds = [name for name in rows[0] if name != "threshold"]
    yield Text(
        "Share of cells at or above other thresholds of the calibrated probability, without a band; shown, "
        "never chosen from:"
    )
    yield Table(
        ("threshold", *kinds),
        tuple(
            (
                f"{row['threshold']:g}",
                *(f"{number(row[kind])}, {interval(row[kind])}" for kind in kinds),
            )
            for row in rows
        ),
    )


def _weak(weak: Json) -> Iterator[Block]:
    yield Heading("all-taleqani: fields of B-ALL against fields of haematogones", 3)
    benign, malignant = weak["fields"]["benign"], weak["fields"]["malignant"]
    stages = weak["field_auc_by_stage"].items()
    yield Table(
        ("figure", "value", "95 % interval", "n"),
        tuple(
            (words, number(figure), interval(figure), size(figure))
            for words, figure in (
                ("AUC of fields, malignant against benign", weak["field_auc"]),
                *((f"… {stage} against benign", figure) for stage, figure in stages),
            )
        ),
    )
    yield Text(
        f"{malignant} malignant and {benign} benign fields; a field's score is the mean probability of its "
        f"whole cells ({weak['fields_without_whole_cell']} fields have none and are left out)."
    )
    yield called_table({f"cells of {name} fields": part for name, part in weak["cells"].items()})


def called_table(parts: Json) -> Table:
    """How often cells are called blast or uncertain, by their name."""
    return Table(
        ("cells", "called blast", "95 % interval", "uncertain", "n"),
        tuple(
            (
                name,
                number(part["called_blast"]),
                interval(part["called_blast"]),
                number(part["uncertain"]),
                size(part["called_blast"]),
            )
            for name, part in parts.items()
        ),
    )


def _background(document: Json) -> Iterator[Block]:
    yield Heading("Data")
    header = ("laboratory", "fields", "groups", "cells found", "whole, each once", "labels", "marks missed")
    yield Table(
        header,
        tuple(
            (
                lab,
                str(data["fields"]),
                str(data["groups"]),
                str(data["cells_found"]),
                str(data["whole_cells"]),
                ", ".join(f"{n} {label}" for label, n in data["labels"].items()),
                str(data["marks_without_cell"]),
            )
            for lab, data in document["data"].items()
        ),
    )
    decision = document["decision"]
    yield Heading("Decision of the model that is trained on everything")
    yield Text(
        f"Chosen on {decision['chosen_on']} cells out of fold, by {decision['of_test']}: temperature "
        f"{decision['temperature']:.3f}, offset {decision['offset']:.3f} (in the model's last bias), "
        f"threshold {decision['threshold']:.3f}, uncertain from "
        f"{decision['uncertain_low']:.3f} to {decision['uncertain_high']:.3f}."
    )
    yield Heading("How it was made")
    machine = document["machine"]
    yield Bullets(
        (
            f"recipe {document['recipe']['name']}, version {document['recipe']['version']}, seed "
            f"{document['seed']}, learns from {', '.join(document['recipe']['labs'])}",
            f"{document['trainings']} trainings, {document['cpu_s'] / 60:.0f} minutes of processor time",
            f"segmentation {document['segmentation']}",
            f"{machine['processor']}, {machine['cores']} cores",
            ", ".join(f"{name} {version}" for name, version in document["software"].items()),
        )
    )
