"""Count white cells that look like blasts in pictures of blood smears, from Python.

The same line as that of ``blastcount count``: a picture gives here what it gives there. What is not named in
``__all__`` may change without notice. For research use only; not for diagnosis.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.camera.files import read_frames
from edge.config import load_config
from edge.counting.differential import Differential, differential
from edge.counting.folder import FolderScales
from edge.counting.golden import load_configured
from edge.counting.pipeline import Seen
from edge.counting.recorder import Recorded, as_configured
from edge.counting.tally import tally
from edge.device.clock import WallClock
from edge.errors import EdgeError, ImageError
from edge.results.annotate import annotate
from edge.results.geojson import feature_collection
from edge.results.outlines import OutlinedCell, OutlinedField, read_geojson
from edge.results.polygons import cell_polygons
from edge.structures import Cell, ClassifiedCell, FieldResult, Frame, Tally, UInt8Image
from edge.version import software_version

__all__ = [
    "Cell",
    "ClassifiedCell",
    "CountedField",
    "Counter",
    "Differential",
    "EdgeError",
    "FieldResult",
    "LoggedField",
    "OutlinedCell",
    "OutlinedField",
    "Sample",
    "Tally",
    "__version__",
    "differential",
    "read_geojson",
    "read_log",
    "read_samples",
    "tally",
]

__version__ = software_version()

_Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class CountedField:
    """One field that was counted, or refused.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB as it was counted: with even light where a flat field is configured
    result : cells, classes, scale, reasons and warnings
    """

    image: UInt8Image
    result: FieldResult
    _recorded: Recorded

    @cached_property
    def labels(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Label images of whole cells and of nuclei, (H, W) uint16; values are the cells' ids, 0 is none."""
        return self._recorded.label_images()

    def figure(self, note: str = "") -> UInt8Image:
        """Draw the cells with their classes on the picture, with a legend below: (H', W', 3) uint8 RGB.

        Parameters
        ----------
        note : further words for the legend
        """
        return annotate(self.image, self.result, self.labels[0], note)

    def geojson(self) -> dict[str, Any]:
        """Give the cells as a GeoJSON FeatureCollection of QuPath's objects."""
        return feature_collection(self.result, cell_polygons(*self.labels))


class Counter:
    """Counts pictures with one network, which is loaded and checked once. It belongs to one thread.

    The configuration is the device's (``BLASTCOUNT_CONFIG``, else ``/etc/blastcount/blastcount.toml``, else
    defaults), so that its calibration holds here, too.

    Parameters
    ----------
    model : bundle, with or without ``.tflite``; None for the configured or shipped one
    um_per_px : scale of the pictures in µm per px; None to take it from the configuration or the picture
    threads : of the network

    Raises
    ------
    EdgeError
        Configuration or model cannot be used, or the model does not give here what it gave when it was made.
    """

    def __init__(
        self, *, model: _Path | None = None, um_per_px: float | None = None, threads: int = 1
    ) -> None:
        config = load_config().changed(
            model={"path": None if model is None else Path(model), "threads": threads},
            scale={"um_per_px": um_per_px},
        )
        classifier = load_configured(config)
        self._um_per_px = config.scale.um_per_px
        self._recorder = as_configured(config, classifier, None, source_kind="file", clock=WallClock())

    def count(self, image: UInt8Image) -> CountedField:
        """Count one field.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB

        Raises
        ------
        EdgeError
            The array is no such picture, or a library failed on it.
        """
        if not isinstance(image, np.ndarray):
            raise ImageError(f"expected an (H, W, 3) uint8 RGB array, got {type(image).__name__}")
        # A copy: a caller who fills one array again must not change what an earlier field shows.
        return self._count(Frame(image.copy(), "array", um_per_px=self._um_per_px))

    def count_files(self, files: Iterable[_Path]) -> Iterator[CountedField]:
        """Count image files and videos, one field at a time.

        Files of one folder help each other to their scale, as those of one call of ``blastcount count`` do.

        Parameters
        ----------
        files : paths; of one file, a list with this one

        Raises
        ------
        EdgeError
            One path was given instead of several, or a file cannot be used; those after it are not looked at.
        """
        if isinstance(files, str | bytes | os.PathLike):
            raise ImageError(f"expected several paths, got the path {files!r}; give a list: [{files!r}]")
        return self._count_all([Path(file) for file in files])

    def _count_all(self, paths: Sequence[Path]) -> Iterator[CountedField]:
        scales = FolderScales(paths, self._recorder.corrected)
        for path in paths:
            scales.look(path)
            for frame in read_frames(path, um_per_px=self._um_per_px):
                yield self._count(replace(frame, pooled=scales.pooled(path, frame)), scales.seen(path))

    def _count(self, frame: Frame, seen: Seen | None = None) -> CountedField:
        recorded = self._recorder.record(frame, seen)
        return CountedField(recorded.frame.image, recorded.result, recorded)


def read_samples(log: _Path) -> tuple[Sample, ...]:
    """List the samples of a log.

    Raises
    ------
    EdgeError
        There is no such log, or it cannot be read.
    """
    with BloodLog.open(Path(log), read_only=True) as opened:
        return opened.samples()


def read_log(log: _Path, sample: str | None = None) -> Iterator[LoggedField]:
    """Go through the fields of a log, or of one sample, in the order in which they were counted.

    Raises
    ------
    EdgeError
        There is no such log or sample, or it cannot be read.
    """
    with BloodLog.open(Path(log), read_only=True) as opened:
        yield from opened.fields(None if sample is None else opened.sample(sample).id)
