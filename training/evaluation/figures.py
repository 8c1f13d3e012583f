"""Figures of merit as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.counting.tally import clopper_pearson
from edge.device.machine import describe_machine, describe_software
from edge.device.printable import markdown_table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of merit.

    Attributes
    ----------
    name : as in the documentation's tables
    value : the figure
    n : number of cells, fields or images it is taken over
    hits : its numerator where it is a proportion, else None
    low, high : exact 95 % interval of a proportion, else None
    """

    name: str
    value: float
    n: int
    hits: int | None = None
    low: float | None = None
    high: float | None = None


def proportion(name: str, hits: int, n: int) -> Figure:
    """Make a proportion with its exact interval; 0 of 0 becomes 0 with the interval 0 to 1."""
    low, high = clopper_pearson(hits, n)
    return Figure(name, hits / n if n else 0.0, n, hits, low, high)


def figures_table(sources: Mapping[str, Sequence[Figure]], digits: int, *, aligned: bool) -> str:
    """Make one Markdown table of the figures of all sources.

    Parameters
    ----------
    sources : figures by the source's name
    digits : of values and intervals
    aligned : for a terminal
    """
    rows = [
        (
            source,
            figure.name,
            f"{figure.value:.{digits}f}",
            f"n = {figure.n}" if figure.hits is None else f"{figure.hits}/{figure.n}",
            "" if figure.low is None else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}",
        )
        for source, figures in sources.items()
        for figure in figures
    ]
    header = ("source", "figure", "value", "hits / n", "95 % interval")
    return markdown_table(header, rows, aligned=aligned)


def document(name: str, sources: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Make the JSON document of what was measured on some sources, schema ``blastcount.NAME/1``."""
    return {
        "schema": f"blastcount.{name}/1",
        "software": describe_software(),
        "machine": describe_machine(),
        "sources": list(sources),
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
