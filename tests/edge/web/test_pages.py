"""Pages that are read: samples, live, fields, languages, problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.pictures import ThumbnailStore
from edge.errors import ControlError
from edge.i18n import languages
from edge.structures import CellRef
from edge.web import preview
from edge.web.setup import Setup

if TYPE_CHECKING:
    from conftest import Browser, Clinic


@pytest.fixture(autouse=True)
def long_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test machine that is busy must not make a picture old."""
    monkeypatch.setattr(preview, "FRESH_S", 60.0)
    monkeypatch.setattr(preview, "BACK_OFF_S", 60.0)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, a_jpeg: bytes) -> list[str]:
    """Commands that were sent to a daemon that answers like the real one."""
    import base64

    commands: list[str] = []

    def answer(_setup: Setup, command: str, _timeout_s: float) -> dict[str, Any]:
        commands.append(command)
        return {"jpeg": base64.b64encode(a_jpeg).decode(), "width": 640, "height": 480, "age_s": 0.1}

    monkeypatch.setattr(Setup, "ask_daemon", answer)
    return commands


def test_open_close_and_reopen_a_sample(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    assert "S-1 is being counted" in browser.get("/").text
    # Another one cannot be opened meanwhile.
    refused = browser.post("/samples", {"name": "S-2", "specimen": "blood", "quota": ""})
    assert refused.status_code == 409
    assert browser.post("/samples/1/close").status_code == 200
    assert browser.post("/samples/1/close").status_code == 409
    assert browser.post("/samples", {"name": "S-2", "specimen": "marrow", "quota": ""}).status_code == 200
    with clinic.log as log:
        assert [(s.name, s.specimen, s.quota, s.is_open) for s in log.samples()] == [
            ("S-1", "blood", 200, False),
            ("S-2", "marrow", 500, True),
        ]
    assert browser.post("/samples/1/reopen").status_code == 409
    browser.post("/samples/2/close")
    assert browser.post("/samples/1/reopen").status_code == 200
    with clinic.log as log:
        current = log.current_sample()
        assert current is not None
        assert current.name == "S-1"


def test_the_log_names_who_opened_and_closed(browser: Browser, clinic: Clinic) -> None:
    import sqlite3
    from contextlib import closing

    browser.says_who("Ani")
    browser.post("/samples/1/close")
    with closing(sqlite3.connect(clinic.setup.log_path)) as raw:
        events = raw.execute("SELECT event, who FROM sample_event ORDER BY id").fetchall()
    assert events == [("opened", "unnamed"), ("closed", "Ani")]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"name": "S-1", "specimen": "blood", "quota": ""}, 409),
        ({"name": "", "specimen": "blood", "quota": ""}, 400),
        ({"name": "x" * 65, "specimen": "blood", "quota": ""}, 400),
        ({"name": "a\nb", "specimen": "blood", "quota": ""}, 400),
        ({"name": "S-2", "specimen": "urine", "quota": ""}, 400),
        ({"name": "S-2", "specimen": "blood", "quota": "7"}, 400),
        ({"name": "S-2"}, 400),
    ],
)
def test_samples_that_cannot_be_opened(
    browser: Browser, clinic: Clinic, form: dict[str, str], code: int
) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    answer = browser.post("/samples", form)
    assert answer.status_code == code
    with clinic.log as log:
        assert len(log.samples()) == 1


def test_an_id_that_looks_like_a_name_is_asked_about(browser: Browser, clinic: Clinic) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    form = {"name": "Aminah", "specimen": "blood", "quota": ""}
    asked = browser.post("/samples", form)
    assert asked.status_code == 400
    assert "looks like a name" in asked.text
    assert 'name="sure"' in asked.text
    assert browser.post("/samples", {**form, "sure": "1"}).status_code == 200
    with clinic.log as log:
        assert [sample.name for sample in log.samples()] == ["S-1", "Aminah"]


