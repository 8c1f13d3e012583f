"""What an alarm is likely to come of: told by which charts move, and which stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Cause = Literal["objective", "focus", "dirt", "lamp", "white_balance", "stain", "program", "unknown"]
#: Which way a chart moves: up, down, or either.
_Way = Literal[-1, 0, 1]


#: Charts of which one must have moved for each cause, and which way. The first that fits is named. Another
#: objective changes blur, densities and refusals as well, and so it is asked first; blur takes density from
#: small things, and dirt from what lies under it; a lamp takes none, since density is relative to its light;
#: a stain leaves the blank slide alone.
_SIGNS: tuple[tuple[Cause, Mapping[str, _Way]], ...] = (
    ("objective", {"scale": 0}),
    ("focus", {"blur": 1}),
    ("dirt", {"unevenness": 1, "covered": 1}),
    ("lamp", {"light": 0}),
    ("white_balance", {"white_red": 0, "white_blue": 0}),
    ("stain", {"red_cells": 0, "nuclei": 0, "red_cell_colour": 0, "nucleus_colour": 0}),
    ("dirt", {"refused": 1}),
    ("program", {"p": 0}),
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
    for cause, any_of in _SIGNS:
        if any((way := moved.get(name, 0)) and way * wanted >= 0 for name, wanted in any_of.items()):
            return cause
    return "unknown"
