"""The fields that are counted: a person's images, or a rendered smear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from edge.camera.files import IMAGE_SUFFIXES, find_files
from edge.errors import SourceError
from edge.rendered import Population, RenderSettings, render_field

#: A field of the public data sets' size, as crowded as their fullest: 1712×1368 px at 0.2 µm/px are
#: 0.094 mm², and 1,180 white cells and smudges per mm² make some 110 of them. Red cells as in a usual smear.
CROWDED = RenderSettings(
    um_per_px=0.2,
    population=Population(
        blast=500.0, lymphocyte=250.0, neutrophil=220.0, monocyte=90.0, eosinophil=60.0, smudge=60.0
    ),
)
#: As ``blastcount render`` writes them.
_JPEG_QUALITY = 92


def find_images(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """List the images that paths stand for, each once, at most ``limit``.

    Raises
    ------
    SourceError
        A path does not exist or gives no image.
    """
    found = {file.resolve(): file for path in paths for file in find_files(path)}
    images = [file for file in found.values() if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise SourceError(f"{paths[0]}: only videos; bench takes image files, save some frames as images")
    return images[:limit]


def render_images(folder: Path, number: int, settings: RenderSettings = CROWDED) -> list[Path]:
    """Write rendered fields of the seeds 1, 2, ... as JPEG files.

    Parameters
    ----------
    folder : that exists
    number : of fields
    settings : what is rendered
    """
    files: list[Path] = []
    for seed in range(1, number + 1):
        file = folder / f"rendered_{seed:04d}.jpg"
        Image.fromarray(render_field(seed, settings).image).save(file, quality=_JPEG_QUALITY, subsampling=0)
        files.append(file)
    return files
