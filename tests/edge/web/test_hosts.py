"""Names under which the page answers: a page of another origin never gets in by one that points here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.web.hosts import is_address, machine_names

if TYPE_CHECKING:
    from conftest import Browser, Clinic

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
def named(monkeypatch: pytest.MonkeyPatch, make_clinic: Callable[..., Clinic]) -> Clinic:
    monkeypatch.setattr("socket.gethostname", lambda: "Scope3")
    return make_clinic([[0.9]], names=("Clinic.Example.",))


def test_names_of_the_machine_and_bare_addresses_are_known(
    named: Clinic, visit: Callable[[Clinic], Browser]
) -> None:
    browser = visit(named)
    answers = {host: browser.get("/", headers={"Host": host}).status_code for host in KNOWN}
    assert answers == dict.fromkeys(KNOWN, 200)
    assert named.setup.refusals.total == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_names_are_refused_and_told_nothing(
    named: Clinic, visit: Callable[[Clinic], Browser], method: str
) -> None:
    browser = visit(named)
    for host in FORGED:
        answer = browser.client.open("/samples/1", method=method, headers={"Host": host})
        assert answer.status_code == 421, host
        assert "S-1" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    assert named.setup.refusals.total == len(FORGED)


def test_machine_names_are_those_of_the_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Scope3")
    assert machine_names(["Clinic.Example."]) == ["localhost", "scope3", "scope3.local", "clinic.example"]


@given(st.text())
def test_any_text_is_judged_without_an_error(host: str) -> None:
    assert is_address(host) in (True, False)
