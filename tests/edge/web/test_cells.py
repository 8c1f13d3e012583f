"""Words on cells: kept beside the program's, taken back, in doubt's order, and blind to each other."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from edge.bloodlog import BloodLog
from edge.structures import CellRef
from tests.edge.web.conftest import Browser, Clinic

#: Distance of each counted cell's probability from a coin toss; see the small clinic.
DOUBTS = {
    **{"1-2": 0.0, "2-3": 0.05, "2-1": 0.4, "2-2": 0.4, "2-5": 0.45, "2-4": 0.47, "1-3": 0.48, "1-1": 0.49}
}
COUNTED = sorted(DOUBTS)


def shown(browser: Browser, query: str = "") -> list[str]:
    return re.findall(r'<li class="cell[^>]*id="c([0-9-]+)"', browser.get(f"/samples/1/cells{query}").text)


@pytest.fixture
def ani(browser: Browser) -> Browser:
    return browser.says_who("Ani")


@pytest.fixture
def budi(clinic: Clinic) -> Browser:
    return Browser(clinic).says_who("Budi")


def test_the_most_doubtful_cells_come_first(browser: Browser) -> None:
    listed = shown(browser)
    assert sorted(listed) == COUNTED
    assert [DOUBTS[ref] for ref in listed] == sorted(DOUBTS.values())


def test_the_order_is_by_the_threshold_of_the_model_that_counted(clinic: Clinic) -> None:
    """Uncertain cells first, then whose word would change with the least."""
    known = Clinic(replace(clinic.setup, threshold_of=lambda _model: 0.66))
    p = {"1-2": 0.5, "2-3": 0.45, "2-1": 0.9, "2-4": 0.97, "1-1": 0.99, "2-2": 0.1, "2-5": 0.05, "1-3": 0.02}
    assert shown(Browser(known)) == list(p)


@pytest.mark.parametrize(
    ("query", "refs"),
    [
        ("?show=uncertain", {"1-2", "2-3"}),
        ("?show=blast", {"1-1", "2-1", "2-4"}),
        ("?show=normal", {"1-3", "2-2", "2-5"}),
        ("?show=smudge", {"1-4"}),
        ("?show=left_out", set()),
        ("?show=changed", {"1-1"}),
        ("?show=unread", set(COUNTED) - {"1-1"}),
        ("?field=1", {"1-1", "1-2", "1-3"}),
        ("?field=9", set()),
    ],
)
def test_filters(ani: Browser, query: str, refs: set[str]) -> None:
    ani.say("1-1-normal")
    assert set(shown(ani, query)) == refs


def test_a_word_is_kept_once_beside_the_programs_with_who_said_it(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("  dr.  Sari ")
    for _ in range(2):
        answer = browser.say("1-1-normal")
        assert answer.status_code == 200
        assert answer.json["word"] == "normal"
        assert answer.json["progress"] == "1 of 8 looked at"
        assert answer.json["figure"] == "You: blasts 0 of 1 = 0.0 % (95 % interval 0.0 to 97.5 %)"
    assert clinic.words() == [(CellRef(1, 1), "normal", "dr. Sari")]
    with clinic.log as log:
        assert next(iter(log.fields())).result.cells[0].label == "blast"


def test_without_the_script_the_same_form_leads_back_to_the_cell(ani: Browser, clinic: Clinic) -> None:
    form = {"word": "1-1-normal", "next": "/samples/1/cells?show=blast"}
    answer = ani.post("/samples/1/words", form, follow_redirects=False)
    assert (answer.status_code, answer.location) == (302, "/samples/1/cells?show=blast#c1-1")
    assert len(clinic.words()) == 1


def test_nobody_nameless_says_anything(browser: Browser, clinic: Clinic) -> None:
    browser.get("/")
    assert browser.say("1-1-normal").status_code == 428
    assert clinic.words() == []


def undo(browser: Browser, last: object) -> Any:
    return browser.script("/samples/1/undo", {"last": last})


def test_undo_goes_back_word_by_word_and_never_twice_by_mistake(ani: Browser, clinic: Clinic) -> None:
    ani.say("1-1-normal")
    last = ani.say("1-1-smudge").json["last"]
    undone = undo(ani, last)
    assert undone.json["word"] == "normal"
    # The same form again, as a double click or a replay sends it.
    assert undo(ani, last).status_code == 409
    again = undo(ani, undone.json["last"])
    assert (again.json["word"], again.json["last"]) == (None, None)
    assert undo(ani, "").status_code == 409
    # Nothing is ever removed.
    assert [label for _, label, _ in clinic.words()] == ["normal", "smudge", "normal", None]


def test_two_servers_on_one_log_take_back_one_word(
    ani: Browser, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the log when the first one writes, as in two processes."""
    servers = [ani, Browser(clinic).says_who("Ani")]
    for word in ("normal", "smudge"):
        last = ani.say(f"1-1-{word}").json["last"]
    both_are_there, undo_review = threading.Barrier(2, timeout=60), BloodLog.undo_review

    def together(*arguments: Any, **options: Any) -> Any:
        both_are_there.wait()
        return undo_review(*arguments, **options)

    monkeypatch.setattr(BloodLog, "undo_review", together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda server: undo(server, last), servers))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [label for _, label, _ in clinic.words()] == ["normal", "smudge", "normal"]
    # Whoever was refused is told which word is the newest now, so that the next U means that one.
    done, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert refused.json["last"] == done.json["last"] != last


