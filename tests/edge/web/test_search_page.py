"""A search on the page: opened there, its candidates best first, its limits for eyes that may see them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.bloodlog import BloodLog
from edge.results.corrected import KnownErrors
from edge.web.setup import Setup
from tests.edge.bloodlog.fields import PROVENANCE
from tests.edge.web.conftest import Browser, Clinic, a_field, append_field
from tests.edge.web.test_cells import shown

ERRORS = KnownErrors(375, 306, 144, 16, "cells of a test", blasts_uncertain=36)


@pytest.fixture
def searching(tmp_path: Path) -> Clinic:
    """A search with three normal cells, two uncertain ones and three that were called blast."""
    made = Setup(log_path=tmp_path / "blood.db", errors_of=lambda _model: ERRORS)
    with BloodLog.open(made.log_path) as log:
        sample = log.open_sample("S-1", "blood", 500, search=True)
        for row in ((0.99, 0.5, 0.02), (0.9, 0.1, 0.45, 0.97, 0.05)):
            log.append(a_field(log.count() + 1, row), **PROVENANCE, sample_id=sample.id)
    return Clinic(made)


def test_a_search_is_opened_on_the_page(browser: Browser, clinic: Clinic) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    assert 'value="search-2000"' in browser.get("/").text
    form = {"name": "S-2", "specimen": "blood"}
    assert browser.post("/samples", {**form, "quota": "search-300"}).status_code == 400
    browser.post("/samples", {**form, "quota": "search-2000"})
    with clinic.log as log:
        sample = log.sample("S-2")
    assert (sample.quota, sample.search) == (2000, True)
    assert "search, 2000 cells" in browser.get("/").text


def test_candidates_come_as_they_are_found_the_likeliest_first_and_unanswered_ones_before(
    searching: Clinic,
) -> None:
    ani = Browser(searching).says_who("Ani")
    assert shown(ani, "?show=candidates") == ["1-1", "2-4", "2-1", "1-2", "2-3"]
    ani.say("1-1-normal")
    ani.say("2-1-lymphocyte")
    with BloodLog.open(searching.setup.log_path) as log:
        append_field(log)  # 0.9, 0.1 and 0.5
    assert shown(ani, "?show=candidates") == ["2-4", "3-1", "1-2", "3-3", "2-3", "1-1", "2-1"]
    text = ani.get("/samples/1/cells?show=candidates").text
    assert "I have looked at these and agree" not in text, "nobody confirms what the program calls at once"
    assert "I have looked at these and agree" in ani.get("/samples/1/cells").text


def test_the_result_is_shown_with_what_waits(searching: Clinic) -> None:
    ani = Browser(searching).says_who("Ani")
    for path in ("/", "/live", "/samples/1"):
        text = ani.get(path).text
        assert "Nobody has looked yet at any of the 8 cells" in text
        assert "Candidates without a word: 5" in text
        assert "fewer than" not in text
    ani.say("1-1-blast")
    for path in ("/", "/live", "/samples/1"):
        text = ani.get(path).text
        assert "So far people called 1 of 8 cells a blast: 12.50 %" in text
        assert "342 of 375" in text
        assert "37.5 %" not in text, "the program's 3 of 8, and with people's words in its place"
        assert "100.0 %" not in text, "of the one cell that was looked at"
        assert "You: blasts 1 of 1 that were looked at" in text
    for ref in ("1-1", "2-4", "2-1", "1-2", "2-3"):
        ani.say(f"{ref}-normal")
    text = ani.get("/samples/1").text
    assert "People called none of 8 cells a blast: fewer than 37." in text
    assert "Count on: 8 of 500 cells." in text
    ani.post("/preferences", {"language": "id", "next": "/"})
    assert re.search(r"Hitung terus: 8 dari 500 sel\.", ani.get("/samples/1").text)


def test_who_reads_blind_is_told_nothing(searching: Clinic) -> None:
    hiding = Browser(searching).says_who("Budi", hide_program="1")
    assert hiding.get("/samples/1/cells?show=candidates").status_code == 400
    assert "candidates" not in hiding.get("/samples/1/cells").text
    Browser(searching).says_who("Ani").say("1-1-blast")
    blind = Browser(searching).says_who("Citra")
    blind.say("1-1-normal")
    assert "eople called" not in blind.get("/samples/1").text


def test_another_sample_has_no_candidates(browser: Browser) -> None:
    assert "candidates" not in browser.get("/samples/1/cells").text
    assert "Candidates" not in browser.get("/samples/1").text
