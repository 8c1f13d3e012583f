"""What a worker does: it builds the line once, and counts batches with it."""

from __future__ import annotations

import platform
import threading
from functools import cache
from pathlib import Path

import cv2
from msgspec import Struct, structs

from edge.archive.plan import Batch
from edge.archive.store import StoredFile, read_picture, read_stored
from edge.archive.tables import UNREACHABLE, CountedBatch, Rows, kind_of_failure
from edge.config import Config
from edge.counting.files import Counted, count_file
from edge.counting.folder import CommonScales, FolderScales, common_scales
from edge.counting.golden import load_configured
from edge.counting.provenance import Provenance
from edge.counting.recorder import Recorder, as_configured
from edge.counting.tally import denominator_of
from edge.device.clock import WallClock
from edge.device.machine import resident_mb
from edge.device.memory import keep_freed_memory
from edge.errors import EdgeError, GateError
from edge.structures import Frame

#: The line belongs to one thread at a time, however many a worker has.
_turn = threading.Lock()


@cache
def line(config: Config) -> Recorder:
    """Give the line of this process, as configured; it is built and checked once.

    Raises
    ------
    ConfigError, ModelError, GateError
        It cannot be built, or counts otherwise here than where the model was made.
    """
    cv2.setNumThreads(config.model.threads)
    keep_freed_memory()
    classifier = load_configured(config)
    return as_configured(config, classifier, None, source_kind="file", clock=WallClock())


def _checked_line(config: Config, provenance: Provenance) -> Recorder:
    here = line(config)
    if here.provenance != provenance:
        fields = [field.name for field in structs.fields(Provenance)]
        differ = [name for name in fields if getattr(here.provenance, name) != getattr(provenance, name)]
        was = ", ".join(
            f"{name} {getattr(here.provenance, name)}, expected {getattr(provenance, name)}"
            for name in differ
        )
        raise GateError(
            f"worker on {platform.node()}: it would count otherwise than where the command runs: {was}; "
            "install the same version, with the same model and calibration, on every worker"
        )
    return here


class Looked(Struct, frozen=True):
    """What the pictures of a folder say of its scale.

    Attributes
    ----------
    common : the scale by size of picture
    unreachable : pictures that have no word for a reason that can pass, and why
    """

    common: CommonScales
    unreachable: tuple[tuple[StoredFile, EdgeError], ...]


class _Reader:
    """Reads the pictures that say a scale, and notes those that another run may reach."""

    def __init__(self, files: tuple[StoredFile, ...]) -> None:
        self.by_key = {file.key: file for file in files}
        self.unreachable: list[tuple[StoredFile, EdgeError]] = []

    def __call__(self, key: Path) -> Frame:
        try:
            return read_picture(self.by_key[key])
        except EdgeError as error:
            if kind_of_failure(error) == UNREACHABLE:
                self.unreachable.append((self.by_key[key], error))
            raise


def look(config: Config, provenance: Provenance, looks: tuple[StoredFile, ...]) -> Looked:
    """Find the scale of a folder that several batches are of, from the pictures that say it."""
    with _turn:
        recorder = _checked_line(config, provenance)
        read = _Reader(looks)
        common = common_scales(list(read.by_key), recorder.corrected, read)
        return Looked(common, tuple(read.unreachable))


def count_batch(
    config: Config, provenance: Provenance, batch: Batch, looked: Looked | None = None
) -> CountedBatch:
    """Count the files of a batch.

    Parameters
    ----------
    config : in force
    provenance : what it counts with where the command runs, and must here
    batch : what to count
    looked : what :func:`look` found, for a batch that is a part of a folder

    Raises
    ------
    GateError
        This worker would count otherwise.
    """
    with _turn:
        recorder = _checked_line(config, provenance)
        read = _Reader(batch.files)
        known = {batch.files[0].key.parent: looked.common} if looked is not None else {}
        scales = FolderScales(read.by_key, recorder.corrected, read, known)
        rows = Rows(denominator_of(config.sample.denominator))
        for key, file in read.by_key.items():
            frames = read_stored(file, config.scale.um_per_px)
            for counted in count_file(key, frames, recorder, scales):
                if isinstance(counted, Counted):
                    rows.add(file, counted.recorded)
                else:
                    rows.add_failure(file, counted)
                del counted
        for file, error in (*read.unreachable, *(looked.unreachable if looked is not None else ())):
            rows.add_failure(file, error)  # without its word the scale is another than with it
        return CountedBatch(
            files=rows.encoded(),
            provenances=rows.provenances,
            fields=len(rows.rows["fields"]),
            failures=len(rows.rows["failures"]),
            resident_mb=resident_mb("VmRSS"),
        )
