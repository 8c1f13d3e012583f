"""Words on cells: kept beside the program's, taken back, in doubt's order, and blind to each other."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edge.bloodlog import BloodLog
from edge.structures import CellRef
from edge.web.setup import Setup

if TYPE_CHECKING:
    from conftest import Browser, Clinic


def shown(page: str) -> list[str]:
    return re.findall(r'<li class="cell[^>]*id="c([0-9-]+)"', page)


def test_the_most_doubtful_cells_come_first(browser: Browser) -> None:
    # Probabilities of field 1: .99 .5 .02, a smudge; of field 2: .9 .1 .45 .97 .05.
    doubts = {
        "1-2": 0.0,
        "2-3": 0.05,
        "2-1": 0.4,
        "2-2": 0.4,
        "2-5": 0.45,
        "2-4": 0.47,
        "1-3": 0.48,
        "1-1": 0.49,
    }
    listed = [doubts[ref] for ref in shown(browser.get("/samples/1/cells").text)]
    assert listed == sorted(listed)
    assert len(listed) == 8


@pytest.mark.parametrize(
    ("show", "refs"),
    [
        ("uncertain", {"1-2", "2-3"}),
        ("blast", {"1-1", "2-1", "2-4"}),
        ("normal", {"1-3", "2-2", "2-5"}),
        ("smudge", {"1-4"}),
        ("left_out", set()),
        ("changed", {"1-1"}),
        ("unread", {"1-2", "1-3", "2-1", "2-2", "2-3", "2-4", "2-5"}),
    ],
)
def test_filters(browser: Browser, show: str, refs: set[str]) -> None:
    browser.says_who("Ani")
    browser.script("/samples/1/words", {"word": "1-1-normal"})
    assert set(shown(browser.get(f"/samples/1/cells?show={show}").text)) == refs


def test_the_cells_of_one_field(browser: Browser) -> None:
    assert set(shown(browser.get("/samples/1/cells?field=1").text)) == {"1-1", "1-2", "1-3"}
    assert shown(browser.get("/samples/1/cells?field=9").text) == []


def test_a_word_is_kept_beside_the_programs_with_who_said_it(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("  dr.  Sari ")
    answer = browser.script("/samples/1/words", {"word": "1-1-normal"})
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["word"] == "normal"
    assert answer.json["progress"] == "1 of 8 looked at"
    assert answer.json["figure"] == "You: blasts 0 of 1 = 0.0 % (95 % interval 0.0 to 97.5 %)"
    assert clinic.words() == [(CellRef(1, 1), "normal", "dr. Sari")]
    with clinic.log as log:
        assert next(iter(log.fields())).result.cells[0].label == "blast"


def test_without_the_script_the_same_form_leads_back_to_the_cell(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    form = {"word": "1-1-normal", "next": "/samples/1/cells?show=blast"}
    answer = browser.post("/samples/1/words", form, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.location == "/samples/1/cells?show=blast#c1-1"
    assert len(clinic.words()) == 1


def test_a_form_that_is_sent_twice_adds_one_word(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    for _ in range(3):
        assert browser.script("/samples/1/words", {"word": "1-1-normal"}).status_code == 200
    assert len(clinic.words()) == 1


def test_nobody_nameless_says_anything(browser: Browser, clinic: Clinic) -> None:
    browser.get("/")
    answer = browser.script("/samples/1/words", {"word": "1-1-normal"})
    assert answer.status_code == 428
    assert answer.json == {"problem": "Give your sign first: every correction is kept with a name."}
    assert clinic.words() == []


def test_undo_goes_back_word_by_word_and_never_twice_by_mistake(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    browser.script("/samples/1/words", {"word": "1-1-normal"})
    last = browser.script("/samples/1/words", {"word": "1-1-smudge"}).json["last"]
    undone = browser.script("/samples/1/undo", {"last": last})
    assert undone.json["word"] == "normal"
    # The same form again, as a double click or a replay sends it.
    assert browser.script("/samples/1/undo", {"last": last}).status_code == 409
    again = browser.script("/samples/1/undo", {"last": undone.json["last"]})
    assert again.json["word"] is None
    assert again.json["last"] is None
    assert browser.script("/samples/1/undo", {"last": ""}).status_code == 409
    # Nothing is ever removed.
    assert [label for _, label, _ in clinic.words()] == ["normal", "smudge", "normal", None]


def test_two_servers_on_one_log_take_back_one_word(
    clinic: Clinic, visit: Callable[[Clinic], Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the log when the first one writes, as in two processes."""
    servers = [visit(replace(clinic, setup=Setup(log_path=clinic.setup.log_path))) for _ in range(2)]
    for server in servers:
        server.says_who("Ani")
    for word in ("normal", "smudge"):
        last = servers[0].script("/samples/1/words", {"word": f"1-1-{word}"}).json["last"]
    both_are_there, undo_review = threading.Barrier(2, timeout=60), BloodLog.undo_review

    def together(*arguments: Any, **options: Any) -> Any:
        both_are_there.wait()
        return undo_review(*arguments, **options)

    monkeypatch.setattr(BloodLog, "undo_review", together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda server: server.script("/samples/1/undo", {"last": last}), servers))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [label for _, label, _ in clinic.words()] == ["normal", "smudge", "normal"]


def test_undo_takes_back_only_ones_own(clinic: Clinic, visit: Callable[[Clinic], Browser]) -> None:
    ani, budi = visit(clinic), visit(clinic)
    ani.says_who("Ani")
    budi.says_who("Budi")
    last = ani.script("/samples/1/words", {"word": "1-1-normal"}).json["last"]
    assert budi.script("/samples/1/undo", {"last": last}).status_code == 409
    assert len(clinic.words()) == 1