def test_undo_takes_back_only_ones_own(ani: Browser, budi: Browser, clinic: Clinic) -> None:
    assert undo(budi, ani.say("1-1-normal").json["last"]).status_code == 409
    assert len(clinic.words()) == 1


def test_agreeing_leaves_uncertain_cells_and_ones_own_words(ani: Browser, clinic: Clinic) -> None:
    ani.say("1-1-normal")
    refs = re.search(r'name="refs" value="([^"]*)"', ani.get("/samples/1/cells").text)
    assert refs is not None
    for _ in range(2):
        assert ani.post("/samples/1/agreed", {"refs": refs[1]}).status_code == 200
        assert sorted((ref.field_id, ref.cell_id, label) for ref, label, _ in clinic.words()) == [
            *((1, 1, "normal"), (1, 3, "normal"), (2, 1, "blast")),
            *((2, 2, "normal"), (2, 4, "blast"), (2, 5, "normal")),
        ]


@pytest.mark.parametrize(
    "word",
    [
        *("", "1-1", "1-1-", "1-1-leukaemia", "1-1-BLAST", "-1-blast", "1--blast", "1-1-blast ", "a-b-blast"),
        *("1-1-blast\n", "9" * 30 + "-1-blast", "1;1-blast"),
    ],
)
def test_what_is_no_word_is_refused(ani: Browser, clinic: Clinic, word: str) -> None:
    assert ani.say(word).status_code == 400
    assert clinic.words() == []


def test_a_cell_that_is_not_there_is_refused(ani: Browser, clinic: Clinic) -> None:
    for ref in ("1-99", "99-1", "0-0"):
        assert ani.say(f"{ref}-blast").status_code == 404
        assert ani.post("/samples/1/agreed", {"refs": ref}).status_code == 404
    ani.post("/samples/1/close")
    ani.post("/samples", {"name": "S-2", "specimen": "marrow", "quota": "500"})
    assert ani.script("/samples/2/words", {"word": "1-1-blast"}).status_code == 404  # of another sample
    assert clinic.words() == []


@pytest.mark.requirement(19)
def test_a_blind_observer_sees_nothing_of_the_program(browser: Browser) -> None:
    browser.says_who("Ani", hide_program="1")
    assert shown(browser) == COUNTED
    page = browser.get("/samples/1/cells").text
    assert not re.search(r'data-sure="[a-z]|0\.99|3 of 8', page)
    for show in ("uncertain", "blast", "normal", "changed", "smudge"):
        assert browser.get(f"/samples/1/cells?show={show}").status_code == 400
    assert browser.post("/samples/1/agreed", {"refs": "1-1"}).status_code == 400
    field = browser.get("/samples/1/fields/1").text
    assert 'class="box none' in field
    assert not re.search(r'class="box (blast|normal|uncertain)', field)
    assert "Called blast" not in browser.get("/samples/1/fields").text


