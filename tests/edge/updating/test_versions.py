"""Versions are ordered as pip orders them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from edge.updating import version_key

numbers = st.integers(0, 12)
versions = st.builds(
    lambda release, pre, post, dev, local: (
        ".".join(map(str, release))
        + (f"{pre[0]}{pre[1]}" if pre else "")
        + (f".post{post}" if post is not None else "")
        + (f".dev{dev}" if dev is not None else "")
        + local
    ),
    st.lists(numbers, min_size=1, max_size=4),
    st.none() | st.tuples(st.sampled_from(["a", "b", "rc"]), numbers),
    st.none() | numbers,
    st.none() | numbers,
    st.sampled_from(["", "+g12ab34c", "+g12ab34c.d20260101"]),
)


@settings(max_examples=50)
@given(versions, versions)
def test_the_order_is_that_of_packaging(one: str, other: str) -> None:
    mine = version_key(one), version_key(other)
    public = Version(Version(one).public), Version(Version(other).public)
    assert (mine[0] < mine[1], mine[0] == mine[1]) == (public[0] < public[1], public[0] == public[1])


@pytest.mark.parametrize(
    "text", ["", "v1.0", "1.0-1", "1.0.DEV1", "1!1.0", "1.0 ", "uninstalled", "1..0", "1.0+", "१.0"]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="a version is written as"):
        version_key(text)
