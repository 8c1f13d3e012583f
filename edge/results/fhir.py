"""A sample as a FHIR R4 bundle: a report and its observations, for a hospital's system.

The figures are the log's; nothing in it leads to a person but the pseudonymous id and the observers' signs.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from html import escape
from typing import Any

from edge.bloodlog.signatures import Signature
from edge.counting.differential import Differential, Kind, Share, differential
from edge.i18n import catalogue
from edge.results.search import Search
from edge.results.summary import CountedBy, ObserverCount, SampleSummary
from edge.results.texts import (
    clock_text,
    drawn_text,
    found_text,
    kind_text,
    outdated_text,
    person_text,
    search_limits,
    settled_text,
    site_text,
    source_text,
    stop_text,
    warned_text,
)
from edge.structures import Denominator, Tally
from edge.version import software_version

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
#: 26446-5 names no method: it is the program's figure. 709-6 says that a person counted, and is given only
#: to the figure of somebody who has looked at every cell that counts. Both are of blood; for marrow
#: no code is given rather than a wrong one. The names are LOINC's own of today, no more with a "100".
PROGRAM_CODE = ("26446-5", "Blasts/Leukocytes in Blood")
MANUAL_CODE = ("709-6", "Blasts/Leukocytes in Blood by Manual count")
#: Of a differential and its kinds, no method named; of blood and of leukocytes. Neither the other kinds nor
#: any of another denominator have a code.
DIFFERENTIAL_CODE = ("69738-3", "Differential panel, method unspecified - Blood")
KIND_CODES: dict[Kind, tuple[str, str]] = {
    "blast": PROGRAM_CODE,
    "neutrophil": ("26511-6", "Neutrophils/Leukocytes in Blood"),
    "lymphocyte": ("26478-8", "Lymphocytes/Leukocytes in Blood"),
    "monocyte": ("26485-3", "Monocytes/Leukocytes in Blood"),
    "eosinophil": ("26450-7", "Eosinophils/Leukocytes in Blood"),
    "basophil": ("30180-4", "Basophils/Leukocytes in Blood"),
}
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
#: What every resource is labelled with, for those who read codes and no notes: the purpose it may be used
#: for; that no patient is behind it, where fields were drawn; and that its times are doubtful.
_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_RESEARCH = {"system": _ACT_REASON, "code": "HRESCH", "display": "healthcare research"}
_DRAWN = {"system": _ACT_REASON, "code": "HTEST", "display": "test health data"}
_UNCERTAIN_TIMES = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "UNCERTREL",
    "display": "uncertain reliability",
}
#: What somebody who counted or checked took part as, and what the signature is for.
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_SIGNATURE_TYPE = "urn:iso-astm:E1762-95:2013"
_SIGNED_AS = {
    "counted": (
        {"code": "author", "display": "Author"},
        {"code": "1.2.840.10065.1.12.1.1", "display": "Author's Signature"},
    ),
    "checked": (
        {"code": "verifier", "display": "Verifier"},
        {"code": "1.2.840.10065.1.12.1.5", "display": "Verification Signature"},
    ),
}
#: Key of the entry of what counted a part of the fields, the most fields first.
_DEVICE = "device-{}"
WARNING = "For research use only, not for diagnosis."
_NOTHING_COUNTED = "no whole cell was counted"

Resource = dict[str, Any]


def fhir_bundle(summary: SampleSummary, made_at: datetime | None = None) -> Resource:
    """Write a sample as a FHIR R4 collection: DiagnosticReport, Observations, Specimen and Device [1]_.

    The report and its observations are ``preliminary`` until :func:`is_final`. Each resource is labelled as
    being for research use (``meta.security``), and as test data where its fields were drawn.

    Parameters
    ----------
    summary : of the sample
    made_at : aware time that the bundle bears; now, if not given

    Returns
    -------
    what ``json.dumps`` takes

    References
    ----------
    .. [1] https://hl7.org/fhir/R4/diagnosticreport.html
    """
    issued = (datetime.now(UTC) if made_at is None else made_at).isoformat(timespec="milliseconds")
    observations = _observations(summary, issued)
    resources = {
        "report": _report(summary, issued, list(observations)),
        **observations,
        "specimen": _specimen(summary),
        **_devices(summary),
        **{f"signature-{one.id}": _provenance(summary, one) for one in summary.signed},
    }
    return {
        "resourceType": "Bundle",
        "meta": _meta(summary),
        "type": "collection",
        "timestamp": issued,
        "entry": [
            {"fullUrl": _url(summary, key), "resource": {**resource, "meta": _meta(summary)}}
            for key, resource in resources.items()
        ],
    }


def is_final(summary: SampleSummary) -> bool:
    """Whether the sample is closed and signed, its quota reached, and every counted cell read and settled."""
    is_read = any(count.done for count in summary.observers)
    is_settled = is_read and not summary.reading.differing
    is_complete = not summary.sample.is_open and summary.stopping.quota_reached
    return is_settled and is_complete and bool(summary.signed)


def _meta(summary: SampleSummary) -> Resource:
    drawn, doubtful = summary.drawn_fields > 0, summary.untrusted_clock > 0
    return {"security": [_RESEARCH, *[_DRAWN] * drawn, *[_UNCERTAIN_TIMES] * doubtful]}


def _observations(summary: SampleSummary, issued: str) -> dict[str, Resource]:
    # Erythroblasts are no leukocytes, of which all the codes are.
    blood = summary.sample.specimen == "blood" and summary.program.denominator != "nucleated"
    final = is_final(summary)
    device = {"device": _reference(summary, _DEVICE.format(1))} if summary.provenance else {}

    program = summary.program
    made = {
        "program": _observation(
            summary,
            issued,
            _per_100(program.denominator, ", by program"),
            "Segmentation and neural network on pictures of a stained smear",
            program.blast_fraction,
            [*_counts(program), *_exact(program)],
            device,
            final=final,
            note=" Cells that look like blasts to the program; not confirmed by a person.",
            code=PROGRAM_CODE if blood and summary.search is None else None,
            absent=_absent(program, "searched: only people's words count, the program's share is no result"),
        )
    }
    if (corrected := summary.corrected) is not None:
        made["corrected"] = _observation(
            summary,
            issued,
            _per_100("classified", ", corrected for the program's known error"),
            "Rogan-Gladen estimate with the interval of Lang and Reiczigel",
            corrected.share,
            [_interval(corrected.low, corrected.high, "95 % interval, error propagated")],
            {**device, "derivedFrom": [_reference(summary, "program")]},
            final=final,
            note=f" Errors measured on: {source_text(catalogue(), corrected.errors.source)}. The program was "
            f"{site_text(catalogue(), summary.site)}.",
        )
    if summary.search is not None and summary.search.cells:
        made["search"] = _search(summary, summary.search, issued, device, final=final)
    for key, text, tally in (
        ("differential", ", by program", program),
        ("differential-reviewed", ", after people's words", summary.reviewed),
    ):
        if tally is not None and (counted := differential(tally)) is not None:
            made[key] = _differential(summary, issued, text, counted, device, blood=blood, final=final)
    for number, count in enumerate(summary.observers, start=1):
        own = count.tally
        made[f"observer-{number}"] = _observation(
            summary,
            issued,
            _per_100(
                own.denominator, ", by a person" if count.done else " that a person has looked at so far"
            ),
            "A person's word on each cell that the program found, on its picture",
            own.blast_fraction,
            [*_observer_counts(count), *_exact(own)],
            {"performer": [{"display": count.observer}]},
            code=MANUAL_CODE if blood and count.done else None,
            final=count.done and final,
            absent=_absent(
                own, "searched: candidates are no sample of the cells, only whole readings have a share"
            ),
        )
    return made


def _observation(
    summary: SampleSummary,
    issued: str,
    text: str,
    method: str,
    share: float | None,
    components: list[Resource],
    by: Resource,
    *,
    note: str = "",
    code: tuple[str, str] | None = None,
    final: bool,
    absent: str = _NOTHING_COUNTED,
) -> Resource:
    coding = {} if code is None else {"coding": [_loinc(code)]}
    return {
        "resourceType": "Observation",
        "status": "final" if final else "preliminary",
        "category": [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}],
        "code": {**coding, "text": text},
        "subject": _subject(summary),
        "effectivePeriod": _period(summary),
        "issued": issued,
        "specimen": _reference(summary, "specimen"),
        "method": {"text": method},
        "note": [{"text": text} for text in (f"{WARNING}{note}", *_doubts(summary))],
        **({"dataAbsentReason": {"text": absent}} if share is None else {"valueQuantity": _percent(share)}),
        "component": components,
        **by,
    }


def _differential(
    summary: SampleSummary,
    issued: str,
    text: str,
    counted: Differential,
    by: Resource,
    *,
    blood: bool,
    final: bool,
) -> Resource:
    """Write a differential: a share a kind, each with its interval; the observation itself has no value."""
    observation = _observation(
        summary,
        issued,
        "",
        "A second neural network on the same cells, behind the blast call",
        None,
        [part for share in counted.shares for part in _kind(share, coded=blood)],
        by,
        note=f" {counted.others} cells have no kind that is named, or none that is sure: look at them.",
        final=final,
    )
    del observation["dataAbsentReason"]
    coding = {"coding": [_loinc(DIFFERENTIAL_CODE)]} if blood else {}
    cells = catalogue()(f"counted_cells.{counted.denominator}")
    observation["code"] = {**coding, "text": f"Differential of {counted.n} {cells}{text}"}
    return observation


def _search(summary: SampleSummary, search: Search, issued: str, by: Resource, *, final: bool) -> Resource:
    """Write what a search has found; where it has found none, its value is less than the upper limit.

    Without a result it has no value and no limits, and says why.
    """
    found = search.has_result
    observation = _observation(
        summary,
        issued,
        _per_100("classified", ", searched: candidates by program, words by people"),
        "A person's word on each cell that looks like a blast to the program",
        search.confirmed / search.cells if found else None,
        [
            *_integers(
                {
                    "white cells searched": search.cells,
                    "called blast by people": search.confirmed,
                    "candidates": search.listed,
                    "candidates that wait for a word": search.waiting,
                }
            ),
            *[_interval(search.low, search.high, "95 % limits, what waits taken for blasts in the upper one")]
            * found,
        ],
        by,
        note="".join(f" {text}" for text in search_limits(catalogue(), search)),
        final=final,
        absent=found_text(catalogue(), search),
    )
    if found and not search.confirmed:
        observation["valueQuantity"] = {**_percent(search.high), "comparator": "<"}
    return observation


def _per_100(denominator: Denominator, by: str) -> str:
    return f"Blasts per 100 {catalogue()(f'counted_cells.{denominator}')}{by}"


def _kind(share: Share, *, coded: bool) -> list[Resource]:
    code = KIND_CODES.get(share.kind) if coded else None
    coding = {} if code is None else {"coding": [_loinc(code)]}
    text = kind_text(catalogue(), share.kind)
    return [
        {"code": {**coding, "text": text}, "valueQuantity": _percent(share.share)},
        _interval(share.low, share.high, f"{text}, exact 95 % interval"),
    ]


def _loinc(code: tuple[str, str]) -> Resource:
    return {"system": LOINC, "code": code[0], "display": code[1]}


def _doubts(summary: SampleSummary) -> list[str]:
    """Say what to know of every figure: drawn fields, warnings, wrong dates, changed words, a control run."""
    said = (
        drawn_text(catalogue(), summary),
        warned_text(catalogue(), summary.warned, summary.warned_fields, summary.program.fields),
        clock_text(catalogue(), summary),
        settled_text(catalogue(), summary),
        outdated_text(catalogue(), summary),
        None if summary.sample.slide is None else stop_text(catalogue(), summary.stopping, summary.sample),
    )
    return [text for text in said if text is not None]


def _percent(share: float) -> Resource:
    return {"value": round(100 * share, 2), "unit": "%", "system": UCUM, "code": "%"}


def _interval(low: float, high: float, text: str) -> Resource:
    return {"code": {"text": text}, "valueRange": {"low": _percent(low), "high": _percent(high)}}


def _exact(tally: Tally) -> list[Resource]:
    """Write the interval of a tally's share; nothing where cells were counted and have none."""
    if tally.wbc and tally.blast_fraction is None:
        return []
    return [_interval(tally.ci_low, tally.ci_high, "exact 95 % interval")]


