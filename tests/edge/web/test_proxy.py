"""Behind a proxy for HTTPS the page is the public address's own; nothing that a client sends makes it so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from edge.config import parse_config
from edge.device.passwords import password_hash
from edge.errors import ConfigError
from edge.web.access import Lock, new_token
from edge.web.server import guarded
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic

TOKEN = new_token()
PUBLIC = "https://lab.example/blast/"
HOST = {"Host": "lab.example"}
ORIGIN = {"Origin": "https://lab.example"}


@pytest.fixture
def lock() -> Lock:
    return Lock(password_hash(TOKEN))


class Phone(Browser):
    """A browser that reaches the page as nginx passes its requests on."""

    def __init__(self, clinic: Clinic, lock: Lock | None, public_url: str = PUBLIC) -> None:
        self.setup = Setup(clinic.setup.log_path, public_url=public_url, lock=lock)
        application = guarded(self.setup)

        def served(environ: dict[str, Any], start_response: Any) -> Any:
            # The client goes on from the environment after a redirect: it must keep its own.
            return application({"REMOTE_ADDR": "127.0.0.1", **environ}, start_response)

        self.client: Any = Client(served, TestResponse)
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        return super().get(path, base_url="http://lab.example/", **options)

    def post(self, path: str, form: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        options["headers"] = {**ORIGIN, **options.get("headers", {})}
        return super().post(path, form, base_url="http://lab.example/", **options)


@pytest.fixture
def phone(clinic: Clinic) -> Phone:
    return Phone(clinic, None)


def test_every_link_form_and_cookie_stays_in_the_public_folder(clinic: Clinic, lock: Lock) -> None:
    phone = Phone(clinic, lock)
    sent = phone.get("/blast/samples/1", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (sent.status_code, sent.location) == (302, "/blast/login?next=/blast/samples/1")
    form = phone.get("/blast/login?next=/blast/samples/1")
    assert 'action="/blast/login"' in form.text
    inside = phone.post("/blast/login", {"token": TOKEN, "next": "/blast/samples/1"}, follow_redirects=False)
    assert (inside.status_code, inside.location) == (302, "/blast/samples/1")
    for name in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/blast/"):
        assert name in inside.headers["Set-Cookie"].split("; "), name
    pages = ("", "live", "samples/1", "samples/1/cells", "samples/1/fields", "samples/1/fields/1", "nothing")
    for page in pages:
        text = phone.get(f"/blast/{page}").text
        links = [
            part.split('"')[0]
            for attribute in ("href", "src", "action")
            for part in text.split(f' {attribute}="')[1:]
        ]
        assert len(links) > 5
        assert [link for link in links if not link.startswith(("/blast/", "#"))] == [], page
    assert phone.setup.refusals.total == 1


def test_a_form_from_the_public_address_is_the_pages_own_and_no_other_is(
    phone: Phone, clinic: Clinic
) -> None:
    phone.get("/blast/")
    foreign = (
        "http://lab.example",
        "https://evil.example",
        "https://lab.example:444",
        "null",
        "https://lab.example/blast",
    )
    for origin in foreign:
        assert (
            phone.post("/blast/observer", {"observer": "Ani"}, headers={"Origin": origin}).status_code == 403
        ), origin
    assert phone.post("/blast/observer", {"observer": "Ani"}).status_code == 200
    assert phone.post("/blast/samples/1/words", {"word": "1-1-normal"}).status_code == 200
    assert [label for _, label, _ in clinic.words()] == ["normal"]


def test_outside_of_the_public_folder_there_is_nothing(phone: Phone) -> None:
    for path in ("/", "/samples/1", "/blaster/", "/blas", "/static/review.css"):
        assert phone.get(path).status_code == 404, path
    # Without its last slash it is the folder all the same.
    assert phone.get("/blast").status_code == 200


def test_the_machine_itself_still_sees_the_page_at_its_own_address(clinic: Clinic) -> None:
    local = Phone(clinic, None)
    for host in ("localhost:8321", "127.0.0.1:8321"):
        answer = Browser.get(local, "/live", base_url=f"http://{host}/")
        assert answer.status_code == 200
        assert 'href="/live"' in answer.text
    assert "Secure" not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({**HOST}, "10.0.0.9"),  # past the proxy, from another machine
        ({"Host": "evil.example", "X-Forwarded-Host": "lab.example"}, "127.0.0.1"),
        ({"Host": "lab.example:8321"}, "127.0.0.1"),
        ({"Host": "lab.example.evil.example"}, "127.0.0.1"),
    ],
)
def test_what_did_not_come_by_the_proxy_is_not_taken_for_it(
    phone: Phone, headers: dict[str, str], peer: str
) -> None:
    for path in ("/blast/", "/"):
        answer = phone.client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
        assert answer.status_code == 421


def test_no_client_says_under_which_folder_the_page_is(clinic: Clinic) -> None:
    phone = Phone(clinic, None, "https://lab.example/")
    forged = {
        "X-Forwarded-Prefix": "/evil",
        "X-Script-Name": "/evil",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
    }
    text = phone.get("/", headers=forged).text
    assert "evil" not in text
    assert 'href="/live"' in text


def refused(phone: Phone, peer: str, forwarded: str | None, caplog: pytest.LogCaptureFixture) -> str:
    """Whom the journal names for a form without an origin."""
    caplog.clear()
    headers = {**HOST, "Origin": "null"} | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
    with caplog.at_level(logging.WARNING, logger="edge.web"):
        phone.client.post("/blast/observer", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    return caplog.records[0].getMessage().split()[1].rstrip(":")


def test_who_asks_is_whom_the_proxy_names_last(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    told = {
        forwarded: refused(Phone(Clinic(phone.setup), None), "127.0.0.1", forwarded, caplog)
        for forwarded in (
            None,
            "10.0.0.7",
            "6.6.6.6, 10.0.0.8",
            "6.6.6.6, x",
            "",
            "10.0.0.9:80",
            "2001:db8::1",
        )
    }
    assert told == {
        **{
            None: "127.0.0.1",
            "10.0.0.7": "10.0.0.7",
            "6.6.6.6, 10.0.0.8": "10.0.0.8",
            "6.6.6.6, x": "127.0.0.1",
        },
        **{"": "127.0.0.1", "10.0.0.9:80": "127.0.0.1", "2001:db8::1": "2001:db8::1"},
    }
    assert refused(Phone(Clinic(phone.setup), None), "10.0.0.9", "10.0.0.7", caplog) == "10.0.0.9"


def test_a_proxy_that_hides_the_host_is_told_of(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="edge.web"):
        answer = phone.client.post("/observer", headers={"Host": "127.0.0.1:8321", **ORIGIN})
    assert answer.status_code == 403
    assert "does the proxy pass Host on?" in caplog.text


def test_a_path_of_the_token_page_goes_nowhere_else(clinic: Clinic, lock: Lock) -> None:
    for target in ("//evil.example/", "/blast//evil.example", "/blaster", "/samples/1", "/blast\\evil"):
        phone = Phone(clinic, lock)
        phone.get("/blast/login")
        answer = phone.post("/blast/login", {"token": TOKEN, "next": target}, follow_redirects=False)
        assert answer.location == "/blast/", target


def test_the_token_file_must_be_there_for_a_public_page(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"public_url 'https://lab\.example/' shows the page to a network and needs"
    ):
        parse_config({"review": {"public_url": "https://lab.example/"}})
    for address in (
        "lab.example",
        "ftp://lab.example",
        "https://a@lab.example/",
        "https://lab.example/a b/",
        "https://lab.example/?x",
        "https://lab.example//",
        "https:///",
        "https://lab.example/%62/",
        "https://lab.example/#x",
        "https://lab.example/../x/",
        "https://lab.example:0/",
    ):
        with pytest.raises(ConfigError, match=r"review\.public_url must be an address such as"):
            parse_config({"review": {"public_url": address, "token_file": "token"}})
    for address in ("https://lab.example", "http://10.0.0.5:8080/a/b-c/", "https://[2001:db8::1]/blast"):
        assert (
            parse_config({"review": {"public_url": address, "token_file": "token"}}).review.public_url
            == address
        )
