"""The FHIR bundle against the published structure, and against what it must not claim."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydantic import ValidationError

from edge.bloodlog import BloodLog, Specimen
from edge.results.corrected import KnownErrors
from edge.results.fhir import fhir_bundle
from edge.results.summary import SampleSummary, summarise
from edge.structures import CellRef, Denominator
from tests.edge.results.conftest import NAME, fill, read_all, sign, summary_of

ERRORS = KnownErrors(100, 90, 100, 10, "a test & more <cells>")


def bundle_of(path: Path, errors: KnownErrors | None = None) -> dict[str, Any]:
    return fhir_bundle(summary_of(path, errors))


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def codes(bundle: dict[str, Any]) -> list[str]:
    return [
        coding["code"]
        for observation in of_type(bundle, "Observation")
        for coding in observation["code"].get("coding", [])
    ]


def close(path: Path) -> None:
    with BloodLog.open(path) as log:
        log.change_sample(NAME, "closed")


def test_it_has_the_published_structure(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    read_all(sample_log, "Sri <W> & co")
    close(sample_log)
    bundle = bundle_of(sample_log, ERRORS)
    assert len(of_type(bundle, "Observation")) == 4
    read = Bundle.model_validate_json(json.dumps(bundle))
    again = json.loads(read.model_dump_json(exclude_none=True))
    assert len(again["entry"]) == len(bundle["entry"])


def test_a_wrong_structure_would_be_noticed(sample_log: Path) -> None:
    bundle = bundle_of(sample_log)
    of_type(bundle, "Observation")[0]["status_of_things"] = "final"
    with pytest.raises(ValidationError):
        Bundle.model_validate_json(json.dumps(bundle))


def test_figures_are_those_of_the_log(sample_log: Path) -> None:
    program = of_type(bundle_of(sample_log), "Observation")[0]
    assert program["valueQuantity"] == {
        "value": 42.86,
        "unit": "%",
        "system": "http://unitsofmeasure.org",
        "code": "%",
    }
    components = {c["code"]["text"]: c for c in program["component"]}
    assert components["white cells counted"]["valueInteger"] == 28
    limits = components["exact 95 % interval"]["valueRange"]
    assert (limits["low"]["value"], limits["high"]["value"]) == (24.46, 62.82)


def test_fields_with_a_warning_are_a_note_on_every_figure_and_in_the_report_s_text(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    bundle = bundle_of(sample_log, ERRORS)
    words = "Fields counted with a warning: 2 of 4 (blank slide burnt out 2, another scale 1)."
    notes = [[note["text"] for note in found["note"]] for found in of_type(bundle, "Observation")]
    assert len(notes) == 3
    assert all(note[1].startswith(words) for note in notes)
    (report,) = of_type(bundle, "DiagnosticReport")
    assert words in report["text"]["div"]
    Bundle.model_validate_json(json.dumps(bundle))


def test_without_a_warning_there_is_one_note(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "b.db") as log:
        fill(log, log.open_sample(NAME, "blood", 200).id, fields=1)
    (program,) = of_type(bundle_of(tmp_path / "b.db"), "Observation")
    assert len(program["note"]) == 1


def test_the_code_of_a_manual_count_only_after_a_person_saw_every_cell(sample_log: Path) -> None:
    assert codes(bundle_of(sample_log)) == ["26446-5"]
    with BloodLog.open(sample_log) as log:
        cell = next(iter(log.fields())).result.cells[0]
        log.add_reviews({CellRef(1, cell.cell.id): "normal"}, "AK")
    assert codes(bundle_of(sample_log)) == ["26446-5"]
    read_all(sample_log, "AK")
    assert codes(bundle_of(sample_log)) == ["26446-5", "709-6"]


def test_a_differential_is_an_observation_of_its_own_whose_kinds_have_codes_in_blood(typed_log: Path) -> None:
    bundle = bundle_of(typed_log)
    program, counted = of_type(bundle, "Observation")
    assert (codes(bundle), "valueQuantity" in counted) == (["26446-5", "69738-3"], False)
    parts = {part["code"]["text"]: part for part in counted["component"]}
    assert parts["lymphocyte"]["code"]["coding"][0]["code"] == "26478-8"
    assert "coding" not in parts["other, look"]["code"]
    assert parts["blast"]["valueQuantity"] == program["valueQuantity"]
    shares = [part["valueQuantity"]["value"] for part in parts.values() if "valueQuantity" in part]
    assert sum(shares) == pytest.approx(100, abs=0.05)
    limits = parts["lymphocyte, exact 95 % interval"]["valueRange"]
    assert (limits["low"]["value"], limits["high"]["value"]) == (4.03, 32.67)
    Bundle.model_validate_json(json.dumps(bundle))
    (report,) = of_type(bundle, "DiagnosticReport")
    assert len(report["result"]) == 2
    # A person's word adds the one after people's words.
    read_all(typed_log, "AK", {CellRef(1, 6): "monocyte"})
    assert codes(bundle_of(typed_log)) == ["26446-5", "69738-3", "69738-3", "709-6"]


@pytest.mark.parametrize(("specimen", "denominator"), [("marrow", None), ("blood", "nucleated")])
def test_no_code_of_leukocytes_where_erythroblasts_are_counted(
    tmp_path: Path, specimen: Specimen, denominator: Denominator | None
) -> None:
    with BloodLog.open(tmp_path / "b.db") as log:
        fill(log, log.open_sample(NAME, specimen, 200).id, fields=1, typed=True)
        bundle = fhir_bundle(summarise(log, log.sample(NAME), denominator=denominator))
    assert codes(bundle) == []
    assert "loinc" not in json.dumps(bundle)
    texts = [part["code"]["text"] for part in of_type(bundle, "Observation")[0]["component"]]
    assert {"nucleated cells counted", "erythroblasts, in the denominator"} <= set(texts)


@pytest.fixture
def full_log(tmp_path: Path) -> Path:
    """A log whose sample has the seven cells that it was to have."""
    with BloodLog.open(tmp_path / "full.db") as log:
        fill(log, log.open_sample(NAME, "blood", 7).id, fields=1)
    return tmp_path / "full.db"


def statuses(path: Path) -> set[str]:
    bundle = bundle_of(path, ERRORS)
    return {r["status"] for r in of_type(bundle, "Observation") + of_type(bundle, "DiagnosticReport")}


@pytest.mark.requirement(21)
def test_final_only_when_closed_read_settled_and_signed(full_log: Path) -> None:
    assert statuses(full_log) == {"preliminary"}
    read_all(full_log, "AK")
    assert statuses(full_log) == {"preliminary"}
    close(full_log)
    assert statuses(full_log) == {"preliminary"}
    sign(full_log, "AK", "counted")
    assert statuses(full_log) == {"final"}
    read_all(full_log, "BT", {CellRef(1, 4): "blast"})
    assert statuses(full_log) == {"preliminary"}
    sign(full_log, "CS", "checked")
    assert statuses(full_log) == {"preliminary"}  # readers differ
    with BloodLog.open(full_log) as log:
        log.settle({CellRef(1, 4): "blast"}, "CS")
    assert statuses(full_log) == {"preliminary"}  # what was signed was another state
    sign(full_log, "CS", "checked")
    assert statuses(full_log) == {"final"}


def test_a_signature_is_a_provenance_of_the_report(full_log: Path) -> None:
    read_all(full_log, "AK")
    close(full_log)
    sign(full_log, "AK", "counted")
    sign(full_log, "Citra <S>", "checked")
    bundle = bundle_of(full_log)
    Bundle.model_validate_json(json.dumps(bundle))
    signed = of_type(bundle, "Provenance")
    assert [one["signature"][0]["who"]["display"] for one in signed] == [
        "AK (reader)",
        "Citra <S> (supervisor)",
    ]
    assert [one["signature"][0]["type"][0]["code"][-1] for one in signed] == ["1", "5"]
    assert {one["target"][0]["reference"] for one in signed} == {bundle["entry"][0]["fullUrl"]}
    # What was signed once and changed since is told of, and is no signature of this report.
    read_all(full_log, "BT")
    changed = bundle_of(full_log)
    assert of_type(changed, "Provenance") == []
    assert "Changed after it was signed" in of_type(changed, "DiagnosticReport")[0]["text"]["div"]


@pytest.mark.requirement(21)
def test_below_the_quota_nothing_is_final(sample_log: Path) -> None:
    read_all(sample_log, "AK")
    close(sample_log)
    sign(sample_log, "AK", "counted")
    assert statuses(sample_log) == {"preliminary"}


@pytest.mark.requirement(3)
def test_every_resource_is_coded_as_research_and_what_is_doubtful_too(sample_log: Path) -> None:
    """Who reads codes and no notes."""

    def labels(summary: SampleSummary) -> set[tuple[str, ...]]:
        bundle = fhir_bundle(summary)
        Bundle.model_validate_json(json.dumps(bundle))
        labelled = [bundle, *(entry["resource"] for entry in bundle["entry"])]
        return {tuple(label["code"] for label in one["meta"]["security"]) for one in labelled}

    summary = summary_of(sample_log)
    assert labels(summary) == {("HRESCH",)}
    drawn = replace(summary.provenance[0], source_kind="rendered")
    doubtful = replace(summary, provenance=(drawn,), untrusted_clock=2)
    assert labels(doubtful) == {("HRESCH", "HTEST", "UNCERTREL")}
    words = "Fields whose time is not to be believed, as the clock had not been set: 2."
    report, *figures = (entry["resource"] for entry in fhir_bundle(doubtful)["entry"])
    assert words in report["text"]["div"]
    assert any(words in note["text"] for note in figures[0]["note"])


def test_codes_bear_loinc_s_own_names(full_log: Path) -> None:
    read_all(full_log, "AK")
    named = {
        coding["code"]: coding["display"]
        for observation in of_type(bundle_of(full_log), "Observation")
        for coding in observation["code"].get("coding", [])
    }
    assert named == {
        "26446-5": "Blasts/Leukocytes in Blood",
        "709-6": "Blasts/Leukocytes in Blood by Manual count",
    }


def test_closed_but_not_confirmed_stays_preliminary(sample_log: Path) -> None:
    close(sample_log)
    bundle = bundle_of(sample_log)
    assert {r["status"] for r in of_type(bundle, "Observation") + of_type(bundle, "DiagnosticReport")} == {
        "preliminary"
    }


def test_references_lead_somewhere_and_to_no_person(sample_log: Path) -> None:
    bundle = bundle_of(sample_log, ERRORS)
    text = json.dumps(bundle)
    there = {entry["fullUrl"] for entry in bundle["entry"]}
    assert set(re.findall(r'"reference": "([^"]+)"', text)) <= there
    assert not of_type(bundle, "Patient")
    assert not re.search(r"leuk[ae]mi|birthDate|conclusion", text)
    assert [e["fullUrl"] for e in bundle_of(sample_log, ERRORS)["entry"]] == [
        e["fullUrl"] for e in bundle["entry"]
    ]


def test_marrow_without_cells_gets_no_code_of_blood_and_no_value(tmp_path: Path) -> None:
    with BloodLog.open(tmp_path / "b.db") as log:
        log.open_sample(NAME, "marrow", 500)
    bundle = bundle_of(tmp_path / "b.db")
    assert codes(bundle) == []
    (program,) = of_type(bundle, "Observation")
    assert "valueQuantity" not in program
    assert "no whole cell" in program["dataAbsentReason"]["text"]
    Bundle.model_validate_json(json.dumps(bundle))
