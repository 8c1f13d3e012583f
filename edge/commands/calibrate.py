"""``blastcount calibrate``: measure a microscope once, so that every field is judged by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from edge.calibration import Blank, Calibration, MeasuredScale
from edge.calibration.blank import measure_blank
from edge.calibration.micrometer import scale_from_micrometer
from edge.calibration.record import merged
from edge.calibration.red_cells import scale_from_red_cells
from edge.camera.configured import make_source
from edge.camera.files import read_image
from edge.camera.folders import find_files
from edge.commands.options import PATH, FiniteRange, config_option
from edge.config import Config, load_config
from edge.device.clock import utc_now
from edge.errors import CameraError, ConfigError
from edge.quality import WARNINGS
from edge.structures import Frame

_pictures = click.argument("pictures", nargs=-1, type=PATH)
_out = click.option("--out", type=PATH, help="File to write instead of the configured one.")
_frames = click.option(
    "--frames", type=click.IntRange(1, 1000), default=8, help="Frames to take from the camera."
)


@click.group("calibrate")
def calibrate_group() -> None:
    """Measure even light, white point and the size of a pixel.

    PICTURES are files or folders of the camera's own pictures; without any, frames are taken from the
    configured camera, which no daemon may be using meanwhile. Each part is put into the calibration file
    beside the others.
    """


@calibrate_group.command("blank")
@_pictures
@_frames
@config_option
@_out
def blank(pictures: Sequence[Path], frames: int, config_path: Path | None, out: Path | None) -> None:
    """Measure flat field and white point on a blank slide.

    Move to a place without cells, focus on the plane where cells would lie, and set lamp and camera as for
    counting.
    """
    config = load_config(config_path)
    taken = _Taken(config, pictures, frames)
    measured = measure_blank(taken)
    path = _save(config, out, replace(taken.calibration(), blank=measured))
    click.echo(f"{_blank_line(measured)}; written to {path}")


@calibrate_group.command("micrometer")
@_pictures
@click.option(
    "--division-um",
    type=FiniteRange(1.0, 1000.0),
    default=10.0,
    help="From one line to the next, in µm.",
)
@config_option
@_out
def micrometer(
    pictures: Sequence[Path], division_um: float, config_path: Path | None, out: Path | None
) -> None:
    """Measure the size of a pixel on the lines of a stage micrometer."""
    config = load_config(config_path)
    taken = _Taken(config, pictures, 1)
    frame = next(iter(taken))
    measured = scale_from_micrometer(frame, division_um)
    path = _save(config, out, replace(taken.calibration(), scale=measured))
    click.echo(f"{_scale_line(measured, frame.width)}; written to {path}")


@calibrate_group.command("red-cells")
@_pictures
@_frames
@config_option
@_out
def red_cells(pictures: Sequence[Path], frames: int, config_path: Path | None, out: Path | None) -> None:
    """Measure the size of a pixel on red cells of 7.5 µm, best of a healthy person.

    Less sure than a stage micrometer: red cells differ between persons, and the interval says how much.
    """
    config = load_config(config_path)
    taken = _Taken(config, pictures, frames)
    measured = scale_from_red_cells(taken)
    calibration = replace(taken.calibration(), scale=measured)
    path = _save(config, out, calibration)
    click.echo(f"{_scale_line(measured, calibration.width)}; written to {path}")


@calibrate_group.command("show")
@config_option
@click.option("--file", "path", type=PATH, help="Instead of the configured one.")
def show(config_path: Path | None, path: Path | None) -> None:
    """Show what has been measured."""
    path = load_config(config_path).calibration_path if path is None else path
    calibration = Calibration.load(path)
    size = f"{calibration.width}x{calibration.height}"
    click.echo(f"{path}: made {calibration.made_at:%Y-%m-%d %H:%M %Z}, for frames of {size} px")
    if calibration.blank is None:
        click.echo("blank slide: not measured; light is evened by each field's own blank parts")
    else:
        click.echo(_blank_line(calibration.blank))
    if calibration.scale is None:
        click.echo("scale: not measured; each field's red cells give it")
    else:
        click.echo(_scale_line(calibration.scale, calibration.width))


class _Taken:
    """Frames from files or from the camera, one at a time; remembers their size."""

    def __init__(self, config: Config, pictures: Sequence[Path], frames: int) -> None:
        self._config, self._pictures, self._frames = config, pictures, frames
        self._size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._from_files() if self._pictures else self._from_camera():
            self._size = (frame.width, frame.height)
            yield frame

    def calibration(self) -> Calibration:
        """Return an empty calibration for frames of this size."""
        assert self._size is not None  # whoever measured something has had a frame
        return Calibration(*self._size, utc_now())

    def _from_files(self) -> Iterator[Frame]:
        for path in self._pictures:
            for file in find_files(path):
                yield read_image(file)

    def _from_camera(self) -> Iterator[Frame]:
        with make_source(self._config) as source:
            for _ in range(self._frames):
                frame = source.read(self._config.camera.timeout_s)
                if frame is None:
                    return
                if frame.warnings:
                    doubts = "; ".join(WARNINGS[warning] for warning in frame.warnings)
                    raise CameraError(f"{frame.source}: nothing is measured: {doubts}")
                yield frame


def _blank_line(blank: Blank) -> str:
    red, green, blue = blank.white_point
    return (
        f"blank slide: {red:.0f} {green:.0f} {blue:.0f} (RGB), uneven by {blank.unevenness:.0%}, "
        f"from {blank.frames} frames"
    )


def _scale_line(scale: MeasuredScale, width: int) -> str:
    micrometer = scale.method == "micrometer"
    on = f"{scale.n} strips of a micrometer" if micrometer else f"red cells of {scale.n} fields"
    return (
        f"scale: {scale.um_per_px:.4f} µm/px (95 % interval {scale.low:.4f} to {scale.high:.4f}, on {on}); "
        f"a field is {width * scale.um_per_px:.0f} µm wide"
    )


def _save(config: Config, out: Path | None, calibration: Calibration) -> Path:
    """Write it, with what the file holds already; a broken file is replaced, and said so."""
    path = config.calibration_path if out is None else out
    old: Calibration | None = None
    if path.exists():
        try:
            old = Calibration.load(path)
        except ConfigError as error:
            click.echo(f"the old calibration is replaced: {error}", err=True)
        else:
            if (old.width, old.height) != (calibration.width, calibration.height):
                size = f"{old.width}x{old.height}"
                click.echo(
                    f"the old calibration was for frames of {size} px; nothing of it is kept", err=True
                )
    merged(old, calibration).save(path)
    return path
