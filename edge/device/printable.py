"""Text for terminals and pages: what is of unknown origin made safe, tables with aligned columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def printable(text: object) -> str:
    r"""Escape what could break a line or command a terminal: control, format and undecodable characters.

    File names may hold anything but ``/`` and NUL: line breaks, escape sequences, direction marks, bytes
    that are no UTF-8 (which Python holds as lone surrogates).

    Parameters
    ----------
    text : anything; its ``str`` is printed

    Examples
    --------
    >>> printable("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    >>> printable("Färbung 細胞.jpg")
    'Färbung 細胞.jpg'
    """
    return "".join(
        c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in _UNSAFE else c
        for c in str(text)
    )


#: Unicode general categories: control, format, surrogate, line and paragraph separator.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table with aligned columns: names to the left, figures to the right.

    Examples
    --------
    >>> print(markdown_table(("stage", "ms"), [("decode", "1.5"), ("log", "10.0")]))
    | stage  |   ms |
    |--------|-----:|
    | decode |  1.5 |
    | log    | 10.0 |
    """
    lines = [list(titles), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(titles))]
    aligned = [
        [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|"
    head, *body = (f"| {' | '.join(line)} |" for line in aligned)
    return "\n".join([head, rule, *body])
