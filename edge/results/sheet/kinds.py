"""The differential counts of a sample as a table, in words of one language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.counting.differential import KINDS, Differential, Kind, Share, differential
from edge.i18n import Catalogue
from edge.results.texts import differential_note, differential_title, kind_text
from edge.structures import Tally


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many of the counted cells are of a kind: number, share and interval, in words."""

    k: str
    share: str
    interval: str


@dataclass(frozen=True, slots=True)
class DifferentialTable:
    """Differential counts below each other.

    Attributes
    ----------
    title : of which cells
    kinds : names of the columns
    rows : whose count, and a count for each column; None where that count does not know the kind
    notes : sentences below it
    """

    title: str
    kinds: tuple[str, ...]
    rows: tuple[tuple[str, tuple[KindCount | None, ...]], ...]
    notes: tuple[str, ...]


def differential_table(
    _: Catalogue, tallies: Iterable[tuple[str, Tally]], differing: int = 0
) -> DifferentialTable | None:
    """Lay differentials out below each other; None where no types were named.

    Parameters
    ----------
    _ : texts
    tallies : of one denominator, each with whose it is
    differing : cells that people give different types
    """
    counts = [(whose, counted) for whose, tally in tallies if (counted := differential(tally)) is not None]
    if not counts:
        return None
    found = {share.kind for _whose, counted in counts for share in counted.shares}
    kinds = [kind for kind in KINDS if kind in found]
    first = counts[0][1]
    notes = [differential_note(_, first)]
    if differing:
        notes.append(_("differential.differ", cells=differing))
    return DifferentialTable(
        title=differential_title(_, first),
        kinds=tuple(kind_text(_, kind) for kind in kinds),
        rows=tuple(
            (_("differential.of", whose=whose, n=counted.n), _kind_counts(counted, kinds, _))
            for whose, counted in counts
        ),
        notes=tuple(notes),
    )


def _kind_counts(counted: Differential, kinds: Sequence[Kind], _: Catalogue) -> tuple[KindCount | None, ...]:
    def count(share: Share) -> KindCount:
        low, high = (_.number(100 * limit, 1) for limit in (share.low, share.high))
        return KindCount(str(share.k), _.percent(share.share), f"{low}–{high}")

    by_kind = {share.kind: count(share) for share in counted.shares}
    return tuple(by_kind.get(kind) for kind in kinds)
