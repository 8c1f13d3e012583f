"""Everything that a report or a page shows of a sample, from the log alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from edge.bloodlog import BloodLog, Sample
from edge.bloodlog.control import Alarm
from edge.bloodlog.reviews import class_of, type_of
from edge.bloodlog.signatures import Signature
from edge.classification.card import ModelCard, default_bundle_path, load_bundle
from edge.classification.recalibration import Recalibration
from edge.config import Config
from edge.counting.tally import denominator_of, tally, with_share, without_share
from edge.errors import ConfigError, ModelError
from edge.results.agreement import Agreement, agreement
from edge.results.control import alarms_during
from edge.results.corrected import CorrectedShare, KnownErrors, corrected_share
from edge.results.reading import Reading, ThresholdOf
from edge.results.search import Search, search_of
from edge.results.site import SiteStanding, site_standing
from edge.results.stopping import Stopping, stopping
from edge.structures import CellType, Denominator, ModelIdentity, Tally

#: Gives the known errors of a model, or None where they are not known.
ErrorsOf = Callable[[ModelIdentity], KnownErrors | None]


@dataclass(frozen=True, slots=True)
class CountedBy:
    """What counted a part of the sample's fields.

    Attributes
    ----------
    model : name and SHA-256
    software_version, runtime, config_sha256, source_kind : as in the log
    provenance_sha256 : of everything that produced the fields, calibration and code among it; None for rows
        of versions that did not note it
    type_model : the network that named the cells' types; None without one
    fields : number of fields that this combination counted
    """

    model: ModelIdentity
    software_version: str
    runtime: str
    config_sha256: str
    source_kind: str
    provenance_sha256: str | None
    type_model: ModelIdentity | None
    fields: int


@dataclass(frozen=True, slots=True)
class ObserverCount:
    """What one person says of the cells that count.

    Attributes
    ----------
    observer : who
    tally : cells by that person's word; nobody's word is *uncertain*. Where smudges are in the denominator,
        those of which that person has said nothing are in it, too, once every cell that counts was read:
        nobody is asked for them
    not_cells : cells that are none by that person's word
    unread : cells that count and that this person has no word on
    """

    observer: str
    tally: Tally
    not_cells: int
    unread: int

    @property
    def done(self) -> bool:
        """Whether every cell that counts was read."""
        return self.unread == 0 and self.tally.wbc > 0


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """A sample, counted up.

    Attributes
    ----------
    sample : whose
    reading : its cells and all words on them
    program : the program's tally; of a search without its share, which is no result there
    reviewed : the program's tally with people's words in place of the program's; None without any, while
        two people's words on a cell differ, and of a search
    corrected : share corrected for the program's known error; None where that error is not known, where
        several models counted, where nothing was counted, and of a search
    stopping : how far from the quota and the line; of a search the quota alone means something
    observers : what each person says, in the order of their first words; of a search the share of those alone
        who have read every cell, as candidates are no sample of the cells
    agreement : of the first two persons who have read every cell, blind; None before that
    rejected : number of rejected fields by reason; a field may have several
    warned : number of counted fields by warning; a field may have several
    warned_fields : number of counted fields with a warning
    scales_um_per_px : least and largest scale of the counted fields, None without a measured one
    assumed_scales : number of counted fields whose scale was only assumed
    provenance : what counted it, the most fields first
    untrusted_clock : fields whose wall time is not to be believed
    site : whether the program was verified in this laboratory, and whether that holds for this sample
    signatures : whoever signed, oldest first
    content_sha256 : of all that the sample holds; None where nobody has signed
    search : what the search for few blasts has found; None where the sample is not searched
    alarms : of quality control, open while its fields were counted
    """

    sample: Sample
    reading: Reading
    program: Tally
    reviewed: Tally | None
    corrected: CorrectedShare | None
    stopping: Stopping
    observers: tuple[ObserverCount, ...]
    agreement: Agreement | None
    rejected: Mapping[str, int]
    warned: Mapping[str, int]
    warned_fields: int
    scales_um_per_px: tuple[float, float] | None
    assumed_scales: int
    provenance: tuple[CountedBy, ...]
    untrusted_clock: int
    site: SiteStanding
    signatures: tuple[Signature, ...] = ()
    content_sha256: str | None = None
    search: Search | None = None
    alarms: tuple[Alarm, ...] = ()

    @property
    def signed(self) -> tuple[Signature, ...]:
        """Signatures of what the sample holds now, one for each person and meaning."""
        return tuple(one for one in self._last_signatures if one.content_sha256 == self.content_sha256)

    @property
    def outdated(self) -> tuple[Signature, ...]:
        """Signatures of what the sample held once, of whoever has not signed anew for the same."""
        return tuple(one for one in self._last_signatures if one.content_sha256 != self.content_sha256)

    @property
    def _last_signatures(self) -> Iterable[Signature]:
        """The last signature of each person for each meaning."""
        return {(one.who, one.meaning): one for one in self.signatures}.values()

    @property
    def drawn_fields(self) -> int:
        """Number of fields that a program drew: no patient's smear."""
        return sum(made.fields for made in self.provenance if made.source_kind == "rendered")


