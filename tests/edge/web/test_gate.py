"""The outermost door: host names and floods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.web.gate import BURST, Gate, host_is_known, known_names
from edge.web.limits import RefusalLog

NAMES = frozenset({"localhost", "pi", "pi.local"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8321",
        "LOCALHOST:1",
        "127.0.0.1:8321",
        "127.9.9.9",
        "[::1]",
        "[::1]:80",
        "pi.local.:80",
    ],
)
def test_names_of_this_machine(host: str) -> None:
    assert host_is_known(host, NAMES, loopback=True)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8321",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil",
        "localhost:80:80",
        "localhost:x",
        "localhost:٣",
        "10.0.0.5",
        "0.0.0.0",
        "::1",
        "[::1",
        "[10.0.0.5]:80",
        "2130706433",
        "0x7f.1",
        "127.1",
        " localhost",
        "localhost\t",
    ],
)
def test_other_names_are_refused_on_loopback(host: str) -> None:
    assert not host_is_known(host, NAMES, loopback=True)


def test_on_a_network_any_bare_address_will_do_but_no_other_name() -> None:
    assert host_is_known("192.168.4.1:8321", NAMES, loopback=False)
    assert host_is_known("[fe80::1]:8321", NAMES, loopback=False)
    assert not host_is_known("evil.example:8321", NAMES, loopback=False)


@given(st.text())
def test_any_text_is_judged_without_an_error(host: str) -> None:
    assert host_is_known(host, NAMES, loopback=True) in (True, False)


def test_the_machine_and_its_configured_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Scope3")
    assert known_names(["Clinic.Example."]) == {"localhost", "scope3", "scope3.local", "clinic.example"}


def ask(gate: Gate, host: str = "localhost") -> str:
    answers: list[str] = []

    def start(status: str, headers: Iterable[tuple[str, str]], _info: Any = None) -> Any:
        answers.append(status)
        assert dict(headers)

    body = b"".join(gate({"HTTP_HOST": host, "REMOTE_ADDR": "127.0.0.1"}, start))
    assert body
    return answers[0]


def app(_environ: object, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


def test_refusals_are_counted_and_what_is_allowed_passes() -> None:
    refusals = RefusalLog()
    gate = Gate(app, NAMES, loopback=True, refusals=refusals)
    assert ask(gate) == "200 OK"
    assert refusals.total == 0
    assert ask(gate, "evil.example") == "421 Misdirected Request"
    assert refusals.total == 1
    answers = [ask(gate) for _ in range(BURST)]
    assert answers.count("429 Too Many Requests") >= BURST // 2
    assert answers[0] == "200 OK"
    assert refusals.total == 1 + answers.count("429 Too Many Requests")
