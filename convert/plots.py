"""The report's plots, as SVG text to stand in a page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.errors import RuntimeMissingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Told apart by readers who do not see colours, too (Okabe and Ito's palette).
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_BLAST, _NORMAL, _GREY = "#7b3294", "#4d9221", "#8a8a8a"
_SIZE_IN = (5.4, 3.4)


def check_matplotlib() -> None:
    """Find out before an hour's work whether plots can be drawn.

    Raises
    ------
    RuntimeMissingError
        Matplotlib is not installed.
    """
    _axes()


def delta_histogram(report: dict[str, Any]) -> str:
    """Draw how often |Δp| is how large, one line an interpreter, with the gate's limits."""
    figure, axes = _axes()
    keras, limits = np.array(report["p"]["keras"]), report["verdict"]["limits"]
    deltas = {runtime: np.abs(np.array(p) - keras) for runtime, p in report["p"]["runs"].items()}
    top = max([limits["max_delta_p"], *(float(delta.max()) for delta in deltas.values())]) * 1.05
    bins = np.linspace(0, top, 41)
    for colour, style, (runtime, delta) in zip(_COLOURS, ("-", "--", ":"), deltas.items(), strict=False):
        axes.hist(delta, bins, histtype="step", color=colour, linestyle=style, linewidth=1.6, label=runtime)
    for name, key in (("p99", "p99_delta_p"), ("max", "max_delta_p")):
        axes.axvline(limits[key], color=_GREY, linewidth=0.8)
        axes.annotate(
            f"{name} limit",
            (limits[key], 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3, -4),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
            fontsize=7,
            color=_GREY,
        )
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="|Δp| against Keras", ylabel="cells", xlim=(0, top))
    axes.legend(frameon=False, fontsize=8, loc="center right")
    return _svg(figure)


def scatter(report: dict[str, Any]) -> str:
    """Draw each cell's Δp over Keras's p, coloured by label, for the first interpreter."""
    figure, axes = _axes()
    keras, limits = np.array(report["p"]["keras"]), report["verdict"]["limits"]
    threshold, labels = report["decision"]["threshold"], report["p"]["labels"]
    for runtime, p in list(report["p"]["runs"].items())[:1]:
        delta = np.array(p) - keras
        groups = [("cells", np.ones(len(keras), bool), _COLOURS[0], "o")]
        if labels is not None:
            blast = np.array(labels) == 1
            groups = [("blast", blast, _BLAST, "o"), ("normal", ~blast, _NORMAL, "^")]
        for name, chosen, colour, marker in groups:
            axes.scatter(
                keras[chosen],
                delta[chosen],
                s=14,
                c=colour,
                marker=marker,
                alpha=0.6,
                linewidths=0,
                label=name,
            )
        reach = 1.1 * max(limits["max_delta_p"], float(np.abs(delta).max()))
        axes.set_ylim(-reach, reach)
        axes.set_title(runtime, fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    for sign in (-1, 1):
        axes.axhline(sign * limits["max_delta_p"], color=_GREY, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=_GREY, linewidth=0.5)
    axes.axvline(threshold, color=_GREY, linewidth=0.8)
    axes.set(xlabel="p of blast, Keras", ylabel="Δp, file − Keras", xlim=(-0.02, 1.02))
    return _svg(figure)


def layer_bars(report: dict[str, Any]) -> str:
    """Draw the signal-to-noise ratio of every tensor in the order of the graph's errors, worst on top."""
    tensors = [one for one in report["layers"]["tensors"] if one["snr_db"] is not None]
    figure, axes = _axes(height_in=max(1.6, 0.6 + 0.24 * len(tensors)))
    places = np.arange(len(tensors))
    values = [one["snr_db"] for one in tensors]
    axes.barh(places, values, color=_COLOURS[0], height=0.7)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:.1f}",
            (max(value, 0), place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(places, [one["layer"] for one in tensors], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(min(0, *values, 0), max(*values, 1) * 1.12)
    axes.set_xlabel("signal-to-noise ratio, dB")
    return _svg(figure)


def _axes(height_in: float = _SIZE_IN[1]) -> tuple[Figure, Axes]:
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeMissingError(
            f"the report needs Matplotlib, which cannot be imported ({error}); "
            "install it with: pip install 'blastcount[train]'"
        ) from error
    # Figure and canvas directly: pyplot would look for a display and keep the figure open.
    figure = Figure(figsize=(_SIZE_IN[0], height_in), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    content = text.getvalue()
    return content[content.index("<svg") :]  # no XML declaration inside a page
