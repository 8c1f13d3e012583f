"""Numbers in addresses, and lists that are shown in pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import abort, request

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class ListPage(Generic[_Row]):
    """One page of a list.

    Attributes
    ----------
    rows : on this page
    found : number of rows on all pages
    number, pages : which page it is, and how many there are
    """

    rows: Sequence[_Row]
    found: int
    number: int
    pages: int


def list_page(rows: Sequence[_Row], size: int) -> ListPage[_Row]:
    """Give the page of a list that the request asks for; beyond the end it is the last one."""
    pages = max(1, -(-len(rows) // size))
    number = min(number_asked("page") or 1, pages)
    return ListPage(rows[(number - 1) * size : number * size], len(rows), number, pages)


def number_asked(name: str) -> int | None:
    """Read a positive number from the query; None where it is not there, and nothing but numbers is taken."""
    text = request.args.get(name)
    if text is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        abort(400)
    return int(text)
