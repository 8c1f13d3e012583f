"""What an alarm is likely to come of: told by which charts move, and which stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Cause = Literal["objective", "focus", "dirt", "lamp", "white_balance", "stain", "program", "unknown"]
#: Which way a chart moves: up, down, or either.
_Way = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class _Sign:
    """What tells a cause.

    Attributes
    ----------
    cause : by name
    any_of : charts of which one must have moved, and which way
    """

    cause: Cause
    any_of: Mapping[str, _Way] = field(default_factory=dict)


#: The first that fits is named. Another objective changes blur, densities and refusals as well, and so it is
#: asked first; blur takes density from small things, and dirt from
#: what lies under it; a lamp takes none, since density is relative to its
#: light; a stain leaves the blank slide alone.
_SIGNS = (
    _Sign("objective", {"scale": 0}),
    _Sign("focus", {"blur": 1}),
    _Sign("dirt", {"unevenness": 1, "covered": 1}),
    _Sign("lamp", {"light": 0}),
    _Sign("white_balance", {"white_red": 0, "white_blue": 0}),
    _Sign("stain", {"red_cells": 0, "nuclei": 0, "red_cell_colour": 0, "nucleus_colour": 0}),
    _Sign("dirt", {"refused": 1}),
    _Sign("program", {"p": 0}),
)


def likely_cause(moved: Mapping[str, int]) -> Cause:
    """Name what the charts of a day point to.

    Parameters
    ----------
    moved : by chart, 1 where it has risen, -1 where it has fallen, 0 where it stays

    Examples
    --------
    >>> likely_cause({"light": -1, "red_cells": 0}), likely_cause({"scale": 1, "blur": 1, "nuclei": -1})
    ('lamp', 'objective')
    >>> likely_cause({"nuclei": -1, "light": 0}), likely_cause({"nuclei": 0})
    ('stain', 'unknown')
    """
    for sign in _SIGNS:
        if any((way := moved.get(name, 0)) and way * wanted >= 0 for name, wanted in sign.any_of.items()):
            return sign.cause
    return "unknown"
