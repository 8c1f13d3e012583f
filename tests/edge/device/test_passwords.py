"""Hashes of passwords: what they cost, that they are scrypt, and what is no hash."""

from __future__ import annotations

import hashlib

import pytest

from edge.device import passwords
from edge.device.passwords import matches, nobodys_hash, password_hash, wrong_hash


def test_a_hash_costs_what_owasp_asks_for() -> None:
    stored = password_hash("Kata sandi")
    name, salt, digest = stored.split("$")
    assert name == "scrypt:32768:8:3"  # 32 MiB, three lanes
    assert (len(salt), len(digest)) == (32, 128)
    assert wrong_hash(stored) is wrong_hash(nobodys_hash()) is None


@pytest.mark.usefixtures("cheap_passwords")
def test_a_password_opens_its_hash_and_nothing_else_does() -> None:
    first, second = password_hash("correct h\u00f6rse"), password_hash("correct h\u00f6rse")
    assert first != second
    # A keyboard that writes the letter as two characters writes the same password.
    assert matches(first, "correct ho\u0308rse")
    for wrong in (
        "",
        "correct h\u00f6rs",
        "correct h\u00f6rse ",
        "Correct h\u00f6rse",
        first,
        "\udcff",
        "\x00",
    ):
        assert not matches(first, wrong)
        assert not matches(nobodys_hash(), wrong)
    with pytest.raises(ValueError, match="no hash of a password"):
        matches("plain", "plain")


@pytest.mark.usefixtures("cheap_passwords")
def test_it_is_scrypt_as_werkzeug_and_anybody_else_computes_it() -> None:
    digest = hashlib.scrypt(b"token", salt=b"saltsaltsaltsalt", n=4, r=8, p=1).hex()
    stored = f"scrypt:4:8:1$saltsaltsaltsalt${digest}"
    assert wrong_hash(stored) is None
    assert matches(stored, "token")


def test_costs_out_of_bounds_are_named() -> None:
    assert "out of range" in str(wrong_hash(nobodys_hash().replace("32768", "16")))
    assert "expected scrypt:N:r:p" in str(wrong_hash("x"))
    assert passwords.LEAST_COST <= 128 * passwords.COST * passwords.BLOCK <= passwords.MOST_COST
