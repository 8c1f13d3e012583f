"""``python -m training.curve``: how well a recipe does with fewer sessions and laboratories."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from training.cli import read_collection
from training.data.cache import Cache
from training.protocol import curve as protocol
from training.protocol.recipe import RECIPES, load
from training.report.results import write_json
from training.terminal import bar


@click.command()
@click.option("--recipe", "name", type=click.Choice(list(RECIPES)), default="relative-single")
@click.option("--data", "data_folder", type=click.Path(path_type=Path), required=True, help="As of `train`.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file that is written.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trainings at once.")
@click.option("--cache", "cache_folder", type=click.Path(path_type=Path), help="As of `train`.")
def command(
    name: str, data_folder: Path, out: Path, seed: int, workers: int, cache_folder: Path | None
) -> None:
    """Measure a learning curve; a run that was stopped goes on."""
    collection = read_collection(data_folder, Cache(cache_folder))
    with ExitStack() as stack:
        found = protocol.curve(
            collection,
            load(name),
            seed=seed,
            workers=workers,
            start=lambda trainings: stack.enter_context(bar("Trainings", trainings)),
        )
    write_json(out, found)
    for row in protocol.rows(found):
        click.echo("  ".join(row))


if __name__ == "__main__":
    command()
