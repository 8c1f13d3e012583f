"""``blastcount train``: data set to Keras model, with the paper's table beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click

from edge.commands.progress import Progress
from edge.device.printable import markdown_table
from edge.errors import ConfigError
from training.audit_cli import brief, read_collection, share
from training.backend import load_keras
from training.data.cache import Cache
from training.data.collection import Collection
from training.data.records import OWN, CellRecord
from training.data.sources import own_folders, present
from training.protocol import random_split
from training.protocol import types as type_protocol
from training.protocol.also import before_and_after, shipped_tests
from training.protocol.audit import audit
from training.protocol.evaluation import Evaluated, evaluate
from training.protocol.random_split import RandomSplit
from training.protocol.recipe import RECIPES, Recipe, check_enough, load
from training.protocol.run import Judged, run
from training.recipes import types as type_recipe
from training.recipes.akbar2024 import EPOCHS, NAME, RANDOM_SPLITS
from training.recipes.types import NAME as TYPES
from training.report import cardpage, folder, paper, results
from training.report import evaluation as report
from training.report import types as type_report
from training.report.page import Block, Table, Text
from training.report.results import Training


@click.command()
@click.option(
    "--recipe", "name", type=click.Choice([*RECIPES, TYPES]), default=NAME, show_default=True,
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
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of your own corrections, as `blastcount sample export --training` writes it, to learn from, "
    "too; may be repeated. With --evaluate it shows before and after.",
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
    "--test", "tests", multiple=True,
    help="Of --evaluate: only this test, as scene, session, camera:NAME or lab:NAME; may be repeated.  "
    "[default: all]",
)  # fmt: skip
@click.option(
    "--folds",
    type=click.Path(path_type=Path),
    help="Of --evaluate: folder that keeps what each training said, one small JSON a training; those that "
    "are there and of the same cells and recipe are not run again.  [default: in the cache]",
)
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
    also: tuple[Path, ...],
    out: Path,
    seed: int,
    epochs: int | None,
    splits: int | None,
    refuse_leakage: bool,
    with_protocol: bool,
    tests: tuple[str, ...],
    folds: Path | None,
    workers: int,
    cache_folder: Path | None,
    force: bool,
) -> None:
    """Train a classifier of blasts, or (--recipe types) the network that names types of cells beside it.

    Writes model.keras, card.json, card.md, manifest.json, split.csv and, for `blastcount convert`, crops.npz;
    random splits add table1.csv, figure4.png and splits.csv, --evaluate evaluation.json and .md, and
    disagreement.csv, cells whose label may be wrong.
    Research use only.
    """
    folder.check(out, type_report.FILES if name == TYPES else results.ALL_FILES, force=force)
    load_keras()  # says at once that TensorFlow is missing
    if name == TYPES:
        of_blasts = {
            "--also": also, "--epochs": epochs, "--splits": splits is not None,
            "--refuse-leakage": refuse_leakage, "--test": tests, "--workers": workers > 1,
        }  # fmt: skip
        given = [option for option, value in of_blasts.items() if value]
        if given:
            raise click.UsageError(
                f"{', '.join(given)}: of recipes of blasts; leave it out with --recipe types"
            )
        _train_types(data_folder, out, Cache(cache_folder), seed, folds, evaluated=with_protocol, force=force)
        return
    recipe = load_recipe(name, epochs)
    if also and OWN not in recipe.labs:
        raise click.UsageError(
            f"--also: {name} learns from {', '.join(recipe.labs)} alone; use --recipe coloured"
        )
    labs = None if with_protocol else recipe.labs
    collection = read_collection(data_folder, Cache(cache_folder), labs, also)
    click.echo("Leakage audit (`blastcount audit` has all of it)")
    for line in brief(audit(collection)):
        click.echo(f"  {line}")
    wanted = recipe.random_splits if splits is None else splits
    check_enough(recipe, _everything(collection, recipe))
    random = random_split.repeated(collection, seed, wanted, outlined=recipe.spec.needs_outline)
    if refuse_leakage:
        random_split.refuse_leakage(random)
    evaluated = None
    if with_protocol:
        evaluated = evaluate(collection, recipe, seed=seed, workers=workers, folds=folds, tests=tests)
        if also:
            own = own_folders(data_folder, also)
            compared = before_and_after(evaluated.document, shipped_tests(name), own)
            evaluated.document["before_and_after"] = list(compared)
    training = _train(collection, recipe, seed, random, evaluated)
    for line in _summary(results.write(out, training, force=force), training):
        click.echo(line)
    click.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}", err=True)


def _train_types(
    data_folder: Path, out: Path, cache: Cache, seed: int, folds: Path | None, *, evaluated: bool, force: bool
) -> None:
    """Train the network of types on everything, after judging networks that each leave laboratories out."""
    labs = [
        lab for lab in present(data_folder) if lab in (*type_recipe.LABS, *chain(*type_protocol.LEFT_OUT))
    ]
    collection = read_collection(data_folder, cache, labs)
    document = None
    if evaluated:
        kept = folds or cache.folder / "folds" / TYPES
        said, cpu_s = type_protocol.run(collection, kept, seed, partial(click.echo, err=True))
        document = type_protocol.document(collection, said, cpu_s, seed)
    cells = type_recipe.learnable(collection.cells)
    click.echo(f"{TYPES}: training on {len(cells)} cells", err=True)
    fitted = type_recipe.fit(collection, cells, seed)
    type_report.write(out, fitted, document, force=force)
    for block in type_report.blocks(document) if document is not None else ():
        if isinstance(block, Table):
            click.echo(markdown_table(block.header, block.rows))
    click.echo("Research use only.")


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
    progress = Progress("Random splits")
    with progress.over(len(random)):
        fitted = recipe.fit(first.sample, cells, first.seed)
        p_blast = fitted(first.side(first.split.judged))
        tested = [(first, Judged(first.split, p_blast, fitted([]), fitted.history))]
        progress.step()
        for split in further:
            tested.append((split, run(split.sample, recipe, [split.split], seed=split.seed)[0][0]))
            progress.step()
    return Training(collection, recipe, seed, fitted, cells, evaluated, tested)


def _everything(collection: Collection, recipe: Recipe) -> list[CellRecord]:
    return [cell for cell in collection.cells if cell.usable and cell.lab in recipe.labs]


def _summary(card: dict[str, Any], training: Training) -> Iterator[str]:
    """Put a training into words: the paper's table and the random splits, then the protocol's goals."""
    blocks: list[Block] = []
    if training.random:
        held_back = card["evaluation"]["held_back"]
        paper_says = (
            f"paper: {100 * paper.TEST['accuracy']:.0f} % of {paper.TEST['n']}, {paper.TEST['error']}"
        )
        yield (
            f"{card['name']}: {len(training.cells)} crops to train, {held_back['n']} held back, seed "
            f"{training.seed}; accuracy {share(held_back['accuracy'])}, error {held_back['error']:.4f}; "
            f"{paper_says}"
        )
        epochs = paper.table_1(training.fitted.history)
        if epochs:
            rows = (tuple("" if value is None else f"{value:g}" for value in row.values()) for row in epochs)
            blocks.append(Table(tuple(epochs[0]), tuple(rows)))
        blocks += cardpage.random_splits(card["evaluation"])
    if training.evaluated is not None:
        document = training.evaluated.document
        minutes = document["cpu_s"] / 60
        blocks.append(Text(f"{document['trainings']} trainings, {minutes:.0f} minutes of processor time"))
        blocks.append(report.goals_table(document))
        if compared := document.get("before_and_after"):
            blocks += report.before_and_after(compared)
    for block in blocks:
        if isinstance(block, Table):
            yield markdown_table(block.header, block.rows)
        elif isinstance(block, Text):
            yield block.text
    yield "Research use only."
