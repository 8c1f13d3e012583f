"""A model's card for people, in the form of Mitchell et al. 2019, rendered from its JSON.

References
----------
M. Mitchell, S. Wu, A. Zaldivar, P. Barnes, L. Vasserman, B. Hutchinson, E. Spitzer, I. D. Raji, T. Gebru,
"Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.protocol.figures import MYELOID
from training.report.evaluation import called_table, figures_table, goals_table, interval, number, size
from training.report.page import Block, Bullets, Heading, Table, Text, markdown

Json = Mapping[str, Any]

_ETHICS = (
    "The data are public images of patients who cannot be asked again; no name, age or sex is known, and no "
    "image or crop of one is in the model's files (golden crops are rendered).",
    "Which people the images show is unknown, so nothing can be said about groups of people.",
    "A missed blast can delay a diagnosis, a wrong one frightens: the share called uncertain, the interval "
    "of every share, and the words 'research use' are shown wherever a count is.",
)


def as_markdown(card: Json) -> str:
    """Render a card.

    Parameters
    ----------
    card : schema ``blastcount.model/1``, as training or the converter wrote it
    """
    return markdown(f"Model card: {card['name']}", list(blocks(card)))


def blocks(card: Json) -> Iterator[Block]:
    """Lay out the card's sections in the order of Mitchell et al."""
    training = card["training"]
    spec, decision = card["input"], card["decision"]
    yield Heading("Model details")
    details = [
        f"recipe {training['recipe']}, {training['parameters']:,} parameters, seed {training['seed']}",
        f"input: {spec['size_px']} × {spec['size_px']} px of {spec['field_of_view_um']:g} µm, planes "
        f"{spec['channels']}; output: probability of {card['labels'][1]}",
        f"decision: temperature {decision['temperature']:g}, threshold {decision['threshold']:g}, uncertain "
        f"from {decision['uncertain_low']:g} to {decision['uncertain_high']:g}",
    ]
    if "sha256" in card:
        details.append(f"SHA-256 of the network: {card['sha256']}")
    if "reference" in training:
        details.append(f"after {training['reference']}")
    yield Bullets(tuple(details))
    yield Heading("Intended use")
    yield Text(card["intended_use"])
    yield Text("Out of scope:")
    yield Bullets(
        (
            "Diagnosis, screening of patients, follow-up of a treatment, or any statement about a disease.",
            _leukaemias(training["data"]),
            "Cells that no person looks at: every count is meant to be checked against the pictures of its "
            "cells.",
        )
    )
    yield Heading("Factors")
    yield Text(
        "Camera, laboratory and stain, magnification, kind of normal cell, and whether a normal cell lies in "
        "a patient's field. Figures are given by each of them where the data allow it."
    )
    yield Heading("Metrics")
    yield Text(
        "Sensitivity and specificity at the threshold, AUC, share called uncertain, calibration error, "
        "blasts counted per field; with 95 % intervals. What the device would say (blast, normal, uncertain) "
        "is shown besides."
    )
    yield Heading("Training data")
    yield from _training_data(training)
    yield Heading("Evaluation data and quantitative analyses")
    yield from _evaluation(card["evaluation"])
    yield Heading("Ethical considerations")
    yield Bullets(_ETHICS)
    yield Heading("Caveats and recommendations")
    yield Bullets(tuple(card["limits"]))


def _leukaemias(data: Json) -> str:
    """Say which blasts it never saw."""
    if any(f"{lab} blast" in data.get("by_laboratory_and_label", {}) for lab in MYELOID):
        return "Leukaemias other than B-lymphoblastic and acute myeloid ones: it never saw a blast of theirs."
    return "Leukaemias other than B-lymphoblastic: no blast of another kind was ever shown to it."


def _training_data(training: Json) -> Iterator[Block]:
    data = training["data"]
    yield Text(data["label_rule"])
    counts = data.get("by_laboratory_and_label") or data.get("by_folder_and_class") or {}
    yield Table(("cells", "number"), tuple((name, str(n)) for name, n in counts.items()))
    if "held_out_rule" in data:
        yield Text(data["held_out_rule"])


def _evaluation(evaluation: Json) -> Iterator[Block]:
    if "held_back" in evaluation:
        yield from random_splits(evaluation)
    protocol = evaluation.get("protocol")
    if protocol is None:
        yield Text("The leak-free protocol over all laboratories was not run.")
        return
    yield Text(protocol["leakage"])
    yield goals_table(protocol)
    for test in protocol["tests"]:
        yield from _test(test)
    for text in protocol["not_tested"]:
        yield Text(f"Not tested: {text}.")


def random_splits(evaluation: Json) -> Iterator[Block]:
    """Figures of the paper's own split, and (in older cards) of a test by scenes that goes with it."""
    yield Text(f"{evaluation['leakage']['text']}.")
    rows = []
    for name, words in (
        ("held_back", "random split, leaks"),
        ("repeated_splits", "random splits together, leak"),
        ("by_scene", "by scene, does not leak"),
    ):
        for figure in ("accuracy", "sensitivity", "specificity"):
            found = evaluation.get(name, {}).get(figure)
            if found is not None:
                rows.append((words, figure, number(found), interval(found)))
    rows += [
        ("no cell looked at", "accuracy of the camera alone", number(alone), interval(alone))
        for alone in [evaluation["camera_alone"]]
    ]
    yield Table(("split", "figure", "value", "95 % interval"), tuple(rows))
    if (repeated := evaluation.get("repeated_splits")) is None:
        return
    yield Text(f"{repeated['text']}. Mean error {repeated['error']:.3f}.")
    yield Table(
        ("seed", "accuracy", "error", "cell also trained on", "error of the last epoch"),
        tuple(
            (
                str(row["seed"]),
                f"{row['accuracy']:.3f} ({row['right']}/{row['test']})",
                f"{row['error']:.3f}",
                f"{row['cell_also_in_training']}/{row['test']}",
                f"{row['last_epoch_error']:.4f}",
            )
            for row in repeated["each"]
        ),
    )


def _test(test: Json) -> Iterator[Block]:
    yield Heading(f"Test {test['test']}", 3)
    if "figures" in test:
        yield figures_table(test["figures"])
    for camera, figures in test.get("by_camera", {}).items():
        yield Text(f"Of these, camera {camera}:")
        yield figures_table(figures)
    for lab, part in test.get("myeloid", {}).items():
        yield Text(f"{lab}, blasts against mature cells and erythroblasts:")
        yield figures_table(part["figures"])
    weak = test.get("weak", {}).get("cells", {})
    parts = {f"{lab}, mature cells": part["figures"] for lab, part in test["mature"].items()}
    parts |= {f"all-taleqani, cells of {name} fields": part for name, part in weak.items()}
    if parts:
        yield called_table(parts)
    if "weak" in test:
        auc = test["weak"]["field_auc"]
        yield Text(f"Fields, malignant against benign: AUC {number(auc)} ({interval(auc)}), {size(auc)}.")
