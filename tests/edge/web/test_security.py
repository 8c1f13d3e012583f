"""What is refused: without a token, from another page, too large, forged, replayed."""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import TestResponse

from edge.device.passwords import password_hash
from edge.web.access import MOST_TRIES, Lock, new_token
from edge.web.app import MAX_BODY_BYTES
from edge.web.limits import RateLimit
from edge.web.security import CONTENT_POLICY
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic

SECRET = "S-1"
#: Every page that shows something of a sample.
PAGES = [
    *("/", "/live", "/live/state", "/live/picture", "/samples/1", "/samples/1/cells", "/samples/1/fields"),
    *(
        "/samples/1/fields/1",
        "/samples/1/fields/rejected",
        "/samples/1/map",
        "/samples/1/observers",
        "/pictures/1",
        "/pictures/1/small",
        "/pictures/1/1",
        "/nothing",
    ),
    *("/samples/1/report", "/samples/1/report.pdf", "/samples/1/report.json", "/samples/1/fhir.json"),
    *("/samples/1/cells.csv", "/samples/1/sign", "/phone", "/control"),
    "/verification",
]
#: Every form that changes something.
FORMS: dict[str, dict[str, str]] = {
    "/samples": {"name": "S-2", "specimen": "blood", "quota": ""},
    "/samples/1/close": {},
    "/live/capture": {},
    "/samples/1/reopen": {},
    "/samples/1/words": {"word": "1-1-normal"},
    "/samples/1/agreed": {"refs": "1-1"},
    "/samples/1/undo": {"last": "1"},
    "/samples/1/settle": {"word": "1-1-normal"},
    "/samples/1/sign": {"meaning": "counted"},
    "/verification/words": {"word": "1-1-normal"},
    "/verification/undo": {"last": "1"},
    "/control/1": {"note": "a new lamp"},
    "/observer": {"observer": "Ani"},
    "/logout": {},
}
#: What may be asked for without a token: the form for it, its colours, its script.
OPEN = {"static", "login.form", "login.enter", "login.prefer"}
TOKEN = new_token()


@pytest.fixture
def locked(clinic: Clinic) -> Clinic:
    """The small clinic behind a token."""
    stands_still = RateLimit(1.0, 5, clock=lambda: 0.0), RateLimit(1.0, 20, clock=lambda: 0.0)
    lock = Lock(password_hash(TOKEN))
    return Clinic(Setup(clinic.setup.log_path, lock=lock, tries=stands_still[0], wrong_tries=stands_still[1]))


def log_in(browser: Browser, token: str = TOKEN, **options: Any) -> TestResponse:
    browser.get("/login")
    return browser.post("/login", {"token": token}, **options)


def unchanged(clinic: Clinic) -> bool:
    with clinic.log as log:
        return clinic.words() == [] and [sample.is_open for sample in log.samples()] == [True]


def test_every_rule_is_in_one_of_the_lists(browser: Browser) -> None:
    """So that a new page cannot be forgotten below."""
    for rule in browser.client.application.url_map.iter_rules():
        path = re.sub(r"<int\(max=[0-9]+\):[a-z_]+>", "1", rule.rule)
        if rule.endpoint not in OPEN:
            assert path in (PAGES if "GET" in (rule.methods or ()) else FORMS), path


@pytest.mark.requirement(20)
@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json", "image/jpeg"])
def test_nothing_is_readable_without_the_token(locked: Clinic, accept: str) -> None:
    browser = Browser(locked)
    for path in PAGES:
        answer = browser.get(path, headers={"Accept": accept}, follow_redirects=False)
        assert answer.status_code in (302, 401), path
        assert SECRET not in answer.text, path
        assert answer.status_code == 401 or answer.location.startswith("/login")
    assert locked.setup.refusals.total == len(PAGES)