def read_all(browser: Browser, blasts: tuple[str, ...]) -> None:
    for ref in COUNTED:
        browser.say(f"{ref}-{'blast' if ref in blasts else 'normal'}")


def observers(browser: Browser) -> str:
    return browser.get("/samples/1/observers").text


@pytest.mark.requirement(19)
def test_two_observers_are_blind_until_both_are_done(ani: Browser, budi: Browser) -> None:
    read_all(ani, ("1-1", "2-1", "1-2"))
    budi.say("1-1-blast")
    for browser, other, said in ((ani, "Budi", 8), (budi, "Ani", 1)):
        assert re.search("8 of 8.*1 of 8", observers(browser), re.DOTALL)
        assert "kappa" not in observers(browser)
        cells = browser.get("/samples/1/cells").text
        assert other not in cells
        assert cells.count('aria-pressed="true"') == said
    read_all(budi, ("1-1", "2-1"))
    for browser in (ani, budi):
        # 7 of 8 the same; rows 3/5, columns 2/6: chance = (3*2 + 5*6)/64, kappa = (.875 - .5625)/(1 - .5625).
        assert re.search("kappa 0.71.*7 of 8|7 of 8.*kappa 0.71", observers(browser), re.DOTALL)
    # What is changed afterwards counts for the results, not for the agreement.
    last = ani.say("1-2-normal").json["last"]
    assert "kappa 0.71" in observers(ani)
    # Whoever takes back a word that the comparison stands on is blind again.
    for _ in range(2):
        last = undo(ani, last).json["last"]
    assert "kappa" not in observers(ani)


#: What the program says of the small clinic: its share, its interval, its doubts, in any of the pages' words.
TELLING = r"3 of 8|37\.5|8\.5 to 75\.5|uncertain: 2|smudges: 1|class=\"interval\"|0\.99|Quota|clear of 20"


def test_who_hides_the_program_sees_its_share_on_no_page(browser: Browser) -> None:
    pages = (
        "/",
        "/live",
        "/live/state",
        "/samples/1",
        "/samples/1/cells",
        "/samples/1/fields",
        "/samples/1/fields/1",
        "/samples/1/map",
    )
    assert re.search(TELLING, browser.get("/samples/1").text)
    browser.says_who("Ani", hide_program="1")
    browser.say("1-1-normal")
    for page in (*pages, "/samples/1/observers"):
        assert not re.search(TELLING, browser.get(page).text), page
    assert "You: blasts 0 of 1" in browser.get("/samples/1").text
    for name in ("report", "report.pdf", "report.json", "fhir.json", "cells.csv"):
        assert browser.get(f"/samples/1/{name}").status_code == 423, name
    browser.says_who("Ani")
    assert browser.get("/samples/1/report.json").status_code == 200


def test_a_word_can_be_said_from_the_first_page_that_is_opened(browser: Browser, clinic: Clinic) -> None:
    """The page of cells is sent in pieces, after its cookie."""
    assert "blastcount=" in browser.get("/samples/1/cells").headers["Set-Cookie"]
    assert browser.post("/observer", {"observer": "Ani", "next": "/samples/1/cells"}).status_code == 200
    assert browser.say("1-1-normal").status_code == 200
    assert len(clinic.words()) == 1


def test_the_script_repeats_what_a_restart_refused(ani: Browser, clinic: Clinic) -> None:
    restarted = Browser(clinic)  # another key: neither cookie nor token is its own
    restarted.client.set_cookie("blastcount", ani.cookie)
    restarted.token = ani.token
    refused = restarted.say("1-1-normal")
    assert refused.status_code == 400
    assert clinic.words() == []
    restarted.token = refused.json["csrf_token"]
    assert restarted.post("/observer", {"observer": "Ani"}).status_code == 200
    assert restarted.say("1-1-normal").status_code == 200
    assert clinic.words() == [(CellRef(1, 1), "normal", "Ani")]


