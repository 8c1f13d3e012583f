"""The page of quality control: what is usual, what is in alarm, and who has seen it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.control import ReadField
from edge.counting.sample import OpenSample
from edge.daemon.lines import sample_line
from edge.results.control import Ledger, look
from edge.web.charted import Charted
from tests.edge.bloodlog.days import log_days
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.commands.invoking import blastcount
from tests.edge.web.conftest import Browser, Clinic, a_field


@pytest.fixture
def alarmed(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    with BloodLog.open(clinic.setup.log_path) as log:
        log_days(log, range(300, 325), monkeypatch)  # after the clinic's own fields
        log_days(log, [325], monkeypatch, light=2.2, sample_id=1)
        look(log, Ledger())
    monkeypatch.undo()
    return clinic


def test_without_days_it_says_so(browser: Browser) -> None:
    page = browser.get("/control").text
    assert "No alarm is open." in page
    assert "<svg" not in page


def test_each_field_is_read_once_and_those_of_another_log_anew(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    after: list[int] = []
    read_fields = BloodLog.read_fields

    def noted(log: BloodLog, start: int = 0) -> Iterator[ReadField]:
        after.append(start)
        return read_fields(log, start)

    monkeypatch.setattr(BloodLog, "read_fields", noted)
    charted = Charted()

    def days(path: Path) -> list[int]:
        with BloodLog.open(path, read_only=True) as log:
            return [point.n for point in charted.of(log)[0][None]["refused"]]

    with BloodLog.open(clinic.setup.log_path) as log:
        log_days(log, [300], monkeypatch)
    before = days(clinic.setup.log_path)
    with BloodLog.open(clinic.setup.log_path) as log:
        log_days(log, [301], monkeypatch)
        newest = log.last_numbers()[0]
    assert days(clinic.setup.log_path) == [*before, 4]
    with BloodLog.open(tmp_path / "other.db") as log:
        log_days(log, range(302, 307), monkeypatch)
    assert days(tmp_path / "other.db") == [4] * 5
    assert after == [0, newest - 4, 0]


def test_an_alarm_is_seen_by_somebody_by_name(alarmed: Clinic) -> None:
    browser = Browser(alarmed)
    page = browser.get("/control").text
    assert 'class="alarm"' in page
    assert page.count('<svg class="control"') >= 8
    assert "Open alarms: 1" in page
    assert "/control/1" not in page, "nobody has said who he is"
    assert browser.post("/control/1").status_code == 400
    browser.says_who("Ani").get("/control")
    seen = browser.post("/control/1", {"note": "lamp changed", "new_baseline": "1"})
    assert "Seen by Ani: lamp changed" in seen.text
    assert browser.post("/control/1").status_code == 409
    assert browser.post("/control/7").status_code == 409
    with alarmed.log as log:
        (alarm,) = log.alarms()
        assert alarm.acknowledged is not None
        assert alarm.acknowledged.new_baseline


@pytest.mark.parametrize("note", ["x" * 501, "a\x00b"])
def test_a_note_that_cannot_be_is_refused(alarmed: Clinic, note: str) -> None:
    browser = Browser(alarmed).says_who("Ani")
    assert browser.post("/control/1", {"note": note}).status_code == 400


def test_an_open_alarm_stands_on_the_pages_and_the_sheet_of_a_sample(alarmed: Clinic) -> None:
    with BloodLog.open(alarmed.setup.log_path) as log:
        log.change_sample("S-1", "closed")
    browser = Browser(alarmed)
    for path in ("/samples/1", "/samples/1/report"):
        assert "light has fallen" in browser.get(path).text
    assert browser.get("/samples/1/report.json").json["quality_control"][0]["cause"] == "lamp"
    browser.says_who("Ani").post("/control/1")
    page = browser.get("/samples/1/report").text
    assert "light has fallen" in page, "it was open on the day that the fields were counted"


def test_a_control_run_is_named_one_and_has_no_quota(clinic: Clinic) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        log.change_sample("S-1", "closed")
        run = log.open_control("QC-1-run", "QC-1")
        log.append(a_field(9, (0.1, 0.9)), **PROVENANCE, sample_id=run.id)
        opened = OpenSample(log, run, None)
        opened.catch_up()
        status = opened.status()
    browser = Browser(clinic)
    for path in ("/", "/samples/2", "/samples/2/report", "/live"):
        text = browser.get(path).text
        assert "ontrol" in text, path
        for advice in ("of 200", "quota", "Count on"):
            assert advice not in text, path
    assert "control run of QC-1" in browser.get("/").text
    assert "no patient" in browser.get("/samples/2").text
    assert browser.get("/samples/2/report.json").json["sample"]["control_slide"] == "QC-1"
    assert "of 200" in browser.get("/samples/1").text
    line = sample_line(status)
    assert line.startswith("QC-1-run (run of control slide QC-1): 2 cells; ")
    assert "quota" not in line
    listed = blastcount("sample", "list", "--log", clinic.setup.log_path).stdout.splitlines()
    patient, control = listed[1], listed[2]
    assert " blood " in patient
    assert " 200 " in patient
    assert " control " in control
    assert control.endswith("-  run of control slide QC-1")
    assert "200" not in control
