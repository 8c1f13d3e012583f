"""Figures of merit as a table, as Markdown and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from edge.version import software_version
from training.evaluation.run import Figure


def table(title: str, figures: Sequence[Figure], digits: int = 4) -> str:
    """Lay figures out for a terminal, under a title; ``digits`` are those of intervals."""
    width = max([28, *(len(figure.name) for figure in figures)])
    lines = [title]
    for figure in figures:
        interval = f"  95 % interval {_interval(figure, digits)}" if figure.hits is not None else ""
        lines.append(f"  {figure.name:{width}s} {figure.value:.4f}  {_count(figure):>10s}{interval}")
    return "\n".join(lines)


def markdown_table(sources: Mapping[str, Sequence[Figure]], digits: int = 4) -> str:
    """Make one Markdown table of the figures of all sources."""
    head = ["| source | figure | value | hits / n | 95 % interval |", "|---|---|---|---|---|"]
    rows = [
        f"| {source} | {figure.name} | {figure.value:.{digits}f} | {_count(figure)} "
        f"| {_interval(figure, digits)} |"
        for source, figures in sources.items()
        for figure in figures
    ]
    return "\n".join(head + rows)


def document(schema: str, sources: Mapping[str, Sequence[Figure]]) -> dict[str, object]:
    """Make the JSON document of the figures of all sources."""
    return {
        "schema": schema,
        "software": software_version(),
        "opencv": cv2.__version__,
        "machine": platform.machine(),
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
