"""What is said of figures, in the words of one language, wherever they are shown."""

from __future__ import annotations

from edge.i18n import Catalogue
from edge.results.stopping import LINE, Stopping
from edge.structures import Tally

#: The letter of a class, the same in every language and on every picture.
LETTERS = {"blast": "B", "normal": "N", "uncertain": "U", "smudge": "S", "not_a_cell": "X"}
#: Nobody is shown certainty: the least probability that is written as a number, and the greatest.
_LEAST_P, _GREATEST_P = 0.01, 0.99


def probability_text(_: Catalogue, p: float) -> str:
    """Write a probability with two digits, and never as certainty.

    Examples
    --------
    >>> from edge.i18n import catalogue
    >>> [probability_text(catalogue("id"), p) for p in (0.004, 0.5, 0.9949, 0.998)]
    ['<0,01', '0,50', '0,99', '>0,99']
    """
    shown = round(p, 2)
    sign = "<" if shown < _LEAST_P else ">" if shown > _GREATEST_P else ""
    return sign + _.number(min(_GREATEST_P, max(_LEAST_P, shown)), 2)


def share_text(_: Catalogue, tally: Tally, key: str = "report.share") -> str:
    """Say the share of blasts, never without its interval and n.

    Parameters
    ----------
    _ : texts
    tally : of the program or of a person
    key : of the text
    """
    if tally.blast_fraction is None:
        return _("figures.none")
    return _(
        key,
        share=_.percent(tally.blast_fraction),
        low=_.number(100 * tally.ci_low, 1),
        high=_.percent(tally.ci_high),
        k=tally.blasts,
        n=tally.wbc,
    )


def reason_text(_: Catalogue, name: str) -> str:
    """Say why a field was not counted; a reason that no catalogue knows is shown by its name."""
    key = f"reason.{name}"
    return _(key) if _.has(key) else name.replace("_", " ")


def stop_text(_: Catalogue, stopping: Stopping) -> str:
    """Say whether to count on."""
    line = _.percent(LINE, 0)
    advice = _(f"stop.{stopping.advice}", cells=stopping.cells, quota=stopping.quota, line=line)
    if stopping.advice in ("quota_open", "count_on") and stopping.more_cells is not None:
        advice += " " + _("stop.more", more=stopping.more_cells)
    return advice
