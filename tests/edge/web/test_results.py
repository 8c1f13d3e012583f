"""What is handed on from the page."""

from __future__ import annotations

import csv

import pytest

from edge.bloodlog import BloodLog
from tests.edge.web.conftest import Browser, Clinic

RESULTS = ("report", "report.pdf", "report.json", "fhir.json", "cells.csv")


def test_the_report_opens_in_the_readers_language(browser: Browser) -> None:
    browser.says_who("Ani")
    english = browser.get("/samples/1/report")
    assert english.mimetype == "text/html"
    assert '<html lang="en"' in english.text
    assert "S-1" in english.text
    assert "<script" not in english.text
    assert '<a href="/samples/1">Back to S-1</a>' in english.text
    browser.post("/preferences", {"language": "id"})
    assert '<html lang="id"' in browser.get("/samples/1/report").text


def test_files_bear_the_samples_name(browser: Browser) -> None:
    files = {form: browser.get(f"/samples/1/{form}") for form in RESULTS[1:]}
    assert [answer.headers["Content-Disposition"] for answer in files.values()] == [
        f"attachment; filename=S-1.{suffix}" for suffix in ("pdf", "json", "fhir.json", "csv")
    ]
    assert files["report.pdf"].data.startswith(b"%PDF-")
    assert files["report.json"].json["schema"] == "blastcount.report/1"
    assert files["fhir.json"].json["resourceType"] == "Bundle"
    assert len(files["cells.csv"].text.splitlines()) == 1 + 9


@pytest.mark.parametrize(
    ("name", "file"), [("../../etc/x", "etc_x.json"), ('血"; x=1', "x1.json"), ("血", "sample-2.json")]
)
def test_a_name_never_becomes_a_path(browser: Browser, clinic: Clinic, name: str, file: str) -> None:
    # The page would refuse such a name; the log takes it from elsewhere.
    with BloodLog.open(clinic.setup.log_path) as log:
        log.change_sample("S-1", "closed")
        log.open_sample(name, "blood", 200)
    answer = browser.get("/samples/2/report.json")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={file}"


def test_a_reader_beside_another_gets_no_report_before_the_end(clinic: Clinic) -> None:
    ani, budi = Browser(clinic).says_who("Ani"), Browser(clinic).says_who("Budi")
    ani.say("1-1-normal")
    assert ani.get("/samples/1/report").status_code == 200  # alone so far
    budi.say("1-1-blast")
    for browser, other in ((ani, "Budi"), (budi, "Ani")):
        assert "/report" not in browser.get("/samples/1").text
        for result in RESULTS:
            answer = browser.get(f"/samples/1/{result}")
            assert answer.status_code == 423
            assert other not in answer.text
    # Somebody who only prints is not kept from it.
    assert Browser(clinic).get("/samples/1/report").status_code == 200


def test_a_drawn_sample_says_so_on_every_page_and_file(browser: Browser) -> None:
    for page in ("/", "/live", "/samples/1", "/samples/1/report"):
        assert "drawn by a program" in browser.get(page).text, page
    assert browser.get("/samples/1/report.json").json["fields"]["drawn"] == 2
    assert "drawn by a program" in browser.get("/samples/1/fhir.json").text
    rows = list(csv.DictReader(browser.get("/samples/1/cells.csv").text.splitlines()))
    assert {row["source_kind"] for row in rows} == {"rendered"}
