"""``blastcount evaluate``: how well the product does on annotated images, rendered scans and bad pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from edge.camera.folders import find_files
from edge.commands.outputs import encode_picture, prepare_folder, write_atomically
from edge.commands.progress import Progress
from edge.device.printable import markdown_table
from edge.errors import DataSetError, GateError
from edge.rendered import RenderSettings, scan
from edge.segmentation import Segmentation
from edge.structures import UInt8Image
from training.audit_cli import read_collection
from training.data.cache import Cache
from training.evaluation import recalibration as curves
from training.evaluation.figures import Figure, document, figure_json, figures_table, source_name
from training.evaluation.overlay import draw_comparison
from training.evaluation.quality import evaluate_gate, follow_sessions, read_sessions, summed
from training.evaluation.registration import Outcome, follow_slide, registered_pairs
from training.evaluation.robustness import (
    MarkedField,
    Robustness,
    marked_fields,
    rendered_fields,
    robustness,
)
from training.evaluation.run import Comparison, evaluate
from training.evaluation.truth import read_truth
from training.protocol.recipe import load
from training.report import recalibration as page
from training.report.page import markdown

#: The recipe of the shipped network.
_RECIPE = "coloured"
_out = click.option("--out", type=click.Path(path_type=Path), help="Folder for the figures as a JSON file.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_markdown = click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table for a page.")


@dataclass(frozen=True, slots=True)
class _Report:
    """Figures of one command by the source's name, and what its JSON says of each source."""

    name: str
    digits: int
    figures: dict[str, Sequence[Figure]] = field(default_factory=dict)
    about: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, figures: Sequence[Figure], **about: object) -> None:
        """Add a source."""
        self.figures[name] = figures
        self.about.append(
            (about or {"source": name}) | {"figures": [figure_json(figure) for figure in figures]}
        )

    def show(self, out: Path | None, as_json: bool, as_markdown: bool) -> None:
        """Write the JSON where a folder is given, and print what is asked for."""
        text = json.dumps(document(self.name, self.about), indent=1)
        if out is not None:
            prepare_folder(out)
            write_atomically(out / f"{self.name}.json", f"{text}\n".encode())
        click.echo(text if as_json else figures_table(self.figures, self.digits, aligned=not as_markdown))


@click.group("evaluate")
def evaluate_group() -> None:
    """Measure on your own annotated images."""


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
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for segmentation.json and a picture of every error.",
)
@click.option(
    "--um-per-px", type=click.FloatRange(0.01, 2.0), help="Scale of the images; found in each if not given."
)
@_json
@_markdown
def segmentation(
    truth_folders: Sequence[Path], out: Path | None, um_per_px: float | None, as_json: bool, as_markdown: bool
) -> None:
    """Compare the cells found with the cells that people marked.

    Smudge cells count as finds against boxes and expert masks, not against blast centroids.
    """
    report = _Report("segmentation", 3)
    for folder in truth_folders:
        layout, fields = read_truth(folder)
        # Images of several folders may share a name, so each source gets a folder of its own.
        pictures = out / "_".join(folder.resolve().parts[-2:]) if out else None
        progress = Progress(str(folder))
        with progress.over(len(fields)):
            figures = evaluate(layout, fields, _painter(pictures, progress), um_per_px)
        report.add(folder.name, figures, truth=source_name(folder), layout=layout, images=len(fields))
    report.show(out, as_json, as_markdown)


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
@_json
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
        sources.append((source_name(folder), len(truths), marked_fields(truths)))
    if rendered:
        sources.append(("rendered", rendered, rendered_fields(rendered)))
    results: list[tuple[str, list[Robustness]]] = []
    for name, number, fields in sources:
        progress = Progress(name)
        with progress.over(number):
            results.append((name, robustness(fields, on_field=progress.step)))
    if as_json:
        about = [
            {"source": name, "alterations": [asdict(r) | {"held": r.held} for r in rows]}
            for name, rows in results
        ]
        click.echo(json.dumps(document("robustness", about) | {"every": every}, indent=2))
    else:
        click.echo(_robustness_table(results))
    if not all(row.held for _, rows in results for row in rows):
        raise GateError("some alterations were not held; see the rows marked with an exclamation mark")