def test_agreeing_leaves_uncertain_cells_and_ones_own_words(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    browser.script("/samples/1/words", {"word": "1-1-normal"})
    page = browser.get("/samples/1/cells").text
    refs = re.search(r'name="refs" value="([^"]*)"', page)
    assert refs is not None
    assert browser.post("/samples/1/agreed", {"refs": refs[1]}).status_code == 200
    said = {f"{ref.field_id}-{ref.cell_id}": label for ref, label, _ in clinic.words()}
    assert said == dict.fromkeys(("1-1", "1-3", "2-2", "2-5"), "normal") | dict.fromkeys(
        ("2-1", "2-4"), "blast"
    )
    before = len(clinic.words())
    browser.post("/samples/1/agreed", {"refs": refs[1]})
    assert len(clinic.words()) == before


@pytest.mark.parametrize(
    "word",
    [
        *(
            "",
            "1-1",
            "1-1-",
            "1-1-leukaemia",
            "1-1-BLAST",
            "-1-blast",
            "1--blast",
            "1-1-blast ",
            "1-1-blast\n",
        ),
        *("1-1-blast\n", "9" * 30 + "-1-blast", "1;1-blast", "a-b-blast"),
    ],
)
def test_what_is_no_word_is_refused(browser: Browser, clinic: Clinic, word: str) -> None:
    browser.says_who("Ani")
    assert browser.script("/samples/1/words", {"word": word}).status_code == 400
    assert clinic.words() == []


@pytest.mark.parametrize("word", ["1-99-blast", "99-1-blast", "0-0-blast"])
def test_a_cell_that_is_not_there_is_refused(browser: Browser, clinic: Clinic, word: str) -> None:
    browser.says_who("Ani")
    assert browser.script("/samples/1/words", {"word": word}).status_code == 404
    assert browser.post("/samples/1/agreed", {"refs": word.rpartition("-")[0]}).status_code == 404
    assert clinic.words() == []


def test_a_cell_of_another_sample_is_refused(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    browser.post("/samples/1/close")
    browser.post("/samples", {"name": "S-2", "specimen": "marrow", "quota": "500"})
    assert browser.script("/samples/2/words", {"word": "1-1-blast"}).status_code == 404
    assert clinic.words() == []


def test_a_blind_observer_sees_nothing_of_the_program(browser: Browser) -> None:
    browser.says_who("Ani", hide_program="1")
    page = browser.get("/samples/1/cells").text
    assert shown(page) == ["1-1", "1-2", "1-3", "2-1", "2-2", "2-3", "2-4", "2-5"]
    assert 'data-sure=""' in page
    assert not re.search(r'data-sure="[a-z]', page)
    assert "0.99" not in page
    assert "3 of 8" not in page
    for show in ("uncertain", "blast", "normal", "changed", "smudge"):
        assert browser.get(f"/samples/1/cells?show={show}").status_code == 400
    assert browser.post("/samples/1/agreed", {"refs": "1-1"}).status_code == 400
    field = browser.get("/samples/1/fields/1").text
    assert 'class="box none' in field
    assert not re.search(r'class="box (blast|normal|uncertain)', field)
    assert "Called blast" not in browser.get("/samples/1/fields").text


def read_all(browser: Browser, words: dict[str, str]) -> None:
    for ref in ("1-1", "1-2", "1-3", "2-1", "2-2", "2-3", "2-4", "2-5"):
        assert (
            browser.script("/samples/1/words", {"word": f"{ref}-{words.get(ref, 'normal')}"}).status_code
            == 200
        )


def test_two_observers_are_blind_until_both_are_done(
    clinic: Clinic, visit: Callable[[Clinic], Browser]
) -> None:
    ani, budi = visit(clinic), visit(clinic)
    ani.says_who("Ani")
    budi.says_who("Budi")
    read_all(ani, {"1-1": "blast", "2-1": "blast", "1-2": "blast"})
    budi.script("/samples/1/words", {"word": "1-1-blast"})
    for browser, other in ((ani, "Budi"), (budi, "Ani")):
        observers = browser.get("/samples/1/observers").text
        assert "8 of 8" in observers
        assert "1 of 8" in observers
        assert "Somebody else has looked at cells" in observers
        assert "kappa" not in observers
        assert other not in browser.get("/samples/1/cells").text
        assert browser.get("/samples/1/cells").text.count('aria-pressed="true"') == (
            8 if browser is ani else 1
        )
    read_all(budi, {"1-1": "blast", "2-1": "blast"})
    for browser in (ani, budi):
        observers = browser.get("/samples/1/observers").text
        # 7 of 8 the same; rows 3/5, columns 2/6: chance = (3*2 + 5*6)/64, kappa = (.875 - .5625)/(1 - .5625).
        assert "kappa 0.71" in observers
        assert "7 of 8" in observers
        assert "Different words: 1" in observers
    # What is changed afterwards counts for the results, not for the agreement.
    ani.script("/samples/1/words", {"word": "1-2-normal"})
    assert "kappa 0.71" in ani.get("/samples/1/observers").text


def test_taking_a_word_back_makes_one_blind_again(clinic: Clinic, visit: Callable[[Clinic], Browser]) -> None:
    ani, budi = visit(clinic), visit(clinic)
    ani.says_who("Ani")
    budi.says_who("Budi")
    read_all(ani, {"1-1": "blast"})
    read_all(budi, {})
    page = budi.get("/samples/1/cells").text
    last = re.search(r'name="last" value="([0-9]+)"', page)
    assert last is not None
    assert "kappa" in budi.get("/samples/1/observers").text
    budi.script("/samples/1/undo", {"last": last[1]})
    assert "kappa" not in budi.get("/samples/1/observers").text
