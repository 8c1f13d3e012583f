"""The rendered smear as a source of frames, in the place of a camera."""

from __future__ import annotations

from typing import Self

from edge.errors import ConfigError, SourceError
from edge.rendered.settings import RenderSettings
from edge.rendered.slide import Slide
from edge.rendered.truth import RenderedField
from edge.structures import Frame

#: Fields in a row of the scan before the stage goes one row down and back.
FIELDS_PER_ROW = 20


class RenderedSource:
    """Fields of one rendered slide, scanned to and fro side by side without overlap.

    A :class:`~edge.camera.source.FrameSource` without an end. Entered again, it goes on where it was
    left, as a stage does.

    Parameters
    ----------
    seed : of the slide; frame 1 is ``render_field(seed, settings)``
    settings : what is rendered

    Raises
    ------
    ConfigError
        If the seed is not usable.

    Examples
    --------
    >>> settings = RenderSettings(width=120, height=100, um_per_px=0.2)
    >>> with RenderedSource(5, settings) as source:
    ...     [source.read().source for _ in range(2)]
    ['rendered:5#1', 'rendered:5#2']
    """

    def __init__(self, seed: int = 0, settings: RenderSettings | None = None) -> None:
        self._slide = Slide(seed, settings)
        self._read = 0
        self._open = False

    @property
    def name(self) -> str:
        """What a person calls it: ``rendered:SEED``."""
        return f"rendered:{self._slide.seed}"

    def __enter__(self) -> Self:
        """Open it."""
        self._open = True
        return self

    def __exit__(self, *_raised: object) -> None:
        """Close it."""
        self._open = False

    def field(self, number: int) -> RenderedField:
        """Render field ``number`` (1, 2, ... like the frames) with its truth, whatever has been read so far.

        Raises
        ------
        ConfigError
            If there is no such field.
        """
        if number < 1:
            raise ConfigError(f"rendered fields are numbered from 1, got {number}")
        row, column = divmod(number - 1, FIELDS_PER_ROW)
        if row % 2:  # the stage comes back
            column = FIELDS_PER_ROW - 1 - column
        settings = self._slide.settings
        return self._slide.view(column * settings.width_um, row * settings.height_um)

    def read(self, timeout_s: float = 10.0) -> Frame:
        """Return the next frame.

        Parameters
        ----------
        timeout_s : part of the protocol; a rendered frame is never waited for

        Raises
        ------
        SourceError
            If the source is not open.
        """
        if not self._open:
            raise SourceError(f"{self.name}: the source is not open; read it inside a `with` block")
        self._read += 1
        settings = self._slide.settings
        return Frame(
            self.field(self._read).image,
            f"{self.name}#{self._read}",
            # captured_at stays None: nothing was captured, and equal frames shall be equal.
            um_per_px=settings.um_per_px if settings.report_scale else None,
            is_drawn=True,
        )