def test_without_a_log_the_first_sample_makes_one(clinic: Clinic, visit: Callable[[Clinic], Browser]) -> None:
    fresh = replace(clinic, setup=Setup(log_path=clinic.setup.log_path.parent / "new.db"))
    browser = visit(fresh)
    assert "No sample has been opened yet" in browser.get("/").text
    assert "No sample is open" in browser.get("/live").text
    assert browser.get("/samples/1").status_code == 404
    assert not fresh.setup.log_path.exists()
    assert browser.post("/samples", {"name": "S-9", "specimen": "blood", "quota": "100"}).status_code == 200
    with fresh.log as log:
        assert [sample.name for sample in log.samples()] == ["S-9"]


def test_live_shows_the_camera_with_its_bars(browser: Browser, daemon: list[str], a_jpeg: bytes) -> None:
    page = browser.get("/live").text
    assert "Sharpness" in page
    assert "What the camera sees now" in page
    assert browser.get("/live/picture").data == a_jpeg
    # Many browsers ask the daemon once.
    for _ in range(5):
        browser.get("/live/state")
    assert daemon == ["preview"]
    assert browser.post("/live/capture").status_code == 200
    assert daemon == ["preview", "capture"]


def test_live_without_a_daemon_shows_the_last_field(browser: Browser) -> None:
    page = browser.get("/live").text
    assert "does not move" in page
    assert "Field 2" in page
    assert "Sharpness" not in page
    assert browser.get("/live/picture").status_code == 404
    assert browser.post("/live/capture").status_code == 502


def test_live_with_a_daemon_that_talks_nonsense(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "BACK_OFF_S", 0.0)
    for answer in ({}, {"jpeg": 7}, {"jpeg": "no base64!"}, {"jpeg": "AAAA"}):
        monkeypatch.setattr(Setup, "ask_daemon", lambda *_, answer=answer: answer)
        assert browser.get("/live/state").status_code == 200
        assert browser.get("/live/picture").status_code == 404


