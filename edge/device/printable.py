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


def number_of(n: int, thing: str) -> str:
    """Say how many there are of something, in English.

    Examples
    --------
    >>> number_of(1, "field"), number_of(2, "field")
    ('1 field', '2 fields')
    """
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


#: Unicode general categories: control, format, surrogate, line and paragraph separator.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = True) -> str:
    r"""Write a Markdown table, without a line's end; what would break it is escaped.

    Parameters
    ----------
    titles : of the columns
    rows : as many cells each
    aligned : columns as wide as their widest cell, names to the left and figures to the right, to be read in
        a terminal, too

    Examples
    --------
    >>> print(markdown_table(("stage", "ms"), [("decode", "1.5"), ("log", "10.0")]))
    | stage  |   ms |
    |--------|-----:|
    | decode |  1.5 |
    | log    | 10.0 |
    >>> print(markdown_table(("name", "n"), [("a|b", "1")], aligned=False))
    | name | n |
    |---|---|
    | a\|b | 1 |
    """
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in (titles, *rows)]
    rule = ["---" for _ in titles]
    if aligned:
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(titles))]
        lines = [
            [
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            for line in lines
        ]
        rule = ["-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)]
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"|{'|'.join(rule)}|", *body])
