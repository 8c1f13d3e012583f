"""The tally's rules, and its interval against published and independent values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.counting import tally as tally_module
from edge.counting.tally import RunningTally, binomial_tails, clopper_pearson, tally
from edge.structures import Cell, CellClass, CellKind, CellRef, ClassifiedCell, FieldResult
from tests.edge.bloodlog.fields import make_result


def cell(label: CellClass | None, *, border: bool = False) -> ClassifiedCell:
    kind: CellKind = "smudge" if label is None else "wbc"
    found = Cell(1, 10.0, 10.0, (5, 5, 10, 10), 80, 40, kind, border)
    return ClassifiedCell(found, label, None if label is None else 0.5)


def field(cells: Sequence[ClassifiedCell], *, rejected: bool = False) -> FieldResult:
    refusal = {"status": "rejected", "reasons": ("overexposed",)} if rejected else {}
    return replace(make_result(), cells=tuple(cells), **refusal)


def test_cells_are_sorted_into_their_classes() -> None:
    cells = [cell("blast")] * 3 + [cell("normal")] * 5 + [cell("uncertain")] * 2 + [cell(None)] * 4
    cut = [cell("blast", border=True), cell("normal", border=True), cell(None, border=True)]
    seen = [replace(cell("blast"), seen_before=CellRef(1, 1))] * 3
    total = tally([field([*cells, *cut, *seen]), field([cell("blast")]), field(cells, rejected=True)])
    assert (total.fields, total.rejected) == (2, 1)
    assert (total.blasts, total.normal, total.uncertain) == (4, 5, 2)
    # A smudge at the border is a smudge.
    assert (total.smudges, total.border, total.seen_before) == (5, 2, 3)


def test_running_totals_can_be_read_at_any_time() -> None:
    running = RunningTally()
    assert running.total() == tally([])
    running.add(field([cell("blast")]))
    assert running.total().blasts == 1
    running.add(field([cell("blast")]))
    assert running.total().blasts == 2


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # C. L. Rümke, "Statistically expected variability in differential leukocyte counting", 1979: 15-26 %
        # for 20 % of 200 cells and 13-29 % for 20 % of 100; to more digits they are the values below.
        (40, 200, 0.1469, 0.2622),
        (20, 100, 0.1267, 0.2918),
        # For k = 0 the upper limit has the closed form 1 - 0.025^(1/n); for k = n the lower one mirrors it.
        (0, 10, 0.0, 0.3085),
        (0, 15, 0.0, 0.2180),
        (10, 10, 0.6915, 1.0),
        (1, 1, 0.0250, 1.0),
        (0, 0, 0.0, 1.0),  # nothing is known of no cells
    ],
)
def test_published_intervals(k: int, n: int, low: float, high: float) -> None:
    found = clopper_pearson(k, n)
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.requirement(2)
@given(st.data())
def test_limits_are_those_of_scipy(data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    n = data.draw(st.one_of(st.integers(1, 500), st.integers(501, 10_000_000)))
    k = data.draw(st.one_of(st.integers(0, min(n, 5)), st.integers(0, n)))
    confidence = data.draw(st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
    tail = (1 - confidence) / 2
    low, high = clopper_pearson(k, n, confidence)
    assert low == pytest.approx(stats.beta.ppf(tail, k, n - k + 1) if k else 0.0, abs=1e-10)
    assert high == pytest.approx(stats.beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0, abs=1e-10)


@given(st.integers(1, 300), st.data())
def test_limits_enclose_the_share_and_mirror(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert low < high
    mirrored_low, mirrored_high = clopper_pearson(n - k, n)
    assert (1 - mirrored_high, 1 - mirrored_low) == (pytest.approx(low), pytest.approx(high))


@given(st.integers(1, 2000), st.data())
def test_tails_say_on_which_side_the_limits_lie(n: int, data: st.DataObject) -> None:
    k, p = data.draw(st.integers(0, n)), data.draw(st.floats(0.01, 0.99))
    low, high = clopper_pearson(k, n)
    assume(min(abs(low - p), abs(high - p)) > 1e-9)
    at_least, at_most = binomial_tails(k, n, p)
    assert (at_least < 0.025, at_most < 0.025) == (low > p, high < p)


def test_a_limit_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show many limits; by halving alone each would take sixty evaluations."""
    evaluate, taken = tally_module._regularised_beta, []
    monkeypatch.setattr(
        tally_module, "_regularised_beta", lambda *given: (taken.append(given), evaluate(*given))[1]
    )
    for n in (5, 100, 2000, 10_000_000):
        for k in (0, 1, n // 5, n // 2, n - 1, n):
            taken.clear()
            clopper_pearson(k, n)
            assert len(taken) <= 2 * 20, (k, n)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="k must be 0 to n"):
        clopper_pearson(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_impossible_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        clopper_pearson(1, 5, confidence)


def test_a_search_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_MOST_STEPS", 2)
    with pytest.raises(
        ArithmeticError, match=r"no limit found for a probability of 0\.025\d* with a=40, b=161"
    ):
        clopper_pearson(40, 200)


def test_a_fraction_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_MAX_TERMS", 3)
    with pytest.raises(ArithmeticError, match="no convergence of the incomplete beta function"):
        clopper_pearson(40, 200)
