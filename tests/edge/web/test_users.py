"""Named users: who may look, whose name stands beside what is said, and what nobody can say for another."""

from __future__ import annotations

import copy
import html
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from edge import web
from edge.bloodlog import BloodLog, ReviewLabel
from edge.bloodlog.users import Role, User, UserFile
from edge.device.passwords import password_hash
from edge.results.reading import Reading
from edge.structures import CellRef
from edge.web.access import Lock
from edge.web.limits import RateLimit
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic
from tests.edge.web.test_cells import COUNTED, TELLING, observers

ROLES: dict[str, Role] = {"Ani": "reader", "Budi": "reader", "Citra": "supervisor"}
PASSWORD = "the password of {}"


@pytest.fixture
def clinic(clinic: Clinic) -> Clinic:
    """The small clinic, with two readers and a supervisor."""
    for name, role in ROLES.items():
        clinic.setup.users.add(User(name, role, password_hash(PASSWORD.format(name))))
    return clinic


def sign_in(browser: Browser, name: str, password: str | None = None, **options: Any) -> TestResponse:
    browser.get("/login")
    password = PASSWORD.format(name) if password is None else password
    answer = browser.post("/login", {"user": name, "password": password}, **options)
    browser.get("/")  # for the token of the new session's forms
    return answer


@pytest.fixture
def signed_in(clinic: Clinic) -> Callable[[str], Browser]:
    """Function that gives the browser of a user, all at one server."""
    first = Browser(clinic)

    def open_(name: str) -> Browser:
        browser = copy.copy(first)
        browser.client = first.client.application.test_client()
        assert sign_in(browser, name).status_code == 200
        return browser

    return open_


def say_all(clinic: Clinic, name: str, blasts: tuple[str, ...]) -> None:
    """Let a user have a word on every counted cell."""
    words: dict[CellRef, ReviewLabel] = {}
    for ref in COUNTED:
        field, cell = map(int, ref.split("-"))
        words[CellRef(field, cell)] = "blast" if ref in blasts else "normal"
    with BloodLog.open(clinic.setup.log_path) as log:
        log.add_reviews(words, name, role="reader")


def refused(answer: TestResponse, code: int, reason: str) -> bool:
    return (answer.status_code, answer.json.get("reason")) == (code, reason)


def test_nobody_looks_without_a_name_and_leaving_shuts(clinic: Clinic) -> None:
    browser = Browser(clinic)
    for path in ("/", "/samples/1", "/samples/1/report", "/samples/1/sign", "/pictures/1"):
        answer = browser.get(path, headers={"Accept": "text/html"}, follow_redirects=False)
        assert answer.location.startswith("/login"), path
    assert sign_in(browser, "Ani", "the password of Budi").status_code == 403
    assert "name and password of anybody" in sign_in(browser, "Dian").text
    assert "S-1" in sign_in(browser, " ani ", PASSWORD.format("Ani")).text  # as a phone writes it
    assert "Signed in: Ani (reader)" in browser.get("/samples/1/cells").text
    inside = browser.cookie
    browser.post("/logout")
    browser.client.set_cookie("blastcount", inside)
    assert browser.get("/samples/1").status_code == 401


def test_a_user_who_is_removed_or_has_another_password_is_out_at_once(
    clinic: Clinic, signed_in: Callable[[str], Browser]
) -> None:
    ani, budi, citra = map(signed_in, ROLES)
    users = UserFile(clinic.setup.users.path)  # of the command
    users.remove("Ani")
    users.replace("Budi", password_hash("another password"))
    assert [browser.get("/samples/1").status_code for browser in (ani, budi, citra)] == [401, 401, 200]
    assert sign_in(budi, "Budi").status_code == 403
    assert sign_in(budi, "Budi", "another password").status_code == 200
    # With the last user the token holds again, and no session of a user.
    users.remove("Budi")
    users.remove("Citra")
    assert citra.get("/samples/1").status_code == 200  # none is asked for here
    locked = Clinic(Setup(clinic.setup.log_path, lock=Lock(password_hash("a token of all"))))
    citra = Browser(locked)
    users.add(User("Citra", "supervisor", password_hash(PASSWORD.format("Citra"))))
    assert sign_in(citra, "Citra").status_code == 200
    users.remove("Citra")
    assert citra.get("/samples/1").status_code == 401


