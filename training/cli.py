"""``blastcount train``: data set to Keras model, with the paper's table beside its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge.errors import ConfigError
from training.audit_cli import brief, read_collection, share
from training.backend import load_keras
from training.data.cache import Cache
from training.data.collection import Collection
from training.data.records import CellRecord
from training.protocol import random_split
from training.protocol.audit import audit
from training.protocol.evaluation import Evaluated, evaluate
from training.protocol.random_split import RandomSplit
from training.protocol.recipe import RECIPES, Recipe, check_enough, load
from training.protocol.run import Judged, run
from training.recipes.akbar2024 import EPOCHS, NAME, RANDOM_SPLITS
from training.report import evaluation as report
from training.report import folder, paper, results
from training.report.results import Training
from training.terminal import bar


@click.command()
@click.option(
    "--recipe", "name", type=click.Choice(list(RECIPES)), default=NAME, show_default=True,
    help="What to train.",
)  # fmt: skip
@click.option(
    "--data",
    "data_folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that holds ALL_IDB1 and ALL_IDB2 in their official layout, and the other laboratories "
    "(see `blastcount audit`); only read.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
    help="Of the choice of cells, the splits and the networks.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help=f"Of akbar2024.  [default: {EPOCHS}, as in the paper]")
@click.option(
    "--splits", type=click.IntRange(0),
    help="Random splits to test, as in the paper: the network of the first is kept, each further one is "
    "trained with the next seed only to test it; 0 trains on everything.  "
    f"[default: {RANDOM_SPLITS} of akbar2024, else 0]",
)  # fmt: skip
@click.option(
    "--refuse-leakage", is_flag=True,
    help="End with exit code 4 where a random split has a cell on both sides; it mostly does.",
)  # fmt: skip
@click.option(
    "--evaluate", "with_protocol", is_flag=True,
    help="Run the leak-free protocol over all laboratories; a run that was stopped goes on.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True,
    help="Of --evaluate: trainings at once, each with one thread.",
)  # fmt: skip
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    help="Folder for segmentations, overlaps and trainings.  [default: the user's cache]",
)
@click.option("--force", is_flag=True, help="Replace earlier results in --out.")
def train(
    name: str,
    data_folder: Path,
    out: Path,
    seed: int,
    epochs: int | None,
    splits: int | None,
    refuse_leakage: bool,
    with_protocol: bool,
    workers: int,
    cache_folder: Path | None,
    force: bool,
) -> None:
    """Train a classifier of blasts.

    Writes model.keras, card.json, card.md, manifest.json, split.csv and, for `blastcount convert`, crops.npz;
    random splits add table1.csv, figure4.png and splits.csv, --evaluate evaluation.json, .md and .html.
    Research use only.
    """
    folder.check(out, results.ALL_FILES, force=force)
    load_keras()  # says at once that TensorFlow is missing
    recipe = load_recipe(name, epochs)
    collection = read_collection(data_folder, Cache(cache_folder), None if with_protocol else recipe.labs)
    click.echo("Leakage audit (`blastcount audit` has all of it)")
    for line in brief(audit(collection)):
        click.echo(f"  {line}")
    wanted = recipe.random_splits if splits is None else splits
    check_enough(recipe, _everything(collection, recipe))
    random = random_split.repeated(collection, seed, wanted, outlined=recipe.spec.needs_outline)
    if refuse_leakage:
        random_split.refuse_leakage(random)
    evaluated = _evaluate(collection, recipe, seed, workers) if with_protocol else None
    training = _train(collection, recipe, seed, random, evaluated)
    for line in _summary(results.write(out, training, force=force), training):
        click.echo(line)
    click.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}", err=True)


def load_recipe(name: str, epochs: int | None) -> Recipe:
    """Load a recipe, with another number of epochs where one is given.

    Raises
    ------
    ConfigError
        It knows no epochs.
    """
    recipe: Any = load(name)
    if epochs is None:
        return recipe  # type: ignore[no-any-return]  # of load, a Recipe
    if not hasattr(recipe, "epochs"):
        raise ConfigError(f"--epochs: {name} is trained by steps, not epochs; leave the option out")
    return replace(recipe, epochs=epochs)  # type: ignore[no-any-return]  # a recipe with epochs is a dataclass


def _evaluate(collection: Collection, recipe: Recipe, seed: int, workers: int) -> Evaluated:
    with ExitStack() as stack:

        def start(trainings: int) -> Callable[[], None]:
            return stack.enter_context(bar("Trainings", trainings))

        return evaluate(collection, recipe, seed=seed, workers=workers, start=start)


def _train(
    collection: Collection,
    recipe: Recipe,
    seed: int,
    random: Sequence[RandomSplit],
    evaluated: Evaluated | None,
) -> Training:
    """Train the network that is kept: of the first random split, or on everything."""
    if not random:
        cells = _everything(collection, recipe)
        click.echo(f"{recipe.name}: training on {len(cells)} cells", err=True)
        fitted = recipe.fit(collection, cells, seed)
        return Training(collection, recipe, seed, fitted, cells, evaluated)
    first, *further = random
    cells = first.side(first.split.train)
    tested: list[tuple[RandomSplit, Judged]] = []
    with bar("Random splits", len(random)) as tick:
        fitted = recipe.fit(first.sample, cells, first.seed)
        no_inner = fitted([])
        p_blast = fitted(first.side(first.split.judged))
        tested.append((first, Judged(first.split, p_blast, no_inner, fitted.history)))
        tick()
        for split in further:
            judged, _ = run(split.sample, recipe, [split.split], seed=split.seed, tick=tick)
            tested.append((split, judged[0]))
    return Training(collection, recipe, seed, fitted, cells, evaluated, tested)


def _everything(collection: Collection, recipe: Recipe) -> list[CellRecord]:
    return [cell for cell in collection.cells if cell.usable and cell.lab in recipe.labs]


def _summary(card: dict[str, Any], training: Training) -> Iterator[str]:
    """Put a training into words: the paper's table and the random splits, then the protocol's goals."""
    if training.random:
        yield from _paper(card["evaluation"], training)
    if training.evaluated is not None:
        yield from goals(training.evaluated)
    yield "Research use only."


def _paper(evaluation: dict[str, Any], training: Training) -> Iterator[str]:
    held_back, together, theirs = evaluation["held_back"], evaluation["repeated_splits"], paper.TEST
    n_train, n_test = len(training.cells), held_back["n"]
    yield f"{training.recipe.name}: {n_train} crops to train, {n_test} held back, seed {training.seed}"
    if training.fitted.history:
        yield "              this training          Akbar et al. 2024"
        yield "epoch       error  accuracy %       error  accuracy %"
    for row in paper.table_1(training.fitted.history):
        papers = row["paper_error"], row["paper_accuracy_percent"]
        shown = "" if papers[0] is None else f"{papers[0]:12.4f}{papers[1]:12.2f}"
        yield f"{row['epoch']:5d}{row['error']:12.4f}{row['accuracy_percent']:12.2f}{shown}"
    yield "Held-back crops, random split"
    wanted = f"paper: {100 * theirs['accuracy']:.0f} % of {theirs['n']}"
    yield f"  accuracy     {share(held_back['accuracy'])}; {wanted}"
    yield f"  error        {held_back['error']:.4f}; paper: {theirs['error']:.4f}"
    yield f"  sensitivity  {share(held_back['sensitivity'])}"
    yield f"  specificity  {share(held_back['specificity'])}"
    yield f"  {evaluation['leakage']['text']}"
    yield f"  accuracy without those: {share(evaluation['leakage']['accuracy_without_those'])}"
    yield f"  accuracy of the camera alone, without looking at a cell: {share(evaluation['camera_alone'])}"
    yield "Random splits"
    yield "   seed   right  accuracy %       error  cell also trained on"
    for row in together["each"]:
        yield (
            f"{row['seed']:7d}{row['right']:5d}/{row['test']:<4d}{100 * row['accuracy']:9.1f}"
            f"{row['error']:12.4f}{row['cell_also_in_training']:22d}"
        )
    yield f"  together     {share(together['accuracy'])}, {together['accuracy']['groups']} groups"
    yield f"  mean error   {together['error']:.4f}"
    yield f"  {together['text']}"


def goals(evaluated: Evaluated) -> Iterator[str]:
    """Put an evaluation's goals into lines for people."""
    document = evaluated.document
    minutes = document["cpu_s"] / 60
    yield f"Leak-free protocol: {document['trainings']} trainings, {minutes:.0f} minutes of processor time"
    for goal in document["goals"]:
        sign = "≥" if goal["at_least"] else "≤"
        figure = goal["figure"]
        yield (
            f"  {'reached ' if goal['reached'] else 'MISSED  '}{goal['name']}: {report.number(figure)}, "
            f"95 % interval {report.interval(figure)}, goal {sign} {goal['wanted']:g}"
        )
