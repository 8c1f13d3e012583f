"""The text that a row keeps of contours is Google's, and gives them back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bloodlog.contours import decode_contours, encode_contours
from edge.structures import Contours

points = st.tuples(st.integers(-70_000, 70_000), st.integers(-70_000, 70_000))
polygons = st.lists(st.lists(points, min_size=1, max_size=8).map(tuple), max_size=4).map(tuple)


def test_the_encoding_is_the_published_one() -> None:
    """The example of Google's page: 38.5,-120.2, 40.7,-120.95, 43.252,-126.453, times 100,000."""
    line = ((3850000, -12020000), (4070000, -12095000), (4325200, -12645300))
    assert encode_contours(Contours((line,), ()), (0, 0)) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@;"


@settings(max_examples=50)
@given(polygons, polygons, points)
def test_contours_come_back_as_they_were(
    cell: tuple[tuple[tuple[int, int], ...], ...],
    nucleus: tuple[tuple[tuple[int, int], ...], ...],
    corner: tuple[int, int],
) -> None:
    contours = Contours(cell, nucleus)
    assert decode_contours(encode_contours(contours, corner), corner) == contours


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("??", "semicolon"),
        ("?;", "as many x as y"),
        ("_;", "ends within a number"),
        ("? ;", "characters from"),
        ("??\N{LATIN SMALL LETTER E WITH ACUTE};", "characters from"),
    ],
)
def test_what_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_contours(text, (0, 0))
