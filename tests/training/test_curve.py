"""The learning curve: a part of the training side, never more, and the judged cells untouched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.structures import InputSpec
from training.data.cache import Cache
from training.data.collection import Collection, collect
from training.data.records import CellRecord
from training.protocol import curve
from training.protocol.plan import plan
from training.report.page import markdown


class Knows:
    """A recipe that is right where it was shown at least ``needed`` sessions with blasts, else a coin."""

    name = "knows"
    spec = InputSpec(size_px=32)
    labs: tuple[str, ...] = ("all-idb",)

    def __init__(self, needed: int) -> None:
        self.needed = needed

    def version(self) -> str:
        return str(self.needed)

    def fit(
        self, collection: Collection, cells: Sequence[CellRecord], seed: int, tick: Callable[[], None]
    ) -> Any:
        shown = len({cell.session for cell in cells if cell.label == 1})

        def predict(others: Sequence[CellRecord]) -> NDArray[np.float32]:
            right = np.array([0.9 if cell.label == 1 else 0.1 for cell in others], np.float32)
            return right if shown >= self.needed else np.full(len(others), 0.5, np.float32)

        return predict


@pytest.fixture(scope="module")
def collection(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return collect(tree.root, Cache(tmp_path_factory.mktemp("cache")))


def test_a_part_holds_whole_sessions_of_every_kind(collection: Collection) -> None:
    cells = collection.cells
    for split in plan(collection, ("all-idb",)):
        if split.test != "session":
            continue
        half = curve.thinned(cells, split, 0.5, 0)
        quarter = curve.thinned(cells, split, 0.25, 0)
        assert set(quarter.train) <= set(half.train) < set(split.train)
        assert half.judged == split.judged
        assert half.inner == ()
        kept = {cells[i].session for i in half.train}
        assert [i for i in split.train if cells[i].session in kept] == list(half.train)
        assert {cells[i].label for i in quarter.train} >= {0, 1}
        whole = curve.thinned(cells, split, 1.0, 0)
        assert whole.train == split.train


def test_another_draw_keeps_other_sessions(collection: Collection) -> None:
    split = next(split for split in plan(collection, ("all-idb",)) if split.test == "session")
    kept = {curve.thinned(collection.cells, split, 0.25, seed).train for seed in range(8)}
    assert len(kept) > 1


def test_the_curve_rises_with_what_is_shown(collection: Collection) -> None:
    sessions = [
        len({collection.cells[i].session for i in split.train if collection.cells[i].label == 1})
        for split in plan(collection, ("all-idb",))
        if split.test == "session"
    ]
    found = curve.curve(collection, Knows(min(sessions)))
    value = {
        (point["test"], point["part"], point["repeat"]): point["auc"]["value"] for point in found["points"]
    }
    assert value["session", "everything", 0] == 1.0
    assert value["session", "25 % of the sessions", 0] == 0.5
    text = markdown(curve.title_of(found), list(curve.blocks(found)))
    assert text.count("25 % of the sessions") == len({point["test"] for point in found["points"]})
    assert "1.000" in text
    assert "0.500" in text