@evaluate_group.command("registration")
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
    slides: int, fields: int, seed: int, images: Sequence[Path], out: Path | None, **shown: bool
) -> None:
    """Scan rendered slides as a hand does and count how many cells are counted twice or lost.

    Fields overlap by 5 to 60 %, are turned by up to 2 degrees and out of focus by up to 1 µm, the stage goes
    back over earlier places, and the lamp drifts.
    """
    report = _Report("registration", 4)
    if slides:
        outcome = Outcome()
        progress = Progress("scanning")
        with progress.over(slides * fields):
            for slide_seed in range(seed, seed + slides):
                settings = RenderSettings(width=856, height=684, um_per_px=0.2)
                follow_slide(scan(slide_seed, fields, settings), outcome, progress.step)
        report.add("rendered", outcome.figures())
    for folder in images:
        files = find_files(folder)
        progress = Progress(str(folder))
        with progress.over(len(files)):
            found = registered_pairs(files, progress.step)
        compared = len(files) * (len(files) - 1) // 2
        report.add(source_name(folder), [Figure("pairs_registered", float(len(found)), compared)])
        for old, new, how in found:
            click.echo(f"{old.name} {new.name} {how.correlation:.2f}", err=True)
    report.show(out, **shown)


@evaluate_group.command("quality")
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
def quality(images: Sequence[Path], degraded: int, out: Path | None, **shown: bool) -> None:
    """Judge good fields, and the same fields made bad, by the gate that stands before counting.

    What is refused of the good and what passes of the bad is named on stderr.
    """
    report = _Report("quality", 4)
    for folder in images:
        files = _pictures(folder)
        progress = Progress(str(folder))
        with progress.over(len(files)):
            outcome = evaluate_gate(files, degraded, progress.step)
        follow_sessions(read_sessions(files[0].parent), outcome)
        report.add(source_name(folder), outcome.figures())
        for name, verdicts in [*outcome.good.items(), *outcome.bad.items()]:
            if verdicts.examples:
                click.echo(f"{source_name(folder)}: {name}: {', '.join(verdicts.examples)}", err=True)
    if len(report.figures) > 1:
        report.add("all", summed(report.figures.values()))
    report.show(out, **shown)


@evaluate_group.command("recalibration")
@click.option(
    "--data", "data_folder", type=click.Path(path_type=Path), help="Folder of the laboratories' data sets."
)
@click.option(
    "--folds", type=click.Path(path_type=Path), help="Folder of recorded trainings; those missing are run."
)
@click.option("--cache", "cache_folder", type=click.Path(path_type=Path), help="Folder for segmentations.")
@click.option(
    "--cells",
    "cells_file",
    type=click.Path(path_type=Path),
    help="File that keeps what the networks said of each cell; where it is there, no data is read.",
)
@click.option("--draws", type=click.IntRange(2), default=100, show_default=True, help="A number of cells.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trainings at once.")
@_out
@_json
def recalibration(
    data_folder: Path | None,
    folds: Path | None,
    cache_folder: Path | None,
    cells_file: Path | None,
    draws: int,
    workers: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Leave each camera and laboratory out, give k of its labelled cells back, and recalibrate on them."""
    if cells_file is not None and cells_file.exists():
        sites = curves.read_sites(cells_file)
    elif data_folder is None:
        raise click.UsageError("give --data DIR, or --cells FILE that an earlier run has left")
    else:
        collection = read_collection(data_folder, Cache(cache_folder))
        sites = curves.judged_sites(collection, load(_RECIPE), folds, workers)
        if cells_file is not None:
            curves.write_sites(cells_file, _RECIPE, sites)
    progress = Progress("recalibrating")
    with progress.over(len(sites)):
        found = curves.document(sites, draws, progress.step)
    if out is not None:
        prepare_folder(out)
        write_atomically(out / "recalibration.json", f"{json.dumps(found, indent=1)}\n".encode())
    click.echo(
        json.dumps(found, indent=1) if as_json else markdown("Recalibration", list(page.blocks(found)))
    )


def _robustness_table(results: Sequence[tuple[str, list[Robustness]]]) -> str:
    header = "source, alteration, fields, found before, found altered, points lost, count within one"
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
    return markdown_table(header.split(", "), rows, aligned=False)


def _painter(
    pictures: Path | None, progress: Progress
) -> Callable[[Comparison, UInt8Image, Segmentation], None]:
    def paint(comparison: Comparison, image: UInt8Image, found: Segmentation) -> None:
        if pictures is not None and comparison.wrong:
            prepare_folder(pictures)
            picture = pictures / f"{comparison.truth.image.stem}.jpg"
            write_atomically(picture, encode_picture(draw_comparison(image, comparison, found)))
        progress.step()

    return paint


def _pictures(folder: Path) -> list[Path]:
    """Pictures of an annotated folder without its masks, or all pictures of another one."""
    try:
        return [truth.image for truth in read_truth(folder)[1]]
    except DataSetError:
        return find_files(folder)
