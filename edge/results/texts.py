"""What is said of figures, in the words of one language, wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from edge.calibration.site import ADVISED_CELLS, LEAST_EFFECTIVE, SiteCard
from edge.device.printable import printable
from edge.i18n import Catalogue, catalogue
from edge.results.corrected import OF_RECALIBRATION
from edge.results.stopping import LINE, Stopping
from edge.structures import CellType, Tally

if TYPE_CHECKING:
    from edge.bloodlog import Sample
    from edge.bloodlog.signatures import Signature
    from edge.bloodlog.users import Role
    from edge.counting.differential import Differential
    from edge.results.search import Search
    from edge.results.site import SiteStanding
    from edge.results.summary import SampleSummary  # what asks the daemon has the words, without the log

#: The letter of a class, the same in every language and on every picture.
LETTERS = {"blast": "B", "normal": "N", "uncertain": "U", "smudge": "S", "not_a_cell": "X"}
#: Keys of the types, none of which is a class's or one of the page's own: P as in polymorphonuclear.
TYPE_LETTERS: dict[CellType, str] = {
    "neutrophil": "P", "lymphocyte": "L", "monocyte": "M", "eosinophil": "E", "basophil": "A",
    "immature_granulocyte": "I", "erythroblast": "R", "other": "O",
}  # fmt: skip
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
    if tally.blast_fraction is None:  # of a search what was counted is no share of blasts
        return _("figures.count", k=tally.blasts, n=tally.wbc) if tally.wbc else _("figures.none")
    return _(
        key,
        share=_.percent(tally.blast_fraction),
        low=_.number(100 * tally.ci_low, 1),
        high=_.percent(tally.ci_high),
        k=tally.blasts,
        n=tally.wbc,
    )


def kind_text(_: Catalogue, kind: str) -> str:
    """Name a kind of counted cells; of some the program says only that a person should look.

    Examples
    --------
    >>> from edge.i18n import catalogue
    >>> [kind_text(catalogue(), kind) for kind in ("blast", "lymphocyte", "other")]
    ['blast', 'lymphocyte', 'other, look']
    """
    if kind == "other":
        return _("differential.other")
    return _(f"type.{kind}" if kind in TYPE_LETTERS else f"class.{kind}")


def differential_title(_: Catalogue, counted: Differential) -> str:
    """Say of which cells a differential is."""
    return _("differential.title", cells=_(f"counted_cells.{counted.denominator}"))


def differential_note(_: Catalogue, counted: Differential) -> str:
    """Say what must be known beside a differential."""
    note = _("differential.intervals")
    if counted.others:
        note += " " + _("differential.look", k=counted.others, other=_("differential.other"))
    return note


def reason_text(_: Catalogue, name: str) -> str:
    """Say why a field was not counted; a reason that no catalogue knows is shown by its name."""
    return _named(_, "reason", name)


def warning_text(_: Catalogue, name: str) -> str:
    """Say what doubt a field was counted with; one that no catalogue knows is shown by its name."""
    return _named(_, "warning", name)


def counts_text(_: Catalogue, section: Literal["reason", "warning"], counts: Mapping[str, int]) -> str:
    """List how many fields have which reasons or warnings, the commonest first.

    Examples
    --------
    >>> from edge.i18n import catalogue
    >>> counts_text(catalogue(), "reason", {"blank": 1, "out_of_focus": 3})
    'out of focus 3, blank 1'
    """
    return ", ".join(f"{_named(_, section, name)} {counts[name]}" for name in commonest_first(counts))


def commonest_first(counts: Mapping[str, int]) -> list[str]:
    """Order names by how many there are of them, and where there are as many by the alphabet."""
    return sorted(counts, key=lambda name: (-counts[name], name))


def warned_text(_: Catalogue, warned: Mapping[str, int], fields: int, of: int) -> str | None:
    """Say how many counted fields carry which warnings; None where none does.

    Parameters
    ----------
    _ : texts
    warned : number of fields by warning
    fields : number of fields with a warning
    of : number of counted fields
    """
    if not fields:
        return None
    return _("report.warned", fields=fields, of=of, warnings=counts_text(_, "warning", warned))


def differing_text(_: Catalogue, summary: SampleSummary) -> str | None:
    """Say that readers differ, by each one's own count and the kappa of two; None where none differ."""
    cells = len(summary.reading.differing)
    if not cells:
        return None
    said = ", ".join(
        _("report.differ_one", observer=count.observer, k=count.tally.blasts, n=count.tally.wbc)
        for count in summary.observers
    )
    kappa = None if summary.agreement is None else summary.agreement.kappa
    if kappa is not None:
        said += _("report.differ_kappa", kappa=_.number(kappa, 2))
    return _("report.differ", counts=said, cells=cells)


