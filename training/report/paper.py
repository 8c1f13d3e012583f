"""Table 1 and Figure 4 of Akbar et al. 2024, this training's beside the paper's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import RuntimeMissingError
from training.protocol.recipe import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The paper's Table 1: epoch, error, accuracy in %.
TABLE_1 = (
    (1, 0.6321, 64.94),
    (2, 0.4203, 81.54),
    (3, 0.2857, 89.42),
    (4, 0.1837, 93.98),
    (5, 0.1231, 95.85),
    (6, 0.0646, 98.13),
    (7, 0.0462, 98.96),
    (8, 0.0606, 98.34),
    (9, 0.0405, 99.17),
    (10, 0.0150, 99.79),
    (11, 0.0040, 100.0),
    (12, 0.0018, 100.0),
    (13, 0.0014, 100.0),
    (14, 0.0010, 100.0),
    (15, 0.0007, 100.0),
    (16, 0.0005, 100.0),
    (17, 0.0003, 100.0),
    (18, 0.0003, 100.0),
    (19, 0.0002, 100.0),
    (20, 0.0001, 100.0),
)
TEST = {"n": 100, "accuracy": 0.98, "error": 0.0482}
#: Size of the two panels side by side, in inches, and pixels per inch: 1280 x 480 px.
_SIZE_IN = (8.0, 3.0)
_DPI = 160


def table_1(epochs: Sequence[Epoch]) -> list[dict[str, float | None]]:
    """Return the paper's Table 1 for this training, with the paper's own figures beside it."""
    paper = {number: (error, accuracy) for number, error, accuracy in TABLE_1}
    return [
        {
            "epoch": number,
            "error": round(epoch.error, 4),
            "accuracy_percent": round(100 * epoch.accuracy, 2),
            "paper_error": paper.get(number, (None, None))[0],
            "paper_accuracy_percent": paper.get(number, (None, None))[1],
        }
        for number, epoch in enumerate(epochs, start=1)
    ]


def draw_figure_4(epochs: Sequence[Epoch], path: Path) -> None:
    """Draw error and accuracy by epoch, the paper's Figure 4, with the paper's own figures beside.

    Parameters
    ----------
    epochs : of the training
    path : PNG to be written

    Raises
    ------
    RuntimeMissingError
        Matplotlib is not installed.
    """
    figure = _new_figure()
    from matplotlib.ticker import MaxNLocator

    numbers, errors, accuracies = zip(*TABLE_1, strict=True)
    panels = (
        ("Error (cross-entropy)", [epoch.error for epoch in epochs], errors),
        ("Accuracy (%)", [100 * epoch.accuracy for epoch in epochs], accuracies),
    )
    for axes, (name, ours, papers) in zip(figure.subplots(1, 2), panels, strict=True):
        own = range(1, len(ours) + 1)
        axes.plot(own, ours, color="#1f4e79", marker="o", markersize=3, label="this training")
        axes.plot(numbers, papers, color="#999999", linestyle="--", label="Akbar et al. 2024")
        axes.set(xlabel="Epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=_DPI)


def _new_figure() -> Figure:
    """Make an empty figure without a display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeMissingError(
            f"drawing needs Matplotlib, which cannot be imported ({error}); "
            "install it with: pip install 'blastcount[train]'"
        ) from error
    # Figure and canvas directly: pyplot would look for a display and keep the figure open.
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
