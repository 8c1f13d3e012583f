"""The card that training wrote, carried on or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convert.draft import INTENDED_USE, read_draft
from edge.classification.card import Decision
from edge.errors import ModelError
from edge.structures import InputSpec

CROP = {"size_px": 64, "field_of_view_um": 20.0, "white_point": 240, "channels": "RGB"}


def _write(tmp_path: Path, card: object) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


def test_without_a_card_there_are_defaults() -> None:
    draft = read_draft(None, 64)
    assert draft.input == InputSpec(size_px=64)
    assert draft.decision == Decision()
    assert draft.name is None
    assert "Research use only" in INTENDED_USE
    assert draft.sections == {"intended_use": INTENDED_USE}


def test_what_training_knows_is_carried_on(tmp_path: Path) -> None:
    card = {
        "schema": "blastcount.model/1",
        "name": "seed",
        "labels": ["normal", "blast"],
        "input": CROP,
        "decision": {"threshold": 0.6, "uncertain_low": 0.5, "uncertain_high": 0.7, "temperature": 2},
        "training": {"epochs": 20},
        "limits": ["one laboratory"],
        "intended_use": "tests",
        # Left by an earlier conversion; not this one's.
        "sha256": "0" * 64,
        "parity": {"old": True},
    }
    draft = read_draft(_write(tmp_path, card), 64)
    assert draft.name == "seed"
    assert draft.input == InputSpec(64, 20.0, 240)
    assert draft.decision == Decision(0.6, 0.5, 0.7, 2.0)
    assert draft.sections == {
        "training": {"epochs": 20},
        "limits": ["one laboratory"],
        "intended_use": "tests",
    }


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ([], "Expected `object`, got `array`"),
        ({"schema": "blastcount.model/9"}, r"'blastcount.model/9' - at `\$\.schema`"),
        ({"labels": ["blast", "normal"]}, r"\$\.labels"),
        ({"author": "me"}, "unknown field `author`"),
        ({"name": 3}, r"\$\.name"),
        ({"input": {"size_px": 64}}, "missing required field `field_of_view_um`"),
        ({"input": {**CROP, "channels": "BGR"}}, "channels must be 'RGB'"),
        ({"input": {**CROP, "size_px": 128}}, r"input\.size_px is 128, the network takes 64"),
        ({"decision": {"threshold": 0.5}}, "missing required field `uncertain_low`"),
    ],
)
def test_a_wrong_card_is_refused(tmp_path: Path, card: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_draft(_write(tmp_path, card), 64)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card .*none\.json cannot be read"):
        read_draft(tmp_path / "none.json", 64)