def test_a_daemon_that_does_not_answer_is_left_alone_for_a_while(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hang(_setup: Setup, command: str, _timeout_s: float) -> dict[str, Any]:
        asked.append(command)
        raise ControlError("no answer", "hung")

    monkeypatch.setattr(Setup, "ask_daemon", hang)
    for _ in range(5):
        assert browser.get("/live/state").status_code == 200
    assert asked == ["preview"]


def test_live_shows_a_field_that_belongs_to_no_sample(
    browser: Browser, clinic: Clinic, append_field: Callable[..., int]
) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    with BloodLog.open(clinic.setup.log_path) as log:
        append_field(log, None)
    page = browser.get("/live").text
    assert "Field 3" in page
    assert "No sample is open" in page


def test_a_rejected_field_says_why(
    browser: Browser, clinic: Clinic, append_field: Callable[..., int]
) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        append_field(log, 1, ("out_of_focus",))
    for path in ("/live", "/samples/1/fields", "/samples/1/fields/3"):
        assert "out of focus" in browser.get(path).text, path


def test_a_field_links_each_cell_and_shows_a_persons_word(browser: Browser) -> None:
    browser.says_who("Ani")
    browser.script("/samples/1/words", {"word": "1-1-normal"})
    page = browser.get("/samples/1/fields/1").text
    for number in range(1, 5):
        assert f'id="c1-{number}"' in page
        assert (
            f"/samples/1/cells?show={'smudge' if number == 4 else 'counted'}&amp;field=1#c1-{number}" in page
        )
    assert 'class="box normal" id="c1-1"' in page
    assert "Cell 1-1: blast, you: normal" in page
    assert browser.get("/samples/1/fields/99").status_code == 404


def test_a_field_whose_picture_was_not_kept_still_shows_its_cells(browser: Browser, clinic: Clinic) -> None:
    with clinic.log as log:
        image = log.image(1)
    assert image is not None
    ThumbnailStore.beside(clinic.setup.log_path).remove(image)
    assert browser.get("/pictures/1").status_code == 404
    assert browser.get("/samples/1/fields/1").status_code == 200


def test_a_damaged_picture_is_not_sent(browser: Browser, clinic: Clinic) -> None:
    with clinic.log as log:
        sha256 = log.thumbnail(CellRef(1, 1))
    assert sha256 is not None
    path = ThumbnailStore.beside(clinic.setup.log_path).path(sha256)
    assert browser.get("/pictures/1/1").status_code == 200
    path.write_bytes(path.read_bytes() + b"x")
    assert browser.get("/pictures/1/1").status_code == 404


def test_a_log_that_cannot_be_read_is_named(browser: Browser, clinic: Clinic) -> None:
    clinic.setup.log_path.write_bytes(b"no database" * 100)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "The blood log cannot be used" in answer.text
    assert "is not a SQLite database" in answer.text


@pytest.mark.parametrize("code", list(languages()))
def test_every_page_in_every_language(browser: Browser, code: str) -> None:
    browser.says_who("Ani")
    browser.post("/preferences", {"language": code})
    for path in (
        "/",
        "/live",
        "/samples/1",
        "/samples/1/cells",
        "/samples/1/fields",
        "/samples/1/fields/1",
        "/samples/1/observers",
    ):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert f'<html lang="{code}"' in answer.text


def test_the_browsers_language_is_the_first_choice_and_the_button_wins(browser: Browser) -> None:
    assert "Semua sampel" in browser.get("/", headers={"Accept-Language": "id-ID,id;q=0.9,en;q=0.5"}).text
    assert "All samples" in browser.get("/", headers={"Accept-Language": "fr"}).text
    browser.post("/preferences", {"language": "id"})
    assert "Semua sampel" in browser.get("/", headers={"Accept-Language": "en"}).text
    for form in ({"language": "xx"}, {"language": "../en"}, {"theme": "neon"}):
        assert browser.post("/preferences", form).status_code == 400


def test_the_theme_is_kept(browser: Browser) -> None:
    browser.get("/")
    browser.post("/preferences", {"theme": "dark"})
    assert 'data-theme="dark"' in browser.get("/samples/1/cells").text


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b", "a\u202eb", "\u200b"])
def test_names_that_nobody_can_read_are_refused(browser: Browser, name: str) -> None:
    browser.get("/")
    assert browser.post("/observer", {"observer": name}).status_code == 400


def test_text_from_outside_is_never_markup(browser: Browser, clinic: Clinic) -> None:
    evil = "<b>&\"'</b>"
    browser.says_who(evil)
    # The page would refuse such a name; the log takes it from elsewhere.
    with BloodLog.open(clinic.setup.log_path) as log:
        log.close_sample("S-1")
        log.open_sample(evil, "blood", 200)
    for path in ("/", "/samples/2", "/samples/2/cells", "/live"):
        page = browser.get(path).text
        assert "<b>" not in page
        assert "&lt;b&gt;" in page


def test_long_lists_have_pages(
    make_clinic: Callable[..., Clinic], visit: Callable[[Clinic], Browser]
) -> None:
    browser = visit(make_clinic([[0.3, 0.6]] * 130))
    first = browser.get("/samples/1/cells").text
    assert first.count('<li class="cell') == 200
    assert "Page 1 of 2, 260 cells" in first
    assert browser.get("/samples/1/cells?page=2").text.count('<li class="cell') == 60
    assert browser.get("/samples/1/cells?size=2000").text.count('<li class="cell') == 260
    # A page beyond the end is the last one; what is no page is refused.
    assert browser.get("/samples/1/cells?page=99").text.count('<li class="cell') == 60
    for query in ("page=0", "page=-1", "page=x", "size=7", "show=everything", "field=0"):
        assert browser.get(f"/samples/1/cells?{query}").status_code == 400, query
    assert "Page 1 of 2, 130 fields" in browser.get("/samples/1/fields").text
    assert browser.get("/samples/1/fields?page=2").text.count("<tr>") == 31
