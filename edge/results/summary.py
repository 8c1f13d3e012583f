"""Everything that a report or a page shows of a sample, from the log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge.bloodlog import BloodLog, Sample
from edge.counting.tally import clopper_pearson, tally, with_share
from edge.results.agreement import Agreement, agreement
from edge.results.corrected import CorrectedShare, KnownErrors, corrected_share
from edge.results.reading import Reading
from edge.results.stopping import Stopping, stopping
from edge.structures import CellRef, Denominator, ModelIdentity, Tally

#: Gives the known errors of a model, or None where they are not known.
ErrorsOf = Callable[[ModelIdentity], KnownErrors | None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What counted a part of the sample's fields.

    Attributes
    ----------
    model : name and SHA-256
    software_version, runtime, config_sha256, source_kind : as in the log
    fields : number of fields that this combination counted
    """

    model: ModelIdentity
    software_version: str
    runtime: str
    config_sha256: str
    source_kind: str
    fields: int


@dataclass(frozen=True, slots=True)
class ObserverCount:
    """What one person says of the cells that count.

    Attributes
    ----------
    observer : who
    blasts, normal, smudges, not_cells : cells by that person's word
    unread : cells that count and that this person has no word on
    share : blasts / (blasts + normal), None for 0 / 0
    ci_low, ci_high : exact 95 % interval of the share
    done : no cell is unread
    """

    observer: str
    blasts: int
    normal: int
    smudges: int
    not_cells: int
    unread: int
    share: float | None
    ci_low: float
    ci_high: float

    @property
    def cells(self) -> int:
        """White cells, by this person's word."""
        return self.blasts + self.normal

    @property
    def done(self) -> bool:
        """Whether every cell that counts was read."""
        return self.unread == 0 and self.cells > 0


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """A sample, counted up.

    Attributes
    ----------
    sample : whose
    reading : its cells and all words on them
    program : the program's tally
    reviewed : the program's tally with people's last words in place of the program's, None without any
    corrected : share corrected for the program's known error; None where that error is not known, where
        several models counted, or where nothing was counted
    stopping : how far from the quota and the line
    observers : what each person says, in the order of their first words
    agreement : of the first two persons who have read every cell, blind; None before that
    rejected : number of rejected fields by reason; a field may have several
    scales_um_per_px : least and largest scale of the counted fields, None without a measured one
    assumed_scales : number of counted fields whose scale was only assumed
    provenance : what counted it, the most fields first
    untrusted_clock : fields whose wall time is not to be believed
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
    scales_um_per_px: tuple[float, float] | None
    assumed_scales: int
    provenance: tuple[Provenance, ...]
    untrusted_clock: int


def summarise(
    log: BloodLog,
    sample: Sample,
    errors_of: ErrorsOf = lambda _model: None,
    denominator: Denominator = "classified",
) -> SampleSummary:
    """Count a sample up.

    Parameters
    ----------
    log : the log that it is in
    sample : which
    errors_of : gives the known errors of a model by its identity
    denominator : which cells the shares are of

    Raises
    ------
    LogError
        The file is damaged.
    """
    reading = Reading.of(log, sample.id)
    counted = [logged for logged in reading.fields if logged.result.status == "counted"]
    program = tally((logged.result for logged in reading.fields), denominator)
    made_by = Counter(
        (
            logged.result.model,
            logged.software_version,
            logged.runtime,
            logged.config_sha256,
            logged.source_kind,
        )
        for logged in reading.fields
    )
    models = {logged.result.model for logged in counted}
    errors = errors_of(next(iter(models))) if len(models) == 1 else None
    scales = [
        um_per_px for logged in counted if (um_per_px := logged.result.scale.reported_um_per_px) is not None
    ]
    done = reading.done
    return SampleSummary(
        sample=sample,
        reading=reading,
        program=program,
        reviewed=reviewed_tally(reading, program),
        corrected=None if errors is None else corrected_share(program.blasts, program.classified, errors),
        stopping=stopping(program, sample.quota),
        observers=tuple(_observer_count(reading, observer) for observer in reading.observers),
        agreement=(
            agreement((first, second) for _, first, second in reading.blind_words(*done[:2]))
            if len(done) >= 2
            else None
        ),
        rejected=Counter(reason for logged in reading.fields for reason in logged.result.reasons),
        scales_um_per_px=(min(scales), max(scales)) if scales else None,
        assumed_scales=len(counted) - len(scales),
        provenance=tuple(Provenance(*made, fields=fields) for made, fields in made_by.most_common()),
        untrusted_clock=sum(logged.clock_trusted is False for logged in reading.fields),
    )


def reviewed_tally(reading: Reading, program: Tally) -> Tally | None:
    """Put people's words in place of the program's.

    Of several words on a cell the latest holds, whoever said it. A cell called a smudge moves to the smudges;
    one called no cell disappears; cells without a word keep the program's.

    Returns
    -------
    the tally, or None where nobody has said anything
    """
    latest: dict[CellRef, str | None] = {}
    for review in reading.reviews:
        # A word that was undone gives way to what that person said before, or to nothing.
        latest[review.cell] = reading.word(review.observer, review.cell)
    corrections = {ref: word for ref, word in latest.items() if word is not None}
    if not corrections:
        return None
    words = Counter(
        corrections.get(cell.ref, cell.program)
        for cell in reading.cells
        if cell.counts or (cell.found.cell.kind == "smudge" and cell.found.seen_before is None)
    )
    blasts, normal, uncertain = words["blast"], words["normal"], words["uncertain"]
    return with_share(
        replace(program, blasts=blasts, normal=normal, uncertain=uncertain, smudges=words["smudge"])
    )


def _observer_count(reading: Reading, observer: str) -> ObserverCount:
    words = reading.words.get(observer, {})
    said = Counter(words[ref] for ref in reading.to_read if ref in words)
    blasts, normal = said["blast"], said["normal"]
    low, high = clopper_pearson(blasts, blasts + normal)
    return ObserverCount(
        observer=observer,
        blasts=blasts,
        normal=normal,
        smudges=said["smudge"],
        not_cells=said["not_a_cell"],
        unread=len(reading.to_read) - reading.read_by(observer),
        share=blasts / (blasts + normal) if blasts + normal else None,
        ci_low=low,
        ci_high=high,
    )
