"""One file down the line: what can go wrong with it is handed over as what it gave, and ends nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge.counting.folder import FolderScales
from edge.counting.recorder import Recorded, Recorder, field_guard
from edge.errors import FieldError, ImageError, SourceError
from edge.structures import Frame

#: What a file that cannot be counted is handed over as.
Failure = ImageError | SourceError | FieldError


@dataclass(frozen=True, slots=True)
class Counted:
    """A field of a file.

    Attributes
    ----------
    file : as it was given
    recorded : the field
    total_ms : wall time from the file to its counted field, ms
    """

    file: Path
    recorded: Recorded
    total_ms: float


def count_file(
    file: Path, frames: Iterable[Frame], recorder: Recorder, scales: FolderScales
) -> Iterator[Counted | Failure]:
    """Count the frames of a file, with the scale that it shares with its folder's pictures.

    Parameters
    ----------
    file : its name
    frames : what is in it, read when asked for
    recorder : the line
    scales : of its folder

    Yields
    ------
    a field for each frame, or what came in its place; after a failure of the file itself nothing follows

    Raises
    ------
    LogError, OutputError
        Results cannot be kept; nothing more should be counted.
    """
    try:
        with field_guard(file):  # a codec's failures
            scales.look(file)
            started = time.perf_counter()
            for frame in frames:
                pooled = replace(frame, pooled=scales.pooled(file, frame))
                seen = scales.seen(file)
                del frame
                try:
                    recorded = recorder.record(pooled, seen)
                except FieldError as error:  # the next frame of a video may be well
                    yield error
                    continue
                yield Counted(file, recorded, (time.perf_counter() - started) * 1000.0)
                del pooled, recorded  # or they would stay in memory while the next one is decoded
                started = time.perf_counter()
    except (ImageError, SourceError, FieldError) as error:
        yield error
