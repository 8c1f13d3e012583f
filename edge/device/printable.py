"""Text of unknown origin, made safe to print."""

from __future__ import annotations

import unicodedata


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
