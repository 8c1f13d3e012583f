"""Which cell of one field is which of another, and when two fields are taken to overlap: at the limits."""

from __future__ import annotations

import pytest

from edge.registration import Alignment, RigidTransform
from edge.registration.cells import Observation, match_cells
from edge.registration.search import confirms, is_sure
from edge.structures import CellKind, CellRef

FIRST, SECOND = CellRef(1, 1), CellRef(1, 2)


def at(
    x: float,
    counted_as: CellRef | None = None,
    diameter: float = 10.0,
    kind: CellKind = "wbc",
    *,
    cut: bool = False,
) -> Observation:
    return Observation(x, 0.0, diameter, counted_as, kind, cut)


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        (at(4.8), at(0, FIRST), True),
        (at(5.2), at(0, FIRST), False),
        (at(10.0), at(0, FIRST), False),  # a neighbour that touches it
        (at(4.8, diameter=6.0), at(0, FIRST), True),  # of the larger one's diameter
        (at(4.8), at(0, FIRST, diameter=6.0), True),
        (at(0), at(0, None), False),  # never counted
        (at(0), at(0, FIRST, kind="smudge"), False),  # reported, but never tallied
        (at(0, kind="smudge"), at(0, FIRST, kind="smudge"), True),
        (at(0, kind="smudge"), at(0, FIRST), True),
        (at(0, cut=True), at(0, FIRST), True),
        (at(0, cut=True), at(0, FIRST, cut=True), True),  # reported once
        (at(0), at(0, FIRST, cut=True), False),  # whole for the first time: counted
        (at(0, kind="smudge", cut=True), at(0, FIRST, kind="smudge", cut=True), True),
        (at(0, kind="smudge"), at(0, FIRST, kind="smudge", cut=True), True),  # a smudge is tallied cut, too
        (at(0, kind="smudge", cut=True), at(0, FIRST, cut=True), False),
        (at(0), at(0, FIRST, kind="smudge", cut=True), False),
    ],
)
def test_centres_of_one_cell_lie_within_half_its_diameter(
    new: Observation, old: Observation, same: bool
) -> None:
    assert match_cells([(7, new, old)]) == ({7: FIRST} if same else {})


def test_cells_are_matched_one_to_one_the_nearest_first() -> None:
    old = [at(0, FIRST), at(4, SECOND)]
    pairs = [(i, new, each) for i, new in ((7, at(3.0)), (8, at(1.0)), (9, at(2.0))) for each in old]
    assert match_cells(pairs) == {7: SECOND, 8: FIRST}


def test_what_was_seen_whole_goes_before_what_was_only_cut() -> None:
    """Else a cell that is whole again in a fourth field would be counted again."""
    new = at(0, cut=True)
    assert match_cells([(7, new, at(0, FIRST, cut=True)), (7, new, at(4, SECOND))]) == {7: SECOND}


@pytest.mark.parametrize(
    ("correlation", "significance", "sure", "confirming"),
    [
        (0.3, 27.0, True, False), (0.6, 27.0, True, True), (0.6, 25.0, False, True),
        (0.87, 21.0, True, True), (0.87, 19.0, False, True), (0.83, 21.0, False, True),
        (0.52, 9.0, False, True), (0.48, 9.0, False, False), (0.52, 7.0, False, False),
    ],
)  # fmt: skip
def test_an_alignment_is_sure_or_confirms_what_is_known(
    correlation: float, significance: float, sure: bool, confirming: bool
) -> None:
    evidence = (significance / correlation) ** 2
    alignment = Alignment(RigidTransform(0.0, 0.0, 0.0), correlation, evidence)
    assert (is_sure(alignment), confirms(alignment)) == (sure, confirming)