def test_the_token_opens_nothing_where_there_are_users(clinic: Clinic) -> None:
    browser = Browser(Clinic(Setup(clinic.setup.log_path, lock=Lock(password_hash("a token of all")))))
    browser.get("/login")
    assert browser.post("/login", {"token": "a token of all"}).status_code == 403
    assert sign_in(browser, "Ani").status_code == 200


def test_guessing_a_password_is_slow_for_each_address_and_each_name(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    stands_still = RateLimit(1.0, 5, clock=lambda: 0.0), RateLimit(1.0, 20, clock=lambda: 0.0)
    browser = Browser(
        Clinic(Setup(clinic.setup.log_path, tries=stands_still[0], wrong_tries=stands_still[1]))
    )
    answers = [sign_in(browser, "Ani", guess).status_code for guess in ("", "x", "x" * 300, "y", "z", "z")]
    assert answers == [403] * 5 + [429]
    assert set(caplog.messages) >= {
        "refused 127.0.0.1: wrong name or password",
        "refused 127.0.0.1: too many tries at the name or password",
    }
    numbers = iter(range(1, 200))

    def tries(name: str, password: str) -> int:
        at = {"REMOTE_ADDR": f"10.0.0.{next(numbers)}"}
        return sign_in(browser, name, password, environ_base=at).status_code

    assert [tries("Ani", "wrong") for _ in range(20)] == [403] * 15 + [429] * 5
    # Whoever keeps Ani out keeps nobody else out, and names that nobody has are one.
    assert tries("Budi", PASSWORD.format("Budi")) == 200
    assert [tries(f"nobody {number}", "wrong") for number in range(21)] == [403] * 20 + [429]


def test_what_is_said_bears_the_name_and_role_of_who_has_signed_in(
    clinic: Clinic, signed_in: Callable[[str], Browser]
) -> None:
    ani = signed_in("Ani")
    last = ani.say("1-1-normal").json["last"]
    assert ani.script("/samples/1/undo", {"last": last}).status_code == 200
    ani.post("/samples/1/agreed", {"refs": "1-1"})
    ani.post("/samples/1/close")
    with clinic.log as log:
        said = [(review.observer, review.role, review.label) for review in log.reviews(1)]
        assert said == [("Ani", "reader", "normal"), ("Ani", "reader", None), ("Ani", "reader", "blast")]
        sample = log.sample("S-1")
        assert (sample.closed_by, sample.closed_as) == ("Ani", "reader")
    assert "by Ani (reader)" in html.unescape(ani.get("/samples/1").text)


@pytest.mark.requirement(18)
def test_nobody_speaks_for_another(
    clinic: Clinic, signed_in: Callable[[str], Browser], caplog: pytest.LogCaptureFixture
) -> None:
    ani = signed_in("Ani")
    for path, form in (
        ("/observer", {"observer": "Budi"}),
        ("/samples/1/words", {"word": "1-1-normal", "observer": "Budi"}),
        ("/samples/1/words", {"word": "1-1-normal", "who": "Budi"}),
        ("/samples/1/close", {"who": "Citra"}),
        ("/samples/1/sign", {"meaning": "checked", "who": "Citra", "password": PASSWORD.format("Citra")}),
    ):
        assert refused(ani.script(path, form), 403, "other_name"), path
    assert caplog.messages[0] == "refused Ani at 127.0.0.1: a form in another's name"
    # A cookie of before, with another sign in it, says nothing either.
    with ani.client.session_transaction() as cookie:
        cookie["observer"] = "Budi"
    ani.say("1-1-normal")
    assert [observer for _, _, observer in clinic.words()] == ["Ani"]


@pytest.mark.requirement(18)
def test_a_word_without_a_name_is_refused_and_written_down(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(clinic)
    browser.get("/login")
    assert browser.say("1-1-normal").status_code == 401
    for name in ROLES:
        clinic.setup.users.remove(name)
    browser.get("/")
    assert refused(browser.say("1-1-normal"), 428, "no_name")
    assert clinic.words() == []
    assert caplog.messages[-1] == "refused 127.0.0.1: a word without a name"


def test_who_reads_blind_gets_no_results_however_they_are_asked_for(
    signed_in: Callable[[str], Browser], caplog: pytest.LogCaptureFixture
) -> None:
    ani, budi = signed_in("Ani"), signed_in("Budi")
    ani.say("1-1-normal")
    budi.say("1-1-blast")
    for name in ("report", "report.pdf", "report.json", "fhir.json", "cells.csv", "sign"):
        assert ani.get(f"/samples/1/{name}").status_code == 423, name
    assert caplog.messages[0] == "refused Ani at 127.0.0.1: results that are hidden from who reads blind"
    # To give no sign, which opens them on trust, is not to be had here.
    assert ani.post("/observer", {"observer": ""}).status_code == 403


def test_what_the_program_says_stays_hidden_over_a_restart(
    clinic: Clinic, signed_in: Callable[[str], Browser]
) -> None:
    ani = signed_in("Ani")
    ani.get("/")
    ani.post("/observer", {"hide_program": "1"})
    restarted = Browser(Clinic(Setup(clinic.setup.log_path)))
    for cookie in ("blastcount", "blastcount-hide"):
        found = ani.client.get_cookie(cookie)
        assert found is not None
        restarted.client.set_cookie(cookie, found.value)
    assert restarted.get("/samples/1").status_code == 401
    sign_in(restarted, "Ani")
    for page in ("/", "/samples/1", "/samples/1/cells", "/live"):
        answer = restarted.get(page)
        assert answer.status_code == 200
        assert not re.search(TELLING, answer.text), page
    restarted.post("/observer", {})
    assert "3 of 8" in restarted.get("/samples/1").text


def test_only_a_supervisor_settles_what_two_readers_differ_on(
    clinic: Clinic, signed_in: Callable[[str], Browser], caplog: pytest.LogCaptureFixture
) -> None:
    ani, budi, citra = map(signed_in, ROLES)
    say_all(clinic, "Ani", ("1-1", "1-2"))
    budi.say("1-1-blast")
    settle = "/samples/1/settle"
    # Before both are done there is nothing to be seen, nor settled.
    assert 'name="word"' not in observers(citra)
    assert refused(citra.script(settle, {"word": "1-2-blast"}), 423, "hidden")
    say_all(clinic, "Budi", ("1-1",))
    for reader in (ani, budi):
        assert 'name="word"' not in observers(reader)
        assert refused(reader.script(settle, {"word": "1-2-normal"}), 403, "needs_supervisor")
        # Nor by giving way, now that each sees the other's word.
        assert refused(reader.say("1-2-smudge"), 403, "stands")
    assert budi.say("1-1-smudge").status_code == 200  # on which they agreed
    assert refused(budi.script("/samples/1/undo", {"last": "99"}), 403, "stands")
    assert "refused Ani at 127.0.0.1: what a supervisor does" in caplog.messages
    with BloodLog.open(clinic.setup.log_path) as log:
        words = len(log.reviews(1))
    page = observers(citra)
    assert page.count('name="word"') == 2 * 4
    assert citra.script(settle, {"word": "2-1-blast"}).status_code == 409  # nobody differs there
    for wrong in ("", "1-2", "1-2-leukaemia", "x-2-blast"):
        assert citra.script(settle, {"word": wrong}).status_code == 400
    for word in ("1-2-blast", "1-1-blast"):
        assert citra.post(settle, {"word": word}).status_code == 200
    text = html.unescape(citra.get("/samples/1").text)
    assert "Readers differ" not in text
    assert "With people's words" in text
    sheet = html.unescape(ani.get("/samples/1/report").text)
    assert "Cells on which readers differed, and Citra settled what they are: 2." in sheet
    assert ani.get("/samples/1/report.json").json["settled"] == 2
    with clinic.log as log:
        assert len(log.reviews(1)) == words
        assert [one.who for one in log.settlements(1)] == ["Citra"] * 2
    assert refused(ani.say("1-2-normal"), 403, "stands")
    # A third reader who comes later, and says what nobody has said, opens the question anew.
    citra.post(settle, {"word": "1-2-back"})
    assert "Readers differ" in html.unescape(citra.get("/samples/1").text)
    citra.post(settle, {"word": "1-2-blast"})
    clinic.setup.users.add(User("Dian", "reader", password_hash(PASSWORD.format("Dian"))))
    dian = signed_in("Dian")
    say_all(clinic, "Dian", ("1-1", "1-2"))
    assert "Readers differ" not in html.unescape(citra.get("/samples/1").text)
    dian.say("2-1-smudge")
    assert "Readers differ" in html.unescape(citra.get("/samples/1").text)


def test_a_supervisor_settles_the_kind_of_a_cell(clinic: Clinic, signed_in: Callable[[str], Browser]) -> None:
    ani, budi, citra = map(signed_in, ROLES)
    for reader, kind in ((ani, "lymphocyte"), (budi, "monocyte")):
        reader.say(f"1-3-{kind}")
    assert "Cells whose kind" not in observers(ani)  # before both are done
    for name in ("Ani", "Budi"):
        kept = [ref for ref in COUNTED if ref != "1-3"]
        with BloodLog.open(clinic.setup.log_path) as log:
            log.add_reviews({CellRef(*map(int, ref.split("-"))): "normal" for ref in kept}, name)
    page = observers(citra)
    assert "Cells whose kind is to be settled: 1" in page
    assert "Readers differ" not in page  # the share of blasts is the same for both
    assert page.count('name="word"') == 8
    assert refused(ani.say("1-3-monocyte"), 403, "stands")
    # Nor is what the sheet leaves open signed.
    citra.post("/samples/1/close")
    for reader in (ani, citra):
        assert "Readers differ. A supervisor" in reader.get("/samples/1/sign").text
    assert citra.post("/samples/1/settle", {"word": "1-3-basophil"}).status_code == 200
    assert sign(ani, "Ani", "counted").status_code == 302

    def reading() -> Reading:
        with clinic.log as log:
            return Reading.of(log, 1)

    cell = next(cell for cell in reading().cells if cell.ref == CellRef(1, 3))
    assert (reading().type_of(cell), reading().differing_types) == ("basophil", frozenset())
    page = observers(citra)
    assert "basophil, by Citra" in page
    assert re.findall(r"<p>((?:Ani|Budi): \w+)</p>", page) == ["Ani: lymphocyte", "Budi: monocyte"]
    # Another kind than before, from somebody who came later, opens the question anew; a class does not.
    clinic.setup.users.add(User("Dian", "reader", password_hash(PASSWORD.format("Dian"))))
    dian = signed_in("Dian")
    dian.say("1-3-normal")
    assert reading().type_of(cell) == "basophil"
    dian.say("1-3-eosinophil")
    assert reading().differing_types == {CellRef(1, 3)}


def test_without_users_nobody_settles_or_signs_for_all(clinic: Clinic) -> None:
    for name in ROLES:
        clinic.setup.users.remove(name)
    ani = Browser(clinic).says_who("Ani")
    assert refused(ani.script("/samples/1/settle", {"word": "1-1-blast"}), 403, "needs_supervisor")
    assert ani.get("/samples/1/sign").status_code == 404
    assert "unsigned" in ani.get("/samples/1/report").text


def test_a_file_of_users_that_cannot_be_read_lets_nobody_in(clinic: Clinic) -> None:
    clinic.setup.users.path.write_text("{}")
    answer = Browser(clinic).get("/samples/1")
    assert answer.status_code == 503
    assert "add them anew" in answer.text
    assert "S-1" not in answer.text


@pytest.fixture
def read(clinic: Clinic, signed_in: Callable[[str], Browser]) -> dict[str, Browser]:
    """Browsers of all, after both readers have said the same of every cell and the sample was closed."""
    browsers = {name: signed_in(name) for name in ROLES}
    for name in ("Ani", "Budi"):
        say_all(clinic, name, ("1-1",))
    browsers["Citra"].post("/samples/1/close")
    return browsers


def nonce(browser: Browser) -> str:
    text = browser.get("/samples/1/sign").text
    return text.split('name="nonce" value="')[1].split('"')[0]


def sign(browser: Browser, name: str, meaning: str, **form: str) -> TestResponse:
    sent = {"meaning": meaning, "password": PASSWORD.format(name), **form}
    return browser.script("/samples/1/sign", {"nonce": nonce(browser), **sent}, follow_redirects=False)


@pytest.mark.requirement(18)
def test_a_signature_is_on_the_sheet_with_name_role_meaning_and_time(
    clinic: Clinic, read: dict[str, Browser], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.web")
    for name, meaning in (("Ani", "counted"), ("Citra", "checked")):
        assert sign(read[name], name, meaning).status_code == 302
    assert caplog.messages[0] == "sample S-1 was signed as counted by Ani"
    with clinic.log as log:
        assert log.verify() == ()
        assert [(one.who, one.role, one.meaning) for one in log.signatures(1)] == [
            ("Ani", "reader", "counted"),
            ("Citra", "supervisor", "checked"),
        ]
    for page in ("/samples/1", "/samples/1/report"):
        text = html.unescape(read["Budi"].get(page).text)
        assert "Ani (reader), " in text
        assert "Citra (supervisor), " in text
        assert "unsigned" not in text.lower()
    assert [one["current"] for one in read["Budi"].get("/samples/1/report.json").json["signatures"]] == [
        True,
        True,
    ]
    # A word that comes later, and the sheet says so.
    read["Budi"].say("1-1-normal")
    text = html.unescape(read["Citra"].get("/samples/1/report").text)
    assert "Changed after it was signed" in text
    assert "Counted by (name, date, signature)" in text
    assert read["Citra"].get("/samples/1/report.json").json["signed"] is False


def test_no_answer_to_a_stale_form_holds_a_password(clinic: Clinic, read: dict[str, Browser]) -> None:
    """Of whatever route, and whatever field it was typed into."""
    ani = read["Ani"]
    templates = Path(web.__file__).with_name("templates").glob("*.html")
    typed = re.findall(r'<input type="password" name="([^"]+)"', "".join(map(Path.read_text, templates)))
    assert len(typed) > 2
    rules = [rule for rule in ani.client.application.url_map.iter_rules() if "POST" in rule.methods]
    assert "signatures.sign" in [rule.endpoint for rule in rules]
    inside = ani.cookie
    for rule in rules:
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for token in ("", "of another session"):
            ani.client.set_cookie("blastcount", inside)
            form = {"meaning": "counted", "csrf_token": token, **dict.fromkeys(typed, PASSWORD.format("Ani"))}
            answer = ani.post(path, form)
            assert answer.status_code == 400, path
            assert PASSWORD.format("Ani") not in html.unescape(answer.text), path
    # What holds no password is sent again by a button.
    assert (
        'name="word" value="1-1-blast"'
        in ani.post("/samples/1/words", {"word": "1-1-blast", "csrf_token": ""}).text
    )


def test_what_is_no_signature(
    clinic: Clinic, read: dict[str, Browser], caplog: pytest.LogCaptureFixture
) -> None:
    ani, citra = read["Ani"], read["Citra"]
    used = nonce(ani)
    sent = {"meaning": "counted", "password": PASSWORD.format("Ani"), "nonce": used}
    assert ani.script("/samples/1/sign", sent, follow_redirects=False).status_code == 302
    # The same form again, one of somebody else, one that nobody made, and one for another sample.
    theirs = nonce(citra)
    for again in (used, theirs, "x" * 22, ""):
        assert refused(ani.script("/samples/1/sign", {**sent, "nonce": again}), 409, "form_used")
    assert "refused Ani at 127.0.0.1: a form to sign that was used before, or is another's" in caplog.messages
    # Another's password is not one's own, and burns the form.
    once = nonce(ani)
    wrong = {"meaning": "counted", "nonce": once, "password": PASSWORD.format("Citra")}
    assert ani.post("/samples/1/sign", wrong).status_code == 403
    assert caplog.messages[-1] == "refused Ani at 127.0.0.1: wrong password at a signature"
    assert refused(ani.script("/samples/1/sign", {**sent, "nonce": once}), 409, "form_used")
    assert refused(sign(ani, "Ani", "checked"), 403, "needs_supervisor")
    assert sign(ani, "Ani", "approved").status_code == 400
    # Who has not looked at the cells has not counted them.
    assert refused(sign(citra, "Citra", "counted"), 409, "not_yet")
    # What was changed between looking and signing is not signed.
    shown = nonce(citra)
    with BloodLog.open(clinic.setup.log_path) as log:
        log.undo_review("Budi", 1)
        log.add_reviews(dict.fromkeys([log.reviews(1)[-1].cell], "normal"), "Budi")
    late = {"meaning": "checked", "password": PASSWORD.format("Citra"), "nonce": shown}
    assert refused(citra.script("/samples/1/sign", late), 409, "changed")
    shown = nonce(citra)
    citra.post("/samples/1/reopen")
    assert refused(citra.script("/samples/1/sign", {**late, "nonce": shown}), 409, "not_yet")
    with clinic.log as log:
        assert [one.who for one in log.signatures(1)] == ["Ani"]


def test_guessing_a_password_at_a_signature_is_slow(clinic: Clinic, read: dict[str, Browser]) -> None:
    codes = [sign(read["Citra"], "Citra", "checked", password=f"guess {n}").status_code for n in range(6)]
    assert codes[-1] == 429
    assert set(codes[:-1]) <= {403, 429}
    with clinic.log as log:
        assert log.signatures(1) == ()