def summarise(
    log: BloodLog,
    sample: Sample,
    errors_of: ErrorsOf = lambda _model: None,
    denominator: Denominator | None = None,
    threshold_of: ThresholdOf = lambda _model: None,
    *,
    reading: Reading | None = None,
) -> SampleSummary:
    """Count a sample up.

    Parameters
    ----------
    log : the log that it is in
    sample : which
    errors_of : gives the known errors of a model by its identity
    denominator : which cells the shares are of, as configured
    threshold_of : gives a model's threshold by its identity, for the order of doubt
    reading : of the sample at this moment, where it was read already

    Raises
    ------
    LogError
        The file is damaged.
    """
    with log.at_one_moment():
        reading = reading or Reading.of(log, sample.id, threshold_of)
        signatures = log.signatures(sample.id)
        events = log.verification_events()
        content = log.content_sha256(sample.id) if signatures else None
        alarms = log.alarms()
    counted = [logged for logged in reading.fields if logged.result.status == "counted"]
    of = denominator_of(denominator, sample.specimen)
    program = tally((logged.result for logged in reading.fields), of)
    made_by = Counter(
        (
            logged.result.model,
            logged.software_version,
            logged.runtime,
            logged.config_sha256,
            logged.source_kind,
            None if logged.provenance is None else hashlib.sha256(logged.provenance.encode()).hexdigest(),
            logged.result.type_model,
        )
        for logged in reading.fields
    )
    models = {logged.result.model for logged in counted}
    errors = errors_of(next(iter(models))) if len(models) == 1 else None
    site = site_standing(events, reading.fields)
    if site.card is not None and site.holds:
        errors = KnownErrors.of_site(site.card)
    scales = [
        um_per_px for logged in counted if (um_per_px := logged.result.scale.reported_um_per_px) is not None
    ]
    done = reading.done
    observers = tuple(_observer_count(reading, observer, of) for observer in reading.observers)
    search = None
    if sample.search:  # most of what the program calls a blast is none: what people confirm is the result
        search = search_of(reading, sample.quota, errors)
        observers = tuple(
            one if one.done else replace(one, tally=without_share(one.tally)) for one in observers
        )
    return SampleSummary(
        sample=sample,
        reading=reading,
        program=program if search is None else without_share(program),
        reviewed=reviewed_tally(reading, program) if search is None else None,
        corrected=(
            corrected_share(program.blasts, program.classified, errors)
            if search is None and errors is not None
            else None
        ),
        stopping=stopping(program, sample.quota),
        observers=observers,
        agreement=(
            agreement((first, second) for _, first, second in reading.blind_words(*done[:2]))
            if len(done) >= 2
            else None
        ),
        rejected=Counter(reason for logged in reading.fields for reason in logged.result.reasons),
        warned=Counter(warning for logged in counted for warning in logged.result.warnings),
        warned_fields=sum(bool(logged.result.warnings) for logged in counted),
        scales_um_per_px=(min(scales), max(scales)) if scales else None,
        assumed_scales=len(counted) - len(scales),
        provenance=tuple(CountedBy(*made, fields=fields) for made, fields in made_by.most_common()),
        untrusted_clock=sum(logged.clock_trusted is False for logged in reading.fields),
        site=site,
        signatures=signatures,
        content_sha256=content,
        search=search,
        alarms=alarms_during(alarms, reading.fields[0].logged_at, reading.fields[-1].logged_at)
        if reading.fields
        else (),
    )


