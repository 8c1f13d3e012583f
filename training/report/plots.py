"""The protocol's plots, as SVG text to stand in a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge.errors import RuntimeMissingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Told apart by readers who do not see colours, too (Okabe and Ito's palette), and by their line.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_STYLES = ("-", "--", ":", "-.")
_GREY = "#8a8a8a"
_SIZE_IN = (3.6, 3.4)


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


def roc(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Draw ROC curves, one a name."""
    figure, axes = _axes()
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=0.8)
    for number, (name, points) in enumerate(curves.items()):
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=_COLOURS[number % 4], linestyle=_STYLES[number % 4], linewidth=1.6, label=name)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _svg(figure)


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw how often cells of a probability are blasts, with exact intervals and the number of cells."""
    figure, axes = _axes()
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=0.8)
    p = [float(entry["p"]) for entry in bins]
    found = [entry["frequency"] for entry in bins]
    values = [float(entry["value"]) for entry in found]
    low = [v - float(entry["ci95"][0]) for v, entry in zip(values, found, strict=True)]
    high = [float(entry["ci95"][1]) - v for v, entry in zip(values, found, strict=True)]
    axes.errorbar(p, values, yerr=(low, high), color=_COLOURS[0], marker="o", markersize=4, capsize=2)
    for x, y, entry in zip(p, values, found, strict=True):
        axes.annotate(
            str(entry["n"]), (x, y), xytext=(5, -9), textcoords="offset points", fontsize=7, color="#444"
        )
    axes.set(xlabel="calibrated probability", ylabel="share of blasts", xlim=(0, 1), ylim=(0, 1.01))
    return _svg(figure)


def _axes() -> tuple[Figure, Axes]:
    figure = new_figure(_SIZE_IN)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    import matplotlib

    buffer = io.StringIO()
    # No date and fixed ids, so that the same figures give the same page.
    with matplotlib.rc_context({"svg.hashsalt": "blastcount"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
