"""The cells that a verification draws from: of patients' closed samples, counted alike, with pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import structs

from edge.bloodlog import BloodLog, LoggedField, Sample
from edge.bloodlog.pictures import ThumbnailStore
from edge.bloodlog.verifications import DrawnCell
from edge.calibration.site import SiteBinding, SiteCode
from edge.errors import LogError
from edge.i18n import catalogue
from edge.results.site import made_by, median_scale
from edge.structures import CellRef
from edge.verification.drawing import draw, stratum_of
from edge.verification.words import closed_samples

#: Samples that are taken where none is named: the newest.
MOST_SAMPLES = 50
#: Fewer samples say nothing of how samples differ, and fewer cells nothing at all.
LEAST_SAMPLES, LEAST_CELLS = 3, 50


@dataclass(frozen=True, slots=True)
class Population:
    """What can be drawn.

    Attributes
    ----------
    cells : each cell with its stratum, and how likely the program itself thinks it called wrong
    samples : their names
    binding, code : how all of them were counted
    newest : name of the sample that says how all are to be counted
    left_out : cells that are not among them, by the reason
    otherwise : of those that were counted otherwise than the newest, by what is another; a cell may be of
        several: names as of :meth:`SiteBinding.changed`, ``code``, and ``unsaid`` where its row does not say
    """

    cells: tuple[tuple[CellRef, str, float], ...]
    samples: tuple[str, ...]
    binding: SiteBinding
    code: SiteCode
    newest: str
    left_out: dict[str, int]
    otherwise: dict[str, int]


def population(log: BloodLog, names: Sequence[str]) -> Population:
    """Gather the cells of patients' closed samples that were counted as the newest of them.

    Runs of a control slide are none: the same cells in each would stand for patients.

    Parameters
    ----------
    log : where they are
    names : of the samples; without any the newest closed ones

    Raises
    ------
    LogError
        A sample is open, a control run or not there, or too few samples or cells can be drawn from.
    """
    samples = _chosen(log, names)
    store = ThumbnailStore.beside(log.path)
    fields = [
        (sample, [one for one in log.fields(sample.id) if one.result.status == "counted"])
        for sample in samples
    ]
    said = ((made, sample) for sample, own in reversed(fields) for one in own[-1:] if (made := made_by(one)))
    newest, newest_sample = next(said, (None, None))
    if newest is None or newest_sample is None:
        raise LogError(f"{log.path}: no closed sample has a counted field that says how it was counted")
    left_out: Counter[str] = Counter()
    otherwise: Counter[str] = Counter()
    cells: list[tuple[CellRef, str, float]] = []
    used: dict[str, None] = {}
    alike: list[LoggedField] = []
    for sample, own in fields:
        for logged in own:
            counted = [one for one in logged.result.cells if one.counts]
            if changed := _changed(newest, made_by(logged)):
                left_out["counted_otherwise"] += len(counted)
                otherwise.update(dict.fromkeys(changed, len(counted)))
                continue
            alike.append(logged)
            for one in counted:
                picture = logged.thumbnails.get(one.cell.id)
                if one.p_blast is None or one.label is None or not picture or not store.size(picture):
                    left_out["no_picture"] += 1
                    continue
                stratum = stratum_of(one.label, one.p_blast, one.type)
                doubt = one.p_blast if one.label != "blast" else 1.0 - one.p_blast
                cells.append((CellRef(logged.id, one.cell.id), stratum, min(0.5, doubt)))
                used[sample.name] = None
    binding = structs.replace(newest[0], um_per_px=median_scale(alike))
    found = Population(
        tuple(cells), tuple(used), binding, newest[1], newest_sample.name, dict(left_out), dict(otherwise)
    )
    if len(used) < LEAST_SAMPLES or len(cells) < LEAST_CELLS:
        raise LogError(
            f"{log.path}: {len(cells)} cells of {len(used)} closed samples can be drawn from, expected at "
            f"least {LEAST_CELLS} of {LEAST_SAMPLES}, counted alike and with their pictures "
            f"({'; '.join(left_out_texts(found)) or 'none is left out'}); count and close more samples"
        )
    return found


def left_out_texts(given: Population) -> Iterator[str]:
    """Say which cells are not drawn from, and why."""
    if number := given.left_out.get("counted_otherwise"):
        what = ", ".join(
            "a row that does not say how" if name == "unsaid" else catalogue()(f"site_changed.{name}")
            for name in given.otherwise
        )
        yield f"left out: {number} cells counted otherwise than {given.newest}, the newest ({what})"
    if number := given.left_out.get("no_picture"):
        yield f"left out: {number} cells without a picture or a word of the program"


def _changed(then: tuple[SiteBinding, SiteCode], now: tuple[SiteBinding, SiteCode] | None) -> tuple[str, ...]:
    if now is None:
        return ("unsaid",)
    return (*then[0].changed(now[0]), *(() if then[1] == now[1] else ("code",)))


def _chosen(log: BloodLog, names: Sequence[str]) -> list[Sample]:
    if not names:
        return closed_samples(log)[-MOST_SAMPLES:]
    chosen = sorted((log.sample(name) for name in dict.fromkeys(names)), key=lambda sample: sample.id)
    for sample in chosen:
        if sample.slide is not None:
            raise LogError(
                f"{sample.name} is a run of control slide {sample.slide}; name samples of patients alone"
            )
        if sample.is_open:
            raise LogError(f"sample {sample.name} is open; close it before its cells are drawn")
    return chosen


def drawn_from(given: Population, cells: int, twice: float, seed: int) -> tuple[str, list[DrawnCell]]:
    """Draw cells, and write down how.

    Parameters
    ----------
    given : what there is
    cells : wanted
    twice : share of them that a second reader reads, too
    seed : of the drawing

    Returns
    -------
    the plan as JSON, and the cells in the order in which they are read
    """
    strata = [stratum for _, stratum, _ in given.cells]
    drawn = draw(strata, [doubt for _, _, doubt in given.cells], cells, seed)
    second = round(twice * len(drawn))  # the order is random, so the first of them are
    chosen = [
        DrawnCell(given.cells[index][0], strata[index], weight, number < second)
        for number, (index, weight) in enumerate(drawn)
    ]
    of, number_of = Counter(strata), Counter(one.stratum for one in chosen)
    plan: dict[str, Any] = {
        "seed": seed,
        "asked": cells,
        "twice": twice,
        "samples": list(given.samples),
        "strata": {name: {"of": of[name], "drawn": number_of[name]} for name in sorted(of)},
        "left_out": given.left_out,
        "binding": msgspec.to_builtins(given.binding),
        "code": msgspec.to_builtins(given.code),
    }
    return json.dumps(plan, sort_keys=True), chosen
