"""``blastcount bench``: what a field costs on this machine."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from edge import bench as measuring
from edge.classification.card import default_bundle_path, load_bundle
from edge.commands.options import FILE, FOLDER, PATH, json_option, model_option
from edge.commands.outputs import prepare_folder
from edge.commands.progress import Progress

#: Three crowded fields render in a few seconds and differ enough to show what depends on the field.
_FIELDS = 3
_MOST_THREADS = 4
#: Far more than a field has cells at once.
_MOST_CROPS = 256


def _numbers(highest: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """Make a callback that reads ``1,8,32`` or ``1-4``: each number once, in rising order."""

    def read(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
        found: set[int] = set()
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
            if match is None:
                raise click.BadParameter(f"expected numbers like 1,8,32 or 1-4, got {value!r}")
            low, high = int(match[1]), int(match[2] or match[1])
            if not 1 <= low <= high <= highest:
                raise click.BadParameter(f"numbers must rise and be 1 to {highest}, got {part.strip()!r}")
            found.update(range(low, high + 1))
        return tuple(sorted(found))

    return read


@click.command("bench")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=PATH)
@click.option(
    "--fields",
    type=click.IntRange(1),
    help=f"Number of fields: of the images at most so many; of rendered ones {_FIELDS} if not given.",
)
@click.option(
    "--threads",
    callback=_numbers(_MOST_THREADS),
    metavar="NUMBERS",
    default="1-4",
    help="Numbers of threads to try, those above the number of cores left out.",
)
@click.option(
    "--batch",
    "batches",
    callback=_numbers(_MOST_CROPS),
    metavar="NUMBERS",
    default="1,8,32",
    help="Crops handed to the network at once, in the measurement of the network alone.",
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
    threads: tuple[int, ...],
    batches: tuple[int, ...],
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
    settings = measuring.Settings(repeat, measuring.usable_threads(threads), batches)
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
            document = measuring.run(bundle, files, not paths, settings, Path(folder), progress.step)
    changes = None if before is None else measuring.compare(before, document)
    text = json.dumps(document) + "\n" if as_json else measuring.markdown(document, changes)
    click.echo(text, nl=False)
    if changes is not None:
        measuring.refuse_slower(changes)