@pytest.mark.requirement(20)
def test_nothing_can_be_changed_without_the_token(locked: Clinic) -> None:
    browser = Browser(locked)
    browser.get("/login")
    for path, form in FORMS.items():
        assert browser.post(path, form, follow_redirects=False).status_code == 401, path
    assert unchanged(locked)


def test_the_token_opens_every_page_and_leaving_shuts_them(locked: Clinic) -> None:
    browser = Browser(locked)
    browser.get("/login")
    planted = browser.cookie
    assert log_in(browser).status_code == 200
    assert SECRET in browser.get("/").text
    assert browser.get("/pictures/1/1").mimetype == "image/jpeg"
    inside = browser.cookie
    browser.post("/logout")
    assert browser.get("/").status_code == 401
    # Cookies from before the login and from inside open nothing for whoever copied them.
    for cookie in (planted, inside):
        browser.client.set_cookie("blastcount", cookie)
        assert browser.get("/samples/1").status_code == 401


def test_a_cookie_signed_by_another_process_opens_nothing(locked: Clinic) -> None:
    first, second = Browser(locked), Browser(locked)  # each has a key of its own, and both the same sessions
    log_in(first)
    second.client.set_cookie("blastcount", first.cookie)
    assert second.get("/samples/1").status_code == 401