def site_text(_: Catalogue, site: SiteStanding) -> str:
    """Say whether the program was verified in this laboratory, on how much, and whether that holds."""
    card = site.card
    if card is None:
        return _("site.never")
    day = _.local_day(card.measured_at)
    if site.holds:
        return _("site.measured", cells=card.cells, samples=card.samples, day=day)
    return _("site.changed", day=day, what=", ".join(_(f"site_changed.{name}") for name in site.changed))


def corrects_nothing_text(_: Catalogue, card: SiteCard) -> str | None:
    """Say why a site card corrects no share; None where it does."""
    if card.corrects:
        return None
    blasts, others = card.sensitivity, card.specificity
    return _(
        "verify.corrects_nothing",
        blasts=blasts.n,
        others=others.n,
        blasts_as=int(blasts.effective_n),
        others_as=int(others.effective_n),
        least=int(LEAST_EFFECTIVE),
        advised=ADVISED_CELLS,
    )


def clock_text(_: Catalogue, summary: SampleSummary) -> str | None:
    """Say of how many fields the times are not to be believed; None where there is none."""
    return _("result.untrusted", fields=summary.untrusted_clock) if summary.untrusted_clock else None


def state_text(_: Catalogue, sample: Sample) -> str:
    """Say whether a sample is open, or since when it is closed and by whom."""
    if sample.closed_at is None:
        return _("state.open")
    at = _.local_moment(sample.closed_at)
    if sample.closed_by is None:
        return _("state.closed_at", at=at)
    return _("state.closed_by", at=at, who=person_text(_, sample.closed_by, sample.closed_as))


def specimen_text(_: Catalogue, sample: Sample) -> str:
    """Say what a sample is of, or of which control slide it is a run."""
    if sample.slide is not None:
        return _("samples.control", slide=printable(sample.slide))
    return _(f"specimen.{sample.specimen}")


def quota_text(_: Catalogue, sample: Sample) -> str:
    """Say how many white cells a sample is counted to, and that it is searched; a control run has none."""
    if sample.slide is not None:
        return "–"
    return _("search.quota", quota=sample.quota) if sample.search else str(sample.quota)


def person_text(_: Catalogue, name: str, role: Role | None) -> str:
    """Name a person, with the role that he or she had signed in under; a name on trust stands alone."""
    name = printable(name)  # of an older log, which took any
    return name if role is None else _("signature.person", name=name, role=_(f"role.{role}"))


def signature_text(_: Catalogue, signature: Signature) -> str:
    """Say who signed, as what, and when, on the clock of the wall."""
    who = person_text(_, signature.who, signature.role)
    key = "signature.at_doubtful" if signature.clock_trusted is False else "signature.at"
    return _(key, who=who, at=_.local_moment(signature.at))


def signed_text(_: Catalogue, summary: SampleSummary) -> str:
    """Say for what a sample is signed, and that it is not."""
    if summary.signed:
        meanings = dict.fromkeys(_(f"signature.{one.meaning}") for one in summary.signed)
        return ", ".join(meanings)
    return _("signature.outdated") if summary.outdated else _("signature.unsigned")


def outdated_text(_: Catalogue, summary: SampleSummary) -> str | None:
    """Say that a sample was changed after it was signed, and by whom it was; None where it was not."""
    if not summary.outdated:
        return None
    said = "; ".join(f"{_(f'signature.{one.meaning}')}: {signature_text(_, one)}" for one in summary.outdated)
    return _("signature.changed", signatures=said)


def settled_text(_: Catalogue, summary: SampleSummary) -> str | None:
    """Say on how many cells a supervisor has settled what readers differed on; None where on none."""
    settled = summary.reading.settled
    if not settled:
        return None
    names = ", ".join(dict.fromkeys(who for _word, who in settled.values()))
    return _("report.settled", cells=len(settled), who=names)


