"""``blastcount convert``: Keras model in, int8 bundle out, through the gate."""

from __future__ import annotations

from pathlib import Path

import click

from convert.backend import load_model
from convert.bundle import check_output, export
from convert.draft import read_draft
from convert.gate.crops import CALIBRATION_KEYS, PARITY_KEYS, has_key, hold_out, read_crops
from convert.graph.static import check_model, one_graph
from convert.recipes import RECIPES, REFINED
from convert.report import Subject, write_report

#: Share of the calibration file that is held out for the gate where no other crops are given.
HELD_OUT = 1 / 3


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--calibration",
    required=True,
    type=click.Path(path_type=Path),
    help="Crops to measure ranges on: .npz (train_crops or crops) or a folder of images.",
)
@click.option(
    "--parity",
    type=click.Path(path_type=Path),
    help="Held-out crops for the gate: .npz (test_crops or crops) or a folder. Default: test_crops of the "
    "calibration file, else a third of its crops, which are then not calibrated on.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the bundle.")
@click.option("--name", help="Name of the bundle. Default: the card's, else the model file's.")
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="Card from training: input, decision, training, evaluation.",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default=REFINED.name,
    show_default=True,
    help="How to quantise.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Folder for the parity report, NAME.parity.md and NAME.parity.json; also written where the gate "
    "refuses.",
)
@click.option(
    "--allow-open",
    is_flag=True,
    help="Write the bundle although the parity crops leave questions of the gate open: no labels, fields or "
    "groups, cells that may be cut, fewer than 1000 crops. The card says so.",
)
@click.option("--force", is_flag=True, help="Replace a bundle of the same name.")
def convert(
    model: Path,
    calibration: Path,
    parity: Path | None,
    out: Path,
    name: str | None,
    card: Path | None,
    recipe: str,
    report: Path | None,
    allow_open: bool,
    force: bool,
) -> None:
    """Convert the Keras model MODEL to an int8 bundle: NAME.tflite, .json, .golden.npz, .field.npz.

    The exported file is compared with Keras through every installed interpreter, on whole cells of groups of
    fields that it was not calibrated on, each interpreter in a process of its own. Where they disagree, or
    the crops cannot answer what the gate asks, no bundle is written and the exit code is 4.
    """
    if name is not None:
        check_output(out, name, force=force)
    keras_model = one_graph(load_model(model))
    size_px = check_model(keras_model)
    draft = read_draft(card, size_px)
    paths = check_output(out, name or draft.name or model.stem, force=force)
    fitted = read_crops(calibration, size_px, CALIBRATION_KEYS)
    if parity is not None:
        judged = read_crops(parity, size_px, PARITY_KEYS)
    elif has_key(calibration, PARITY_KEYS[0]):
        judged = read_crops(calibration, size_px, PARITY_KEYS[:1])
    else:
        fitted, judged = hold_out(fitted, HELD_OUT, seed=0)
    click.echo(f"{len(fitted)} crops to calibrate on, {len(judged)} held out for the gate", err=True)
    result = export(
        keras_model, draft, fitted, judged, paths, recipe=RECIPES[recipe], allow_open=allow_open, tick=_say
    )
    click.echo(result.verdict.table())
    if report is not None:
        given = [file for file in (model, calibration, parity, card) if file is not None and file.is_file()]
        subject = Subject(
            paths[0].name.removesuffix(".tflite"), keras_model, draft, given, fitted, judged, result.examined
        )
        click.echo(f"report in {write_report(subject, report, _say)}", err=True)
    result.verdict.refuse()
    click.echo(f"{result.size_bytes / 1000:.0f} kB in {paths[0]}")


def _say(stage: str) -> None:
    click.echo(f"{stage} ...", err=True)
