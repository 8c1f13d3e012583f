"""``[review]``: nothing is open to a network by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.config import parse_config
from edge.errors import ConfigError


def test_by_default_only_this_machine() -> None:
    section = parse_config({}).review
    assert section.is_loopback
    assert not section.with_daemon
    assert section.token_file is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.4.1", "::", "10.0.0.5"])
def test_a_network_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=r"can be reached from the network and needs review.token_file"):
        parse_config({"review": {"host": host}})
    section = parse_config(
        {"review": {"host": host, "token_file": "token"}}, origin=Path("/etc/x.toml")
    ).review
    assert not section.is_loopback
    assert section.token_file == Path("/etc/token")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert parse_config({"review": {"host": host}}).review.is_loopback


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"host": "example.org"}, "review.host must be an address such as 127.0.0.1"),
        ({"host": "127.0.0.1/8"}, "review.host must be an address"),
        ({"port": 0}, "review.port must be a whole number from 1 to 65535, got 0"),
        ({"port": 65536}, "review.port must be"),
        ({"token": "secret"}, "unknown key review.token; did you mean review.token_file"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"review": keys})
