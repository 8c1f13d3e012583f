"""Text of unknown origin cannot break a line or command a terminal."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.device.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Im001_1.jpg", "Im001_1.jpg"),
        ("Färbung µ 細胞.jpg", "Färbung µ 細胞.jpg"),
        ("a\nb", "a\\nb"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        (os.fsdecode(b"f\xff.jpg"), "f\\udcff.jpg"),
    ],
)
def test_what_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text(st.characters()))
def test_the_result_is_one_line_and_encodable(text: str) -> None:
    safe = printable(text)
    assert len(safe.splitlines()) <= 1
    assert safe.encode("utf-8").decode("utf-8") == safe
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in safe)
