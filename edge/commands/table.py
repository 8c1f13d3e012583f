"""The table that ``count`` prints for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from edge.commands.truth import KnownCounts
from edge.device.printable import printable
from edge.structures import FieldResult, Tally

#: Longest file name that is shown whole; longer ones keep their end, which tells fields apart.
_MAX_NAME = 44
_COLUMNS = ("wbc", "blasts", "normal", "uncertain", "border", "smudge", "µm/px", "ms")
_WIDTHS = {"wbc": 5, "blasts": 7, "normal": 7, "uncertain": 10, "border": 7, "smudge": 7, "µm/px": 7, "ms": 6}
_TRUTH_WIDTH = 9
_TRUTH_TITLE = "rendered, known truth"
_GAP = "  "


class Table:
    """Rows of fixed width, so that each can be printed as soon as its field is counted.

    Parameters
    ----------
    names : every name that may come, as far as known; the widest sets the width of the first column
    with_truth : add the columns of the known truth of rendered fields
    """

    def __init__(self, names: Sequence[str], *, with_truth: bool) -> None:
        widest = max((_width(printable(name)) for name in names), default=0)
        self._name_width = min(max(widest, len("total")), _MAX_NAME)
        self._with_truth = with_truth
        self._true_wbc = 0
        self._true_blasts = 0

    def header(self) -> list[str]:
        """Write the title lines."""
        titles = [_left("field", self._name_width), *(c.rjust(_WIDTHS[c]) for c in _COLUMNS)]
        if not self._with_truth:
            return ["".join(titles)]
        above = " " * (self._name_width + sum(_WIDTHS.values())) + _GAP + _TRUTH_TITLE.rjust(2 * _TRUTH_WIDTH)
        return [above, "".join(titles) + _GAP + "wbc".rjust(_TRUTH_WIDTH) + "blasts".rjust(_TRUTH_WIDTH)]

    def row(self, result: FieldResult, total_ms: float, truth: KnownCounts | None = None) -> str:
        """Write one field.

        Parameters
        ----------
        result : the field
        total_ms : wall time from opening its file to its result
        truth : known counts of a rendered field
        """
        name = _left(_shortened(printable(result.source)), self._name_width)
        if result.status == "rejected":
            return f"{name}{_GAP}rejected: {', '.join(result.reasons).replace('_', ' ')}"
        new = [c for c in result.cells if c.seen_before is None]
        whole = [c for c in new if c.cell.kind == "wbc" and not c.cell.touches_border]
        by_label = {label: sum(c.label == label for c in whole) for label in ("blast", "normal", "uncertain")}
        um_per_px = result.scale.reported_um_per_px
        values = {
            "wbc": str(result.wbc),
            "blasts": str(by_label["blast"]),
            "normal": str(by_label["normal"]),
            "uncertain": str(by_label["uncertain"]),
            "border": str(result.wbc - len(whole)),
            "smudge": str(sum(c.cell.kind == "smudge" for c in new)),
            "µm/px": "–" if um_per_px is None else f"{um_per_px:.3f}",
            "ms": f"{total_ms:.0f}",
        }
        line = name + "".join(values[c].rjust(_WIDTHS[c]) for c in _COLUMNS)
        if truth is None:
            return line
        self._true_wbc += truth.wbc
        self._true_blasts += truth.blasts
        return line + _GAP + str(truth.wbc).rjust(_TRUTH_WIDTH) + str(truth.blasts).rjust(_TRUTH_WIDTH)

    def total(self, tally: Tally) -> str:
        """Write the sums of the columns."""
        sums = {
            "wbc": tally.wbc + tally.border,
            "blasts": tally.blasts,
            "normal": tally.normal,
            "uncertain": tally.uncertain,
            "border": tally.border,
            "smudge": tally.smudges,
        }
        line = _left("total", self._name_width) + "".join(str(sums[c]).rjust(_WIDTHS[c]) for c in sums)
        if not self._with_truth:
            return line
        line += " " * (_WIDTHS["µm/px"] + _WIDTHS["ms"]) + _GAP
        return line + str(self._true_wbc).rjust(_TRUTH_WIDTH) + str(self._true_blasts).rjust(_TRUTH_WIDTH)


def blast_share(tally: Tally) -> str:
    """Say the share of blasts in words, never without its n and interval."""
    if tally.blast_fraction is None:
        return "blasts: no whole white cell was found, so there is no share to report (n = 0)"
    return (
        f"blasts: {tally.blasts} of {tally.wbc} whole white cells = {100 * tally.blast_fraction:.1f} % "
        f"(exact 95 % interval {100 * tally.ci_low:.1f} to {100 * tally.ci_high:.1f} %, n = {tally.wbc})"
    )


def _width(text: str) -> int:
    """Columns that a terminal uses: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _left(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _shortened(name: str) -> str:
    if _width(name) <= _MAX_NAME:
        return name
    while _width(name) > _MAX_NAME - 1:
        name = name[1:]
    return "…" + name