def reviewed_tally(reading: Reading, program: Tally) -> Tally | None:
    """Put people's words in place of the program's.

    A cell called a smudge moves to the smudges; one called no cell disappears; cells without a word keep the
    program's. Where people differ there is no share after their words: the last of them is not the right one.

    Returns
    -------
    the tally, or None where nobody has said anything, or people differ
    """
    corrections = reading.last_words
    if not corrections or reading.differing:
        return None
    counted = [cell for cell in reading.cells if cell.counts or cell.is_smudge]
    words = [(corrections.get(cell.ref, cell.program), reading.type_of(cell)) for cell in counted]
    tally = _with_words(program, words, by_network=program.types is not None)
    if reading.differing_types:  # the share of blasts does not depend on them, the differential does
        tally = replace(tally, types=None)
    return with_share(tally)


def _with_words(
    tally: Tally, words: Sequence[tuple[str, CellType | None]], *, by_network: bool = False
) -> Tally:
    """Count class and type of cells.

    Parameters
    ----------
    tally : what is not of cells
    words : class and type of each
    by_network : a network has named types, so that a cell without one is a cell on which it abstained;
        without it the types are counted only where people have given one to every normal cell
    """
    classes = Counter(word for word, _ in words)
    named = Counter(kind for word, kind in words if word == "normal")
    is_complete = by_network or (bool(named) and not named[None])
    types = {kind: k for kind, k in named.items() if kind is not None}
    erythroblasts = types.pop("erythroblast", 0)
    return replace(
        tally,
        blasts=classes["blast"],
        normal=classes["normal"] - erythroblasts,
        uncertain=classes["uncertain"],
        smudges=classes["smudge"],
        erythroblasts=erythroblasts,
        types=types if is_complete else None,
    )


def _observer_count(reading: Reading, observer: str, denominator: Denominator) -> ObserverCount:
    smudges = [cell.ref for cell in reading.cells if cell.is_smudge]
    refs = (*reading.to_read, *smudges)
    said = [word for ref in refs if (word := reading.said(observer, ref)) is not None]
    words: list[tuple[str, CellType | None]] = [(class_of(word), type_of(word)) for word in said]
    if denominator == "with_smudges" and reading.is_done(observer):
        words += [("smudge", None) for ref in smudges if reading.said(observer, ref) is None]
    nothing = Tally(0, 0, 0, 0, 0, 0, 0, None, 0.0, 1.0, denominator)
    own = _with_words(nothing, words)
    unread = len(reading.to_read) - reading.read_by(observer)
    return ObserverCount(observer, with_share(own), said.count("not_a_cell"), unread)


def known_errors(config: Config) -> ErrorsOf:
    """Give the known errors of a model that is installed here; those of another one are not known.

    They are read from the card whose SHA-256 is the model's, never from one of the same name, and once; where
    the rows went through a recalibration, from its file, of cells that its fit had not seen.
    """

    @cache
    def of(model: ModelIdentity) -> KnownErrors | None:
        if model.recalibration is not None:
            fitted = _installed_recalibration(config, model)
            return None if fitted is None else KnownErrors.of_recalibration(fitted)
        for card in _installed_cards(config):
            evaluation = card.sections.get("evaluation")
            if card.sha256 == model.sha256 and isinstance(evaluation, dict):
                return KnownErrors.of_evaluation(evaluation)
        return None

    return of


def known_thresholds(config: Config) -> ThresholdOf:
    """Give the threshold of a model that is installed here; each card is read once."""

    @cache
    def of(model: ModelIdentity) -> float | None:
        if model.recalibration is not None:
            fitted = _installed_recalibration(config, model)
            return None if fitted is None else fitted.threshold
        cards = (card for card in _installed_cards(config) if card.sha256 == model.sha256)
        return next((card.decision.threshold for card in cards), None)

    return of


def _installed_recalibration(config: Config, model: ModelIdentity) -> Recalibration | None:
    path = config.recalibration_path
    for file in (path, Recalibration.kept(path, model.recalibration)):
        try:
            fitted = Recalibration.load(file)
        except ConfigError:  # a report of an old sample does not need it
            continue
        if fitted.sha256 == model.recalibration:
            return fitted
    return None


def _installed_cards(config: Config) -> Iterator[ModelCard]:
    for path in dict.fromkeys((config.model.path or default_bundle_path(), default_bundle_path())):
        try:
            yield load_bundle(path).card
        except ModelError:  # a report of an old sample does not need today's model to be usable
            continue


def summarise_as_configured(log: BloodLog, sample: Sample, config: Config) -> SampleSummary:
    """Count a sample up by the configured custom, corrected where the model's errors are known here."""
    return summarise(log, sample, known_errors(config), config.sample.denominator, known_thresholds(config))
