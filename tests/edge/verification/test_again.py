"""Counting the cells of a verification again: whole where nothing changed, and every change is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edge.bloodlog import BloodLog
from edge.calibration.site import SiteCard, SiteCheck, SiteCode
from edge.errors import LogError
from edge.results.site import site_standing
from edge.structures import ClassifiedCell, FieldResult, Frame
from edge.verification.again import count_again
from edge.verification.measured import Words, site_card
from edge.verification.population import drawn_from, population
from tests.edge.verification.conftest import read

NEWER = SiteCode("f" * 64, "ai_edge_litert 2.4.0", "2.4", "4.14", "aarch64")


class Line:
    """Gives each field what the log has of it, changed; notes what it was given."""

    def __init__(self, log: BloodLog, change: Callable[[ClassifiedCell], ClassifiedCell | None]) -> None:
        self._results = {logged.result.source: logged.result for logged in log.fields()}
        self._change = change
        self.frames: list[Frame] = []

    def process(self, frame: Frame, _reference: Any = None) -> Any:
        self.frames.append(frame)
        result: FieldResult = self._results[frame.source]
        cells = tuple(changed for one in result.cells if (changed := self._change(one)) is not None)
        return SimpleNamespace(result=replace(result, cells=cells))


@pytest.fixture
def words(laboratory: Path) -> Words:
    with BloodLog.open(laboratory) as log:
        log.open_verification(*drawn_from(population(log, ()), 300, 0.3, 1))
    read(laboratory)
    with BloodLog.open(laboratory) as log:
        return Words.of(log, log.verifications()[0])


def tried(path: Path, words: Words, change: Callable[[ClassifiedCell], ClassifiedCell | None]) -> SiteCheck:
    with BloodLog.open(path, read_only=True) as log:
        line = Line(log, change)
        check = count_again(log, words, line, NEWER)  # type: ignore[arg-type]  # all that is asked of a line
        assert all(frame.um_per_px is None for frame in line.frames)  # red cells gave it: they give it again
        return check


def test_it_holds_where_every_cell_is_called_as_before(laboratory: Path, words: Words) -> None:
    check = tried(laboratory, words, lambda cell: replace(cell, p_blast=0.5))  # a probability is no call
    assert (check.same, check.other, check.missing) == (len(words.drawn), 0, 0)
    assert check.holds


def test_one_call_that_changed_or_one_cell_that_was_not_found_ends_it(laboratory: Path, words: Words) -> None:
    first = words.found[words.drawn[0].cell].cell

    def is_first(cell: ClassifiedCell) -> bool:
        return (cell.cell.x, cell.cell.y) == (first.x, first.y)

    for change in (
        lambda cell: replace(cell, label="uncertain") if is_first(cell) else cell,
        lambda cell: None if is_first(cell) else cell,
        lambda cell: replace(cell, cell=replace(cell.cell, x=cell.cell.x + 15.0)) if is_first(cell) else cell,
    ):
        check = tried(laboratory, words, change)
        assert check.other > 0
        assert not check.holds


def test_a_picture_that_is_gone_cannot_be_counted_again(laboratory: Path, words: Words) -> None:
    for picture in (laboratory.parent / "pictures").glob("*/*.jpg"):
        picture.unlink()
        break
    check = tried(laboratory, words, lambda cell: cell)
    assert check.missing > 0
    assert not check.holds


def test_only_a_check_that_holds_lets_a_newer_code_use_the_card(laboratory: Path, words: Words) -> None:
    with BloodLog.open(laboratory) as log:
        card = site_card(words, words.verification.at)
        log.note_verification(1, "closed", card.to_json())
        fields = [
            replace(one, provenance=(one.provenance or "").replace("e" * 64, "f" * 64))
            for one in log.fields(1)
        ]
        newer = msgspec.structs.replace(card.code, code_sha256="f" * 64)

        def changed() -> tuple[str, ...]:
            return site_standing(log.verification_events(), fields).changed

        assert changed() == ("code",)
        for check, expected in (
            (SiteCheck(newer, 300, 1, 0), ("code",)),
            (SiteCheck(newer, 299, 0, 1), ("code",)),
            (SiteCheck(NEWER, 300, 0, 0), ("code",)),
            (SiteCheck(newer, 300, 0, 0), ()),
        ):
            log.note_verification(1, "checked", msgspec.json.encode(check).decode())
            assert changed() == expected


def test_a_card_that_is_none_is_refused() -> None:
    with pytest.raises(LogError, match=r"verification 7: .*; verify anew"):
        SiteCard.from_json("{}", "verification 7")
