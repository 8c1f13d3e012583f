"""``blastcount train``: data set to Keras model, with the paper's table beside its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import click

from edge.errors import ConfigError, GateError
from training.audit_cli import brief
from training.backend import load_keras
from training.data import allidb, allidb_marks, sources
from training.data.audit import audit
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.data.crops import cut, survey
from training.protocol.evaluation import Evaluated, evaluate
from training.protocol.recipe import RECIPES, Recipe, load
from training.recipes import akbar2024, akbar2024_splits
from training.recipes.akbar2024 import Outcome
from training.recipes.akbar2024_splits import SplitTest
from training.report import cell_results, folder, results
from training.report import evaluation as report
from training.report.card import camera_alone
from training.terminal import bar


@click.command()
@click.option(
    "--recipe",
    "name",
    type=click.Choice(list(RECIPES)),
    default=akbar2024.NAME,
    show_default=True,
    help="What to train.",
)
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
    "--seed", type=click.IntRange(0, 2**32 - 1), default=akbar2024.SEED, show_default=True,
    help="Of the choice of cells, the split and the network.",
)  # fmt: skip
@click.option(
    "--epochs", type=click.IntRange(1), default=akbar2024.EPOCHS, show_default=True,
    help="Of akbar2024; 20 in the paper.",
)  # fmt: skip
@click.option(
    "--splits", type=click.IntRange(1), default=akbar2024_splits.SPLITS, show_default=True,
    help="Of akbar2024: random splits to test; the first gives the model, each further one trains a network "
    "with the next seed only to test it.",
)  # fmt: skip
@click.option(
    "--leak-free/--no-leak-free", default=True, show_default=True,
    help=f"Of akbar2024: test by whole scenes as well; trains {akbar2024.FOLDS} more networks.",
)  # fmt: skip
@click.option(
    "--allow-leakage/--refuse-leakage",
    "allow_leakage",
    default=None,
    help="Of akbar2024: whether one cell or field may be on both sides of the split.  [default: it may, as "
    "in the paper; the card says how often]",
)
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
    help="Folder for segmentations, the audit and the trainings of --evaluate.  [default: the user's cache]",
)
@click.option("--force", is_flag=True, help="Replace earlier results in --out.")
def train(
    name: str,
    data_folder: Path,
    out: Path,
    seed: int,
    epochs: int,
    splits: int,
    leak_free: bool,
    allow_leakage: bool | None,
    with_protocol: bool,
    workers: int,
    cache_folder: Path | None,
    force: bool,
) -> None:
    """Train a classifier of blasts.

    Writes model.keras, card.json, manifest.json and, for `blastcount convert`, crops.npz; akbar2024 also
    table1.csv, history.json, figure4.png, split.csv and splits.csv; --evaluate also evaluation.json, .md and
    .html. Research use only.
    """
    of_paper = name == akbar2024.NAME
    files = (*results.FILES, *report.FILES) if of_paper else cell_results.FILES
    folder.check(out, files, force=force)
    if allow_leakage and not of_paper:
        raise ConfigError(
            f"--allow-leakage: {name} is tested on whole groups of fields and cannot leak; leave the option "
            f"out (it is for {akbar2024.NAME}, whose paper splits crops at random)"
        )
    load_keras()  # says at once that TensorFlow is missing
    evaluated = None
    recipe = load(name)
    cache = Cache(cache_folder)
    for line in _audit(data_folder, cache, (allidb_marks.LAB,) if of_paper else recipe.labs):
        click.echo(line)
    if with_protocol or not of_paper:
        collection = read_collection(data_folder, cache)
        if with_protocol:
            evaluated = _evaluate(collection, recipe, seed, workers)
    if of_paper:
        leaks = allow_leakage is not False
        _train_paper(data_folder, out, seed, epochs, splits, leak_free, leaks, evaluated, force)
    else:
        cells = cell_results.trained_on(collection, recipe)
        click.echo(f"{name}: training on {len(cells)} cells", err=True)
        fitted = recipe.fit(collection, cells, seed, lambda: None)
        cell_results.write(out, collection, recipe, fitted, evaluated, seed=seed, force=force)
    if evaluated is not None:
        for line in goals(evaluated):
            click.echo(line)
    click.echo(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}", err=True)


def _train_paper(
    data_folder: Path,
    out: Path,
    seed: int,
    epochs: int,
    splits: int,
    leak_free: bool,
    allow_leakage: bool,
    evaluated: Evaluated | None,
    force: bool,
) -> None:
    data = allidb.load(data_folder)
    click.echo(f"{data_folder}: {len(data.fields)} fields, {len(data.crops)} crops", err=True)
    with bar("Reading", 2 * len(data.fields)) as tick:
        surveyed = survey(data, tick)
        crop_set = cut(data, surveyed, akbar2024.SPEC, tick)
    if not allow_leakage:
        for one in akbar2024_splits.seeds(seed, splits):
            refuse_leakage(akbar2024.leakage(crop_set, one))
    networks = splits + (akbar2024.FOLDS if leak_free else 0)
    with bar("Epochs", networks * epochs) as tick:
        outcome = akbar2024.run(crop_set, seed=seed, epochs=epochs, leak_free=leak_free, tick=tick)
        tests = akbar2024_splits.repeat(crop_set, outcome, splits, tick=tick)
    results.write(out, data, surveyed, crop_set, outcome, tests, evaluated, force=force)
    for line in summary(outcome, tests):
        click.echo(line)


def refuse_leakage(leaked: tuple[int, int, str]) -> None:
    """Say no to a split that shows the network what it is tested on.

    Parameters
    ----------
    leaked : number of test crops whose cell is trained on, number of test crops, and the first one's name

    Raises
    ------
    GateError
        There is such a crop.
    """
    shared, n_test, first = leaked
    if shared:
        raise GateError(
            f"the split leaks: {shared} of {n_test} test crops show a cell that is also trained on, first "
            f"{first}; use a recipe that splits whole fields, or --allow-leakage to repeat the paper's split"
        )


def _audit(data_folder: Path, cache: Cache, labs: Sequence[str]) -> Iterator[str]:
    """Say what of the data would leak; every recipe is told before it trains."""
    yield "Leakage audit (`blastcount audit` has all of it)"
    for line in brief(audit(data_folder, cache, labs)):
        yield f"  {line}"


def read_collection(data_folder: Path, cache: Cache) -> Collection:
    """Read, segment and match the laboratories of a data folder, with a bar for people."""
    labs = sources.present(data_folder)
    click.echo(f"{data_folder}: {', '.join(labs)}", err=True)
    with bar("Segmenting", sources.count(data_folder, labs)) as tick:
        return collect(data_folder, cache, labs, lambda _lab: tick())


def _evaluate(collection: Collection, recipe: Recipe, seed: int, workers: int) -> Evaluated:
    with ExitStack() as stack:

        def start(trainings: int) -> Callable[[], None]:
            return stack.enter_context(bar("Trainings", trainings))

        return evaluate(collection, recipe, seed=seed, workers=workers, start=start)


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


def summary(outcome: Outcome, splits: Sequence[SplitTest]) -> Iterator[str]:
    """Put a run of the recipe into words.

    Parameters
    ----------
    outcome : of the recipe
    splits : tests of every random split

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
    yield from _splits(splits)
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


def _splits(splits: Sequence[SplitTest]) -> Iterator[str]:
    """Put every random split into a line, and all of them into one."""
    yield "Random splits"
    yield "   seed   right  accuracy %       error  cell also trained on"
    for test in splits:
        found = test.evaluation
        yield (
            f"{test.seed:7d}{found.accuracy.k:5d}/{found.accuracy.n:<4d}"
            f"{100 * (found.accuracy.value or 0.0):9.1f}{found.error:12.4f}{test.leaked:22d}"
        )
    together = akbar2024_splits.pooled(splits)
    accuracy = cast(dict[str, Any], together["accuracy"])
    low, high = accuracy["ci95"]
    yield (
        f"  together     {100 * accuracy['value']:.1f} % ({accuracy['k']}/{accuracy['n']}; 95 % interval "
        f"over {accuracy['groups']} scenes {100 * low:.1f} to {100 * high:.1f})"
    )
    yield f"  mean error   {together['error']:.4f}"
    yield f"  {together['text']}"
