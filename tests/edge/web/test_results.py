"""What is handed on from the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from edge.bloodlog import BloodLog

if TYPE_CHECKING:
    from conftest import Browser, Clinic

RESULTS = ("report", "report.pdf", "report.json", "fhir.json", "cells.csv")


def test_the_report_opens_in_the_readers_language(browser: Browser) -> None:
    browser.says_who("Ani")
    english = browser.get("/samples/1/report")
    assert english.mimetype == "text/html"
    assert "not for diagnosis" in english.text
    assert "S-1" in english.text
    assert "<script" not in english.text
    browser.post("/preferences", {"language": "id"})
    assert "bukan untuk diagnosis" in browser.get("/samples/1/report").text


def test_files_bear_the_samples_name(browser: Browser) -> None:
    pdf = browser.get("/samples/1/report.pdf")
    assert pdf.data.startswith(b"%PDF-")
    assert pdf.headers["Content-Disposition"] == "attachment; filename=S-1.pdf"
    figures = browser.get("/samples/1/report.json")
    assert figures.headers["Content-Disposition"] == "attachment; filename=S-1.json"
    assert figures.json is not None
    assert figures.json["schema"] == "blastcount.report/1"
    bundle = browser.get("/samples/1/fhir.json")
    assert bundle.headers["Content-Disposition"] == "attachment; filename=S-1.fhir.json"
    assert bundle.json is not None
    assert bundle.json["resourceType"] == "Bundle"
    lines = browser.get("/samples/1/cells.csv").text.splitlines()
    assert len(lines) == 1 + 9


@pytest.mark.parametrize(
    ("name", "file"), [("../../etc/x", "etc_x.json"), ('血"; x=1', "x1.json"), ("血", "sample-2.json")]
)
def test_a_name_never_becomes_a_path(browser: Browser, clinic: Clinic, name: str, file: str) -> None:
    # The page would refuse such a name; the log takes it from elsewhere.
    with BloodLog.open(clinic.setup.log_path) as log:
        log.close_sample("S-1")
        log.open_sample(name, "blood", 200)
    answer = browser.get("/samples/2/report.json")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f"attachment; filename={file}"


def test_a_reader_beside_another_gets_no_report_before_the_end(
    clinic: Clinic, visit: Callable[[Clinic], Browser]
) -> None:
    ani, budi = visit(clinic), visit(clinic)
    ani.says_who("Ani")
    budi.says_who("Budi")
    ani.script("/samples/1/words", {"word": "1-1-normal"})
    assert ani.get("/samples/1/report").status_code == 200  # alone so far
    budi.script("/samples/1/words", {"word": "1-1-blast"})
    for browser in (ani, budi):
        page = browser.get("/samples/1").text
        assert "You are reading beside somebody else" in page
        assert "/report" not in page
        assert "With people" not in page
        for result in RESULTS:
            answer = browser.get(f"/samples/1/{result}")
            assert answer.status_code == 423
            assert ("Budi" if browser is ani else "Ani") not in answer.text
    # Somebody who only prints is not kept from it.
    assert visit(clinic).get("/samples/1/report").status_code == 200