def _absent(tally: Tally, reason: str) -> str:
    """Say why a tally has no share: nothing was counted, or the reason that is given."""
    return reason if tally.wbc else _NOTHING_COUNTED


def _counts(tally: Tally) -> list[Resource]:
    def within(counted: bool) -> str:
        return "in the denominator" if counted else "not in the denominator"

    is_nucleated = tally.denominator == "nucleated"
    erythroblasts = {f"erythroblasts, {within(is_nucleated)}": tally.erythroblasts}
    return _integers(
        {
            _counted_text(tally): tally.wbc,
            "called blast": tally.blasts,
            "called normal": tally.normal,
            f"uncertain, {within(tally.denominator != 'without_uncertain')}": tally.uncertain,
            f"smudge cells, {within(tally.denominator == 'with_smudges')}": tally.smudges,
            **(erythroblasts if tally.erythroblasts or is_nucleated else {}),
        }
    )


def _counted_text(tally: Tally) -> str:
    return f"{'nucleated' if tally.denominator == 'nucleated' else 'white'} cells counted"


def _observer_counts(count: ObserverCount) -> list[Resource]:
    is_counted = count.tally.denominator == "with_smudges"
    return _integers(
        {
            _counted_text(count.tally): count.tally.wbc,
            "called blast": count.tally.blasts,
            "called normal": count.tally.normal,
            "smudge cells, in the denominator" if is_counted else "called smudge": count.tally.smudges,
            "called no cell": count.not_cells,
            "not looked at": count.unread,
        }
    )


