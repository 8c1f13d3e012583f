"""Pictures of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.recipes.akbar2024 import PAPER_TABLE_1, Epoch
from training.report.drawing import new_figure

#: Size of the two panels side by side, in inches, and pixels per inch: 1280 x 480 px.
_SIZE_IN = (8.0, 3.0)
_DPI = 160


def draw_figure_4(history: Sequence[Epoch], path: Path) -> None:
    """Draw error and accuracy by epoch, the paper's Figure 4, with the paper's own figures beside.

    Parameters
    ----------
    history : one entry an epoch
    path : PNG to be written

    Raises
    ------
    RuntimeMissingError
        Matplotlib is not installed.
    """
    figure = new_figure(_SIZE_IN)
    from matplotlib.ticker import MaxNLocator

    error_axes, accuracy_axes = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in history]
    paper_numbers = [number for number, _, _ in PAPER_TABLE_1]
    panels = (
        (
            error_axes,
            "Error (cross-entropy)",
            [epoch.error for epoch in history],
            [row[1] for row in PAPER_TABLE_1],
        ),
        (
            accuracy_axes,
            "Accuracy (%)",
            [100 * epoch.accuracy for epoch in history],
            [row[2] for row in PAPER_TABLE_1],
        ),
    )
    for axes, name, ours, papers in panels:
        axes.plot(numbers, ours, color="#1f4e79", marker="o", markersize=3, label="this training")
        axes.plot(paper_numbers, papers, color="#999999", linestyle="--", label="Akbar et al. 2024")
        axes.set_xlabel("Epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=_DPI)
