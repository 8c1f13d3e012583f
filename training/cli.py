"""``blastcount train``: data set to Keras model, with the paper's table beside its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from training import allidb, folder, results
from training.backend import load_keras
from training.card import camera_alone
from training.crops import cut, survey
from training.recipes import akbar2024
from training.recipes.akbar2024 import Outcome


@click.command()
@click.option(
    "--recipe",
    type=click.Choice([akbar2024.NAME]),
    default=akbar2024.NAME,
    show_default=True,
    help="What to train.",
)
@click.option(
    "--data",
    "data_folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that holds ALL_IDB1 and ALL_IDB2 in their official layout; only read.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=akbar2024.SEED, show_default=True,
    help="Of the choice of cells, the split and the network.",
)  # fmt: skip
@click.option(
    "--epochs", type=click.IntRange(1), default=akbar2024.EPOCHS, show_default=True, help="20 in the paper."
)
@click.option(
    "--leak-free/--no-leak-free", default=True, show_default=True,
    help=f"Test by whole scenes as well; trains {akbar2024.FOLDS} more networks.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace earlier results in --out.")
def train(
    recipe: str, data_folder: Path, out: Path, seed: int, epochs: int, leak_free: bool, force: bool
) -> None:
    """Train a classifier of blasts on ALL-IDB.

    Writes model.keras, card.json, table1.csv, history.json, figure4.png, split.csv, manifest.json and, for
    `blastcount convert`, crops.npz. Research use only.
    """
    folder.check(out, results.FILES, force=force)
    load_keras()  # says at once that TensorFlow is missing
    data = allidb.load(data_folder)
    click.echo(f"{data_folder}: {len(data.fields)} fields, {len(data.crops)} crops", err=True)
    with _bar("Reading", 2 * len(data.fields)) as tick:
        surveyed = survey(data, tick)
        crop_set = cut(data, surveyed, akbar2024.SPEC, tick)
    networks = 1 + (akbar2024.FOLDS if leak_free else 0)
    with _bar("Epochs", networks * epochs) as tick:
        outcome = akbar2024.run(crop_set, seed=seed, epochs=epochs, leak_free=leak_free, tick=tick)
    results.write(out, data, surveyed, crop_set, outcome, force=force)
    for line in summary(outcome):
        click.echo(line)
    click.echo(f"{out}: {', '.join(results.FILES)}", err=True)


def summary(outcome: Outcome) -> Iterator[str]:
    """Put a run of the recipe into words.

    Parameters
    ----------
    outcome : of the recipe

    Yields
    ------
    line of text: the paper's Table 1, then the tests
    """
    n_test = int(outcome.is_test.sum())
    n_train = len(outcome.crops) - n_test
    yield f"{akbar2024.NAME}: {n_train} crops to train, {n_test} held back, seed {outcome.seed}"
    yield ""
    yield "              this training          Akbar et al. 2024"
    yield "epoch       error  accuracy %       error  accuracy %"
    for row in results.table_1(outcome.history):
        papers = (
            f"{row['paper_error']:12.4f}{row['paper_accuracy_percent']:12.2f}"
            if row["paper_error"] is not None
            else ""
        )
        yield f"{row['epoch']:5d}{row['error']:12.4f}{row['accuracy_percent']:12.2f}{papers}"
    yield ""
    found, paper = outcome.evaluation, akbar2024.PAPER_TEST
    yield "Held-back crops, random split"
    yield f"  accuracy     {found.accuracy}; paper: {100 * paper['accuracy']:.0f} % of {paper['n']}"
    yield f"  error        {found.error:.4f}; paper: {paper['error']:.4f}"
    yield f"  sensitivity  {found.sensitivity}"
    yield f"  specificity  {found.specificity}"
    yield f"  leakage: {outcome.leaked} of {n_test} test crops show a cell that is also in training"
    yield f"  accuracy without those: {outcome.unleaked.accuracy}"
    yield f"  accuracy of the camera alone, without looking at a cell: {camera_alone(outcome.crops)}"
    yield f"Non-blasts of patients' fields called blast (not trained on): {outcome.patients_non_blasts}"
    if outcome.scene_test is not None:
        test = outcome.scene_test
        yield f"By scene: {test.folds} folds of {test.scenes} scenes, no scene on both sides"
        yield f"  accuracy     {test.evaluation.accuracy}"
        yield f"  error        {test.evaluation.error:.4f}"
        yield f"  sensitivity  {test.evaluation.sensitivity}"
        yield f"  specificity  {test.evaluation.specificity}"
        yield f"  temperature  {test.temperature:.2f}, then calibration error {test.calibration_error:.3f}"
        yield f"  uncertain    {100 * test.uncertain:.1f} %"
    yield "Research use only."


@contextmanager
def _bar(label: str, length: int) -> Iterator[Callable[[], None]]:
    """Show progress on stderr where that is a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True) as bar:
        yield lambda: bar.update(1)
