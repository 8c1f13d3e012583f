"""A page of text, lists and tables, rendered as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.device.printable import markdown_table


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 2 or 3, 1 for the title."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``failed`` are the numbers of rows that a reader must not overlook."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failed: frozenset[int] = frozenset()


Block = Heading | Text | Bullets | Table


def markdown(title: str, blocks: Sequence[Block]) -> str:
    r"""Render as Markdown.

    Examples
    --------
    >>> print(markdown("T", [Table(("a", "b"), (("1", "x|y"),))]))
    # T
    <BLANKLINE>
    | a | b |
    |---|---|
    | 1 | x\|y |
    <BLANKLINE>
    """
    return body([Heading(title, 1), *blocks]) + "\n"


def body(blocks: Iterable[Block]) -> str:
    """Render blocks as Markdown, without a line's end."""
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Text(text):
                parts.append(text)
            case Bullets(items):
                parts.append("\n".join(f"- {item}" for item in items))
            case Table():
                parts.append(table(block))
    return "\n\n".join(parts)


def table(block: Table) -> str:
    """Render one table as Markdown, without a line's end."""
    return markdown_table(block.header, block.rows, aligned=False)