def _integers(numbers: dict[str, int]) -> list[Resource]:
    return [{"code": {"text": text}, "valueInteger": number} for text, number in numbers.items()]


def _report(summary: SampleSummary, issued: str, results: list[str]) -> Resource:
    sections = "http://terminology.hl7.org/CodeSystem/v2-0074"
    words = " ".join([f"Blast count of sample {summary.sample.name}. {WARNING}", *_doubts(summary)])
    return {
        "resourceType": "DiagnosticReport",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(words)}</p></div>',
        },
        "identifier": [_identifier(summary)],
        "status": "final" if is_final(summary) else "preliminary",
        "category": [{"coding": [{"system": sections, "code": "HM", "display": "Hematology"}]}],
        "code": {"text": "Blast count of a stained smear"},
        "subject": _subject(summary),
        "effectivePeriod": _period(summary),
        "issued": issued,
        "specimen": [_reference(summary, "specimen")],
        "result": [_reference(summary, key) for key in results],
    }


def _provenance(summary: SampleSummary, signature: Signature) -> Resource:
    """Say who signed the report, in the way that R4 has for it."""
    kind, purpose = _SIGNED_AS[signature.meaning]
    who = {"display": person_text(catalogue(), signature.who, signature.role)}
    at = signature.at.isoformat(timespec="milliseconds")
    return {
        "resourceType": "Provenance",
        "target": [_reference(summary, "report")],
        "recorded": at,
        "activity": {"text": f"{signature.meaning}, signed by name and password"},
        "agent": [{"type": {"coding": [{"system": _PARTICIPATION, **kind}]}, "who": who}],
        "signature": [{"type": [{"system": _SIGNATURE_TYPE, **purpose}], "when": at, "who": who}],
    }


