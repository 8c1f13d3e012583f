"""Pages that are read: samples, live, fields, languages, problems."""

from __future__ import annotations

import base64
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.bloodlog.contours import encode_contours
from edge.bloodlog.pictures import ThumbnailStore
from edge.device.network import NetworkAddress
from edge.i18n import languages
from edge.structures import CellRef, Contours
from edge.web.setup import Setup
from tests.edge.bloodlog.fields import PROVENANCE, SHA
from tests.edge.web.conftest import Browser, Clinic, a_field, append_field, picture


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Commands that were sent to a daemon that answers like the real one, with the picture that is stored."""
    store = ThumbnailStore(tmp_path)
    jpeg = base64.b64encode(store.path(store.put(picture(7, 320))).read_bytes()).decode()
    sent: list[str] = []

    def answer(_setup: Setup, command: str, _timeout_s: float) -> dict[str, Any]:
        sent.append(command)
        seen = {"field": 3, "x": -7.5, "y": 3.0}
        size = {"width": 1200, "height": 900}
        return {"jpeg": jpeg, "sharpness": 0.4, "exposure": 0.8, "counted": seen, **size}

    monkeypatch.setattr(Setup, "ask_daemon", answer)
    return sent


def sample(name: str, specimen: str = "blood", quota: str = "", **more: str) -> dict[str, str]:
    return {"name": name, "specimen": specimen, "quota": quota, **more}


def test_open_close_and_reopen_a_sample(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    # Another one cannot be opened meanwhile.
    assert browser.post("/samples", sample("S-2")).status_code == 409
    assert [browser.post("/samples/1/close").status_code for _ in range(2)] == [200, 409]
    assert browser.post("/samples", sample("S-2", "marrow")).status_code == 200
    with clinic.log as log:
        assert [(s.name, s.specimen, s.quota, s.is_open) for s in log.samples()] == [
            ("S-1", "blood", 200, False),
            ("S-2", "marrow", 500, True),
        ]
    assert browser.post("/samples/1/reopen").status_code == 409
    browser.post("/samples/2/close")
    assert browser.post("/samples/1/reopen").status_code == 200
    assert "S-1 is being counted" in browser.get("/").text
    with closing(sqlite3.connect(clinic.setup.log_path)) as raw:
        events = raw.execute("SELECT sample_id, event, who FROM sample_event ORDER BY id").fetchall()
    assert events == [
        *((1, "opened", "unnamed"), (1, "closed", "Ani"), (2, "opened", "Ani"), (2, "closed", "Ani")),
        (1, "reopened", "Ani"),
    ]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (sample("S-1"), 409),
        (sample(""), 400),
        (sample("x" * 65), 400),
        (sample("a\nb"), 400),
        (sample("Aminah"), 400),  # looks like a name
        (sample("S-2", "urine"), 400),
        (sample("S-2", quota="7"), 400),
        ({"name": "S-2"}, 400),
    ],
)
def test_samples_that_cannot_be_opened(
    browser: Browser, clinic: Clinic, form: dict[str, str], code: int
) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    assert browser.post("/samples", form).status_code == code
    with clinic.log as log:
        assert len(log.samples()) == 1


def test_an_id_that_looks_like_a_name_can_be_insisted_on(browser: Browser) -> None:
    browser.get("/")
    browser.post("/samples/1/close")
    assert 'name="sure"' in browser.post("/samples", sample("Aminah")).text
    assert browser.post("/samples", sample("Aminah", sure="1")).status_code == 200


def test_without_a_log_the_first_sample_makes_one(tmp_path: Path) -> None:
    fresh = Clinic(Setup(log_path=tmp_path / "new.db"))
    browser = Browser(fresh)
    assert [browser.get(path).status_code for path in ("/", "/live", "/samples/1")] == [200, 200, 404]
    assert not fresh.setup.log_path.exists()
    assert browser.post("/samples", sample("S-9", quota="100")).status_code == 200
    with fresh.log as log:
        assert [sample.name for sample in log.samples()] == ["S-9"]


def test_live_shows_the_camera_with_its_bars(browser: Browser, commands: list[str]) -> None:
    assert "Sharpness" in browser.get("/live").text
    assert browser.get("/live/picture").data.startswith(b"\xff\xd8")
    assert set(commands) == {"preview"}
    assert browser.post("/live/capture", follow_redirects=False).status_code == 302
    assert commands[-1] == "capture"


def test_outlines_are_shown_in_the_field_and_over_the_live_picture(
    browser: Browser, clinic: Clinic, commands: list[str]
) -> None:
    """In the live picture only of the field that it shows, where it shows it; without contours as boxes."""
    del commands
    assert 'class="overlaid">\n<img' in browser.get("/live").text
    assert "<svg viewBox" not in browser.get("/live").text
    assert '<rect class="line"' in browser.get("/samples/1/fields/2").text
    contours = encode_contours(Contours((((130, 40), (170, 80), (130, 80)),), ()), (130, 40))
    with BloodLog.open(clinic.setup.log_path) as log:
        log.append(a_field(3, (0.9, 0.1)), **PROVENANCE, sample_id=1, contours={1: contours})
    live = browser.get("/live/state").text
    outline = 'd="M130.5 40.5 170.5 80.5 130.5 80.5z"'
    over_picture = live.partition('<svg viewBox="0 0 1200 900"')[2].partition("</svg>")[0]
    assert "translate(-7.5 3.0)" in over_picture
    assert over_picture.count(f'<path class="line" {outline}') == 1
    assert "field 3, which was counted here" in live
    page = browser.get("/samples/1/fields/3").text
    assert f'<path class="line" {outline}' in page
    assert page.count('<rect class="line"') == 1  # the other cell, of which nothing is known


def test_pages_leave_out_pictures_that_have_made_room(browser: Browser, clinic: Clinic) -> None:
    paths = [f"/samples/1/{page}" for page in ("cells", "fields/1", "map", "observers")]
    assert [path for path in paths if "/pictures/" in browser.get(path).text] == paths[:3]
    shutil.rmtree(ThumbnailStore.beside(clinic.setup.log_path).folder)
    assert [path for path in paths if "/pictures/" in browser.get(path).text] == []
    assert "No picture of cell 1-1 was kept" in browser.get(paths[0]).text
    assert "The image of this field was not kept" in browser.get(paths[1]).text


def test_live_without_a_daemon_shows_the_last_field(browser: Browser) -> None:
    page = browser.get("/live").text
    assert "Field 2" in page
    assert "Sharpness" not in page
    assert browser.get("/live/picture").status_code == 404
    assert browser.post("/live/capture").status_code == 502


def test_fields_of_no_sample_and_rejected_ones_are_shown(browser: Browser, clinic: Clinic) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        append_field(log, 1, ("out_of_focus",))
        for path in ("/live", "/samples/1/fields", "/samples/1/fields/3"):
            assert "out of focus" in browser.get(path).text, path
        browser.post("/samples/1/close")
        append_field(log, None)
    page = browser.get("/live").text
    assert "Field 4" in page
    assert "No sample is open" in page


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [("en", "blank slide burnt out", "turn down the lamp"), ("id", "latar kosong terlalu terang", "kurangi")],
)
def test_a_field_with_a_warning_says_so_in_words_on_every_page(
    browser: Browser, clinic: Clinic, code: str, words: str, advice: str
) -> None:
    pages = ("/live", "/", "/samples/1", "/samples/1/fields", "/samples/1/fields/3")
    browser.get("/")
    browser.post("/preferences", {"language": code})
    assert not any(words in browser.get(path).text for path in pages[:-1])
    with BloodLog.open(clinic.setup.log_path) as log:
        append_field(log, 1, warnings=("background_clipped",))
    assert [path for path in pages if words not in browser.get(path).text] == []
    assert [path for path in pages if advice in browser.get(path).text] == ["/live", "/samples/1/fields/3"]
    assert words not in browser.get("/samples/1/fields/1").text
    assert 'href="/samples/1/fields?show=warned"' in browser.get("/samples/1").text
    rows = re.findall(r'<th scope="row"><a href="([^"]+)"', browser.get("/samples/1/fields?show=warned").text)
    assert rows == ["/samples/1/fields/3"]


@pytest.mark.parametrize(
    ("code", "title", "why", "advice"),
    [
        ("en", "Fields not counted", "out of focus", "Focus and wait"),
        ("id", "Lapang pandang yang tidak dihitung", "tidak fokus", "Atur fokus"),
    ],
)
def test_rejected_fields_are_shown_with_picture_and_reason(
    browser: Browser, clinic: Clinic, code: str, title: str, why: str, advice: str
) -> None:
    browser.get("/")
    browser.post("/preferences", {"language": code})
    nothing = browser.get("/samples/1/fields/rejected").text
    assert why not in nothing
    assert "<img" not in nothing
    assert "/fields/rejected" not in browser.get("/samples/1/fields").text + browser.get("/samples/1").text
    store = ThumbnailStore.beside(clinic.setup.log_path)
    with BloodLog.open(clinic.setup.log_path) as log:
        sha256 = store.put(picture(7, 160))
        append_field(log, 1, ("out_of_focus",), image_sha256=sha256)
        append_field(log, 1, ("blank",))
    for path in ("/samples/1", "/samples/1/fields"):
        assert 'href="/samples/1/fields/rejected"' in browser.get(path).text, path
    page = browser.get("/samples/1/fields/rejected").text
    assert all(words in page for words in (title, why, advice, 'href="/samples/1/fields/3"'))
    # The newest first; one of the two has no picture.
    assert re.findall(r'id="f(\d)"|<img[^>]* src="([^"]+)"', page) == [
        ("4", ""),
        ("3", ""),
        ("", "/pictures/3"),
    ]
    assert browser.get("/pictures/3").data == store.read(sha256)
    store.path(sha256).unlink()
    assert "<img" not in browser.get("/samples/1/fields/rejected").text
    assert browser.get("/samples/9/fields/rejected").status_code == 404


def test_a_field_links_each_cell_and_shows_a_persons_word(browser: Browser) -> None:
    browser.says_who("Ani").say("1-1-normal")
    page = browser.get("/samples/1/fields/1").text
    for number in range(1, 5):
        show = "smudge" if number == 4 else "counted"
        assert f'id="c1-{number}"' in page
        assert f"/samples/1/cells?show={show}&amp;field=1#c1-{number}" in page
    assert 'class="box normal" id="c1-1"' in page
    assert "Cell 1-1: blast, you: normal" in page
    assert browser.get("/samples/1/fields/99").status_code == 404


def test_pictures_that_are_gone_or_damaged_are_not_sent(browser: Browser, clinic: Clinic) -> None:
    store = ThumbnailStore.beside(clinic.setup.log_path)
    assert browser.get("/pictures/1/1").status_code == browser.get("/pictures/1").status_code == 200
    with clinic.log as log:
        image, cell = log.image(1), log.thumbnail(CellRef(1, 1))
    store.path(image or SHA).unlink()
    path = store.path(cell or SHA)
    path.write_bytes(path.read_bytes() + b"x")
    assert browser.get("/pictures/1/1").status_code == browser.get("/pictures/1").status_code == 404
    assert browser.get("/samples/1/fields/1").status_code == 200


def test_a_log_that_cannot_be_read_is_named(browser: Browser, clinic: Clinic) -> None:
    clinic.setup.log_path.write_bytes(b"no database" * 100)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "is not a SQLite database" in answer.text


@pytest.mark.parametrize("code", list(languages()))
def test_every_page_in_every_language(browser: Browser, code: str) -> None:
    browser.says_who("Ani")
    browser.post("/preferences", {"language": code, "theme": "dark"})
    pages = ("/cells", "/fields", "/fields/1", "/fields/rejected", "/observers")
    for path in ("/", "/live", "/samples/1", *(f"/samples/1{page}" for page in pages)):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert f'<html lang="{code}" data-theme="dark"' in answer.text


def test_the_browsers_language_is_the_first_choice_and_the_button_wins(browser: Browser) -> None:
    def language(accepted: str) -> bool:
        return '<html lang="id"' in browser.get("/", headers={"Accept-Language": accepted}).text

    assert [language(accepted) for accepted in ("id-ID,id;q=0.9,en;q=0.5", "fr", "en")] == [
        True,
        False,
        False,
    ]
    browser.post("/preferences", {"language": "id"})
    assert language("en")
    for form in ({"language": "xx"}, {"language": "../en"}, {"theme": "neon"}):
        assert browser.post("/preferences", form).status_code == 400


def test_names_that_nobody_can_read_are_refused(browser: Browser) -> None:
    browser.get("/")
    for name in ("", "   ", "x" * 41, "a\x00b", "a\u202eb", "\u200b"):
        assert browser.post("/observer", {"observer": name}).status_code == 400, name


def test_text_from_outside_is_never_markup(browser: Browser, clinic: Clinic) -> None:
    evil = "<b>&\"'</b>"
    browser.says_who(evil)
    # The page would refuse such a name; the log takes it from elsewhere.
    with BloodLog.open(clinic.setup.log_path) as log:
        log.change_sample("S-1", "closed")
        log.open_sample(evil, "blood", 200)
    for path in ("/", "/samples/2", "/samples/2/cells", "/live"):
        page = browser.get(path).text
        assert "<b>" not in page
        assert "&lt;b&gt;" in page


def test_long_lists_have_pages(browser: Browser, clinic: Clinic) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        for _ in range(99):
            append_field(log)

    def cells(query: str) -> int:
        return browser.get(f"/samples/1/cells{query}").text.count('<li class="cell')

    # A page beyond the end is the last one; what is no page is refused.
    queries = ("", "?page=2", "?page=99", "?size=5000")
    assert [cells(query) for query in queries] == [200, 105, 105, 305]
    for query in ("page=0", "page=-1", "page=x", "size=7", "show=everything", "field=0"):
        assert browser.get(f"/samples/1/cells?{query}").status_code == 400, query
    assert "Page 1 of 2, fields: 101" in browser.get("/samples/1/fields").text
    assert browser.get("/samples/1/fields?page=2").text.count("<tr>") == 1 + 1


def test_a_phone_finds_the_page_only_where_it_can_be_reached(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [NetworkAddress("wlan0", IPv4Address("192.168.4.23"))]
    monkeypatch.setattr("edge.web.reach.network_addresses", lambda: addresses)
    assert "blastcount review --phone" in Browser(clinic).get("/phone").text
    shared = Clinic(replace(clinic.setup, host="0.0.0.0"))
    page = Browser(shared).get("/phone").text
    assert '<a href="http://192.168.4.23:80/">' in page
    assert page.count('class="qr"') == 1
    addresses.clear()
    assert "no network at present" in Browser(shared).get("/phone").text
