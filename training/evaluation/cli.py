"""``blastcount evaluate``: how well the product does on annotated images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from edge.commands.outputs import encode_jpeg, prepare_folder, write_atomically
from edge.commands.progress import Progress
from edge.device.machine import describe_machine, describe_software
from edge.device.printable import markdown_table
from edge.errors import GateError
from edge.segmentation import Segmentation
from edge.structures import UInt8Image
from training.evaluation.figures import figure_json, figures_table, source_name, table
from training.evaluation.live_cli import quality, registration
from training.evaluation.overlay import draw_comparison
from training.evaluation.robustness import (
    MarkedField,
    Robustness,
    marked_fields,
    rendered_fields,
    robustness,
)
from training.evaluation.run import Comparison, Figure, evaluate
from training.evaluation.truth import Layout, read_truth


@click.group("evaluate")
def evaluate_group() -> None:
    """Measure on your own annotated images."""


evaluate_group.add_command(registration)
evaluate_group.add_command(quality)


@evaluate_group.command("segmentation")
@click.option(
    "--truth",
    "truth_folders",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Annotated folder; repeat for several. Layouts: im+xyc, images+annotations (VOC), "
    "images+labels (YOLO), masks, one folder a class.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for figures.json and a picture of every error."
)
@click.option(
    "--um-per-px", type=click.FloatRange(0.01, 2.0), help="Scale of the images; found in each if not given."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table, for a report.")
def segmentation(
    truth_folders: Sequence[Path], out: Path | None, um_per_px: float | None, as_json: bool, markdown: bool
) -> None:
    """Compare the cells found with the cells that people marked.

    Smudge cells count as finds against boxes and expert masks, not against blast centroids.
    """
    sources: list[tuple[Path, Layout, int, list[Figure]]] = []
    for folder in truth_folders:
        layout, fields = read_truth(folder)
        # Images of several folders may share a name, so each source gets a folder of its own.
        pictures = out / "_".join(folder.resolve().parts[-2:]) if out else None
        progress = Progress(str(folder))
        with progress.over(len(fields)):
            figures = evaluate(layout, fields, _painter(pictures, progress), um_per_px)
        sources.append((folder, layout, len(fields), figures))
    document = {
        "schema": "blastcount.segmentation/1",
        "software": describe_software(),
        "machine": describe_machine(),
        "sources": [
            {
                "truth": source_name(folder),
                "layout": layout,
                "images": images,
                "figures": [figure_json(f) for f in figures],
            }
            for folder, layout, images, figures in sources
        ],
    }
    text = json.dumps(document, indent=2)
    if out:
        prepare_folder(out)
        write_atomically(out / "figures.json", f"{text}\n".encode())
    if as_json:
        click.echo(text)
    elif markdown:
        click.echo(figures_table({folder.name: figures for folder, _, _, figures in sources}, digits=3))
    else:
        titles = [f"{folder} ({images} images, layout '{layout}')" for folder, layout, images, _ in sources]
        tables = [table(title, source[3], digits=3) for title, source in zip(titles, sources, strict=True)]
        click.echo("\n\n".join(tables))


@evaluate_group.command("robustness")
@click.option(
    "--truth",
    "truth_folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Annotated folder, as for `segmentation`; repeat for several.",
)
@click.option(
    "--rendered", default=0, type=click.IntRange(0), help="Number of rendered fields to look at, too."
)
@click.option("--every", default=1, type=click.IntRange(1), help="Take every n-th image of a folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def robustness_command(truth_folders: Sequence[Path], rendered: int, every: int, as_json: bool) -> None:
    """Alter fields as other lamps, lenses and cameras would, and see what is still found.

    Exit code 4 where an alteration costs more than 2 points of recall, or turning or mirroring a field
    changes its count by more than one cell.
    """
    if not truth_folders and not rendered:
        raise click.UsageError("nothing to alter: give --truth FOLDER or --rendered N")
    sources: list[tuple[str, int, Iterable[MarkedField]]] = []
    for folder in truth_folders:
        truths = read_truth(folder)[1][::every]
        sources.append(("/".join(folder.resolve().parts[-2:]), len(truths), marked_fields(truths)))
    if rendered:
        sources.append(("rendered", rendered, rendered_fields(rendered)))
    results: list[tuple[str, list[Robustness]]] = []
    for name, number, fields in sources:
        progress = Progress(name)
        with progress.over(number):
            results.append((name, robustness(fields, on_field=progress.step)))
    if as_json:
        document = {
            "schema": "blastcount.robustness/1",
            "software": describe_software(),
            "machine": describe_machine(),
            "every": every,
            "sources": [
                {"source": name, "alterations": [asdict(r) | {"held": r.held} for r in rows]}
                for name, rows in results
            ],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_robustness_table(results))
    if not all(row.held for _, rows in results for row in rows):
        raise GateError("some alterations were not held; see the rows marked with an exclamation mark")


def _robustness_table(results: Sequence[tuple[str, list[Robustness]]]) -> str:
    header = (
        "source",
        "alteration",
        "fields",
        "found before",
        "found altered",
        "drop, points",
        "count within one",
    )
    rows = [
        (
            name,
            r.name,
            str(r.fields),
            f"{r.hits_before}/{r.marked}",
            f"{r.hits}/{r.marked}",
            f"{100 * r.drop:.1f}{'' if r.held else ' !'}",
            f"{r.within_one}/{r.fields}",
        )
        for name, found in results
        for r in found
    ]
    return markdown_table(header, rows, aligned=False)


def _painter(
    pictures: Path | None, progress: Progress
) -> Callable[[Comparison, UInt8Image, Segmentation], None]:
    def paint(comparison: Comparison, image: UInt8Image, found: Segmentation) -> None:
        if pictures is not None and comparison.wrong:
            prepare_folder(pictures)
            picture = pictures / f"{comparison.truth.image.stem}.jpg"
            write_atomically(picture, encode_jpeg(draw_comparison(image, comparison, found)))
        progress.step()

    return paint