def drawn_text(_: Catalogue, summary: SampleSummary) -> str | None:
    """Say how many of the fields were drawn by a program; None where none was."""
    drawn, of = summary.drawn_fields, len(summary.reading.fields)
    if not drawn:
        return None
    return _("report.drawn") if drawn == of else _("report.drawn_some", drawn=drawn, of=of)


def _named(_: Catalogue, section: str, name: str) -> str:
    key = f"{section}.{name}"
    return _(key) if _.has(key) else name.replace("_", " ")


#: What is said in place of an advice to count on where the sample is closed.
_CLOSED = {
    "nothing_counted": "closed_empty",
    "no_cells": "closed_empty",
    "clear": "closed_clear",
    "count_on": "closed_open",
}


def stop_text(_: Catalogue, stopping: Stopping, sample: Sample) -> str:
    """Say whether to count on; of a closed sample, how far it came; of a control run, that it is one."""
    if sample.slide is not None:
        return _("samples.control_run", slide=printable(sample.slide))
    is_open = sample.is_open
    line = _.percent(LINE, 0)
    key = stopping.advice if is_open else _CLOSED.get(stopping.advice, stopping.advice)
    advice = _(
        f"stop.{key}",
        cells=stopping.cells,
        quota=stopping.quota,
        fields=stopping.fields,
        rejected=stopping.rejected,
        line=line,
    )
    if stopping.advice in ("quota_open", "count_on") and stopping.more_cells is not None:
        advice += " " + _("stop.more", more=stopping.more_cells)
    return advice


#: What the shipped model's card says in English.
_KNOWN_SOURCE = "report.source_all_idb"


def source_text(_: Catalogue, source: str) -> str:
    """Say on which cells errors were measured; the card of a model that does not ship, in English alone."""
    if not source:
        return _("site.source")
    if source == OF_RECALIBRATION:
        return _("report.source_here")
    known = source == catalogue()(_KNOWN_SOURCE)
    return _(_KNOWN_SOURCE) if known else _("report.source_of_card", source=source)


def search_text(_: Catalogue, search: Search, *, is_open: bool) -> str:
    """Say what a search has found, with its limits, and whether it can end.

    Parameters
    ----------
    _ : texts
    search : of the sample
    is_open : the sample is not closed
    """
    if not search.cells:
        return _("search.nothing")
    verdict = "closed" if search.verdict == "count_on" and not is_open else search.verdict
    advice = _(
        f"search.{verdict}",
        at=search.decided_at,
        missed=_.percent(search.missed, 2),
        cells=search.cells,
        quota=search.quota,
    )
    if search.waiting:
        advice += " " + _("search.waiting", waiting=search.waiting)
    return f"{found_text(_, search)} {advice}"


def found_text(_: Catalogue, search: Search) -> str:
    """Say what people have found in a search, with its limits, or why there is nothing to be said."""
    if not search.cells:
        return _("search.nothing")
    if not search.has_result:
        return _("search.unread", cells=search.cells)
    if not search.looked_at:
        return _("search.none_listed", cells=search.cells, high=_.percent(search.high, 2))
    key = "search.some" if search.confirmed else "search.none"
    return _(
        f"{key}_yet" if search.waiting else key,
        cells=search.cells,
        k=search.confirmed,
        share=_.percent(search.confirmed / search.cells, 2),
        low=_.number(100 * search.low, 2),
        high=_.percent(search.high, 2),
    )


def search_limits(_: Catalogue, search: Search) -> tuple[str, ...]:
    """Say what the limits of a search rest on, and what the program could tell by itself."""
    if not search.cells:
        return ()
    listing, alone = search.listing, search.alone
    if not search.has_result:  # there is no limit that could rest on anything
        rests = ""
    elif listing is not None:
        rests = _(
            "search.listing",
            share=_.percent(listing.listed / listing.blasts),
            listed=listing.listed,
            blasts=listing.blasts,
            source=source_text(_, listing.source),
            high=_.percent(search.unlisted_high, 2),
        )
    else:
        rests = _("search.read" if search.is_read else "search.unknown")
    by_itself = alone and _(
        "search.alone_never" if alone.detects is None else "search.alone",
        blank=alone.blank,
        cells=search.cells,
        called=alone.called,
        others=alone.others,
        detects=_.percent(alone.detects or 1.0),
    )
    return tuple(text for text in (rests, by_itself) if text)