def test_a_wrong_token_is_refused_and_guessing_is_slow(
    locked: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(locked)
    with caplog.at_level(logging.WARNING, logger="edge.web"):
        guesses = ("", "x", "x" * 300, TOKEN[:-1], "\0", "y", TOKEN)
        answers = [log_in(browser, guess).status_code for guess in guesses]
    # After five tries even the right one must wait.
    assert answers == [403] * 5 + [429] * 2
    assert {record.getMessage() for record in caplog.records} == {
        "refused 127.0.0.1: wrong token",
        "refused 127.0.0.1: too many tries at the token",
    }
    assert browser.get("/").status_code == 401
    # From another address nothing has been tried yet.
    assert log_in(Browser(locked), environ_base={"REMOTE_ADDR": "10.0.0.9"}).status_code == 200


def test_guessing_from_many_addresses_is_slow_too(locked: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """And somebody who has the token costs the others nothing."""
    browser = Browser(locked)
    monkeypatch.setattr(Lock, "opens", lambda _lock, typed: typed == TOKEN)
    numbers = iter(range(1, 200))

    def tries(token: str) -> int:
        return log_in(browser, token, environ_base={"REMOTE_ADDR": f"10.0.0.{next(numbers)}"}).status_code

    assert {tries(TOKEN) for _ in range(30)} == {200}
    answers = [tries("wrong") for _ in range(40)]
    assert answers == [403] * 20 + [429] * 20
    # One network of IPv6 has as many addresses as it likes.
    for number in range(5):
        log_in(browser, "wrong", environ_base={"REMOTE_ADDR": f"2001:db8::{number:x}"})
    assert not locked.setup.tries.allows("2001:db8::/64")


def test_forty_logins_at_once_do_not_hold_the_page(locked: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are let in, the others are told to come again at once, and everybody else is answered."""
    finish, compared = threading.Event(), threading.Semaphore(0)

    def opens(_lock: Lock, typed: str) -> bool:
        compared.release()
        assert finish.wait(60)
        return typed == TOKEN

    monkeypatch.setattr(Lock, "opens", opens)
    browsers = [Browser(locked) for _ in range(MOST_TRIES)]
    with ThreadPoolExecutor(MOST_TRIES) as pool:
        inside = [pool.submit(log_in, browser) for browser in browsers]
        for _ in inside:
            assert compared.acquire(timeout=60)
        other = Browser(locked)
        refused = [log_in(other) for _ in range(40 - MOST_TRIES)]
        assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "2")}
        assert "Try again in a few seconds" in refused[0].text
        assert other.get("/login").status_code == 200
        finish.set()
        assert [one.result().status_code for one in inside] == [200, 200]
    # To be sent away costs none of the tries.
    assert log_in(other).status_code == 200


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_login_never_leads_elsewhere(locked: Clinic, target: str) -> None:
    browser = Browser(locked)
    browser.get("/login", query_string={"next": target})
    answer = browser.post("/login", {"token": TOKEN, "next": target}, follow_redirects=False)
    assert (answer.status_code, answer.location) == (302, "/")


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://localhost", "http://localhost:81"]
)
def test_a_form_from_another_page_changes_nothing(
    browser: Browser, clinic: Clinic, origin: str | None
) -> None:
    browser.says_who("Ani")
    headers = {} if origin is None else {"Origin": origin}
    for path in (*FORMS, "/preferences"):
        form = {"csrf_token": browser.token, **FORMS.get(path, {"theme": "dark"})}
        assert browser.client.post(path, data=form, headers=headers).status_code == 403, path
    assert unchanged(clinic)
    assert clinic.setup.refusals.total == len(FORMS) + 1


def test_a_form_without_its_token_changes_nothing(browser: Browser, clinic: Clinic) -> None:
    of_another_session = Browser(clinic).says_who("Budi").token
    browser.says_who("Ani")
    tokens = ("", "x", "IjEyMyI.aaaa.bbbb", of_another_session)
    for token in tokens:
        for path in (*FORMS, "/preferences", "/login"):
            answer = browser.post(path, {**FORMS.get(path, {}), "csrf_token": token})
            assert answer.status_code == 400, path
    assert unchanged(clinic)
    assert clinic.setup.refusals.total == len(tokens) * (len(FORMS) + 2)


def test_too_large_a_body_is_refused(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    assert browser.say("9" * (MAX_BODY_BYTES + 1)).status_code == 413
    assert unchanged(clinic)


def test_headers_and_cookies_of_every_answer(browser: Browser) -> None:
    for path in (*PAGES, "/static/review.css", "/static/review.js", "/login"):
        headers = browser.get(path, follow_redirects=False).headers
        policy = headers["Content-Security-Policy"]
        if path.endswith("/report"):
            assert "sandbox" in policy
            assert "script" not in policy
            policy = policy.replace("style-src 'unsafe-inline'", "")
        else:
            assert policy == CONTENT_POLICY
        for word in ("default-src 'none'", "frame-ancestors 'none'"):
            assert word in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")
        assert "Access-Control-Allow-Origin" not in headers
        for cookie in headers.getlist("Set-Cookie"):
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie


def test_no_page_has_anything_inline_or_from_elsewhere(browser: Browser) -> None:
    browser.says_who("Ani")
    answers = [browser.get(path) for path in PAGES if not path.endswith("/report")]
    pages = [answer.text for answer in answers if answer.mimetype == "text/html"]
    assert len(pages) > 8
    for text in pages:
        own = re.sub(r"http://(localhost|www\.w3\.org/)", "", text)
        assert not re.search(r"<script>| style=|<style| onclick|https?://", own)


def test_no_path_leads_out(browser: Browser) -> None:
    for path in LEADING_OUT:
        answer = browser.get(path)
        assert answer.status_code in (400, 404), path
        assert b"SQLite" not in answer.data
        assert "import" not in answer.text


LEADING_OUT = [
    *("/pictures/../blood.db", "/pictures/..%2fblood.db", "/pictures/%2e%2e/%2e%2e/etc/passwd"),
    *("/pictures/" + "a" * 64, "/pictures/1/../../blood.db", "/pictures/-1", "/pictures/0"),
    *("/pictures/1/999999", "/pictures/99999999999999999999", "/static/../app.py", "/static/..%2fapp.py"),
    *("/static/%2e%2e/app.py", "/static//etc/passwd", "/static/..\\app.py", "/samples/1/fields/2e1"),
    *("/samples/1.0", "/samples/1%00", "/samples/%ff", "/samples/9999999999999999999999"),
]
