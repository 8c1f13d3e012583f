"""What every source of frames promises: files replayed, a camera, or the rendered smear."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from edge.structures import Frame


@runtime_checkable
class FrameSource(Protocol):
    """A source of frames. Opened by ``with``, read in a loop, closed on the way out.

    Making a source touches nothing; entering it opens the camera or the files. A source may be
    entered again after it was left, so that a camera that failed can be reconnected. It belongs to one
    thread.
    """

    @property
    def name(self) -> str:
        """What a person calls it: the device, the folder, or ``rendered:SEED``."""
        ...

    def __enter__(self) -> Self:
        """Open it.

        Raises
        ------
        CameraError
            The camera is missing, taken, or refuses the settings.
        SourceError
            The files to be replayed are missing or none of them is usable.
        RuntimeMissingError
            The camera's library is not installed.
        """
        ...

    def __exit__(self, *_raised: object) -> None:
        """Release everything that entering took, also after a failed read."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Take the frame that is there now, never an older one from a queue.

        Parameters
        ----------
        timeout_s : longest time to wait for the frame, in seconds

        Returns
        -------
        the frame, or None where the source has come to its end (a camera never does)

        Raises
        ------
        CameraError
            No usable frame came in time, or the source is not open.
        SourceError
            The files changed under the reader, or the source is not open.
        """
        ...
