"""What the one-page report says, in words of one language; HTML and PDF only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

from edge.bloodlog.signatures import Meaning
from edge.counting.tally import with_share
from edge.device.clock import utc_now
from edge.i18n import Catalogue
from edge.results.control_texts import alarms_text
from edge.results.corrected import KnownErrors
from edge.results.sheet.kinds import DifferentialTable, differential_table
from edge.results.sheet.pictures import PictureBox, chosen_pictures
from edge.results.stopping import REFERENCE_LINES
from edge.results.summary import SampleSummary
from edge.results.texts import (
    counts_text,
    differing_text,
    drawn_text,
    outdated_text,
    quota_text,
    search_limits,
    search_text,
    settled_text,
    share_text,
    signature_text,
    signed_text,
    site_text,
    source_text,
    specimen_text,
    state_text,
    stop_text,
    warned_text,
)
from edge.structures import Denominator, Tally

#: Observers that have a column of their own; the page is one sheet.
_MAX_OBSERVERS = 2
_HASH_DIGITS = 12
#: Share of refused fields above which the sheet says so first: what is left may be the slide's easy parts. A
#: stage that is moved by hand loses a field now and then, not one in four.
_MANY_REFUSED = 0.25

#: Gives the JPEG of a stored picture by its hash, or None where it was removed.
ReadPicture = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A share on a line from 0 to 100 %.

    Attributes
    ----------
    label : whose share
    share, low, high : 0 to 1
    text : the share, its interval and n, in words
    """

    label: str
    share: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True)