def test_a_form_that_a_restart_refused_is_sent_again_by_a_button(ani: Browser, clinic: Clinic) -> None:
    restarted = Browser(clinic)
    form = {"word": "1-1-normal", "next": "/samples/1/cells?show=blast"}
    refused = restarted.post("/samples/1/words", {**form, "csrf_token": ani.token})
    assert refused.status_code == 400
    sent = dict(
        re.findall(
            r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">\n', refused.text.split("<main")[1]
        )
    )
    assert form.items() <= sent.items()
    restarted.post("/observer", {"csrf_token": sent["csrf_token"], "observer": "Ani"})
    assert restarted.post("/samples/1/words", sent).status_code == 200
    assert clinic.words() == [(CellRef(1, 1), "normal", "Ani")]
    # A token or password is never written into a page.
    refused = restarted.post("/login", {"token": "my own password", "csrf_token": "x"})
    assert "my own password" not in refused.text


def test_who_gives_a_sign_after_a_form_comes_back_to_its_page(browser: Browser) -> None:
    browser.get("/")
    asked = browser.post("/samples/1/words", {"word": "1-1-normal", "next": "/samples/1/cells?show=blast"})
    assert asked.status_code == 428
    assert 'name="next" value="/samples/1/cells?show=blast"' in asked.text


def test_three_who_differ_have_no_share_in_common_until_they_settle(clinic: Clinic) -> None:
    ani, budi, citra = (Browser(clinic).says_who(name) for name in ("Ani", "Budi", "Citra"))
    read_all(ani, ("1-1", "2-1", "1-2"))
    assert "With people's words" in html.unescape(ani.get("/samples/1").text)
    read_all(budi, ("1-1", "2-1"))
    read_all(citra, ())
    differ = (
        "Readers differ: Ani called 3 of 8 blast, Budi called 2 of 8 blast, Citra called 0 of 8 blast; "
        "kappa 0.71. Cells on which words differ: 3;"
    )
    for reader in (ani, budi, citra, Browser(clinic)):
        for page in ("/samples/1", "/samples/1/report"):
            text = html.unescape(reader.get(page).text)
            assert differ in text
            assert "With people's words" not in text
            assert "After people's words" not in text
        assert reader.get("/samples/1/report.pdf").status_code == 200
        record = reader.get("/samples/1/report.json").json
        assert (record["reviewed"], record["differing"]) == (None, 3)
        page = observers(reader)
        assert page.count('<h2 id="pair') == 3
        listed = page.split('id="differing"')[1].split("</section>")[0]
        assert re.findall(r'href="[^"]*#c([0-9-]+)"', listed) == ["1-1", "1-2", "2-1"]
        assert re.findall("(Ani|Budi|Citra): <span class=\"chip ([a-z]+)", listed)[:3] == [
            ("Ani", "blast"), ("Budi", "blast"), ("Citra", "normal"),
        ]  # fmt: skip
    # Each gives way under the own sign; nobody's word is written over.
    ani.say("1-2-normal")
    for ref in ("1-1", "2-1"):
        citra.say(f"{ref}-blast")
    text = ani.get("/samples/1").text
    assert "Readers differ" not in text
    assert "blasts 2 of 8" in text
    assert 'id="differing"' not in observers(ani)


def test_who_has_not_read_sees_no_partial_result(ani: Browser, budi: Browser) -> None:
    ani.say("1-1-normal")
    text = html.unescape(budi.get("/samples/1").text)
    assert "With people's words" not in text
    assert "in the middle of looking" in text
    assert budi.get("/samples/1/report").status_code == 423
    assert ani.get("/samples/1/report").status_code == 200
    read_all(ani, ())
    assert budi.get("/samples/1/report").status_code == 200
