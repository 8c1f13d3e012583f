"""The differential adds up to what is counted, by every denominator, and changes no blast."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.counting.differential import differential
from edge.counting.tally import clopper_pearson, tally
from edge.structures import CellClass, CellType, ClassifiedCell, Denominator, FieldResult, ModelIdentity
from tests.edge.bloodlog.fields import make_cell, make_result

TYPES = ModelIdentity("types", "7" * 64)
Called = tuple[CellClass | None, CellType | None]


def field(*called: Called, type_model: ModelIdentity | None = TYPES) -> FieldResult:
    """A field of whole cells with these classes and types; a smudge where there is no class."""
    cells = []
    for number, (label, kind) in enumerate(called, start=1):
        found = make_cell(number, kind="wbc" if label else "smudge")
        whole = replace(found.cell, touches_border=False)
        cells.append(ClassifiedCell(whole, label, found.p_blast, type=kind, p_type=kind and 0.5))
    return replace(make_result(), cells=tuple(cells), type_model=type_model)


MIXED = field(
    ("blast", "lymphocyte"),
    ("blast", "erythroblast"),
    ("normal", "neutrophil"),
    ("normal", "neutrophil"),
    ("normal", "basophil"),
    ("normal", "other"),
    ("normal", "erythroblast"),
    ("uncertain", "monocyte"),
    (None, None),
)


@pytest.mark.parametrize(
    ("denominator", "n", "beside"),
    [
        ("classified", 7, {"uncertain": 1}),
        ("without_uncertain", 6, {}),
        ("with_smudges", 8, {"uncertain": 1, "smudge": 1}),
        ("nucleated", 8, {"uncertain": 1, "erythroblast": 1}),
    ],
)
def test_kinds_by_every_denominator(denominator: Denominator, n: int, beside: dict[str, int]) -> None:
    counted = differential(tally([MIXED], denominator))
    assert counted is not None
    found = {share.kind: share.k for share in counted.shares if share.k}
    assert found == {"blast": 2, "neutrophil": 2, "basophil": 1, "other": 1, **beside}
    assert (counted.n, counted.others, counted.erythroblasts) == (n, 1, 1)
    neutrophils = next(share for share in counted.shares if share.kind == "neutrophil")
    assert (neutrophils.share, neutrophils.low, neutrophils.high) == (2 / n, *clopper_pearson(2, n))
    assert counted.to_json()["shares"]["neutrophil"]["n"] == n


def test_an_erythroblast_is_no_leukocyte_unless_it_was_called_a_blast() -> None:
    counted = tally([MIXED])
    assert (counted.blasts, counted.normal, counted.uncertain, counted.erythroblasts) == (2, 4, 1, 1)
    assert counted.wbc == 7
    untyped = tally([replace(MIXED, cells=tuple(replace(cell, type=None) for cell in MIXED.cells))])
    assert (untyped.blasts, untyped.wbc) == (2, 8)


def test_there_is_none_without_types_or_without_cells() -> None:
    assert differential(tally([field(("normal", None), type_model=None)])) is None
    assert differential(tally([field()])) is None


called = st.tuples(
    st.sampled_from([None, *get_args(CellClass)]), st.sampled_from([None, *get_args(CellType)])
).map(lambda pair: pair if pair[0] else (None, None))


@given(st.lists(st.lists(called, max_size=6), max_size=3), st.sampled_from(get_args(Denominator)))
def test_shares_add_up_to_what_is_counted(fields: list[list[Called]], denominator: Denominator) -> None:
    total = tally([field(*cells) for cells in fields], denominator)
    counted = differential(total)
    if counted is None:
        assert not total.wbc
    else:
        assert sum(share.k for share in counted.shares) == counted.n == total.wbc
        assert counted.shares[0].k == total.blasts
        assert min(share.k for share in counted.shares) >= 0
