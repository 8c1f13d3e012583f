"""Figures of merit as a table, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.device.machine import describe_machine, describe_software
from edge.device.printable import markdown_table
from training.evaluation.run import Figure


def table(title: str, figures: Sequence[Figure], digits: int = 4) -> str:
    """Lay figures out for a terminal, under a title; ``digits`` are those of intervals."""
    width = max([28, *(len(figure.name) for figure in figures)])
    lines = [title]
    for figure in figures:
        interval = f"  95 % interval {_interval(figure, digits)}" if figure.hits is not None else ""
        lines.append(f"  {figure.name:{width}s} {figure.value:.4f}  {_count(figure):>10s}{interval}")
    return "\n".join(lines)


def figures_table(sources: Mapping[str, Sequence[Figure]], digits: int = 4) -> str:
    """Make one Markdown table of the figures of all sources."""
    rows = [
        (source, figure.name, f"{figure.value:.{digits}f}", _count(figure), _interval(figure, digits))
        for source, figures in sources.items()
        for figure in figures
    ]
    return markdown_table(("source", "figure", "value", "hits / n", "95 % interval"), rows, aligned=False)


def document(schema: str, sources: Mapping[str, Sequence[Figure]]) -> dict[str, object]:
    """Make the JSON document of the figures of all sources."""
    return {
        "schema": schema,
        "software": describe_software(),
        "machine": describe_machine(),
        "sources": [
            {"source": source, "figures": [figure_json(figure) for figure in figures]}
            for source, figures in sources.items()
        ],
    }


def figure_json(figure: Figure) -> dict[str, object]:
    """Make one figure's JSON."""
    return {
        "name": figure.name,
        "value": round(figure.value, 6),
        "n": figure.n,
        "hits": figure.hits,
        "ci95": None
        if figure.low is None or figure.high is None
        else [round(figure.low, 4), round(figure.high, 4)],
    }


def source_name(folder: Path) -> str:
    """Name a folder by its last two parts.

    A report is handed on, and where images lie is the lab's own business.
    """
    return "/".join(folder.resolve().parts[-2:])


def _interval(figure: Figure, digits: int) -> str:
    return "" if figure.low is None else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"


def _count(figure: Figure) -> str:
    return f"{figure.hits}/{figure.n}" if figure.hits is not None else f"n = {figure.n}"
