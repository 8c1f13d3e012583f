"""What is refused: without a token, from another page, too large, forged, replayed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import TestResponse

from edge.web.access import Lock, new_token, read_token_file, write_token_file
from edge.web.app import MAX_BODY_BYTES, create_app
from edge.web.security import CONTENT_POLICY

if TYPE_CHECKING:
    from conftest import Browser, Clinic

SECRET = "S-1"
#: Every page that shows something of a sample.
PAGES = [
    "/",
    "/live",
    "/live/state",
    "/live/picture",
    "/samples/1",
    "/samples/1/cells",
    "/samples/1/fields",
    "/samples/1/fields/1",
    "/samples/1/observers",
    "/pictures/1",
    "/pictures/1/1",
    "/nothing",
    "/samples/1/report",
    "/samples/1/report.pdf",
    "/samples/1/report.json",
    "/samples/1/fhir.json",
    "/samples/1/cells.csv",
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
    "/observer": {"observer": "Ani"},
    "/logout": {},
}


@pytest.fixture
def token() -> str:
    return new_token()


@pytest.fixture
def locked(tmp_path: Path, token: str, make_clinic: Callable[..., Clinic]) -> Clinic:
    """The small clinic behind a token."""
    write_token_file(tmp_path / "token", token)
    return make_clinic([[0.99, 0.5, 0.02]], lock=Lock(read_token_file(tmp_path / "token")))


def log_in(browser: Browser, token: str, **options: Any) -> TestResponse:
    browser.get("/login")
    return browser.post("/login", {"token": token}, **options)


def test_every_rule_is_in_one_of_the_lists(clinic: Clinic) -> None:
    """So that a new page cannot be forgotten below."""
    rules = create_app(clinic.setup).url_map.iter_rules()
    for rule in rules:
        path = rule.rule
        for converter in (
            "<int(max=1000000000):sample_id>",
            "<int(max=1000000000):field_id>",
            "<int(max=1000000):cell_id>",
        ):
            path = path.replace(converter, "1")
        if rule.endpoint in {"static", "login.form", "login.enter", "login.prefer"}:
            continue
        assert path in (PAGES if "GET" in (rule.methods or ()) else FORMS), path


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json", "image/jpeg"])
def test_nothing_is_readable_without_the_token(
    locked: Clinic, visit: Callable[[Clinic], Browser], accept: str
) -> None:
    browser = visit(locked)
    for path in PAGES:
        answer = browser.get(path, headers={"Accept": accept}, follow_redirects=False)
        assert answer.status_code in (302, 401), path
        assert SECRET not in answer.text, path
        if answer.status_code == 302:
            assert answer.location.startswith("/login")
    assert locked.setup.refusals.total == len(PAGES)


def test_nothing_can_be_changed_without_the_token(locked: Clinic, visit: Callable[[Clinic], Browser]) -> None:
    browser = visit(locked)
    browser.get("/login")
    before = locked.setup.log_path.read_bytes()
    for path, form in FORMS.items():
        assert browser.post(path, form, follow_redirects=False).status_code == 401, path
    assert locked.setup.log_path.read_bytes() == before
    with locked.log as log:
        assert [sample.is_open for sample in log.samples()] == [True]


def test_the_token_opens_every_page_and_leaving_shuts_them(
    locked: Clinic, visit: Callable[[Clinic], Browser], token: str
) -> None:
    browser = visit(locked)
    assert log_in(browser, token).status_code == 200
    assert SECRET in browser.get("/").text
    assert browser.get("/pictures/1/1").mimetype == "image/jpeg"
    cookie = browser.client.get_cookie("blastcount")
    assert cookie is not None
    browser.post("/logout")
    assert browser.get("/").status_code == 401
    # The cookie from before, put back by whoever copied it, opens nothing.
    browser.client.set_cookie("blastcount", cookie.value)
    assert browser.get("/samples/1").status_code == 401


def test_a_wrong_token_is_refused_and_guessing_is_slow(
    locked: Clinic, visit: Callable[[Clinic], Browser], token: str, caplog: pytest.LogCaptureFixture
) -> None:
    browser = visit(locked)
    with caplog.at_level(logging.WARNING, logger="edge.web"):
        answers = [
            log_in(browser, guess).status_code for guess in ("", "x", "x" * 300, token[:-1], "\0", "y", token)
        ]
    # After five tries even the right one must wait.
    assert answers == [403] * 5 + [429] * 2
    assert {record.getMessage() for record in caplog.records} == {
        "refused 127.0.0.1: wrong token",
        "refused 127.0.0.1: too many tries at the token",
    }
    assert browser.get("/").status_code == 401
    # From another address nothing has been tried yet.
    other = visit(locked)
    assert log_in(other, token, environ_base={"REMOTE_ADDR": "10.0.0.9"}).status_code == 200


def test_the_session_is_a_new_one_after_the_login(
    locked: Clinic, visit: Callable[[Clinic], Browser], token: str
) -> None:
    browser = visit(locked)
    browser.get("/login")
    planted = browser.client.get_cookie("blastcount")
    log_in(browser, token)
    assert planted is not None
    fresh = browser.client.get_cookie("blastcount")
    assert fresh is not None
    assert fresh.value != planted.value
    browser.client.set_cookie("blastcount", planted.value)
    assert browser.get("/samples/1").status_code == 401


def test_a_cookie_signed_by_another_process_opens_nothing(
    locked: Clinic, visit: Callable[[Clinic], Browser], token: str
) -> None:
    first, second = visit(locked), visit(locked)  # each has a key of its own, and both the same sessions
    log_in(first, token)
    cookie = first.client.get_cookie("blastcount")
    assert cookie is not None
    second.client.set_cookie("blastcount", cookie.value)
    assert second.get("/samples/1").status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_login_never_leads_elsewhere(
    locked: Clinic, visit: Callable[[Clinic], Browser], token: str, target: str
) -> None:
    browser = visit(locked)
    browser.get("/login", query_string={"next": target})
    answer = browser.post("/login", {"token": token, "next": target}, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.location == "/"


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
    assert clinic.words() == []
    with clinic.log as log:
        assert [sample.is_open for sample in log.samples()] == [True]
    assert clinic.setup.refusals.total == len(FORMS) + 1


@pytest.mark.parametrize("token", ["", "x", "IjEyMyI.aaaa.bbbb"])
def test_a_form_without_its_token_changes_nothing(browser: Browser, clinic: Clinic, token: str) -> None:
    browser.says_who("Ani")
    for path in (*FORMS, "/preferences", "/login"):
        answer = browser.post(path, {**FORMS.get(path, {}), "csrf_token": token})
        assert answer.status_code == 400, path
        assert "Load the page again" in answer.text
    assert clinic.words() == []
    assert clinic.setup.refusals.total == len(FORMS) + 2


def test_the_token_of_one_session_is_no_good_in_another(
    clinic: Clinic, visit: Callable[[Clinic], Browser]
) -> None:
    one, other = visit(clinic), visit(clinic)
    one.says_who("Ani")
    other.says_who("Budi")
    other.token = one.token
    assert other.post("/samples/1/words", {"word": "1-1-normal"}).status_code == 400
    assert clinic.words() == []


def test_too_large_a_body_is_refused(browser: Browser, clinic: Clinic) -> None:
    browser.says_who("Ani")
    assert browser.post("/samples/1/words", {"word": "9" * (MAX_BODY_BYTES + 1)}).status_code == 413
    assert clinic.words() == []


def test_headers_on_every_answer(browser: Browser) -> None:
    for path in (*PAGES, "/static/review.css", "/static/review.js", "/login"):
        check_headers(browser, path)


def check_headers(browser: Browser, path: str) -> None:
    headers = browser.get(path, follow_redirects=False).headers
    policy = headers["Content-Security-Policy"]
    if path.endswith("/report"):
        assert "script" not in policy
        assert "sandbox" in policy
        policy = policy.replace("style-src 'unsafe-inline'", "")
    else:
        assert policy == CONTENT_POLICY
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "Access-Control-Allow-Origin" not in headers


def test_cookies_are_for_this_page_alone(browser: Browser) -> None:
    answer = browser.get("/", follow_redirects=False)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_no_page_has_anything_inline_or_from_elsewhere(browser: Browser) -> None:
    browser.says_who("Ani")
    answers = {path: browser.get(path) for path in PAGES if not path.endswith("/report")}
    pages = [answer.text for answer in answers.values() if answer.mimetype == "text/html"]
    assert len(pages) > 8
    for text in pages:
        check_nothing_inline(text)


def check_nothing_inline(text: str) -> None:
    assert "<script>" not in text
    assert " style=" not in text
    assert "<style" not in text
    assert " onclick" not in text
    assert "http://" not in text.replace("http://localhost", "").replace("http://www.w3.org/", "")
    assert "https://" not in text


def test_no_path_leads_out(browser: Browser) -> None:
    for path in LEADING_OUT:
        answer = browser.get(path)
        assert answer.status_code in (400, 404), path
        assert b"SQLite" not in answer.data
        assert "import" not in answer.text


LEADING_OUT = [
    "/pictures/../blood.db",
    "/pictures/..%2fblood.db",
    "/pictures/%2e%2e/%2e%2e/etc/passwd",
    "/pictures/" + "a" * 64,
    "/pictures/1/../../blood.db",
    "/pictures/-1",
    "/pictures/0",
    "/pictures/1/999999",
    "/pictures/99999999999999999999",
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/app.py",
    "/static//etc/passwd",
    "/static/..\\app.py",
    "/samples/1/fields/2e1",
    "/samples/1.0",
    "/samples/1%00",
    "/samples/%ff",
    "/samples/9999999999999999999999",
]
