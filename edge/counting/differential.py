"""The differential count: which kinds of cells the counted cells are, each share with its interval.

Every share has the denominator of the share of blasts, so that all of them add up to one. Cells that were
called blasts are blasts, whatever the network of types says of them; uncertain ones are of no type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edge.counting.tally import clopper_pearson, share_json
from edge.structures import CellType, Denominator, Tally

#: What a counted cell can be: a row of the differential.
Kind = Literal[CellType, "blast", "uncertain", "smudge"]

#: Types of leukocytes in the order in which laboratories list them.
_LEUKOCYTES: tuple[CellType, ...] = (
    "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "immature_granulocyte",
)  # fmt: skip


#: Every kind, in the order of a table.
KINDS: tuple[Kind, ...] = ("blast", *_LEUKOCYTES, "other", "uncertain", "smudge", "erythroblast")


@dataclass(frozen=True, slots=True)
class Share:
    """One kind's share of the counted cells.

    Attributes
    ----------
    kind : which
    k, n : so many of how many
    low, high : exact 95 % interval
    """

    kind: Kind
    k: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.k / self.n


@dataclass(frozen=True, slots=True)
class Differential:
    """The differential count of a tally.

    Attributes
    ----------
    shares : one a kind; they add up to all that was counted
    n : cells counted
    denominator : which cells these are
    erythroblasts : how many were found, in the denominator or not
    """

    shares: tuple[Share, ...]
    n: int
    denominator: Denominator
    erythroblasts: int

    @property
    def others(self) -> int:
        """Normal cells without a type: the network abstained, or saw a kind that it does not name."""
        return next(share.k for share in self.shares if share.kind == "other")

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON: k of n with the interval by kind."""
        return {
            "n": self.n,
            "denominator": self.denominator,
            "shares": {one.kind: share_json(one.k, one.n, (one.low, one.high)) for one in self.shares},
            "erythroblasts": self.erythroblasts,
        }


def differential(tally: Tally) -> Differential | None:
    """Give the differential of a tally; None where no types were named, or nothing was counted.

    Examples
    --------
    >>> counted = Tally(1, 0, 2, 7, 1, 0, 0, 0.2, 0.0, 1.0, types={"neutrophil": 5, "other": 1})
    >>> {share.kind: share.k for share in differential(counted).shares if share.k}
    {'blast': 2, 'neutrophil': 5, 'other': 2, 'uncertain': 1}
    """
    n = tally.wbc
    if tally.types is None or not n:
        return None
    shares = tuple(Share(kind, k, n, *clopper_pearson(k, n)) for kind, k in _counts(tally, tally.types))
    return Differential(shares, n, tally.denominator, tally.erythroblasts)


def _counts(tally: Tally, types: Mapping[CellType, int]) -> Iterator[tuple[Kind, int]]:
    yield "blast", tally.blasts
    named = {kind: types.get(kind, 0) for kind in _LEUKOCYTES}
    for kind, k in named.items():
        if k or kind != "immature_granulocyte":  # no network names these so far
            yield kind, k
    yield "other", tally.normal - sum(named.values())
    if tally.denominator != "without_uncertain":
        yield "uncertain", tally.uncertain
    if tally.denominator == "with_smudges":
        yield "smudge", tally.smudges
    if tally.denominator == "nucleated":
        yield "erythroblast", tally.erythroblasts
