"""``blastcount bench``: what a field costs on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from edge import bench as measuring
from edge.classification.card import default_bundle_path, load_bundle
from edge.commands.options import FILE, FOLDER, PATH, json_option, model_option
from edge.commands.outputs import prepare_folder
from edge.commands.progress import Progress

#: Three crowded fields render in a few seconds and differ enough to show what depends on the field.
_FIELDS = 3


@click.command("bench")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PATH)
@click.option(
    "--fields",
    type=click.IntRange(1),
    help=f"Number of fields: of the images at most so many; of rendered ones {_FIELDS} if not given.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Of OpenCV and of the interpreter.",
)
@click.option("--repeat", type=click.IntRange(2), default=30, help="Rounds.")
@model_option
@click.option(
    "--scratch",
    type=FOLDER,
    metavar="DIR",
    help="Folder for the log that is written and removed; name one on the card whose speed matters.",
)
@json_option
@click.option(
    "--baseline",
    "baseline_path",
    type=FILE,
    metavar="FILE",
    help="JSON of an earlier run on this machine: exit code 4 where this one is slower.",
)
def bench(
    paths: Sequence[Path],
    fields: int | None,
    threads: int,
    repeat: int,
    model: Path | None,
    scratch: Path | None,
    as_json: bool,
    baseline_path: Path | None,
) -> None:
    """Measure what a field costs on this machine, by stage: time, memory, start, heat.

    Counts your images, or rendered fields as crowded as a field gets (about 110 white cells). Rendering is
    not timed.
    """
    before = measuring.read_baseline(baseline_path) if baseline_path else None
    bundle = load_bundle(model or default_bundle_path())
    if scratch:
        prepare_folder(scratch)
    with tempfile.TemporaryDirectory(prefix="blastcount-bench-", dir=scratch) as folder:
        files = (
            measuring.find_images(paths, fields)
            if paths
            else measuring.render_images(Path(folder), fields or _FIELDS)
        )
        progress = Progress("measuring")
        with progress.over(measuring.WARMUP_ROUNDS + repeat):
            document = measuring.run(bundle, files, not paths, repeat, threads, Path(folder), progress.step)
    changes = None if before is None else measuring.compare(before, document)
    text = json.dumps(document) + "\n" if as_json else measuring.markdown(document, changes)
    click.echo(text, nl=False)
    if changes is not None:
        measuring.refuse_slower(changes)