class SignatureBox:
    """Where the sheet is signed for one thing.

    Attributes
    ----------
    signed : who has signed by name and password, and when; empty where nobody has
    label : what is signed for, and by what
    """

    signed: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Page:
    """The report, ready to be laid out.

    Attributes
    ----------
    language : ISO 639-1 code
    title : of the page
    warning : what it is not for; also stands at the foot
    sample : what was counted, by name
    bars : shares with their intervals; the first is the program's, which a search does not have
    reference_lines : shares drawn as lines, with their texts
    banners : what must be known before any figure is believed: that nobody has looked or readers differ, that
        cells are missing or many fields were refused, and which warnings how many counted fields carry
    notes : sentences below the bars
    columns, rows : the table of counts; the first entry of a row is its name
    differential : which kinds the counted cells are; None where no types were named
    pictures : boxes of cells
    legend : what stands below a picture
    quality, origin : facts by name
    signatures : what is signed for, and by whom
    drawn : the fields were drawn by a program: no patient's smear
    """

    language: str
    title: str
    warning: str
    sample: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    reference_lines: tuple[tuple[float, str], ...]
    banners: tuple[str, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    differential: DifferentialTable | None
    pictures: tuple[PictureBox, ...]
    legend: str
    quality: tuple[tuple[str, str], ...]
    origin: tuple[tuple[str, str], ...]
    signatures: tuple[SignatureBox, SignatureBox]
    drawn: str | None


def make_page(
    summary: SampleSummary, _: Catalogue, read_picture: ReadPicture, made_at: datetime | None = None
) -> Page:
    """Write a sample's report.

    Parameters
    ----------
    summary : of the sample
    _ : texts of the language
    read_picture : gives stored pictures of cells
    made_at : aware time that the report bears; now, if not given
    """
    program = summary.program
    at = utc_now() if made_at is None else made_at
    columns, rows = _table(summary, _)
    return Page(
        language=_.language,
        title=_("report.title"),
        warning=_("common.research_use"),
        sample=_sample_facts(summary, _, at),
        bars=tuple(_bars(summary, _)),
        reference_lines=tuple((line, _.percent(line, 0)) for line in REFERENCE_LINES),
        banners=tuple(_banners(summary, _)),
        notes=tuple(_notes(summary, program, _)),
        columns=columns,
        rows=rows,
        differential=_differential(summary, _),
        pictures=chosen_pictures(summary.reading, _, read_picture, search=summary.search is not None),
        legend=_("report.legend"),
        quality=tuple(_quality(summary, _)),
        origin=tuple(_origin(summary, _)),
        signatures=(_box(summary, "counted", _), _box(summary, "checked", _)),
        drawn=drawn_text(_, summary),
    )


def _box(summary: SampleSummary, meaning: Meaning, _: Catalogue) -> SignatureBox:
    signed = tuple(signature_text(_, one) for one in summary.signed if one.meaning == meaning)
    return SignatureBox(signed, _(f"report.signed_{meaning}" if signed else f"report.sign_{meaning}"))


def _sample_facts(summary: SampleSummary, _: Catalogue, at: datetime) -> tuple[tuple[str, str], ...]:
    sample = summary.sample
    return (
        (_("report.sample"), sample.name),
        (_("samples.specimen"), specimen_text(_, sample)),
        (_("samples.opened"), _.local_moment(sample.opened_at)),
        (_("report.signed"), signed_text(_, summary)),
        (_("samples.quota"), quota_text(_, sample)),
        (_("samples.state"), state_text(_, sample)),  # the longest, in the widest of the three columns
        (_("report.made"), _.local_moment(at)),
    )


def _banners(summary: SampleSummary, _: Catalogue) -> Iterable[str]:
    program, stopping = summary.program, summary.stopping
    outdated = outdated_text(_, summary)
    if outdated is not None:
        yield outdated
    if summary.search is not None:
        yield search_text(_, summary.search, is_open=summary.sample.is_open)
    if summary.search is None and program.wbc and not any(summary.reading.words.values()):
        yield _("report.nobody")
    if summary.search is None and summary.sample.slide is None and not stopping.quota_reached:
        yield _("report.quota_missed", cells=stopping.cells, quota=stopping.quota)
    fields = program.fields + program.rejected
    if program.rejected > _MANY_REFUSED * fields:
        yield _("report.many_refused", rejected=program.rejected, fields=fields)
    if (alarms := alarms_text(_, summary.alarms)) is not None:
        yield alarms
    differing = differing_text(_, summary)
    if differing is not None:
        yield differing
    warned = warned_text(_, summary.warned, summary.warned_fields, program.fields)
    if warned is not None:
        yield warned


def _bars(summary: SampleSummary, _: Catalogue) -> Iterable[Bar]:
    yield from _tally_bar(_("report.program"), summary.program, _)
    if summary.corrected is not None and summary.program.wbc:
        corrected = summary.corrected
        text = _(
            "report.corrected_share",
            share=_.percent(corrected.share),
            low=_.number(100 * corrected.low, 1),
            high=_.percent(corrected.high),
        )
        if summary.program.denominator != "classified":
            text = _("report.corrected_of", share=text, cells=_("counted_cells.classified"))
        yield Bar(_("report.corrected"), corrected.share, corrected.low, corrected.high, text)
    if summary.reviewed is not None:
        yield from _tally_bar(_("report.reviewed"), summary.reviewed, _)
    for seen in summary.observers[:_MAX_OBSERVERS]:
        yield from _tally_bar(seen.observer, seen.tally, _)


def _tally_bar(label: str, tally: Tally, _: Catalogue) -> Iterable[Bar]:
    if tally.blast_fraction is not None:
        yield Bar(label, tally.blast_fraction, tally.ci_low, tally.ci_high, share_text(_, tally))


def _notes(summary: SampleSummary, program: Tally, _: Catalogue) -> Iterable[str]:
    if summary.search is None:
        yield stop_text(_, summary.stopping, summary.sample)
    else:
        yield from search_limits(_, summary.search)
    yield _(
        "report.denominator_classified" if summary.search else f"report.denominator_{program.denominator}"
    )
    if summary.search is None:
        yield from _other_denominators(program, _)
    site = site_text(_, summary.site)
    if summary.corrected is None:
        if summary.search is None:
            yield _("report.not_corrected")
        yield _sentence(site)
    else:
        yield _how_corrected(summary.corrected.errors, site, _)
        if not summary.corrected.informative:
            yield _("report.uninformative")
    both = summary.agreement
    if both is not None:
        first, second = summary.reading.done[:2]
        text = _("report.agreed", first=first, second=second, agreed=both.agreed, n=both.n)
        if both.kappa is not None and both.low is not None and both.high is not None:
            text += " " + _(
                "observers.kappa",
                kappa=_.number(both.kappa, 2),
                low=_.number(both.low, 2),
                high=_.number(both.high, 2),
            )
        yield text
    settled = settled_text(_, summary)
    if settled is not None:
        yield settled
    if len(summary.observers) > _MAX_OBSERVERS:
        yield _("report.more_observers", number=len(summary.observers) - _MAX_OBSERVERS)
    if not program.wbc:
        yield _("report.nothing")


def _how_corrected(errors: KnownErrors, site: str, _: Catalogue) -> str:
    if errors.site is not None:
        blasts, others = errors.site.sensitivity, errors.site.specificity
        return _(
            "report.how_corrected_site",
            site=site,
            sensitivity=_.percent(blasts.share),
            sensitivity_low=_.number(100 * blasts.low, 1),
            sensitivity_high=_.percent(blasts.high),
            blasts=blasts.n,
            specificity=_.percent(others.share),
            specificity_low=_.number(100 * others.low, 1),
            specificity_high=_.percent(others.high),
            others=others.n,
        )
    text = _(
        "report.how_corrected",
        sensitivity=_.percent(errors.sensitivity),
        blasts=errors.blasts,
        specificity=_.percent(errors.specificity),
        others=errors.others,
        source=source_text(_, errors.source),
    )
    return f"{text} {_sentence(site)}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _other_denominators(program: Tally, _: Catalogue) -> Iterable[str]:
    """Say what the share would be by other customs, where they give another one."""
    customs: tuple[Denominator, ...] = get_args(Denominator)
    for custom in customs:
        other = with_share(replace(program, denominator=custom))
        if other.wbc not in (0, program.wbc):
            yield _(f"report.{custom}", share=share_text(_, other))


def _table(summary: SampleSummary, _: Catalogue) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Lay out the counts: a column for the program, one for the corrected words, one an observer."""
    people = summary.observers[:_MAX_OBSERVERS]
    columns = {_("report.program"): summary.program}
    if summary.reviewed is not None:
        columns[_("report.reviewed")] = summary.reviewed
    own = [None] * len(columns)
    tallies = [*columns.values(), *(count.tally for count in people)]

    def row(key: str, values: Iterable[int | None]) -> tuple[str, ...]:
        return (_(key), *("–" if value is None else str(value) for value in values))

    rows = [
        row("report.blasts", (tally.blasts for tally in tallies)),
        row("class.normal", (tally.normal for tally in tallies)),
        row("class.uncertain", [*(tally.uncertain for tally in columns.values()), *(None for _o in people)]),
        row("class.smudge", (tally.smudges for tally in tallies)),
    ]
    erythroblasts = row("type.erythroblast", (tally.erythroblasts for tally in tallies))
    is_nucleated = summary.program.denominator == "nucleated"
    counted = row(f"report.counted{'_nucleated' * is_nucleated}", (tally.wbc for tally in tallies))
    found = [erythroblasts] * any(tally.erythroblasts for tally in tallies)
    rows[3:3] = [*found, counted] if is_nucleated else [counted, *found]
    if people:
        rows.append(row("class.not_a_cell", [*own, *(count.not_cells for count in people)]))
        rows.append(row("cells.no_word", [*own, *(count.unread for count in people)]))
    border = summary.program.border
    rows.append(row("report.border", [*(border for _tally in columns), *(None for _o in people)]))
    return ("", *columns, *(count.observer for count in people)), tuple(rows)


def _differential(summary: SampleSummary, _: Catalogue) -> DifferentialTable | None:
    tallies = [(_("report.program"), summary.program)]
    if summary.reviewed is not None:
        tallies.append((_("report.reviewed"), summary.reviewed))
    tallies += [(seen.observer, seen.tally) for seen in summary.observers[:_MAX_OBSERVERS] if seen.done]
    return differential_table(_, tallies, len(summary.reading.differing_types))


def _quality(summary: SampleSummary, _: Catalogue) -> Iterable[tuple[str, str]]:
    program = summary.program
    yield _("report.fields"), _("report.fields_of", counted=program.fields, rejected=program.rejected)
    if summary.rejected:
        yield _("report.rejected"), counts_text(_, "reason", summary.rejected)
    if summary.scales_um_per_px is None:
        yield _("report.scale"), _("fields.no_scale")
    else:
        low, high = (_.number(scale, 4) for scale in summary.scales_um_per_px)
        yield _("report.scale"), _("report.scale_of", scale=low if low == high else f"{low}–{high}")
    if summary.assumed_scales:
        yield _("report.assumed"), _("report.fields_n", n=summary.assumed_scales)
    if summary.untrusted_clock:
        yield _("report.clock"), _("report.clock_of", n=summary.untrusted_clock)


def _origin(summary: SampleSummary, _: Catalogue) -> Iterable[tuple[str, str]]:
    several = len(summary.provenance) > 1
    for made in summary.provenance:
        fields = f" ({_('report.fields_n', n=made.fields)})" if several else ""
        by = made.model.recalibration
        model = f"{made.model.name} {made.model.sha256[:_HASH_DIGITS]}"
        if by is not None:
            model += f" {_('report.recalibrated', hash=by[:_HASH_DIGITS])}"
        text = (
            f"{model}, blastcount {made.software_version}, "
            f"{made.runtime}, {_('report.settings')} {made.config_sha256[:_HASH_DIGITS]}"
        )
        if made.type_model is not None:
            types = f"{made.type_model.name} {made.type_model.sha256[:_HASH_DIGITS]}"
            text += f", {_('report.types', model=types)}"
        if made.provenance_sha256 is not None:
            text += f", {_('report.provenance')} {made.provenance_sha256[:_HASH_DIGITS]}"
        yield _("report.made_by") + fields, text
