"""Names under which the page answers: a page of another origin never gets in by one that points here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.web.hosts import is_address
from edge.web.setup import Setup
from tests.edge.web.conftest import Browser, Clinic

KNOWN = (
    *("localhost", "localhost:8321", "scope3", "scope3.local:80", "clinic.example", "127.0.0.1:8321"),
    *("127.9.9.9", "[::1]", "[::1]:80", "192.168.4.1:8321", "[fe80::1]:8321"),
)
FORGED = (
    *("evil.example", "evil.example:8321", "localhost.evil.example", "127.0.0.1.evil.example", "x.scope3"),
    *("127.0.0.1@evil", "localhost:x", "localhost:٣", "::1", "[::1", "[localhost]"),
    *("2130706433", "0x7f.1", "127.1", " localhost", "evil.example:127.0.0.1", "[::1].evil.example"),
)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, clinic: Clinic) -> Clinic:
    monkeypatch.setattr("socket.gethostname", lambda: "Scope3")
    return Clinic(Setup(clinic.setup.log_path, names=("Clinic.Example.",)))


def test_names_of_the_machine_and_bare_addresses_are_known(named: Clinic) -> None:
    browser = Browser(named)
    answers = {host: browser.get("/", headers={"Host": host}).status_code for host in KNOWN}
    assert answers == dict.fromkeys(KNOWN, 200)
    assert named.setup.refusals.total == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_names_are_refused_and_told_nothing(named: Clinic, method: str) -> None:
    browser = Browser(named)
    for host in FORGED:
        answer = browser.client.open("/samples/1", method=method, headers={"Host": host})
        assert answer.status_code == 421, host
        assert "S-1" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    assert named.setup.refusals.total == len(FORGED)


@given(st.text())
def test_any_text_is_judged_without_an_error(host: str) -> None:
    assert is_address(host) in (True, False)
