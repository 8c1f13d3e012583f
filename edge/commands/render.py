"""``blastcount render``: smears with a known truth, to try the whole line with."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge.bloodlog.pictures import encode
from edge.camera.folders import truth_path
from edge.commands.options import FOLDER
from edge.commands.outputs import prepare_folder, write_atomically
from edge.commands.progress import Progress
from edge.errors import ConfigError
from edge.rendered import Lamp, Population, RenderSettings, Sensor, Stain, render_field

_SETTINGS = RenderSettings()
#: As good as a camera's best; without the mark of pictures for people, because these are to be counted.
_JPEG_QUALITY = 92


@click.command("render")
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="Folder to write to.")
@click.option("--fields", type=click.IntRange(1), default=1, help="Number of fields.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the first field; the next ones count up.")
@click.option("--width", type=int, default=_SETTINGS.width, help="Width of a field in px.")
@click.option("--height", type=int, default=_SETTINGS.height, help="Height of a field in px.")
@click.option("--um-per-px", type=float, default=_SETTINGS.um_per_px, help="Scale in µm per px.")
@click.option(
    "--blasts",
    type=float,
    default=_SETTINGS.population.blast,
    help="Blasts per mm² of the slide; 0 for a healthy smear.",
)
@click.option(
    "--stain", type=float, default=_SETTINGS.stain.strength, help="Strength of the stain; 1 is usual."
)
@click.option(
    "--brightness",
    type=float,
    default=_SETTINGS.lamp.brightness,
    help="Level of the blank slide, as a share of full scale.",
)
@click.option(
    "--colour-temperature",
    "colour_temperature_k",
    type=float,
    default=_SETTINGS.lamp.colour_temperature_k,
    help="Of the lamp, in kelvin.",
)
@click.option("--gain", type=float, default=_SETTINGS.sensor.gain, help="Camera gain; more is noisier.")
@click.option("--defocus", "defocus_um", type=float, default=_SETTINGS.defocus_um, help="In µm.")
def render(
    out: Path,
    fields: int,
    seed: int,
    width: int,
    height: int,
    um_per_px: float,
    blasts: float,
    stain: float,
    brightness: float,
    colour_temperature_k: float,
    gain: float,
    defocus_um: float,
) -> None:
    """Draw smears with a known truth, to try the rest with.

    Writes rendered_SEED.jpg and rendered_SEED.truth.json for each field. They are drawings: a count on
    them shows that the line works, never how well cells of patients are told apart.
    """
    try:
        settings = RenderSettings(
            width=width,
            height=height,
            um_per_px=um_per_px,
            population=Population(blast=blasts),
            stain=Stain(strength=stain),
            lamp=Lamp(brightness=brightness, colour_temperature_k=colour_temperature_k),
            sensor=Sensor(gain=gain),
            defocus_um=defocus_um,
        )
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    prepare_folder(out)
    progress = Progress("rendering")
    with progress.over(fields):
        for field_seed in range(seed, seed + fields):
            field = render_field(field_seed, settings)
            image = out / f"rendered_{field_seed:04d}.jpg"
            truth = field.truth_json() | {"image": image.name, "seed": field_seed}
            # The truth first: an image without it would be taken for a real one.
            write_atomically(truth_path(image), (json.dumps(truth, indent=1) + "\n").encode())
            write_atomically(image, encode(field.image, _JPEG_QUALITY, "444"))
            progress.print(str(image))
            progress.step()
