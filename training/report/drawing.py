"""The door to Matplotlib: loaded on demand, without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import RuntimeMissingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(size_in: tuple[float, float]) -> Figure:
    """Make an empty figure of a width and height in inches.

    Raises
    ------
    RuntimeMissingError
        Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeMissingError(
            f"drawing needs Matplotlib, which cannot be imported ({error}); "
            "install it with: pip install 'blastcount[train]'"
        ) from error
    # Figure and canvas directly: pyplot would look for a display and keep the figure open.
    figure = Figure(figsize=size_in, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
