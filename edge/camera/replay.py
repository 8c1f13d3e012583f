"""Files again, as if a camera gave them: an image, a video, or a folder of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Self

from edge.camera.files import read_frames
from edge.camera.folders import find_files
from edge.errors import ImageError, SourceError
from edge.structures import Frame

_log = logging.getLogger(__name__)


class ReplaySource:
    """Frames from files, in the order of their names.

    A file that cannot be read is logged and skipped, and not tried again in later rounds.

    Parameters
    ----------
    path : image, video, or folder of images and videos
    loop : begin again at the end
    um_per_px : scale of the frames in µm per px, or None to find it in the fields
    """

    def __init__(self, path: Path, *, loop: bool = False, um_per_px: float | None = None) -> None:
        self._path = path
        self._loop = loop
        self._um_per_px = um_per_px
        self._frames: Iterator[Frame] | None = None

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self._path)

    def __enter__(self) -> Self:
        """List the files.

        Raises
        ------
        SourceError
            The path does not exist or holds no image or video.
        """
        self._frames = self._play(find_files(self._path))
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close the file that is being read."""
        frames, self._frames = self._frames, None
        if isinstance(frames, Iterator) and hasattr(frames, "close"):
            frames.close()

    def read(self, timeout_s: float) -> Frame | None:
        """Read the next frame; see :class:`edge.camera.source.FrameSource`.

        Files do not hang as cameras do: ``timeout_s`` is not used.

        Raises
        ------
        SourceError
            The source is not open, or a whole round gave no frame.
        """
        del timeout_s
        if self._frames is None:
            raise SourceError(f"{self.name}: the replay is not open; read it inside its with statement")
        return next(self._frames, None)

    def _play(self, files: list[Path]) -> Iterator[Frame]:
        bad: set[Path] = set()
        for round_number in count(1):
            frames = 0
            for path in files:
                if path in bad:
                    continue
                try:
                    for frame in read_frames(path, um_per_px=self._um_per_px):
                        frames += 1
                        yield frame
                except (ImageError, SourceError) as error:
                    bad.add(path)
                    _log.warning("skipped: %s", error)
                except Exception as error:  # noqa: BLE001  # opened anew it would give the files before again
                    bad.add(path)
                    said = " ".join(f"{type(error).__name__}: {error}".split())
                    _log.warning("skipped: %s: a library failed on it: %s", path, said)
            if frames == 0:
                raise SourceError(
                    f"{self.name}: none of the {len(files)} files gave a frame in round {round_number}; "
                    "see the warnings before this"
                )
            if not self._loop:
                return