def _specimen(summary: SampleSummary) -> Resource:
    kind = {"blood": "Blood, stained smear", "marrow": "Bone marrow, stained smear"}
    return {
        "resourceType": "Specimen",
        "identifier": [_identifier(summary)],
        "type": {"text": kind[summary.sample.specimen]},
        "subject": _subject(summary),
    }


def _devices(summary: SampleSummary) -> dict[str, Resource]:
    made = enumerate(summary.provenance, start=1)
    return {_DEVICE.format(number): _device(counted_by) for number, counted_by in made}


def _device(made: CountedBy) -> Resource:
    versions = {
        "software": made.software_version,
        "model SHA-256": made.model.sha256,
        "recalibration SHA-256": made.model.recalibration,
        "types' model SHA-256": None if made.type_model is None else made.type_model.sha256,
        "interpreter": made.runtime,
        "configuration SHA-256": made.config_sha256,
        "provenance SHA-256": made.provenance_sha256,
    }
    return {
        "resourceType": "Device",
        "deviceName": [{"name": f"blastcount with model {made.model.name}", "type": "model-name"}],
        "version": [{"type": {"text": text}, "value": value} for text, value in versions.items() if value],
        "note": [{"text": f"{WARNING} Exported by blastcount {software_version()}."}],
    }


def _identifier(summary: SampleSummary) -> Resource:
    return {"type": {"text": "pseudonymous id of the sample"}, "value": summary.sample.name}


def _subject(summary: SampleSummary) -> Resource:
    # By identifier alone: who it is stands in the laboratory's own book.
    return {"type": "Patient", "identifier": _identifier(summary)}


def _period(summary: SampleSummary) -> Resource:
    sample = summary.sample
    end = {} if sample.closed_at is None else {"end": sample.closed_at.isoformat(timespec="seconds")}
    return {"start": sample.opened_at.isoformat(timespec="seconds"), **end}


def _reference(summary: SampleSummary, key: str) -> Resource:
    return {"reference": _url(summary, key)}


def _url(summary: SampleSummary, key: str) -> str:
    """Give an entry the same address in every export of the sample."""
    sample = summary.sample
    return uuid.uuid5(
        uuid.NAMESPACE_URL, f"blastcount:{sample.name}:{sample.opened_at.isoformat()}:{key}"
    ).urn
