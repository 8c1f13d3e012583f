"""``blastcount evaluate registration`` and ``quality``: what a live scan needs beside counting."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from edge.camera.files import find_files
from edge.commands.outputs import prepare_folder, write_atomically
from edge.commands.progress import Progress
from edge.errors import DataSetError
from edge.rendered import RenderSettings, scan
from training.evaluation.figures import document, figures_table, source_name, table
from training.evaluation.quality import evaluate_gate, follow_sessions, read_sessions, summed
from training.evaluation.registration import Outcome, follow_slide, registered_pairs
from training.evaluation.run import Figure
from training.evaluation.truth import read_truth

_out = click.option("--out", type=click.Path(path_type=Path), help="Folder for the figures as a JSON file.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_markdown = click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")


@click.command("registration")
@click.option("--slides", type=click.IntRange(0), default=4, show_default=True, help="Rendered slides.")
@click.option("--fields", type=click.IntRange(2), default=45, show_default=True, help="Fields of each slide.")
@click.option("--seed", type=click.IntRange(0), default=600, show_default=True, help="Of the first slide.")
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of real fields: every two of them are compared. Repeat for several.",
)
@_out
@_json
@_markdown
def registration(
    slides: int,
    fields: int,
    seed: int,
    images: Sequence[Path],
    out: Path | None,
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Scan rendered slides as a hand does and count how many cells are counted twice or lost.

    Fields overlap by 5 to 60 %, are turned by up to 2 degrees and out of focus by up to 1 µm, the stage goes
    back over earlier places, and the lamp drifts.
    """
    sources: dict[str, Sequence[Figure]] = {}
    if slides:
        outcome = Outcome()
        progress = Progress("scanning")
        with progress.over(slides * fields):
            for slide_seed in range(seed, seed + slides):
                settings = RenderSettings(width=856, height=684, um_per_px=0.2)
                follow_slide(scan(slide_seed, fields, settings), outcome, progress.step)
        sources["rendered"] = outcome.figures()
    pairs: list[str] = []
    for folder in images:
        files = find_files(folder)
        progress = Progress(str(folder))
        with progress.over(len(files)):
            found = registered_pairs(files, progress.step)
        compared = len(files) * (len(files) - 1) // 2
        sources[source_name(folder)] = [Figure("pairs_registered", float(len(found)), compared)]
        pairs += [f"{old.name} {new.name} {how.correlation:.2f}" for old, new, how in found]
    _show("registration", sources, out, as_json, as_markdown)
    for pair in pairs:
        click.echo(pair, err=True)


@click.command("quality")
@click.option(
    "--images",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of good fields, annotated or not; repeat for several. Beside a fields.csv (field, camera, "
    "session, exif_time) its sessions are judged live as well.",
)
@click.option(
    "--degraded",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    help="How many of each folder are made bad.",
)
@_out
@_json
@_markdown
def quality(
    images: Sequence[Path], degraded: int, out: Path | None, as_json: bool, as_markdown: bool
) -> None:
    """Judge good fields, and the same fields made bad, by the gate that stands before counting.

    What is refused of the good and what passes of the bad is named on stderr.
    """
    sources: dict[str, Sequence[Figure]] = {}
    for folder in images:
        files = _pictures(folder)
        progress = Progress(str(folder))
        with progress.over(len(files)):
            outcome = evaluate_gate(files, degraded, progress.step)
        follow_sessions(read_sessions(files[0].parent), outcome)
        sources[source_name(folder)] = outcome.figures()
        for name, verdicts in [*outcome.good.items(), *outcome.bad.items()]:
            if verdicts.examples:
                click.echo(f"{source_name(folder)}: {name}: {', '.join(verdicts.examples)}", err=True)
    if len(sources) > 1:
        sources["all"] = summed(sources.values())
    _show("quality", sources, out, as_json, as_markdown)


def _pictures(folder: Path) -> list[Path]:
    """Pictures of an annotated folder without its masks, or all pictures of another one."""
    try:
        return [truth.image for truth in read_truth(folder)[1]]
    except DataSetError:
        return find_files(folder)


def _show(
    name: str, sources: Mapping[str, Sequence[Figure]], out: Path | None, as_json: bool, as_markdown: bool
) -> None:
    text = json.dumps(document(f"blastcount.{name}/1", sources), indent=1)
    if out is not None:
        prepare_folder(out)
        write_atomically(out / f"{name}.json", f"{text}\n".encode())
    if as_json:
        click.echo(text)
    elif as_markdown:
        click.echo(figures_table(sources))
    else:
        click.echo("\n\n".join(table(source, figures) for source, figures in sources.items()))
