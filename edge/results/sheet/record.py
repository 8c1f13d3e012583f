"""The report for machines: every figure of the page as JSON, schema ``blastcount.report/1``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from edge.bloodlog import Sample
from edge.bloodlog.control import Alarm
from edge.bloodlog.signatures import Signature
from edge.calibration.site import Rate
from edge.counting.differential import differential
from edge.i18n import catalogue
from edge.results.agreement import Agreement
from edge.results.search import Search
from edge.results.stopping import LINE
from edge.results.summary import CountedBy, ObserverCount, SampleSummary
from edge.results.texts import search_text
from edge.structures import Denominator, Tally

SCHEMA = "blastcount.report/1"
#: What the shares are of; the rules of edge/counting/tally.py in one line each.
DENOMINATORS: dict[Denominator, str] = {
    "classified": "whole white cells not seen before: blasts + normal + uncertain",
    "without_uncertain": "whole white cells not seen before: blasts + normal",
    "with_smudges": "whole cells not seen before: blasts + normal + uncertain + smudges",
    "nucleated": "whole nucleated cells not seen before: blasts + normal + uncertain + erythroblasts",
}


def report_record(summary: SampleSummary) -> dict[str, Any]:
    """Give a sample's figures as JSON.

    Parameters
    ----------
    summary : of the sample

    Returns
    -------
    what ``json.dumps`` takes; shares are 0 to 1, times aware UTC
    """
    sample, stopping = summary.sample, summary.stopping
    # A search has its own end, and a control run is done whatever it holds.
    asked = summary.search is None and sample.slide is None
    return {
        "schema": SCHEMA,
        "intended_use": "research use only, not for diagnosis",
        "sample": sample_record(sample),
        "denominator": DENOMINATORS[summary.program.denominator],
        "program": _tally(summary.program),
        "corrected": _corrected(summary),
        "site": _site(summary),
        "reviewed": None if summary.reviewed is None else _tally(summary.reviewed),
        "observers": [_observer(count) for count in summary.observers],
        "agreement": _agreement(summary.agreement),
        "differing": len(summary.reading.differing),
        **({"differing_types": len(differing)} if (differing := summary.reading.differing_types) else {}),
        "settled": len(summary.reading.settled),
        "signed": bool(summary.signed),
        "signatures": [_signature(one, summary) for one in summary.signatures],
        "stop": {
            "line": LINE if asked else None,
            "advice": stopping.advice if asked else None,
            "cells": stopping.cells,
            "quota_reached": stopping.quota_reached if sample.slide is None else None,
            "more_cells": stopping.more_cells if asked else None,
        },
        **({} if summary.search is None else {"search": _search(summary.search, sample)}),
        "fields": {
            "counted": summary.program.fields,
            "rejected": summary.program.rejected,
            "by_reason": dict(sorted(summary.rejected.items())),
            "warned": summary.warned_fields,
            "by_warning": dict(sorted(summary.warned.items())),
            "scale_assumed": summary.assumed_scales,
            "untrusted_clock": summary.untrusted_clock,
            "drawn": summary.drawn_fields,
        },
        **({"quality_control": list(map(_alarm, summary.alarms))} if summary.alarms else {}),
        "um_per_px": None if summary.scales_um_per_px is None else list(summary.scales_um_per_px),
        "made_by": [_made_by(made) for made in summary.provenance],
    }


def sample_record(sample: Sample) -> dict[str, Any]:
    """Give what a sample is as JSON."""
    return {
        "id": sample.name,
        "specimen": sample.specimen,
        "quota": sample.quota if sample.slide is None else None,
        "opened_at": sample.opened_at.isoformat(),
        "closed_at": None if sample.closed_at is None else sample.closed_at.isoformat(),
        "closed_by": sample.closed_by,
        "closed_as": sample.closed_as,
        **({"search": True} if sample.search else {}),
        **({} if sample.slide is None else {"control_slide": sample.slide}),
    }


def json_text(record: Mapping[str, Any]) -> str:
    """Write a record as a file: ASCII, for programs that guess encodings; NaN would be no JSON."""
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _made_by(made: CountedBy) -> dict[str, Any]:
    record = asdict(made) | {"model": made.model.to_json()}
    if made.type_model is None:
        del record["type_model"]
    else:
        record["type_model"] = made.type_model.to_json()
    return record


def _observer(count: ObserverCount) -> dict[str, Any]:
    return {
        "observer": count.observer,
        "blasts": count.tally.blasts,
        "normal": count.tally.normal,
        "smudges": count.tally.smudges,
        "not_cells": count.not_cells,
        "unread": count.unread,
        **_share(count.tally),
        "done": count.done,
        **_differential(count.tally),
    }


def _signature(signature: Signature, summary: SampleSummary) -> dict[str, Any]:
    return {
        "who": signature.who,
        "role": signature.role,
        "meaning": signature.meaning,
        "at": signature.at.isoformat(),
        "clock_trusted": signature.clock_trusted,
        "content_sha256": signature.content_sha256,
        "current": signature.content_sha256 == summary.content_sha256,
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    found, said = alarm.found, alarm.acknowledged
    return {
        "alarm": alarm.id,
        "day": found.day.isoformat(),
        "slide": found.slide,
        "chart": found.chart,
        "rule": found.rule,
        "cause": found.cause,
        "acknowledged_by": None if said is None else said.who,
    }


def _agreement(both: Agreement | None) -> dict[str, Any] | None:
    if both is None:
        return None
    interval = None if both.low is None else [both.low, both.high]
    return {"n": both.n, "agreed": both.agreed, "kappa": both.kappa, "ci95": interval}


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "blasts": tally.blasts,
        "normal": tally.normal,
        "uncertain": tally.uncertain,
        "smudges": tally.smudges,
        "border": tally.border,
        **_share(tally),
        **_differential(tally),
    }


def _differential(tally: Tally) -> dict[str, Any]:
    counted = differential(tally)
    return {} if counted is None else {"differential": counted.to_json()}


def _share(tally: Tally) -> dict[str, Any]:
    return {
        "n": tally.wbc,
        "blast_fraction": tally.blast_fraction,
        "ci95": None if tally.blast_fraction is None else [tally.ci_low, tally.ci_high],
    }


def _search(search: Search, sample: Sample) -> dict[str, Any]:
    listing, alone = search.listing, search.alone
    return {
        "verdict": search.verdict,
        "decided_at": search.decided_at,
        "cells": search.cells,
        "missed": search.missed,
        "listed": search.listed,
        "confirmed": search.confirmed,
        "waiting": search.waiting,
        "looked_at": search.looked_at,
        "ci95": [search.low, search.high] if search.has_result else None,
        "high_if_all_were_listed": search.unlisted_high if search.has_result else None,
        "text": search_text(catalogue(), search, is_open=sample.is_open),
        "every_cell_read": search.is_read,
        "listing": None if listing is None else asdict(listing),
        "program_alone": None if alone is None else asdict(alone),
    }


def _corrected(summary: SampleSummary) -> dict[str, Any] | None:
    corrected = summary.corrected
    if corrected is None:
        return None
    errors, site = corrected.errors, corrected.errors.site
    called, passed = errors.blasts_called, errors.others - errors.others_called
    return {
        "blast_fraction": corrected.share,
        "ci95": [corrected.low, corrected.high],
        "denominator": DENOMINATORS["classified"],
        "informative": corrected.informative,
        "sensitivity": {"k": called, "n": errors.blasts} | ({} if site is None else _rate(site.sensitivity)),
        "specificity": {"k": passed, "n": errors.others} | ({} if site is None else _rate(site.specificity)),
        "source": errors.source or "cells of this laboratory, read blind",
    }


def _rate(rate: Rate) -> dict[str, Any]:
    """Say what of this laboratory's cells k and n stand for: so many that are independent say as much."""
    return {"share": rate.share, "ci95": [rate.low, rate.high], "cells": rate.n}


def _site(summary: SampleSummary) -> dict[str, Any] | None:
    """Say what was measured in this laboratory, and why it does not hold here; None where nothing was."""
    site = summary.site
    if site.card is None:
        return None
    card = msgspec.to_builtins(site.card)
    del card["details"]
    return {"holds": site.holds, "changed": list(site.changed), "card": card}
