"""Three hundred requests that no browser sends, at the border of WSGI: an answer to each, never a failure."""

from __future__ import annotations

import io
import logging
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import create_environ, run_wsgi_app

from edge.web.access import Lock, new_token, read_token_file, write_token_file
from edge.web.app import MAX_BODY_BYTES
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic

REQUESTS = 300
METHODS = ("GET",) * 6 + ("POST",) * 6 + (
    *("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"),
    *("get", "", "G\tT", "X" * 5000),
)  # fmt: skip
#: As a server hands them on: bytes as Latin-1.
PATHS = (
    *(
        "",
        "/",
        "//",
        "/.",
        "/..",
        "/../../etc/passwd",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/%00",
        "/\0",
    ),
    *(
        "/static/",
        "/static",
        "/\xff\xfe",
        "/samples/\xe2\x80\xae1",
        "/samples/1;x=1",
        "//evil.example/",
        "\\",
    ),
    *("/samples/1/cells/", "http://localhost/", "/" + "a" * 70_000, "/" * 3000, "/samples/0x1", "/live?x"),
)
NUMBERS = (
    "1",
    "2",
    "0",
    "-1",
    "1.0",
    "1e9",
    "9" * 30,
    "%31",
    "\xd9\xa1",
    "\0",
    "None",
    "",
    " 1",
    "1/..",
    "1%2f2",
)
QUERIES = (
    *(
        "",
        "page=1",
        "page=-1",
        "page=NaN",
        "page=1e999",
        "page=%ff%fe",
        "page=%",
        "size=9" + "9" * 400,
        "show=blast",
    ),
    *(
        "show=../..",
        "next=//evil.example",
        "next=http:%0d%0aX: y",
        "&&&===",
        "a=1&" * 2000,
        "\xff",
        "page=1&page=2",
    ),
)
HEADERS: dict[str, tuple[str, ...]] = {
    "HTTP_HOST": (
        "",
        "evil.example",
        "localhost:99999",
        "[::1",
        "\xff",
        "localhost@evil.example",
        "a" * 3000,
    ),
    "HTTP_COOKIE": (
        "blastcount=",
        "blastcount=eyJ9.x.y",
        "=;=;",
        "\xff=\xff",
        "blastcount=" + "A" * 8000,
        ";" * 999,
    ),
    "HTTP_ACCEPT": ("", ";;;q=x", "*/*;q=nan", "\xff", "application/json", "text/html", "a/b," * 1000),
    "HTTP_ACCEPT_LANGUAGE": ("", "id;q=2", "x" * 999, "\xff", "*;q=", "en;q=1e400"),
    "HTTP_ORIGIN": (
        "null",
        "http://evil.example",
        "http://localhost",
        "\xff",
        "http://localhost.evil.example",
    ),
    "HTTP_REFERER": ("http://evil.example/", "\xff", "http://[", "x" * 5000),
    "HTTP_X_FORWARDED_FOR": ("127.0.0.1", "\xff", "," * 500),
    "HTTP_X_FORWARDED_PREFIX": ("/x", "//evil.example", "\r\nX: y"),
    "HTTP_AUTHORIZATION": ("Basic", "Basic \xff", "Basic ====", "Bearer x", "Digest x=" * 50),
    "HTTP_IF_MODIFIED_SINCE": ("yesterday", "\xff", "Mon, 99 Foo 9999 99:99:99 GMT"),
    "HTTP_IF_NONE_MATCH": ("*", '"', "W/" * 500),
    "HTTP_RANGE": ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=" + "0-1," * 500, "\xff"),
    "HTTP_TRANSFER_ENCODING": ("chunked", "identity", "x"),
    "HTTP_CONTENT_ENCODING": ("gzip", "br", "\xff"),
    "CONTENT_TYPE": (
        *("", "text/plain", "application/json", "application/x-www-form-urlencoded; charset=utf-99", "\xff"),
        *(
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=x",
            "x" * 4000,
        ),
    ),
    "CONTENT_LENGTH": ("", "-1", "abc", "9" * 40, "0", "1", "1.5", "\xff", "+3"),
    "REMOTE_ADDR": ("", "::1", "not an address", "\xff"),
}
FORMS = (
    *(
        b"",
        b"\0",
        b"\xff\xfe=\xff",
        b"%",
        b"=&=&=",
        b"word=1-1-blast",
        b"word=" + b"9" * 3000,
        b"refs=1-1+99-99",
    ),
    *(b"name=%00&specimen=blood", b"name=../../S&quota=-1", b"token=" + b"x" * 2000, b"observer=%ed%a0%80"),
    *(b"a=1&" * 9000, b"x" * (MAX_BODY_BYTES + 1), b'{"word": [[[[', b"last=1e9", b"language=../en&next=//e"),
    *(
        b'--x\r\nContent-Disposition: form-data; name="word"\r\n\r\n1-1-blast\r\n--x--\r\n',
        b"--x\r\nContent-Disposition: form-data\r\n\r\n",
        b"--x\r\n" * 2000,
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../x"\r\n\r\n'
        + b"\0" * 999
        + b"\r\n--x--",
    ),
)


@pytest.fixture
def places(clinic: Clinic, tmp_path: Path) -> list[tuple[Browser, list[str]]]:
    """The page as it is and behind a token: each with a browser that is inside, and the patterns of paths."""
    write_token_file(tmp_path / "token", token := new_token())
    locked = Clinic(Setup(clinic.setup.log_path, lock=Lock(read_token_file(tmp_path / "token"))))
    inside = Browser(locked)
    inside.get("/login")
    inside.post("/login", {"token": token})
    found = []
    for browser in (Browser(clinic).says_who("Ani"), inside):
        browser.get("/")
        rules = [rule.rule for rule in browser.client.application.url_map.iter_rules()]
        found.append((browser, rules))
    return found


def environ_of(draw: random.Random, browser: Browser, rules: list[str]) -> dict[str, Any]:
    """One request; every second one bears a cookie and a form's token that are good, to get further in."""
    path = draw.choice(PATHS)
    if draw.random() < 0.7:
        path = re.sub(r"<[^>]+>", lambda _: draw.choice(NUMBERS), draw.choice(rules))
    body = draw.choice(FORMS)
    environ = create_environ("/", "http://localhost/")
    environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    if draw.random() < 0.5:
        environ["HTTP_COOKIE"] = f"blastcount={browser.cookie}"
        environ["HTTP_ORIGIN"] = "http://localhost"
        if not body.startswith((b"--", b"{")):
            body = b"csrf_token=" + browser.token.encode() + b"&" + body
    environ |= {
        "REQUEST_METHOD": draw.choice(METHODS),
        "PATH_INFO": path,
        "QUERY_STRING": draw.choice(QUERIES),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "REMOTE_ADDR": "192.0.2.7",
    }
    for name in draw.sample(sorted(HEADERS), draw.randint(0, 3)):
        environ[name] = draw.choice(HEADERS[name])
    return environ


def failures(app: Flask, environs: Iterator[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What failed: an exception that got out, an answer that owns up to one, or one that is in the log."""
    found = []
    for environ in environs:
        asked = f"{environ['REQUEST_METHOD'][:9]!r} {environ['PATH_INFO'][:60]!r}"
        errors = io.StringIO()
        environ["wsgi.errors"] = errors
        try:
            parts, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            found.append(f"{asked}: {type(error).__name__}: {error}")
            continue
        body = b"".join(parts)
        code = int(status.split()[0])
        if code in (500, 501) or code > 503 or b"Traceback" in body or "Traceback" in errors.getvalue():
            found.append(f"{asked}: {status}")
        if any("evil.example" in value for value in headers.getlist("Location")):
            found.append(f"{asked}: led to {headers['Location']}")
    return found + [record.getMessage() for record in caplog.records if record.exc_info]


def test_three_hundred_hostile_requests(
    places: list[tuple[Browser, list[str]]], clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    draw = random.Random(20_26)  # the same requests each time
    codes = sys.getrecursionlimit()
    for browser, rules in places:
        requests = (environ_of(draw, browser, rules) for _ in range(REQUESTS // len(places)))
        with caplog.at_level(logging.WARNING):
            assert failures(browser.client.application, requests, caplog) == []
        assert browser.get("/").status_code in (200, 401)  # 401 where one of them has left
    assert sys.getrecursionlimit() == codes
    with clinic.log as log:
        assert log.verify() == ()


def test_a_failure_would_be_seen(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """The negative control: a page that fails, asked once."""
    app = browser.client.application
    app.add_url_rule("/broken", view_func=lambda: str(1 // 0))
    (answered, logged) = failures(app, iter([create_environ("/broken", "http://localhost/")]), caplog)
    assert "500" in answered
    assert "/broken" in logged
